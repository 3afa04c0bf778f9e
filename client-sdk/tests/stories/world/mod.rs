//! A relay, an organization and patients, all real, on loopback sockets. The clock is everybody's.

pub(crate) mod organization;
pub(crate) mod pki;
mod records;
mod state;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use sealcare_client::{
    AcceptedGrant, Invitation, Patient, Person, RecordType, SharedScope, Trust, Unlock, Vault,
    danger::Exceptions,
};
use sealcare_protocol::{ManualClock, RelayOrigin, Timestamp};
use sealcare_relay::{Config, Relay, config::TlsFiles};
use tokio::{sync::oneshot, task::JoinSet};

use organization::TestOrganization;
use pki::Certificates;
pub(crate) use records::{heart_rates, lab_results};

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) trust: Trust,
    pub(crate) relay: RelayOrigin,
    folder: tempfile::TempDir,
    listen: SocketAddr,
    tls: TlsFiles,
    certificates: Certificates,
    tasks: JoinSet<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::make();
        let tls = TlsFiles { certificate: folder.path().join("chain"), key: folder.path().join("key") };
        std::fs::write(&tls.certificate, &certificates.chain).unwrap();
        std::fs::write(&tls.key, &certificates.key).unwrap();
        let root_certificates_pem = certificates.root.clone().into_bytes();
        let addresses = [("localhost".to_owned(), [127, 0, 0, 1].into())].into();
        let trust = Exceptions { root_certificates_pem, addresses }.into_trust().unwrap();
        // The origin names the port, so it must be known before the relay listens.
        let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let listen = free.local_addr().unwrap();
        drop(free);
        let relay = format!("https://localhost:{}", listen.port()).parse().unwrap();
        let clock =
            Arc::new(ManualClock::new(sealcare_protocol::Clock::now(&sealcare_protocol::SystemClock)));
        let tasks = JoinSet::new();
        let mut world = Self { clock, trust, relay, folder, listen, tls, certificates, tasks, stop: None };
        world.start_relay().await;
        world
    }

    pub(crate) async fn start_relay(&mut self) {
        let data = self.folder.path().join("relay");
        let config = Config::new(data, self.listen, self.relay.clone(), self.tls.clone());
        let relay = Relay::bind(config).await.unwrap().with_clock(self.clock.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        self.stop = Some(stop);
        self.tasks.spawn(async move {
            relay.serve(async { drop(stopped.await) }).await.unwrap();
        });
    }

    pub(crate) async fn stop_relay(&mut self) {
        drop(self.stop.take());
        self.tasks.join_next().await.unwrap().unwrap();
    }

    pub(crate) fn now(&self) -> Timestamp {
        sealcare_protocol::Clock::now(&*self.clock)
    }

    /// Whose bundle is served at its domain, and whom the operator has approved.
    pub(crate) async fn organization(&self) -> TestOrganization {
        let mut organization = TestOrganization::new(self, &self.certificates).await;
        organization.register(self).await;
        let command = sealcare_relay::operator::OrganizationCommand::Approve {
            domain: organization.domain.to_string(),
        };
        let data = self.folder.path().join("relay");
        sealcare_relay::operator::run(&data, command, sealcare_relay::operator::Output::Json).await.unwrap();
        organization
    }

    pub(crate) fn vault(&self, name: &str) -> Vault {
        open_vault(&self.folder.path().join(name))
    }

    pub(crate) async fn patient(&self, name: &str) -> Patient {
        let person = Person::new("Ana Lima", "1980-02-29").unwrap();
        self.builder(self.vault(name)).create(person).await.unwrap()
    }

    /// The same installation in a new process.
    pub(crate) async fn reopen(&self, name: &str) -> Patient {
        self.builder(self.vault(name)).open().await.unwrap()
    }

    /// As [`Self::reopen`], on a machine whose clock is ahead of everybody's.
    pub(crate) async fn reopen_ahead(&self, name: &str, ahead: Duration) -> Patient {
        let clock = Arc::new(ManualClock::new(self.now().plus(ahead)));
        self.builder(self.vault(name)).clock(clock).open().await.unwrap()
    }

    /// As [`Self::reopen`], once what a crash left running on the blocking threads has let go of the vault.
    pub(crate) async fn reopen_when_closed(&self, name: &str) -> Patient {
        let dir = self.vault_dir(name);
        loop {
            match Vault::open(&dir, &secret(&dir)) {
                Ok(vault) => return self.builder(vault).open().await.unwrap(),
                Err(sealcare_client::VaultError::InUse) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn vault_dir(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a copy of one vault, secret included, in the place of another.
    pub(crate) fn copy_vault(&self, from: &str, to: &str) {
        let (from, to) = (self.vault_dir(from), self.vault_dir(to));
        let _ = std::fs::remove_dir_all(&to);
        copy_folder(&from, &to);
        std::fs::copy(from.with_extension("secret"), to.with_extension("secret")).unwrap();
    }

    fn builder(&self, vault: Vault) -> sealcare_client::PatientBuilder {
        let builder = Patient::builder(vault).trust(self.trust.clone()).clock(self.clock.clone());
        builder.deadline(Duration::from_secs(5))
    }
}

fn secret(dir: &Path) -> Unlock {
    Unlock::SecretFile(dir.with_extension("secret"))
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}

fn open_vault(dir: &Path) -> Vault {
    let unlock = secret(dir);
    if Vault::exists(dir) {
        Vault::open(dir, &unlock).unwrap()
    } else {
        Vault::create(dir, &unlock, &mut rand::rng()).unwrap()
    }
}

pub(crate) async fn accept(patient: &Patient, invitation: &str, types: &[RecordType]) -> AcceptedGrant {
    let pending = patient.consider(Invitation::from_text(invitation).unwrap()).await.unwrap();
    pending.accept(&SharedScope::of(types.iter().copied())).await.unwrap()
}

pub(crate) async fn import(patient: &Patient, values: impl IntoIterator<Item = (u32, u32)>) -> u64 {
    let imported = patient.import(vec![heart_rates(values)], |_, _| ()).await.unwrap();
    imported.changes.added + imported.changes.updated
}

pub(crate) async fn share(patient: &Patient) {
    for shared in patient.share(&|_| ()).await.unwrap() {
        shared.outcome.unwrap();
    }
}

/// A source that has lost some records.
pub(crate) struct Deletions(pub(crate) Vec<u32>);

impl sealcare_client::RecordSource for Deletions {
    fn id(&self) -> String {
        "test".to_owned()
    }

    fn read_changes(
        &mut self,
        _anchor: Option<&[u8]>,
        sink: &mut dyn FnMut(sealcare_client::RecordChange) -> sealcare_client::Result<()>,
    ) -> sealcare_client::Result<Option<Vec<u8>>> {
        for number in &self.0 {
            let id = sealcare_client::RecordId::new(format!("00000000-0000-4000-8000-{number:012}")).unwrap();
            sink(sealcare_client::RecordChange::Deleted(id))?;
        }
        Ok(Some(b"anchor".to_vec()))
    }
}
