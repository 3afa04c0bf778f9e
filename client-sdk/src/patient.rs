//! The patient: an open vault with an account in it, and everything that can be done with it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use sealcare_protocol::{Clock, DepositKey, Person, RelayOrigin, SystemClock};
use sealcare_records::{RecordType, SourceName};
use sealcare_transport::{PatientChannel, Trust};
use sealcare_vault::{Vault, WriteTransaction};
use tokio::sync::{Mutex, watch};

use crate::{
    account::Account,
    error::Result,
    record_store::{self, ChangeCounts, NewRecord, RecordWriter},
    source::{RecordChange, RecordSource},
    store::{SOURCES, Store},
};

/// How long a call to a relay is tried.
const DEADLINE_DEFAULT: Duration = Duration::from_secs(20);

/// A patient's app: records, grants and their outboxes in one vault.
pub struct Patient {
    pub(crate) store: Store,
    pub(crate) trust: Trust,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) deadline: Duration,
    /// One pass over the outboxes at a time.
    pub(crate) passes: Mutex<()>,
    /// How many stops and other choices were made here; each is heard by the deposits under way.
    pub(crate) stops: watch::Sender<u64>,
    person: Person,
}

/// What a [`Patient`] is opened with.
pub struct PatientBuilder {
    vault: Vault,
    trust: Trust,
    clock: Arc<dyn Clock>,
    deadline: Duration,
}

impl Patient {
    /// Begins with a vault; the web's trust and the machine's clock unless told otherwise.
    pub fn builder(vault: Vault) -> PatientBuilder {
        PatientBuilder {
            vault,
            trust: Trust::web(),
            clock: Arc::new(SystemClock),
            deadline: DEADLINE_DEFAULT,
        }
    }

    /// Who shares.
    pub fn person(&self) -> &Person {
        &self.person
    }

    /// Takes what changed at `source` since it was read last, in one transaction with its new anchor. Gives the
    /// source back.
    ///
    /// # Errors
    /// Those of the source and of the vault; then nothing is kept.
    pub async fn read<S: RecordSource + 'static>(&self, mut source: S) -> Result<(S, ChangeCounts)> {
        let store = self.store.clone();
        self.store
            .write(move |tx| {
                let place = store.blind(SOURCES, source.id().as_bytes());
                let anchor = tx.get(SOURCES, &place)?;
                let mut writer = RecordWriter::new(tx, &store)?;
                let name = SourceName::app(&source.id());
                let mut sink = |change| match change {
                    RecordChange::Upsert(record) => writer.take(&NewRecord::new(&record, Some(&name))),
                    RecordChange::Deleted(id) => writer.delete(&id),
                };
                let anchor = source.read_changes(anchor.as_ref().map(|bytes| bytes.as_slice()), &mut sink)?;
                let changes = writer.finish()?;
                if let Some(anchor) = anchor {
                    tx.put(SOURCES, &place, &anchor)?;
                }
                Ok((source, changes))
            })
            .await
    }

    /// How many records of each type there are.
    ///
    /// # Errors
    /// Those of the vault.
    pub async fn record_counts(&self) -> Result<BTreeMap<RecordType, u64>> {
        self.store.read(record_store::count).await
    }

    /// A connection of the grant's own, so that a relay cannot tell that two grants are one person's.
    pub(crate) fn channel(&self, relay: &RelayOrigin, key: DepositKey) -> Result<PatientChannel> {
        let channel = PatientChannel::new(relay, key, &self.trust, Arc::clone(&self.clock))?;
        Ok(channel.with_deadline(self.deadline))
    }
}

impl PatientBuilder {
    /// Trusts otherwise: for tests and the demo.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Takes the time from `clock`.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Tries each call to a relay for `deadline` instead of 20 seconds.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Makes an account for `person`, and opens it.
    ///
    /// # Errors
    /// [`crate::ClientError::AccountExists`], and those of the vault.
    pub async fn create(self, person: Person) -> Result<Patient> {
        let kept = person.clone();
        self.begin(person, move |tx| Account::create(tx, &kept)).await
    }

    /// Keeps an account with `keep`, and opens it.
    pub(crate) async fn begin(
        self,
        person: Person,
        keep: impl FnOnce(&mut WriteTransaction<'_>) -> Result<()> + Send + 'static,
    ) -> Result<Patient> {
        let store = Store::new(self.vault);
        store.write(keep).await?;
        Ok(Patient {
            store,
            trust: self.trust,
            clock: self.clock,
            deadline: self.deadline,
            passes: Mutex::new(()),
            stops: watch::Sender::new(0),
            person,
        })
    }

    /// Opens the account in the vault.
    ///
    /// # Errors
    /// [`crate::ClientError::NoAccount`], and those of the vault.
    pub async fn open(self) -> Result<Patient> {
        let store = Store::new(self.vault);
        let account = store.read(Account::load).await?;
        Ok(Patient {
            store,
            trust: self.trust,
            clock: self.clock,
            deadline: self.deadline,
            passes: Mutex::new(()),
            stops: watch::Sender::new(0),
            person: account.person,
        })
    }
}

impl std::fmt::Debug for Patient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Patient")
    }
}

impl std::fmt::Debug for PatientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PatientBuilder")
    }
}
