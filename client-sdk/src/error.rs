//! What can go wrong for a patient's app. No text holds a value, name, key or id: it is safe to log and to show.

use sealcare_protocol::{CodeError, Error as ProtocolError, SealError};
use sealcare_records::RecordError;
use sealcare_transport::TransportError;
use sealcare_vault::VaultError;

/// This crate's result.
pub type Result<T, E = ClientError> = std::result::Result<T, E>;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The vault refused or failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The relay or the organization's domain could not be reached, or refused.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Something received does not hold.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// Nothing could be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A file was refused; nothing of the whole import is kept.
    #[error("file {} was not imported: {error}", .file + 1)]
    Import {
        /// Which of the files, from 0.
        file: usize,
        /// Why.
        error: RecordError,
    },
    /// A file is another one than was checked. What was taken of it by then stays; importing it again takes it whole.
    #[error("file {} was changed while it was imported", .file + 1)]
    FileChanged {
        /// Which of the files, from 0.
        file: usize,
    },
    /// A file does not say what it is all of, so it is complete for nothing. Nothing was taken.
    #[error("file {} does not say where its records come from, so it cannot be complete", .file + 1)]
    NoSource {
        /// Which of the files, from 0.
        file: usize,
    },
    /// A newer file of the same source was imported: what is missing in this one may only be newer. Nothing was taken.
    #[error("file {} is older than what was imported, so it cannot be complete", .file + 1)]
    OlderExport {
        /// Which of the files, from 0.
        file: usize,
    },
    /// A source of records failed; nothing of this reading is kept.
    #[error("the source of records failed")]
    Source,
    /// This vault has an account already.
    #[error("this vault holds an account already")]
    AccountExists,
    /// This vault has no account yet.
    #[error("this vault holds no account yet")]
    NoAccount,
    /// No grant of that id.
    #[error("there is no such grant")]
    UnknownGrant,
    /// The grant was revoked.
    #[error("the grant is revoked")]
    Revoked,
    /// The relay refuses the grant as closed, and shows neither the patient's own revocation nor the organization's
    /// confirmation. Nothing is given up for that.
    #[error("the relay says that this grant is closed, without proof")]
    ClosedByRelay,
    /// The same invitation was accepted before.
    #[error("this invitation was accepted before")]
    AlreadyAccepted,
    /// The relay named another organization than the invitation.
    #[error("the relay answered for another organization")]
    WrongOrganization,
    /// No deposit key is free: the relay knows every one that was tried.
    #[error("no unused key was found for a new grant")]
    NoFreeKey,
    /// The code of a recovery sheet is mistyped.
    #[error(transparent)]
    SheetCode(#[from] CodeError),
    /// A relay of a recovery sheet is mistyped.
    #[error("relay {number} of the recovery sheet is not an address")]
    SheetRelay {
        /// Which, from 1.
        number: usize,
    },
    /// A recovery sheet without a relay finds nothing.
    #[error("the recovery sheet names no relay")]
    SheetWithoutRelay,
    /// More than a recovery sheet can be.
    #[error("the recovery sheet is too long")]
    SheetTooLong,
    /// The relay knows a grant, but lists its organization no more: it cannot be known where that is.
    #[error("the relay knows a grant whose organization it does not list")]
    OrganizationNotListed,
    /// What the relay says about a grant contradicts itself or what the organization's domain says.
    #[error("the relay contradicts itself about a grant")]
    LyingRelay,
    /// A relay has more to tell than one search takes; the next one goes on there.
    #[error("the relay could not be searched to its end in one go")]
    SearchUnfinished,
    /// A relay claims to know more grants than a person has; nothing more is looked for there.
    #[error("the relay claims to know more grants than a person has")]
    TooManyGrants,
    /// The grants of a stolen device are still being stopped, and only one such stop goes on at a time.
    #[error("the grants of a device that was stolen before are not all confirmed as stopped yet")]
    TheftPending,
    /// The organization has not told what was chosen before.
    #[error("it is not known yet what was chosen for this grant")]
    NothingOffered,
    /// Something kept in the vault is not in form; a newer release may have written it.
    #[error("what the vault holds about {0} is not in form")]
    Kept(&'static str),
    /// The relay and this installation do not agree on what was sent, several times in a row.
    #[error("the relay does not take this grant's sessions; try again later")]
    Unsettled,
    /// The work was stopped before its end.
    #[error("the work was stopped")]
    Stopped,
}
