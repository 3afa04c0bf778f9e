//! Why a command did not do what it was asked. No text holds a record, a name, a path, a key or a raw id.
//! Not here: what to do about it (`advice`).

use std::io;

use sealcare_client::{BundleFault, ClientError, TransportError, VaultError};

use crate::exit::Exit;

/// This crate's result.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// Neither an option nor the platform names a folder.
    #[error("no folder is known for the account")]
    NoHome,
    /// The account's folder cannot be made or written.
    #[error("the account's folder cannot be written: {0}")]
    HomeDir(#[source] io::Error),
    /// `config.toml` cannot be used.
    #[error("config.toml in the account's folder cannot be used: {0}")]
    Config(String),
    /// The passphrase file cannot be read.
    #[error("the passphrase file cannot be read: {0}")]
    PassphraseFile(io::ErrorKind),
    /// Standard input was asked for twice.
    #[error("standard input cannot hold both the passphrase and the invitation")]
    StandardInputTwice,
    /// An option's value cannot be used.
    #[error("unusable {0}")]
    Option(&'static str),
    /// Not a name that an organization could compare.
    #[error("the name cannot be used")]
    Name,
    /// Not a date.
    #[error("the birth date is not a date")]
    BirthDate,
    /// An input file cannot be opened or read.
    #[error("file {number} cannot be read: {kind}")]
    InputFile {
        /// Its place among the arguments, from 1.
        number: usize,
        /// Why.
        kind: io::ErrorKind,
    },
    /// The file that holds an invitation cannot be read.
    #[error("the invitation's file cannot be read: {0}")]
    InvitationFile(io::ErrorKind),
    /// What was handed in as an invitation is none.
    #[error("this is not an invitation")]
    NotAnInvitation,
    /// A file is about somebody else.
    #[error("file {number} names another person than this account's")]
    OtherPerson {
        /// Its place among the arguments, from 1.
        number: usize,
    },
    /// A file is about several people.
    #[error("file {number} names more than one person")]
    SeveralPeople {
        /// Its place among the arguments, from 1.
        number: usize,
    },
    /// A question needs an answer, and nobody is there to give one.
    #[error("this needs your word, and there is no terminal to ask on")]
    NobodyToAsk,
    /// The file that the recovery sheet is to be in cannot be written; one that is there is not replaced.
    #[error("the recovery sheet cannot be written there: {0}")]
    SheetFile(io::ErrorKind),
    /// The recovery sheet is shown to people only.
    #[error("the recovery sheet is shown on a terminal only")]
    SheetNotShown,
    /// The file of the recovery sheet cannot be read.
    #[error("the recovery sheet cannot be read: {0}")]
    SheetUnreadable(io::ErrorKind),
    /// Sheet, name or birth date are missing, and nobody is there to type them.
    #[error("recovery needs the sheet, your name and your birth date")]
    SheetNeeded,
    /// The person said no.
    #[error("not done, as you wished")]
    Declined,
    /// A choice that another command, or the next one, carries out.
    #[error("the {0} is noted, but another sealcare command was at work for too long to see it done")]
    Noted(&'static str),
    /// A noted choice that cannot be read.
    #[error("what another sealcare command asked for cannot be read, and is dropped")]
    BadRequest,
    /// A scope became narrower by a noted choice, and was then not to become wider too.
    #[error("what was to be taken out is taken out; what was to be added needs your word, and is not added")]
    OnlyNarrowed,
    /// More than one grant fits.
    #[error("more than one grant fits")]
    AmbiguousGrant,
    /// `doctor` found something.
    #[error("{0}")]
    Unhealthy(String),
    /// Standard output is closed.
    #[error("the result could not be printed: {0}")]
    Output(#[source] io::Error),
    /// Threads or signals are not to be had.
    #[error("the program could not start: {0}")]
    Start(#[source] io::Error),
    /// The patient's library refused or failed.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl From<VaultError> for Error {
    fn from(error: VaultError) -> Self {
        Self::Client(error.into())
    }
}

impl From<TransportError> for Error {
    fn from(error: TransportError) -> Self {
        Self::Client(error.into())
    }
}

impl Error {
    /// The status that says so.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoHome
            | Self::Config(_)
            | Self::PassphraseFile(_)
            | Self::StandardInputTwice
            | Self::Option(_)
            | Self::Name
            | Self::BirthDate
            | Self::SheetNotShown
            | Self::SheetNeeded
            | Self::AmbiguousGrant => Exit::Usage,
            Self::InputFile { .. } | Self::InvitationFile(_) | Self::SheetUnreadable(_) => Exit::NoInput,
            Self::NotAnInvitation | Self::BadRequest => Exit::Data,
            Self::OtherPerson { .. }
            | Self::SeveralPeople { .. }
            | Self::NobodyToAsk
            | Self::OnlyNarrowed
            | Self::Declined => Exit::Refused,
            Self::Noted(_) => Exit::Busy,
            Self::HomeDir(_) | Self::SheetFile(_) | Self::Output(_) => Exit::Storage,
            Self::Unhealthy(_) | Self::Start(_) => Exit::Failed,
            Self::Client(error) => of_client(error),
        }
    }
}

fn of_client(error: &ClientError) -> Exit {
    match error {
        ClientError::Vault(error) => of_vault(error),
        ClientError::Transport(error) => of_transport(*error),
        ClientError::Import { .. }
        | ClientError::FileChanged { .. }
        | ClientError::NoSource { .. }
        | ClientError::OlderExport { .. }
        | ClientError::SheetCode(_)
        | ClientError::SheetRelay { .. }
        | ClientError::SheetWithoutRelay
        | ClientError::SheetTooLong => Exit::Data,
        ClientError::AccountExists | ClientError::NoAccount | ClientError::UnknownGrant => Exit::Usage,
        ClientError::Protocol(_)
        | ClientError::Revoked
        | ClientError::ClosedByRelay
        | ClientError::AlreadyAccepted
        | ClientError::WrongOrganization
        | ClientError::LyingRelay
        | ClientError::TooManyGrants
        | ClientError::NothingOffered
        | ClientError::TheftPending => Exit::Refused,
        ClientError::Unsettled | ClientError::SearchUnfinished | ClientError::OrganizationNotListed => {
            Exit::Unavailable
        }
        ClientError::Kept(_) => Exit::Storage,
        _ => Exit::Failed,
    }
}

fn of_vault(error: &VaultError) -> Exit {
    match error {
        VaultError::InUse => Exit::Busy,
        VaultError::AlreadyThere
        | VaultError::NotThere
        | VaultError::OtherUnlock { .. }
        | VaultError::PassphraseTooShort
        | VaultError::KeychainUnavailable
        | VaultError::KeychainEntryMissing
        | VaultError::KeychainNotBuilt => Exit::Usage,
        VaultError::WrongKey => Exit::Refused,
        _ => Exit::Storage,
    }
}

fn of_transport(error: TransportError) -> Exit {
    match error {
        TransportError::TicketExpired | TransportError::NotFound | TransportError::Malformed => Exit::Data,
        TransportError::Configuration(_) => Exit::Usage,
        TransportError::Tls
        | TransportError::Bundle(BundleFault::Tls | BundleFault::Redirect)
        | TransportError::Unauthenticated
        | TransportError::TicketSpent
        | TransportError::GrantRevoked
        | TransportError::OrganizationNotApproved
        | TransportError::Stale
        | TransportError::Conflict => Exit::Refused,
        TransportError::Unreachable
        | TransportError::Deadline
        | TransportError::Unavailable
        | TransportError::RateLimited
        | TransportError::GrantFull
        | TransportError::Bundle(_) => Exit::Unavailable,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_status() {
        let cases: [(Error, u8); 15] = [
            (Error::NoHome, 64),
            (VaultError::NotThere.into(), 64),
            (ClientError::UnknownGrant.into(), 64),
            (Error::Noted("pause"), 75),
            (Error::OnlyNarrowed, 77),
            (Error::NotAnInvitation, 65),
            (TransportError::TicketExpired.into(), 65),
            (Error::InputFile { number: 1, kind: io::ErrorKind::NotFound }, 66),
            (TransportError::Unreachable.into(), 69),
            (TransportError::Bundle(BundleFault::Tls).into(), 77),
            (VaultError::DiskFull.into(), 74),
            (VaultError::InUse.into(), 75),
            (VaultError::WrongKey.into(), 77),
            (TransportError::TicketSpent.into(), 77),
            (ClientError::Source.into(), 1),
        ];
        for (error, status) in cases {
            assert_eq!(error.exit().status(), status, "{error}");
        }
    }
}
