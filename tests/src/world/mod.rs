//! The actors of a story, all real, on loopback sockets: a relay over TLS ([`World`]), organizations with a domain, a
//! vault and a subscription ([`Clinic`]), patients' apps ([`App`]) and the hands that a relay could lay on envelopes
//! ([`Courier`]). Time is everybody's and stands still unless a story moves it. Whoever waits, waits for a state, and
//! not longer than [`PATIENCE`].
//!
//! Not here: the stories (`tests/`), and the programs as processes of their own (`actor`, started by [`Program`]).
#![allow(clippy::unwrap_used, reason = "a story that cannot go on fails")]

mod app;
mod certificates;
mod clinic;
mod courier;
mod domain;
mod impostor;
mod program;
mod records;
mod stranger;
mod time_travel;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use sealcare_protocol::{Clock as _, ManualClock, RelayOrigin, SystemClock, Timestamp};
use sealcare_provider::Trust;
use sealcare_relay::{
    Config, Relay,
    config::TlsFiles,
    operator::{self, OrganizationCommand, Output},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use app::App;
pub use certificates::Certificates;
pub use clinic::{Clinic, View};
pub use courier::Courier;
pub use domain::ServedDomain;
pub use impostor::Impostor;
pub use program::{Ended, Program, Role, free_port};
pub use records::{gone, heart_rate, heart_rate_fhir, immunization, immunization_fhir};
pub use stranger::Stranger;
pub use time_travel::TimeTravel;

/// How long anything may take to happen on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A relay, and everything that others need to meet there.
pub struct World {
    /// Everybody's clock.
    pub clock: Arc<ManualClock>,
    /// What the relay does to envelopes.
    pub courier: Courier,
    /// What it is called.
    pub relay: RelayOrigin,
    /// Where everybody keeps things.
    pub folder: tempfile::TempDir,
    certificates: Certificates,
    listen: SocketAddr,
    seat: Seat,
}

/// How the relay runs, if it does.
enum Seat {
    Empty,
    Task(JoinSet<()>, CancellationToken),
    Process(Box<Program>),
}

impl World {
    /// With a relay in this process, whose clock and [`Courier`] a story controls.
    pub async fn new() -> Self {
        let mut world = Self::without_relay();
        world.start_relay().await;
        world
    }

    /// With a relay in a process of its own, which can be killed.
    pub async fn with_relay_process() -> Self {
        let mut world = Self::without_relay();
        world.start_relay_process().await;
        world
    }

    fn without_relay() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::make(folder.path());
        // The origin names the port, so it must be known before the relay listens.
        let listen = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let relay = format!("https://localhost:{}", listen.port()).parse().unwrap();
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let courier = Courier::default();
        Self { clock, courier, relay, folder, certificates, listen, seat: Seat::Empty }
    }

    /// Starts a relay on what the one before has left.
    pub async fn start_relay(&mut self) {
        let (data, tls) = (self.folder.path().join("relay"), self.tls());
        let mut config = Config::new(data, self.listen, self.relay.clone(), tls);
        config.delivery_hook = self.courier.hook();
        let relay = Relay::bind(config).await.unwrap().with_clock(self.clock.clone());
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async move { relay.serve(stopped).await.unwrap() });
        self.seat = Seat::Task(tasks, stop);
    }

    /// Starts a relay in a process of its own on what the one before has left. That one goes by the machine's clock,
    /// and refuses what organizations signed before it began: everybody's clock moves to the present.
    pub async fn start_relay_process(&mut self) {
        let data = self.folder.path().join("relay");
        let start = Program::relay(&data, self.listen, &self.certificates);
        self.seat = Seat::Process(Box::new(start.spawn_listening(self.listen.port()).await));
        self.clock.advance(SystemClock.now().since(self.clock.now()));
    }

    /// Ends the relay: in its own process by SIGKILL, in this one as an operator does.
    pub async fn end_relay(&mut self) {
        match std::mem::replace(&mut self.seat, Seat::Empty) {
            Seat::Empty => {}
            Seat::Process(program) => program.kill().await,
            Seat::Task(mut tasks, stop) => {
                stop.cancel();
                tasks.join_next().await.unwrap().unwrap();
            }
        }
    }

    /// In the relay's place, one that answers for every organization with a bundle of its own making.
    pub async fn usurp_relay(&mut self, bundle: sealcare_proto::v1::Signed) -> Impostor {
        self.end_relay().await;
        Impostor::start(self.listen, &self.certificates, bundle).await
    }

    /// An organization that the relay's operator has approved and that stays subscribed.
    pub async fn clinic(&self, name: &str) -> Clinic {
        let mut clinic = self.absent_clinic(name).await;
        clinic.subscribe();
        clinic
    }

    /// An organization that is approved but does not listen yet.
    pub async fn absent_clinic(&self, name: &str) -> Clinic {
        let clinic = Clinic::found(self, name).await;
        let command = OrganizationCommand::Approve { domain: clinic.organization.domain().to_string() };
        operator::run(&self.folder.path().join("relay"), command, Output::Json).await.unwrap();
        clinic
    }

    /// A patient with a new app.
    pub async fn patient(&self, name: &str) -> App {
        App::create(self, name).await
    }

    /// Whoever speaks the protocol without being held back by an app of ours.
    pub async fn stranger(&self, clinic: &Clinic) -> Stranger {
        Stranger::accept(self, clinic).await
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What everybody here trusts.
    pub fn trust(&self) -> Trust {
        self.certificates.trust()
    }

    fn tls(&self) -> TlsFiles {
        TlsFiles { certificate: self.certificates.chain.clone(), key: self.certificates.key.clone() }
    }
}

/// Waits for what a story expects, no longer than [`PATIENCE`].
pub async fn soon<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never so: {what}"))
}
