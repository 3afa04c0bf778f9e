//! What can go wrong on the organization's side. No text holds a value, a key, a name or an id.

use sealcare_transport::TransportError;
use sealcare_vault::VaultError;

/// This crate's result.
pub type Result<T, E = ProviderError> = std::result::Result<T, E>;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// The vault refused or failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// Something signed or parsed is not acceptable.
    #[error(transparent)]
    Protocol(#[from] sealcare_protocol::Error),
    /// The relay cannot be reached or refused.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// No organization was founded in this vault.
    #[error("no organization was set up in this vault")]
    NotFounded,
    /// An organization was founded in this vault already.
    #[error("an organization was set up in this vault already")]
    AlreadyFounded,
    /// A row of the vault opens and is not what this program put there.
    #[error("a kept {0} is damaged")]
    Damaged(&'static str),
    /// No grant of this id, or it is revoked.
    #[error("no such grant")]
    UnknownGrant,
    /// The grant is not waiting for staff.
    #[error("the grant is not held")]
    NotHeld,
    /// A chart patient is written `SYSTEM|ID`, each part 1 to 256 bytes without white space.
    #[error("a chart patient is written SYSTEM|ID, without spaces")]
    ChartPatient,
    /// The file of roots is there already; overwriting it would lose the organization.
    #[error("the file for the roots is there already")]
    RootFileThere,
    /// The file of roots could not be written or read.
    #[error("the file of the roots could not be written or read")]
    RootFile(#[source] std::io::Error),
    /// The file of roots is not one.
    #[error("the file of the roots is damaged")]
    RootFileDamaged,
    /// The roots are another organization's.
    #[error("these roots are another organization's")]
    OtherRoot,
    /// The root was succeeded: only the newer file of roots counts.
    #[error("this root was succeeded: use the newer file of the roots")]
    RootSucceeded,
    /// What the root signed is not what this gateway offered last.
    #[error("the root did not sign the keys that this gateway offered last: run the command again")]
    NotOffered,
    /// More events wait than may; process some first.
    #[error("too many events wait to be processed")]
    Full,
    /// The application could not take an event; it will come again.
    #[error("the application could not take an event")]
    Application(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A blocking task ended early.
    #[error("a task ended early")]
    Task,
}

impl ProviderError {
    /// The application's own error, for the closure of [`crate::Organization::process`].
    pub fn application(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Application(error.into())
    }

    /// Whether nothing more can be kept until the vault has been opened again.
    pub fn needs_reopening(&self) -> bool {
        matches!(self, Self::Vault(VaultError::Failed))
    }
}
