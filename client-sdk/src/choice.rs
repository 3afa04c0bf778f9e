//! The patient's later choices about a grant: another scope, a pause, its end. Each takes effect here, durably,
//! before anything else happens, and the next session states it. Not here: what follows for the outbox
//! (`outbox::withdrawal`), the stop for good (`revocation`).

use std::time::Duration;

use sealcare_protocol::{GrantId, Scope, Statement, Timestamp};
use sealcare_vault::WriteTransaction;

use crate::{
    acceptance::SharedScope,
    error::{ClientError, Result},
    grant::{Flow, GrantRow},
    outbox::withdrawal,
    patient::Patient,
    recovery::offer::Awaited,
    store::Store,
};

/// How far a revision may be ahead of an organization's clock.
const REVISION_AHEAD_MAX: Duration = Duration::from_hours(24);

/// What a person changes.
enum Choice {
    Scope(Scope),
    Flow(Flow),
}

impl Choice {
    fn applied_to(self, scope: Scope, flow: Flow) -> (Scope, Flow) {
        match self {
            Self::Scope(scope) => (scope, flow),
            Self::Flow(flow) => (scope, flow),
        }
    }

    /// For a grant that waits. What only takes something away from what nobody here knows would state that all of it
    /// is taken away.
    fn instead_of(self, awaited: &Awaited) -> Result<(Scope, Flow)> {
        match (self, awaited.offered()) {
            (choice, Some(offered)) => Ok(choice.applied_to(offered, Flow::Paused)),
            (Self::Scope(scope), None) if !scope.types.is_empty() => Ok((scope, Flow::Paused)),
            (Self::Scope(_) | Self::Flow(_), None) => Err(ClientError::NothingOffered),
        }
    }
}

impl Patient {
    /// Gives a grant another scope. Once this returns, nothing that the scope leaves out is sealed or deposited
    /// from here; the organization destroys what it has of that with the statement of the next
    /// [`Patient::share`]. What is newly covered follows with it. A grant that waits for what was chosen before is
    /// paused with it.
    ///
    /// # Errors
    /// [`ClientError::UnknownGrant`], [`ClientError::Revoked`], [`ClientError::NothingOffered`] for an empty scope of a
    /// grant of which it is not known what was chosen before, and those of the vault; then nothing has changed.
    pub async fn change_scope(&self, grant: GrantId, scope: &SharedScope) -> Result<()> {
        self.choose(grant, Choice::Scope(scope.to_scope()?)).await
    }

    /// Pauses a grant. Once this returns, no record of it is sealed or deposited from here, and the organization
    /// refuses any with the statement of the next [`Patient::share`]; what it has stays. Signs of life go on, so that the grant does
    /// not lapse.
    ///
    /// # Errors
    /// As for [`Patient::change_scope`]; [`ClientError::NothingOffered`] for a grant of which it is not known what
    /// was chosen before: it shares nothing, and its scope is not to be stated away.
    pub async fn pause(&self, grant: GrantId) -> Result<()> {
        self.choose(grant, Choice::Flow(Flow::Paused)).await
    }

    /// Resumes a paused grant: with the next [`Patient::share`] everything in its scope follows, what came during
    /// the pause included.
    ///
    /// # Errors
    /// As for [`Patient::pause`].
    pub async fn resume(&self, grant: GrantId) -> Result<()> {
        self.choose(grant, Choice::Flow(Flow::Active)).await
    }

    async fn choose(&self, grant: GrantId, choice: Choice) -> Result<()> {
        let (store, now) = (self.store.clone(), self.clock.now());
        self.store
            .write(move |tx| {
                let mut row = GrantRow::load_active(tx, &grant)?;
                // Any choice ends the wait for what was chosen before.
                let awaited = row.recovery.take();
                let (scope, flow) = match &awaited {
                    None => choice.applied_to(row.scope(), row.flow),
                    Some(awaited) => choice.instead_of(awaited)?,
                };
                if awaited.is_some() || row.is_overruled() || scope != row.scope() || flow != row.flow {
                    row.revision = next_revision(&row, now);
                    restate(tx, &store, &grant, &mut row, scope, flow)?;
                }
                row.save(tx, &grant)
            })
            .await?;
        self.interrupt();
        Ok(())
    }

    /// Lets the deposits under way look whether they may go on.
    pub(crate) fn interrupt(&self) {
        self.stops.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Takes what a grant states from now on. The caller keeps `row`, with the statement's revision, in the same
/// transaction.
pub(crate) fn restate(
    tx: &mut WriteTransaction<'_>,
    store: &Store,
    id: &GrantId,
    row: &mut GrantRow,
    scope: Scope,
    flow: Flow,
) -> Result<()> {
    row.flow = flow;
    row.outbox.restated_below = row.outbox.sealed_below;
    withdrawal::rescope(tx, store, id, row, scope)?;
    withdrawal::succeed_session(tx, id, row)
}

/// A revision from when this machine's clock was ahead is refused until that time comes: the same is stated again under
/// one that is taken now. The caller keeps `row`.
pub(crate) fn state_in_time(
    tx: &mut WriteTransaction<'_>,
    id: &GrantId,
    row: &mut GrantRow,
    now: Timestamp,
) -> Result<()> {
    let Some(stored) = row.heard.as_ref().map(|heard| heard.stored_revision) else { return Ok(()) };
    let is_ahead = Timestamp::from_millis(row.revision).since(now) > REVISION_AHEAD_MAX;
    if stored < row.revision && is_ahead {
        row.revision = Statement::next_revision(stored, now);
        row.outbox.restated_below = row.outbox.sealed_below;
        withdrawal::succeed_session(tx, id, row)?;
    }
    Ok(())
}

/// Above all that was stated here, and all that the organization has told of.
fn next_revision(row: &GrantRow, now: Timestamp) -> u64 {
    let stored = row.heard.as_ref().map_or(0, |heard| heard.stored_revision);
    Statement::next_revision(row.revision.max(stored), now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::Fixture, recovery::state::Decision};

    const TYPES: [sealcare_records::RecordType; 1] = [sealcare_records::RecordType::HeartRate];

    /// A grant that was found and whose organization has told nothing.
    async fn found() -> Fixture {
        let fixture = Fixture::new().await;
        let grant = fixture.grant;
        let find = move |tx: &mut WriteTransaction<'_>| {
            let mut row = GrantRow::load(tx, &grant)?;
            (row.types, row.flow) = (std::collections::BTreeSet::new(), Flow::Paused);
            row.recovery = Some(Awaited::new(Decision::Ask));
            row.save(tx, &grant)
        };
        fixture.patient.store.write(find).await.unwrap();
        fixture
    }

    #[tokio::test]
    async fn what_is_not_known_is_not_stated_away() {
        let fixture = found().await;
        let (patient, grant) = (&fixture.patient, fixture.grant);
        for refused in [
            patient.pause(grant).await,
            patient.resume(grant).await,
            patient.change_scope(grant, &SharedScope::of([])).await,
        ] {
            assert!(matches!(refused, Err(ClientError::NothingOffered)));
        }
        let row = fixture.row().await;
        assert!(row.recovery.is_some() && row.revision == 0);
        patient.change_scope(grant, &SharedScope::of(TYPES)).await.unwrap();
        let row = fixture.row().await;
        assert_eq!((row.recovery.is_none(), row.types.len(), row.flow), (true, 1, Flow::Paused));
    }
}
