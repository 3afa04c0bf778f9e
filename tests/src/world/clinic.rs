//! An organization on its SDK: a vault, a domain, a subscription, and a program that applies what it is told.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use sealcare_client::RecordId;
use sealcare_protocol::{GrantId, Invitation, OrganizationId, Timestamp};
use sealcare_provider::{
    DeliveryKey, DirectoryChannel, EventKind, Halted, InboxEvent, InvitationChannel, Organization,
    RecordChange, Roots, Subscriber,
};
use sealcare_transport::{Content, Item};
use sealcare_vault::{Unlock, Vault};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{ServedDomain, World, app::person, soon};

/// What the organization's people would see.
#[derive(Debug, Default)]
pub struct View {
    /// By grant and record, in words such as `72 /min`.
    pub records: BTreeMap<(GrantId, RecordId), String>,
    /// Upserts and tombstones that were delivered.
    pub changes: u64,
    /// Deliveries that came again.
    pub doubled: u64,
    /// Deliveries of a grant after its end was told.
    pub after_end: u64,
    /// Every other event: its name, a refusal's name.
    pub events: Vec<String>,
    delivered: HashSet<DeliveryKey>,
    ended: BTreeSet<GrantId>,
}

/// An organization.
pub struct Clinic {
    /// Its side of the SDK.
    pub organization: Arc<Organization>,
    /// Where its bundle is served.
    pub domain: ServedDomain,
    view: Arc<watch::Sender<View>>,
    world: Surroundings,
    subscription: Option<(JoinSet<()>, CancellationToken)>,
    _program: JoinSet<()>,
}

struct Surroundings {
    trust: sealcare_provider::Trust,
    clock: Arc<sealcare_protocol::ManualClock>,
}

impl Clinic {
    /// Founds it, serves its bundle at its domain and registers it.
    pub(crate) async fn found(world: &World, name: &str) -> Self {
        let domain = ServedDomain::start(&world.certificates).await;
        let rng = &mut rand::rng();
        let dir = world.folder.path().join(name);
        let unlock = Unlock::SecretFile(dir.with_extension("secret"));
        let vault = Arc::new(Vault::create(&dir, &unlock, rng).unwrap());
        let roots = Roots::draw(domain.name.clone(), rng);
        let organization = Organization::found(vault, &roots, &world.relay, world.now(), rng).unwrap();
        let organization = Arc::new(organization);
        domain.serve(organization.bundle_bytes());
        let directory = DirectoryChannel::new(&world.relay, &world.trust()).unwrap();
        organization.register(&directory, world.now()).await.unwrap();
        let view = Arc::new(watch::Sender::default());
        let mut program = JoinSet::new();
        program.spawn(apply_what_comes(Arc::clone(&organization), Arc::clone(&view)));
        let world = Surroundings { trust: world.trust(), clock: world.clock.clone() };
        Self { organization, domain, view, world, subscription: None, _program: program }
    }

    /// Listens from now on.
    pub fn subscribe(&mut self) {
        let clock = self.world.clock.clone();
        let subscriber = Subscriber::new(Arc::clone(&self.organization), &self.world.trust, clock).unwrap();
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let stopping = stop.clone();
        tasks.spawn(async move { subscriber.run(stopping).await.unwrap() });
        self.subscription = Some((tasks, stop));
    }

    /// Does not listen any more.
    pub async fn leaves(&mut self) {
        if let Some((mut tasks, stop)) = self.subscription.take() {
            stop.cancel();
            tasks.join_next().await.unwrap().unwrap();
        }
    }

    /// An invitation for the story's patient, after a sign-in.
    pub fn invites(&self) -> Invitation {
        let (chart, channel) = ("urn:mrn|17".parse().unwrap(), InvitationChannel::SignIn);
        let now = sealcare_protocol::Clock::now(&*self.world.clock);
        self.organization.invite(&chart, &person(), channel, now, &mut rand::rng()).unwrap()
    }

    /// Takes in envelopes that somebody hands over outside of the relay's order, by a clock that says `now`.
    pub fn is_given(&self, grant: &GrantId, envelopes: &[Bytes], now: Timestamp) {
        let item = |envelope: &Bytes| Item {
            sequence: 1_000,
            grant: *grant,
            content: Content::Envelope(envelope.clone()),
        };
        let items: Vec<_> = envelopes.iter().map(item).collect();
        self.organization.receive(&items, &mut Halted::default(), now).unwrap();
    }

    /// New epochs, no old ones, and the bundle that tells so at the domain.
    pub fn rotates(&self) {
        let now = sealcare_protocol::Clock::now(&*self.world.clock);
        self.organization.rotate(now, &mut rand::rng()).unwrap();
        self.domain.serve(self.organization.bundle_bytes());
    }

    /// Its id.
    pub fn id(&self) -> &OrganizationId {
        self.organization.id()
    }

    /// Waits until its people see what is wanted.
    pub async fn sees(&self, what: &str, is_so: impl FnMut(&View) -> bool) {
        let mut view = self.view.subscribe();
        soon(what, view.wait_for(is_so)).await.unwrap();
    }

    /// Waits until it was told an event or a refusal by that name.
    pub async fn is_told(&self, event: &str) {
        self.sees(event, |view| view.events.iter().any(|told| told == event)).await;
    }

    /// What its people see now.
    pub fn view(&self) -> watch::Ref<'_, View> {
        self.view.borrow()
    }

    /// How often it met a refusal by that name.
    pub fn refusals(&self, name: &str) -> u64 {
        self.organization.refusals().unwrap().get(name).copied().unwrap_or(0)
    }
}

impl View {
    /// The records in words, in order of their ids.
    pub fn words(&self) -> Vec<&str> {
        self.records.values().map(String::as_str).collect()
    }

    fn apply(&mut self, event: &InboxEvent) {
        match &event.kind {
            EventKind::Records(delivery) => {
                self.doubled += u64::from(!self.delivered.insert(delivery.key));
                self.after_end += u64::from(self.ended.contains(&event.grant));
                delivery.changes.iter().for_each(|change| self.change(event.grant, change));
            }
            kind if kind.is_end() => {
                self.ended.insert(event.grant);
                self.records.retain(|(grant, _), _| *grant != event.grant);
                self.events.push(event.kind.name().to_owned());
            }
            EventKind::Refused { name } => self.events.push(name.clone()),
            other => self.events.push(other.name().to_owned()),
        }
    }

    fn change(&mut self, grant: GrantId, change: &RecordChange) {
        self.changes += 1;
        let key = (grant, change.id().clone());
        match change {
            RecordChange::Upsert(record) => drop(self.records.insert(key, record.summary())),
            RecordChange::Tombstone { .. } => drop(self.records.remove(&key)),
        }
    }
}

async fn apply_what_comes(organization: Arc<Organization>, view: Arc<watch::Sender<View>>) {
    loop {
        organization.events_arrived().await;
        let applied = organization.process(|_, event| {
            view.send_modify(|view| view.apply(event));
            Ok(())
        });
        applied.unwrap();
    }
}
