//! A patient's app: the SDK with a vault, and the few things that a person does with it.

use std::{ops::Deref, time::Duration};

use sealcare_client::{
    ClientError, GrantId, GrantStatus, Invitation, PassOutcome, Patient, Person, RecordChange, RecordSource,
    RecordType, RevocationState, SharedScope, Unlock, Vault,
};

use super::{World, soon};

/// A call to a relay is tried for this long.
const DEADLINE: Duration = Duration::from_secs(5);
/// Between two passes of one who waits for an answer; it is the pass that is awaited, not this.
const PACE: Duration = Duration::from_millis(50);

/// A patient's app.
pub struct App(Patient);

impl App {
    pub(crate) async fn create(world: &World, name: &str) -> Self {
        let dir = world.folder.path().join(name);
        let unlock = Unlock::SecretFile(dir.with_extension("secret"));
        let vault = Vault::create(&dir, &unlock, &mut rand::rng()).unwrap();
        let builder = Patient::builder(vault).trust(world.trust()).clock(world.clock.clone());
        Self(builder.deadline(DEADLINE).create(person()).await.unwrap())
    }

    /// Its sources report these changes.
    pub async fn reads(&self, changes: impl IntoIterator<Item = RecordChange>) {
        self.0.read(Source(changes.into_iter().collect())).await.unwrap();
    }

    /// Accepts for these types; none means all.
    pub async fn accepts(&self, invitation: Invitation, types: &[RecordType]) -> GrantId {
        let scope =
            if types.is_empty() { SharedScope::everything() } else { SharedScope::of(types.iter().copied()) };
        self.0.consider(invitation).await.unwrap().accept(&scope).await.unwrap().id
    }

    /// One pass, which must go well for its grant.
    pub async fn shares(&self) -> PassOutcome {
        self.tries_to_share().await.unwrap()
    }

    /// One pass, for its outcome.
    ///
    /// # Errors
    /// Those of the grant's part of the pass.
    pub async fn tries_to_share(&self) -> Result<PassOutcome, ClientError> {
        self.0.share(&|_| ()).await.unwrap().remove(0).outcome
    }

    /// Where its only grant stands.
    pub async fn grant(&self) -> GrantStatus {
        self.0.status().await.unwrap().remove(0)
    }

    /// Shares again and again until its grant is as wanted.
    pub async fn shares_until(&self, what: &str, is_so: impl Fn(&GrantStatus) -> bool) {
        let mut pace = tokio::time::interval(PACE);
        let sharing = async {
            loop {
                pace.tick().await;
                // A relay that does not answer is asked again.
                let _ = self.tries_to_share().await;
                if is_so(&self.grant().await) {
                    return;
                }
            }
        };
        soon(what, sharing).await;
    }

    /// Repeats a stop until the organization has signed that it is done.
    pub async fn sees_the_stop_confirmed(&self, grant: GrantId) {
        let mut pace = tokio::time::interval(PACE);
        let asking = async {
            while !matches!(self.0.revoke(grant).await, Ok(RevocationState::Confirmed { .. })) {
                pace.tick().await;
            }
        };
        soon("a stop is confirmed", asking).await;
    }
}

impl Deref for App {
    type Target = Patient;

    fn deref(&self) -> &Patient {
        &self.0
    }
}

/// The person that charts and apps of a story mean.
pub(crate) fn person() -> Person {
    Person::new("Ana Lima", "1980-02-29").unwrap()
}

struct Source(Vec<RecordChange>);

impl RecordSource for Source {
    fn id(&self) -> String {
        "story".to_owned()
    }

    fn read_changes(
        &mut self,
        _anchor: Option<&[u8]>,
        sink: &mut dyn FnMut(RecordChange) -> sealcare_client::Result<()>,
    ) -> sealcare_client::Result<Option<Vec<u8>>> {
        self.0.drain(..).try_for_each(sink)?;
        Ok(None)
    }
}
