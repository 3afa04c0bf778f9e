//! The command line: what can be said, and what `--help` tells. Not here: what the commands do (`commands`).

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sealcare_client::{Completeness, Recovery, Timestamp};
use sealcare_records::RecordType;

use crate::{
    choice::{PeriodChange, Reach, ScopeChange},
    times,
};

/// Seconds between two passes of `share --follow`, unless told otherwise.
const EVERY_SECS: u64 = 60;
/// Seconds that a command waits for another, unless told otherwise.
const WAIT_SECS: u64 = 30;
const WAIT_SECS_MAX: u64 = 3_600;
/// A day.
const EVERY_SECS_MAX: u64 = 86_400;

const AFTER_HELP: &str = "\
First steps:
  sealcare init --name 'Ana Silva' --birth-date 1990-05-20
  sealcare import export.zip
  sealcare accept @invitation.txt
  sealcare share

Exit status:
  0   done
  1   failed, or `doctor` found a problem
  64  wrong usage or configuration
  65  the input (a file, an invitation) is not acceptable; nothing was changed (of a file that
      changed while it was read, whole records may be kept)
  66  an input file cannot be read
  69  the relay or the organization's domain is not available; try again, nothing is lost
  74  the disk or the account's storage failed
  75  another sealcare command was at work for too long; try again, but a stop, a pause, its end or another
      scope is noted by then, and that command carries it out
  77  refused: by you, by the relay, or by a check that protects you

Health records, names and keys never appear in errors.";

/// Share your health records with those who care for you, sealed so that only they can read them.
#[derive(Debug, Parser)]
#[command(name = "sealcare", bin_name = "sealcare", version, after_help = AFTER_HELP, no_binary_name = true)]
#[command(subcommand_required = true, arg_required_else_help = true, max_term_width = 100)]
pub(crate) struct CommandLine {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Options {
    /// Folder of the account [default: the platform's folder for application data]
    #[arg(long, value_name = "DIR", env = "SEALCARE_HOME", global = true, hide_env_values = true)]
    pub(crate) home: Option<PathBuf>,
    /// Read the passphrase from the first line of FILE (`-`: standard input) instead of using the keychain
    #[arg(
        long,
        value_name = "FILE",
        env = "SEALCARE_PASSPHRASE_FILE",
        global = true,
        hide_env_values = true
    )]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Print JSON for programs: results on standard output, errors on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Wait so many seconds for another sealcare command that is at work in this home
    #[arg(long, value_name = "SECS", global = true, default_value_t = WAIT_SECS, hide_default_value = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(0..=WAIT_SECS_MAX))]
    pub(crate) wait: u64,
    /// Trust the root certificates in FILE (PEM) too: whoever owns them can pose as anybody. For tests.
    #[arg(long, value_name = "FILE", env = "SEALCARE_DANGER_EXTRA_ROOTS", global = true, hide = true)]
    pub(crate) danger_extra_roots: Option<PathBuf>,
    /// Go to HOST at ADDRESS without asking the resolver (`HOST=ADDRESS`). For tests.
    #[arg(long, value_name = "HOST=ADDRESS", global = true, hide = true)]
    pub(crate) danger_resolve: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an account on this machine
    Init(Init),
    /// Read records from Apple Health exports (zip or XML) or FHIR R4 files (JSON or NDJSON)
    Import(Import),
    /// Accept an organization's invitation: from then on it may receive what you choose
    Accept(Accept),
    /// List the organizations that you share with
    Grants,
    /// Seal and deposit what is new, and read what the organizations answered
    Share(Share),
    /// Show for each grant what arrived, what waits, what was refused and who looked
    Status,
    /// Show or change what an organization may receive; what is taken out it destroys
    Scope(Scope),
    /// Send nothing for a while; the grant stays
    Pause(GrantName),
    /// End a pause: what the grant covers follows, also what came during the pause
    Resume(GrantName),
    /// Print your recovery sheet: the page that brings your account back
    Sheet(Sheet),
    /// Find your grants again with the recovery sheet: after a loss, on a second device, or to shut a stolen one out
    Recover(Recover),
    /// Stop sharing: the relay deletes, the organization destroys its copy and confirms
    Revoke(GrantName),
    /// Check the account's storage, the clock, the relays and the organizations' keys
    Doctor(Doctor),
}

#[derive(Args, Debug)]
pub(crate) struct Init {
    /// Your full name, as the organization knows it
    #[arg(long)]
    pub(crate) name: String,
    /// Your birth date
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) birth_date: String,
}

#[derive(Args, Debug)]
pub(crate) struct Import {
    /// Files to read; all of them are taken, or none
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Take the files also if they name somebody else than this account's person (not with --complete)
    #[arg(long)]
    pub(crate) yes: bool,
    /// The files are all that their sources have: show what is not in them any more, and ask whether to delete it
    #[arg(long)]
    complete: bool,
    /// Delete what is not in the complete files any more, without asking: here, and at all organizations
    #[arg(long, requires = "complete")]
    confirm_deletions: bool,
}

/// What becomes of records that complete files do not have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Deletions {
    /// The person is asked; without a terminal nothing is deleted.
    Asked,
    /// The person has said so.
    Confirmed,
}

impl Import {
    /// Whether the files are all of their sources.
    pub(crate) fn completeness(&self) -> Completeness {
        if self.complete { Completeness::Complete } else { Completeness::Partial }
    }

