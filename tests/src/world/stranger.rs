//! A patient that speaks the protocol itself, and so can do what no app of ours does.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use sealcare_client::RevocationState;
use sealcare_protocol::{
    AccountSecret, Body, Change, ChangeState, GrantId, GrantIdentity, GrantState, KeyBundle, Reply,
    Revocation, Scope, SealedInit, SenderId, SessionStart, Terms,
};
use sealcare_transport::{DepositOutcome, PatientChannel, TransportError};

use super::{Clinic, World, app::person, soon};

/// Between two looks at the reply slot; it is the reply that is awaited.
const PACE: Duration = Duration::from_millis(50);

/// A patient whose first session says that only heart rates are shared.
pub struct Stranger {
    /// Its grant.
    pub grant: GrantId,
    /// Its first envelope, not deposited yet.
    pub init: Bytes,
    session: SealedInit,
    revocation: Revocation,
    bundle: Arc<KeyBundle>,
    channel: PatientChannel,
}

impl Stranger {
    /// Spends a ticket of `clinic` and begins a session.
    pub(crate) async fn accept(world: &World, clinic: &Clinic) -> Self {
        let invitation = clinic.invites();
        let account = AccountSecret::random(&mut rand::rng());
        let deposit_key = account.deposit_key(&world.relay, 0);
        let identity = GrantIdentity::derive(&account, clinic.id(), &deposit_key);
        let revocation = Revocation::sign(&deposit_key, clinic.id());
        let clock: Arc<dyn sealcare_protocol::Clock> = world.clock.clone();
        let channel = PatientChannel::new(&world.relay, deposit_key, &world.trust(), clock).unwrap();
        channel.accept_invitation(&invitation.ticket).await.unwrap();
        let scope = Scope { types: ["heart-rate".parse().unwrap()].into(), from: None };
        let terms = Terms { revision: 1, state: GrantState::Active, scope };
        let statement = identity.statement(terms, person(), Some(invitation.link_code));
        let bundle = clinic.organization.bundle();
        let sender = SenderId::random(&mut rand::rng());
        let start = SessionStart { grant: &identity, bundle: &bundle, sender, base: 0 };
        let session = start.seal(statement, world.now(), &mut rand::rng()).unwrap();
        let init = session.envelope.clone().into();
        Self { grant: identity.id, init, session, revocation, bundle, channel }
    }

    /// Seals one record.
    pub fn seals(&mut self, record: &sealcare_client::RecordChange) -> Bytes {
        let sealcare_client::RecordChange::Upsert(record) = record else {
            panic!("only records are sealed here")
        };
        let change = Change {
            record_id: record.id().as_str().to_owned(),
            type_name: record.record_type().name().parse().unwrap(),
            state: ChangeState::Upsert(record.fhir_json().into()),
        };
        let body = Body { changes: vec![change] }.encode().unwrap();
        self.session.session.seal(&body, &mut rand::rng()).unwrap().into()
    }

    /// Deposits, in the session's order.
    pub async fn deposits(&self, envelopes: &[Bytes]) {
        assert_eq!(self.channel.deposit(envelopes.to_vec()).await.unwrap(), DepositOutcome::Stored);
    }

    /// Deposits, and says what the relay says.
    ///
    /// # Errors
    /// The relay's refusal.
    pub async fn tries_to_deposit(&self, envelopes: &[Bytes]) -> Result<DepositOutcome, TransportError> {
        self.channel.deposit(envelopes.to_vec()).await
    }

    /// Stops: returns once the relay has answered.
    pub async fn stops(&self) -> RevocationState {
        match self.channel.revoke_grant(&self.revocation).await.unwrap() {
            None => RevocationState::Pending,
            Some(confirmation) => RevocationState::Confirmed {
                at: confirmation.verify(self.bundle.authority()).unwrap().time(),
            },
        }
    }

    /// Waits until the organization has signed that it destroyed everything.
    pub async fn sees_the_stop_confirmed(&self) {
        let mut pace = tokio::time::interval(PACE);
        let asking = async {
            while self.stops().await == RevocationState::Pending {
                pace.tick().await;
            }
        };
        soon("a stop is confirmed", asking).await;
    }

    /// Waits for the sealed reply that tells this sequence.
    pub async fn is_answered(&self, next_sequence: u64) -> Reply {
        let mut pace = tokio::time::interval(PACE);
        let asking = async {
            loop {
                pace.tick().await;
                let key = &self.session.reply_key;
                let replies = self.channel.fetch_replies(&[*key.session()]).await.unwrap();
                let reply = replies.first().map(|reply| key.open(reply).unwrap().0);
                if let Some(reply) = reply.filter(|reply| reply.next_sequence == next_sequence) {
                    return reply;
                }
            }
        };
        soon("a reply", asking).await
    }
}
