//! Why a command did not do what it was asked, and the exit status that says so. No text holds a record, a name,
//! a key, a token or an id.

use std::io;

use sealcare_provider::{ProviderError, TransportError};
use sealcare_vault::VaultError;

/// The gateway's result.
pub type Result<T, E = GatewayError> = std::result::Result<T, E>;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The configuration or a flag cannot be used.
    #[error("configuration: {0}")]
    Config(String),
    /// What was handed in is not in form.
    #[error("{0}")]
    Input(&'static str),
    /// Somebody who is needed does not answer.
    #[error("{0}")]
    Unavailable(&'static str),
    /// It would be possible, and is not allowed.
    #[error("{0}")]
    Refused(&'static str),
    /// A file operation failed.
    #[error("could not {action}: {source}")]
    File {
        /// What was attempted.
        action: &'static str,
        /// The operating system's reason.
        source: io::Error,
    },
    /// An address cannot be listened on.
    #[error("cannot listen: {0}")]
    Listen(#[source] io::Error),
    /// Standard output or the connection to a running gateway broke.
    #[error("the output broke off")]
    Output(#[source] io::Error),
    /// The organization's SDK refused or failed.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The vault refused or failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A row of the record view opens and is not what this program put there.
    #[error("a kept {0} is damaged")]
    Damaged(&'static str),
    /// The gateway that runs in the data folder refused.
    #[error("{text}")]
    Running {
        /// The exit status that it asks for.
        status: u8,
        /// Its words.
        text: String,
    },
    /// The new root file is written, and the gateway has not taken it.
    #[error(
        "the new root file is written and nothing is published yet: finish with `rotate --root NEWFILE` ({0})"
    )]
    Unfinished(#[source] Box<GatewayError>),
    /// The status was told, and somebody must see to something.
    #[error("the status raises an alarm")]
    Alarmed,
    /// A task ended early.
    #[error("a task ended early")]
    Task,
}

/// Exit statuses, after BSD's `sysexits.h`.
mod exit {
    pub(super) const FAILED: u8 = 1;
    pub(super) const ALARMED: u8 = 2;
    pub(super) const USAGE: u8 = 64;
    pub(super) const INPUT: u8 = 65;
    pub(super) const UNAVAILABLE: u8 = 69;
    pub(super) const REFUSED: u8 = 77;
}

impl GatewayError {
    /// 2 for an alarm, 64 for bad usage or configuration, 65 for bad input, 69 when something is unavailable, 77 when it was
    /// refused, else 1.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Config(_) => exit::USAGE,
            Self::Input(_) => exit::INPUT,
            Self::Unavailable(_) | Self::Listen(_) => exit::UNAVAILABLE,
            Self::Refused(_) => exit::REFUSED,
            Self::Provider(error) => provider_status(error),
            Self::Vault(error) => vault_status(error),
            Self::Running { status, .. } => *status,
            Self::Alarmed => exit::ALARMED,
            Self::Unfinished(error) => error.exit_status(),
            Self::File { .. } | Self::Output(_) | Self::Damaged(_) | Self::Task => exit::FAILED,
        }
    }

    pub(crate) fn file(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { action, source }
    }
}

fn provider_status(error: &ProviderError) -> u8 {
    match error {
        ProviderError::UnknownGrant
        | ProviderError::ChartPatient
        | ProviderError::OtherRoot
        | ProviderError::Protocol(_) => exit::INPUT,
        ProviderError::NotFounded | ProviderError::RootFileDamaged => exit::USAGE,
        ProviderError::AlreadyFounded
        | ProviderError::NotHeld
        | ProviderError::RootFileThere
        | ProviderError::RootSucceeded => exit::REFUSED,
        ProviderError::Vault(error) => vault_status(error),
        ProviderError::Transport(error) => transport_status(*error),
        _ => exit::FAILED,
    }
}

fn vault_status(error: &VaultError) -> u8 {
    match error {
        VaultError::InUse => exit::UNAVAILABLE,
        VaultError::AlreadyThere | VaultError::BackupThere => exit::REFUSED,
        VaultError::NoBackup | VaultError::BackupDamaged => exit::INPUT,
        VaultError::NotThere
        | VaultError::WrongKey
        | VaultError::SecretFileMissing
        | VaultError::SecretFileExposed
        | VaultError::SecretFileDamaged
        | VaultError::SecretFileInside => exit::USAGE,
        _ => exit::FAILED,
    }
}

fn transport_status(error: TransportError) -> u8 {
    match error {
        TransportError::Unreachable
        | TransportError::Tls
        | TransportError::Deadline
        | TransportError::Unavailable
        | TransportError::RateLimited => exit::UNAVAILABLE,
        TransportError::Configuration(_) => exit::USAGE,
        TransportError::Response(_) => exit::FAILED,
        _ => exit::REFUSED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_tell_usage_input_absence_and_refusal_apart() {
        let status = |error: GatewayError| error.exit_status();
        assert_eq!(status(GatewayError::Config("x".into())), 64);
        assert_eq!(status(GatewayError::Input("x")), 65);
        assert_eq!(status(ProviderError::UnknownGrant.into()), 65);
        assert_eq!(status(VaultError::InUse.into()), 69);
        assert_eq!(status(ProviderError::Transport(TransportError::Unreachable).into()), 69);
        assert_eq!(status(ProviderError::AlreadyFounded.into()), 77);
        assert_eq!(status(ProviderError::Vault(VaultError::Failed).into()), 1);
    }
}