    pub(crate) fn deletions(&self) -> Deletions {
        if self.confirm_deletions { Deletions::Confirmed } else { Deletions::Asked }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Accept {
    /// The invitation's text, `@FILE` that holds it, or `-` for standard input (others on this machine can see
    /// arguments, not files)
    #[arg(value_name = "INVITATION")]
    pub(crate) invitation: String,
    /// Types to share, with commas between [default: all five]
    #[arg(long, value_name = "TYPES", value_delimiter = ',', value_parser = parse_type)]
    pub(crate) types: Vec<RecordType>,
    /// Do not ask: the organization's domain was checked
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Share {
    /// Go on until stopped (Ctrl-C)
    #[arg(long)]
    pub(crate) follow: bool,
    /// Seconds between two passes, about
    #[arg(long, value_name = "SECS", default_value_t = EVERY_SECS, requires = "follow")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=EVERY_SECS_MAX))]
    pub(crate) every: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Scope {
    /// The grant's code as `sealcare grants` shows it, or the organization's domain
    #[arg(value_name = "GRANT")]
    pub(crate) grant: String,
    /// Share these types and no others, with commas between
    #[arg(long, value_name = "TYPES", value_delimiter = ',', value_parser = parse_type)]
    #[arg(conflicts_with = "everything")]
    types: Vec<RecordType>,
    /// Share all types
    #[arg(long)]
    everything: bool,
    /// Share only records that begin on this day (in UTC) or later
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = parse_day, conflicts_with = "all_dates")]
    since: Option<Timestamp>,
    /// Share records of all dates
    #[arg(long)]
    all_dates: bool,
    /// Do not ask before the organization receives more than now
    #[arg(long)]
    yes: bool,
}

impl Scope {
    /// What is to be changed; none only asks.
    pub(crate) fn change(&self) -> Option<ScopeChange> {
        let types = match &self.types[..] {
            _ if self.everything => Some(RecordType::ALL.into()),
            [] => None,
            types => Some(types.iter().copied().collect()),
        };
        let period = match self.since {
            _ if self.all_dates => PeriodChange::AllDates,
            Some(day) => PeriodChange::Since(day.as_millis()),
            None => PeriodChange::Kept,
        };
        let reach = if self.yes { Reach::Whole } else { Reach::Narrower };
        let is_change = types.is_some() || period != PeriodChange::Kept;
        is_change.then_some(ScopeChange { types, period, reach })
    }
}

#[derive(Args, Debug)]
pub(crate) struct GrantName {
    /// The grant's code as `sealcare grants` shows it, or the organization's domain
    #[arg(value_name = "GRANT")]
    pub(crate) grant: String,
}

#[derive(Args, Debug)]
pub(crate) struct Sheet {
    /// Write it to FILE, which only you can read, instead of showing it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct Recover {
    /// File with the sheet's `code:` and `relay:` lines [default: they are asked for]
    #[arg(long, value_name = "FILE")]
    pub(crate) sheet: Option<PathBuf>,
    /// Your full name, as the organizations know it
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Your birth date
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) birth_date: Option<String>,
    /// Go on with every grant as you chose before, without asking
    #[arg(long)]
    keep: bool,
    /// A device was stolen: stop every grant for ever, and take another secret for the future
    #[arg(long, conflicts_with = "keep")]
    stolen: bool,
}

impl Recover {
    /// What becomes of the grants.
    pub(crate) fn how(&self) -> Recovery {
        match (self.keep, self.stolen) {
            (_, true) => Recovery::Stolen,
            (true, false) => Recovery::Keep,
            (false, false) => Recovery::Ask,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Leave out what needs the network
    #[arg(long)]
    pub(crate) offline: bool,
}

fn parse_type(name: &str) -> Result<RecordType, String> {
    name.parse().map_err(|_| format!("the types are {}", RecordType::ALL.map(RecordType::name).join(", ")))
}

fn parse_day(text: &str) -> Result<Timestamp, &'static str> {
    times::parse_date(text).ok_or("a day from 1970-01-01 on; for all of them: --all-dates")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn a_program_name_is_not_expected() {
        let parsed = CommandLine::try_parse_from(["grants", "--json", "--home", "h"]).unwrap();
        assert!(parsed.options.json && matches!(parsed.command, Command::Grants));
    }

    #[test]
    fn types_are_named_as_everywhere() {
        let parse = |types| CommandLine::try_parse_from(["accept", "-", "--types", types]);
        assert!(parse("heart-rate,lab-result").is_ok());
        assert!(parse("steps").unwrap_err().to_string().contains("exercise-minutes, heart-rate"));
        assert!(parse("").is_err());
    }

    #[test]
    fn a_scope_is_asked_for_or_changed_in_one_way() {
        let parse = |line: &str| CommandLine::try_parse_from(line.split(' '));
        for good in
            ["scope G", "scope G --types heart-rate --since 2024-01-01", "scope G --everything --all-dates"]
        {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "scope",
            "scope G --types heart-rate --everything",
            "scope G --since 2024",
            "scope G --since 2024-01-01 --all-dates",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pace_is_bounded_and_needs_follow() {
        let parse = |line: &str| CommandLine::try_parse_from(line.split(' '));
        assert!(parse("share --follow --every 5").is_ok());
        for bad in ["share --every 5", "share --follow --every 0", "share --follow --every 86401"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
