//! The command line. Not here: what the commands do (`commands`).

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Overrides, ServingOverrides};

const EXIT_STATUSES: &str = "\
Exit status: 0 done; 1 failed; 2 `status` raises an alarm; 64 bad usage or configuration; 65 bad input; 69 somebody who is needed does not \
answer (the relay, a running gateway); 77 refused.

While `serve` runs, the other commands are answered by it over DATA/gateway.sock.

Keep three things: the root file, offline; the key file (DATA.key), apart from the backups; and backups (`backup`), \
which open no patient's data. The folder DATA/vault/wrapping must be in no backup: its keys are what is destroyed when a \
patient stops.";

/// The organization's side of Sealcare: invites patients, receives what they share, and forgets when they stop.
#[derive(Debug, Parser)]
#[command(name = "sealcare-gateway", version, about, after_help = EXIT_STATUSES, no_binary_name = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) overrides: Overrides,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Found the organization: draw its keys, once and for ever.
    Init(Init),
    /// Ask the relay's operator to list the organization; again to see how it stands.
    Register,
    /// Serve the organization's keys and receive what patients share, until stopped (SIGINT, SIGTERM).
    Serve(Box<ServingOverrides>),
    /// Make an invitation for one patient of the chart. It can be used for 7 days, once; the grant starts held.
    Invite(Invite),
    /// List the grants that staff must look at.
    Held,
    /// Let a held grant through, after comparing its short code with the one on the patient's screen.
    Admit(Admit),
    /// End a held grant and destroy what came for it.
    Reject(Named),
    /// Print what patients share, as FHIR R4 resources, one a line.
    Records(Records),
    /// Tell how the gateway and its grants stand, with an alarm for what somebody must see to. Names nobody.
    Status,
    /// Replace the epoch keys at once, and with --root the gateway's own keys too. Both change by themselves: this is
    /// for keys that somebody else may have seen, and every three years.
    Rotate(Rotate),
    /// Let the organization's next root take over, and write the new root file. The root before signs nothing more.
    /// Invitations that are out must be made again.
    Succeed(Succeed),
    /// Back up the organization into a new folder, while the gateway runs or not. It opens no patient's data; what is
    /// needed beside it to restore is the key file, which is not in it.
    Backup(Folder),
    /// Make the organization of a backup anew in an empty data folder, with its key file in place. Patients' apps then
    /// send again what they share.
    Restore(Folder),
}

#[derive(Args, Debug)]
pub(crate) struct Init {
    /// Where the organization's keys will be served over HTTPS: `host[:port]`, lower case. Never changes.
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: String,
    /// The relay: `https://host:port`, lower case.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) relay: String,
    /// New file for the organization's two root keys. Keep it offline, for ever: renewal needs it every three years.
    #[arg(long, value_name = "FILE")]
    pub(crate) root_out: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Invite {
    /// The patient's identifier in the chart.
    #[arg(long, value_name = "SYSTEM|ID")]
    pub(crate) patient: String,
    /// The patient's name, as it is in the chart.
    #[arg(long)]
    pub(crate) name: String,
    /// The patient's birth date.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) birth_date: String,
    /// Draw a QR code too.
    #[arg(long)]
    pub(crate) qr: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Folder {
    /// The backup's folder.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Rotate {
    /// The organization's root file: draws new gateway keys for three years and signs for them. It is read by this
    /// command only; take it offline again.
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Option<PathBuf>,
    /// The gateway's keys may be stolen: patients' apps and the relay believe nothing more that the old ones signed.
    /// Invitations that are out must be made again.
    #[arg(long, requires = "root")]
    pub(crate) disown: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Succeed {
    /// The organization's root file until now.
    #[arg(long, value_name = "FILE")]
    pub(crate) root: PathBuf,
    /// New file for the roots from now on. Keep it offline, for ever, and destroy the old one: without --disown it still
    /// holds the root that takes over.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The old root file may be in other hands: two roots take over at once, so that it holds neither the present one
    /// nor the next. Takes two of the 15 successions that an organization has.
    #[arg(long)]
    pub(crate) disown: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Admit {
    #[command(flatten)]
    pub(crate) named: Named,
    /// A reason that was looked into: `paper` or `person-mismatch`; may be repeated. The grant stays held for any
    /// other. Without, all reasons that it is held for now.
    #[arg(long = "reason", value_name = "REASON")]
    pub(crate) reasons: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Named {
    /// The grant: its short code, or its handle as `held` and `status` print it.
    #[arg(value_name = "GRANT")]
    pub(crate) grant: String,
}

#[derive(Args, Debug)]
pub(crate) struct Records {
    /// Go on with what comes, until stopped.
    #[arg(long)]
    pub(crate) follow: bool,
    /// Print every change as an object: `{"event":"record",…,"resource":{…}}`, and removals, ended grants, the
    /// mark between what was there and what comes ("removed", "ended", "caught-up"), and what happens to grants
    /// ("held", "admitted", "paused", "resumed", "scope-changed", "stale", "lapsed", "returned", "gap", …).
    #[arg(long)]
    pub(crate) events: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound_and_explains_itself() {
        Cli::command().debug_assert();
        let help = Cli::command().render_long_help().to_string();
        for word in ["init", "serve", "records", "Exit status", "64"] {
            assert!(help.contains(word), "{word}");
        }
        assert!(!help.contains("danger"));
    }

    #[test]
    fn arguments_come_without_the_programs_name() {
        let cli = Cli::try_parse_from(["admit", "ABCD-EFGH", "--json", "--data", "d"]).unwrap();
        assert!(cli.json && matches!(cli.command, Command::Admit(_)));
        assert!(Cli::try_parse_from(["admit"]).is_err());
        assert!(Cli::try_parse_from(["invite", "--patient", "s|1"]).is_err());
    }
}
