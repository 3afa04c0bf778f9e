//! A relay on loopback, an organization that it approved, and the channels of patients.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sealcare_protocol::{DepositKey, RelayOrigin, Reply, ReplyKey, Revocation, Timestamp};
use sealcare_provider::{
    Clock, DirectoryChannel, Organization, OrganizationState, Roots, Subscriber, SystemClock, Trust,
    danger::Exceptions,
};
use sealcare_relay::{
    Config, Relay,
    config::TlsFiles,
    operator::{self, OrganizationCommand, Output},
};
use sealcare_transport::PatientChannel;
use sealcare_vault::{Unlock, Vault};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longest that anything here may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Loopback {
    pub(crate) dir: tempfile::TempDir,
    port: u16,
    pub(crate) origin: RelayOrigin,
    pub(crate) trust: Trust,
    pub(crate) tasks: JoinSet<()>,
    relay: JoinSet<()>,
    relay_stop: CancellationToken,
    pub(crate) stop: CancellationToken,
}

impl Loopback {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let origin: RelayOrigin = format!("https://localhost:{port}").parse().unwrap();
        let exceptions = Exceptions {
            root_certificates_pem: made.cert.pem().into_bytes(),
            addresses: [("localhost".to_owned(), [127, 0, 0, 1].into())].into(),
        };
        let trust = exceptions.into_trust().unwrap();
        let (tasks, relay, stop) = (JoinSet::new(), JoinSet::new(), CancellationToken::new());
        let mut loopback = Self { dir, port, origin, trust, tasks, relay, relay_stop: stop.clone(), stop };
        loopback.serve().await;
        loopback
    }

    /// Where the relay keeps its store.
    pub(crate) fn relay_dir(&self) -> PathBuf {
        self.dir.path().join("relay")
    }

    pub(crate) async fn serve(&mut self) {
        let (certificate, key) = (self.dir.path().join("cert.pem"), self.dir.path().join("key.pem"));
        let listen = ([127, 0, 0, 1], self.port).into();
        let config =
            Config::new(self.relay_dir(), listen, self.origin.clone(), TlsFiles { certificate, key });
        let relay = Relay::bind(config).await.unwrap();
        self.relay_stop = self.stop.child_token();
        let stopping = self.relay_stop.clone();
        self.relay.spawn(async move { relay.serve(stopping.cancelled_owned()).await.unwrap() });
    }

    pub(crate) async fn stop_relay(&mut self) {
        self.relay_stop.cancel();
        while self.relay.join_next().await.transpose().unwrap().is_some() {}
    }

    pub(crate) fn vault(&self) -> (std::path::PathBuf, Unlock) {
        (self.dir.path().join("vault"), Unlock::SecretFile(self.dir.path().join("vault.key")))
    }

    /// Founded, registered and approved.
    pub(crate) async fn clinic(&self) -> Arc<Organization> {
        self.clinic_founded(SystemClock.now()).await
    }

    pub(crate) async fn clinic_founded(&self, at: Timestamp) -> Arc<Organization> {
        let rng = &mut rand::rng();
        let (dir, unlock) = self.vault();
        let vault = Arc::new(Vault::create(&dir, &unlock, rng).unwrap());
        let roots = Roots::draw("clinic.example".parse().unwrap(), rng);
        let now = SystemClock.now();
        let clinic = Organization::found(vault, &roots, &self.origin, at, rng).unwrap();
        clinic.rotate(now, rng).unwrap();
        let clinic = Arc::new(clinic);
        let directory = DirectoryChannel::new(&self.origin, &self.trust).unwrap();
        assert_eq!(clinic.register(&directory, now).await.unwrap(), OrganizationState::Pending);
        let approve = OrganizationCommand::Approve { domain: "clinic.example".to_owned() };
        operator::run(Path::new(&self.dir.path().join("relay")), approve, Output::Text).await.unwrap();
        assert_eq!(clinic.register(&directory, now).await.unwrap(), OrganizationState::Approved);
        clinic
    }

    pub(crate) fn subscribe(&mut self, clinic: &Arc<Organization>) -> CancellationToken {
        let subscriber = Subscriber::new(Arc::clone(clinic), &self.trust, Arc::new(SystemClock)).unwrap();
        let stop = self.stop.child_token();
        let stopping = stop.clone();
        self.tasks.spawn(async move { subscriber.run(stopping).await.unwrap() });
        stop
    }

    pub(crate) fn channel(&self, key: DepositKey) -> PatientChannel {
        PatientChannel::new(&self.origin, key, &self.trust, Arc::new(SystemClock)).unwrap()
    }

    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.transpose().unwrap().is_some() {}
        while self.relay.join_next().await.transpose().unwrap().is_some() {}
    }
}

/// Takes up events until `count` are told.
pub(crate) async fn told(clinic: &Arc<Organization>, count: usize) -> Vec<String> {
    let mut told = Vec::new();
    let waiting = async {
        while told.len() < count {
            clinic.events_arrived().await;
            told.extend(crate::world::tell(clinic));
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    told
}

/// Asks the relay until it has a reply that tells `next`.
pub(crate) async fn reply(channel: &PatientChannel, key: &ReplyKey, next: u64) -> Reply {
    let asking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        loop {
            pace.tick().await;
            let replies = channel.fetch_replies(&[*key.session()]).await.unwrap();
            let opened = replies.first().map(|reply| key.open(reply).unwrap().0);
            if let Some(reply) = opened.filter(|reply| reply.next_sequence == next) {
                return reply;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap()
}

pub(crate) async fn confirmation(
    channel: &PatientChannel,
    revocation: &Revocation,
) -> sealcare_protocol::UnverifiedConfirmation {
    let asking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        loop {
            pace.tick().await;
            if let Some(confirmation) = channel.revoke_grant(revocation).await.unwrap() {
                return confirmation;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap()
}
