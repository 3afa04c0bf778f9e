//! The patient's later choices about a grant: another scope, a pause, its end. Each takes effect here, durably,
//! before anything else happens, and the next session states it. Not here: what follows for the outbox
//! (`outbox::withdrawal`), the stop for good (`revocation`).

use sealcare_protocol::{GrantId, Scope, Statement, Timestamp};
use sealcare_vault::WriteTransaction;

use crate::{
    acceptance::SharedScope,
    error::Result,
    grant::{Flow, GrantRow},
    outbox::withdrawal,
    patient::Patient,
    store::Store,
};

/// What a person changes.
enum Choice {
    Scope(Scope),
    Flow(Flow),
}

impl Patient {
    /// Gives a grant another scope. Once this returns, nothing that the scope leaves out is sealed or deposited
    /// from here; the organization destroys what it has of that with the statement of the next
    /// [`Patient::share`]. What is newly covered follows with it.
    ///
    /// # Errors
    /// [`crate::ClientError::UnknownGrant`], [`crate::ClientError::Revoked`], and those of the vault; then nothing
    /// has changed.
    pub async fn change_scope(&self, grant: GrantId, scope: &SharedScope) -> Result<()> {
        self.choose(grant, Choice::Scope(scope.to_scope()?)).await
    }

    /// Pauses a grant. Once this returns, no record of it is sealed or deposited from here, and the organization
    /// refuses any with the statement of the next [`Patient::share`]; what it has stays. Signs of life go on, so that the grant does
    /// not lapse.
    ///
    /// # Errors
    /// As for [`Patient::change_scope`].
    pub async fn pause(&self, grant: GrantId) -> Result<()> {
        self.choose(grant, Choice::Flow(Flow::Paused)).await
    }

    /// Resumes a paused grant: with the next [`Patient::share`] everything in its scope follows, what came during
    /// the pause included.
    ///
    /// # Errors
    /// As for [`Patient::change_scope`].
    pub async fn resume(&self, grant: GrantId) -> Result<()> {
        self.choose(grant, Choice::Flow(Flow::Active)).await
    }

    async fn choose(&self, grant: GrantId, choice: Choice) -> Result<()> {
        let (store, now) = (self.store.clone(), self.clock.now());
        self.store
            .write(move |tx| {
                let mut row = GrantRow::load_active(tx, &grant)?;
                let (scope, flow) = match choice {
                    Choice::Scope(scope) => (scope, row.flow),
                    Choice::Flow(flow) => (row.scope(), flow),
                };
                // Any choice ends the wait for what was chosen on another device.
                let was_found = row.recovery.take().is_some();
                if was_found || row.is_overruled() || scope != row.scope() || flow != row.flow {
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

/// Above all that was stated here, and all that the organization has told of.
fn next_revision(row: &GrantRow, now: Timestamp) -> u64 {
    let stored = row.heard.as_ref().map_or(0, |heard| heard.stored_revision);
    Statement::next_revision(row.revision.max(stored), now)
}
