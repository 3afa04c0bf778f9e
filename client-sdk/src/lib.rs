//! The patient's side of Sealcare: records, grants, and an outbox that survives a crash at any point.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use sealcare_client::{Invitation, Patient, Person, SharedScope, Unlock, Vault};
//!
//! let vault = Vault::create("vault".as_ref(), &Unlock::SecretFile("vault.key".into()), &mut rand::rng())?;
//! let ana = Patient::builder(vault).create(Person::new("Ana Lima", "1980-02-29")?).await?;
//! ana.import(vec![std::fs::File::open("export.zip")?], |_, _| ()).await?;
//! let pending = ana.consider(Invitation::from_text("sealcare:…")?).await?;
//! println!("Share everything with {}?", pending.domain()); // ask the person
//! let grant = pending.accept(&SharedScope::everything()).await?;
//! ana.share(&|_| ()).await?; // once in a while: what is new, sealed
//! ana.revoke(grant.id).await?; // whenever the patient wants to
//! # Ok(()) }
//! ```
//!
//! Lives here: the account, record sources and records, grants, the outbox, replies, revocation.
//! Not here: what is sealed and how (`sealcare-protocol`), how files are read (`sealcare-records`), calls and their
//! retries (`sealcare-transport`), encryption at rest (`sealcare-vault`).

mod acceptance;
mod account;
mod bundle;
mod choice;
mod depositing;
mod error;
#[cfg(test)]
mod fixture;
mod grant;
mod import;
mod kept;
mod outbox;
mod patient;
mod record_store;
mod recovery;
mod revocation;
mod sharing;
mod sheet;
mod source;
mod status;
mod store;

pub use acceptance::{AcceptedGrant, PendingGrant, SharedScope};
pub use error::{ClientError, Result};
pub use import::{Absence, AbsentRecords, Caution, CheckedFiles, Completeness, Imported};
pub use patient::{Patient, PatientBuilder};
pub use record_store::ChangeCounts;
pub use recovery::{
    OfferedTerms, Recovery, RecoveryState, SearchFailure, SearchProgress, SearchReport, SheetMatch,
};
pub use revocation::RevocationState;
pub use sealcare_protocol::{
    Clock, CodeError, Domain, Error as ProtocolError, GrantId, Invitation, Person, RelayOrigin, SealError,
    ShortCode, SystemClock, Timestamp,
};
pub use sealcare_records::{ImportReport, Progress, Record, RecordId, RecordType, SkipReason};
pub use sealcare_transport::{BundleFault, TransportError, Trust, danger};
pub use sealcare_vault::{Unlock, Vault, VaultError};
pub use sharing::{PassOutcome, ShareProgress, SharedGrant};
pub use sheet::{RecoverySheet, SHEET_BYTES_MAX, SHEET_RELAYS_MAX, SheetState};
pub use source::{RecordChange, RecordSource};
pub use status::{GrantState, GrantStatus, StatementState};
