//! A relay and an organization on loopback sockets, in this process: real servers, real TLS, the real clock.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

mod pki;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use sealcare_client::{
    Clock as _, Invitation, Person, SystemClock, Timestamp, Trust, Unlock, Vault, danger::Exceptions,
};
use sealcare_protocol::RelayOrigin;
use sealcare_provider::{
    EventKind, InvitationChannel, Organization, ProviderError, RecordChange, Roots, Subscriber,
};
use sealcare_relay::{
    Config, Relay,
    config::TlsFiles,
    operator::{self, OrganizationCommand, Output},
};
use sealcare_transport::DirectoryChannel;
use tokio::{sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::program::{BIRTH_DATE, Machine, NAME};
use pki::Certificates;

/// How long anything may take to happen.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Clinic {
    pub(crate) organization: Arc<Organization>,
    pub(crate) folder: tempfile::TempDir,
    certificates: Certificates,
    domain: Option<oneshot::Sender<()>>,
    tasks: JoinSet<()>,
}

impl Clinic {
    /// An organization that a relay's operator has approved and that stays subscribed.
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::make();
        let mut tasks = JoinSet::new();
        let relay = serve_relay(&folder.path().join("relay"), &certificates, &mut tasks).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let domain = format!("localhost:{}", listener.local_addr().unwrap().port()).parse().unwrap();
        let roots = Roots::draw(domain, &mut rand::rng());
        let unlock = Unlock::SecretFile(folder.path().join("clinic.key"));
        let vault = Vault::create(&folder.path().join("clinic"), &unlock, &mut rand::rng()).unwrap();
        let now = SystemClock.now();
        let organization =
            Arc::new(Organization::found(Arc::new(vault), &roots, &relay, now, &mut rand::rng()).unwrap());
        let trust = certificates.trust();
        let directory = DirectoryChannel::new(&relay, &trust).unwrap();
        organization.register(&directory, now).await.unwrap();
        let command = OrganizationCommand::Approve { domain: organization.domain().to_string() };
        operator::run(&folder.path().join("relay/data"), command, Output::Json).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        tasks.spawn(certificates.serve_domain(listener, organization.bundle_bytes(), stopped));
        let subscriber = Subscriber::new(Arc::clone(&organization), &trust, Arc::new(SystemClock)).unwrap();
        tasks.spawn(async move { subscriber.run(CancellationToken::new()).await.unwrap() });
        Self { organization, folder, certificates, domain: Some(stop), tasks }
    }

    /// Another relay that this organization never met.
    pub(crate) async fn other_relay(&mut self) -> RelayOrigin {
        serve_relay(&self.folder.path().join("other"), &self.certificates, &mut self.tasks).await
    }

    /// From now on nobody answers at the domain.
    pub(crate) async fn leave_domain(&mut self) {
        drop(self.domain.take());
        self.tasks.join_next().await.unwrap().unwrap();
    }

    /// A machine with an account, whose program trusts this test's certificates.
    pub(crate) fn machine(&self) -> Machine {
        let mut machine = Machine::with_account();
        let roots = machine.file("roots.pem", &self.certificates.root);
        let options = ["--danger-extra-roots", &roots, "--danger-resolve", "localhost=127.0.0.1"];
        machine.options = options.map(str::to_owned).into();
        machine
    }

    pub(crate) fn invite(&self) -> Invitation {
        self.invite_at(SystemClock.now())
    }

    pub(crate) fn invite_at(&self, now: Timestamp) -> Invitation {
        let person = Person::new(NAME, BIRTH_DATE).unwrap();
        let (chart, channel) = ("urn:mrn|17".parse().unwrap(), InvitationChannel::SignIn);
        self.organization.invite(&chart, &person, channel, now, &mut rand::rng()).unwrap()
    }

    /// Waits until the organization was told `expected`: a record's summary or an event's name.
    pub(crate) async fn told(&self, expected: &str) {
        let wait = async {
            while !self.process().iter().any(|word| word == expected) {
                self.organization.events_arrived().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never told {expected}"));
    }

    fn process(&self) -> Vec<String> {
        let mut told = Vec::new();
        let work = |event: &EventKind| match event {
            EventKind::Records(delivery) => delivery.changes.iter().map(word).collect(),
            other => vec![other.name().to_owned()],
        };
        self.organization
            .process(|_, event| {
                told.extend(work(&event.kind));
                Ok::<(), ProviderError>(())
            })
            .unwrap();
        told
    }
}

fn word(change: &RecordChange) -> String {
    match change {
        RecordChange::Upsert(record) => record.summary(),
        RecordChange::Tombstone { .. } => "tombstone".to_owned(),
    }
}

async fn serve_relay(
    folder: &std::path::Path,
    certificates: &Certificates,
    tasks: &mut JoinSet<()>,
) -> RelayOrigin {
    std::fs::create_dir_all(folder).unwrap();
    let tls = certificates.files(folder);
    // The origin names the port, so it must be known before the relay listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen: SocketAddr = free.local_addr().unwrap();
    drop(free);
    let origin: RelayOrigin = format!("https://localhost:{}", listen.port()).parse().unwrap();
    let data: PathBuf = folder.join("data");
    let relay = Relay::bind(Config::new(data, listen, origin.clone(), tls)).await.unwrap();
    tasks.spawn(async move { relay.serve(std::future::pending()).await.unwrap() });
    origin
}

impl Certificates {
    fn files(&self, folder: &std::path::Path) -> TlsFiles {
        let tls = TlsFiles { certificate: folder.join("chain.pem"), key: folder.join("key.pem") };
        std::fs::write(&tls.certificate, &self.chain).unwrap();
        std::fs::write(&tls.key, &self.key).unwrap();
        tls
    }

    fn trust(&self) -> Trust {
        let addresses = [("localhost".to_owned(), [127, 0, 0, 1].into())].into();
        let root_certificates_pem = self.root.clone().into_bytes();
        Exceptions { root_certificates_pem, addresses }.into_trust().unwrap()
    }
}
