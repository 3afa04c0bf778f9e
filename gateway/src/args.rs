//! The command line. Not here: what the commands do (`commands`).

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::{Overrides, ServingOverrides};

const EXIT_STATUSES: &str = "\
Exit status: 0 done; 1 failed; 64 bad usage or configuration; 65 bad input; 69 somebody who is needed does not \
answer (the relay, a running gateway); 77 refused.

While `serve` runs, the other commands are answered by it over DATA/gateway.sock.

Backups: of DATA take `vault/header` and `vault/vault.db` only, while the gateway is stopped, and the key file apart \
from them. The folder `vault/wrapping` must be in no backup: its keys are what is destroyed when a patient stops. After \
a restore patients' apps send everything again; nothing is shown before the relay told what was revoked.";

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
    Admit(Named),
    /// End a held grant and destroy what came for it.
    Reject(Named),
    /// Print what patients share, as FHIR R4 resources, one a line.
    Records(Records),
    /// Tell how the gateway and its grants stand. Names nobody.
    Status,
}

#[derive(Args, Debug)]
pub(crate) struct Init {
    /// Where the organization's keys will be served over HTTPS: `host[:port]`, lower case. Never changes.
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: String,
    /// The relay: `https://host:port`, lower case.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) relay: String,
    /// New file for the organization's two root keys. Keep it offline, for ever: renewal needs it within 399 days.
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
    /// Print every change as an object: `{"event":"record",…,"resource":{…}}`, and removals, ended grants and the
    /// mark between what was there and what comes ("removed", "ended", "caught-up").
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
