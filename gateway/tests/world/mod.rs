//! A relay in this process, a gateway in its own, and patients. Loopback only; everything ends with the world.
#![allow(dead_code, reason = "each test file uses its part")]

mod process;

use std::{fs, io::Cursor, net::TcpListener, path::PathBuf, time::Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sealcare_client::{
    AcceptedGrant, Invitation, Patient, Person, RevocationState, SharedScope, Unlock, Vault, danger,
};
use sealcare_relay::{
    Config,
    config::TlsFiles,
    operator::{self, OrganizationCommand, Output},
};
use tokio::task::JoinSet;

use process::{Daemon, WAIT_MAX};
pub(crate) use process::{Ended, Follower};

const UNPUBLISHED: &str = r#""bundle_is_published":false"#;

pub(crate) struct World {
    dir: tempfile::TempDir,
    gateway_port: u16,
    gateway: Option<Daemon>,
    relay: JoinSet<()>,
}

impl World {
    /// An approved organization, connected to its relay.
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        make_certificates(&dir);
        let (relay_port, gateway_port) = (free_port(), free_port());
        let mut world = Self { dir, gateway_port, gateway: None, relay: JoinSet::new() };
        let origin = format!("https://localhost:{relay_port}");
        let tls = TlsFiles { certificate: world.path("server.pem"), key: world.path("server.key") };
        let listen = ([127, 0, 0, 1], relay_port).into();
        let config = Config::new(world.path("relay"), listen, origin.parse().unwrap(), tls);
        let serving = sealcare_relay::Relay::bind(config).await.unwrap();
        world.relay.spawn(async { serving.serve(std::future::pending()).await.unwrap() });
        let (domain, roots) = (world.domain(), world.path("roots.toml"));
        let init = ["init", "--domain", &domain, "--relay", &origin, "--root-out", roots.to_str().unwrap()];
        world.run(&init).succeeds();
        assert!(world.run(&["register", "--json"]).succeeds().contains("pending"));
        let approve = OrganizationCommand::Approve { domain };
        operator::run(&world.path("relay"), approve, Output::Json).await.unwrap();
        world.start_gateway();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn domain(&self) -> String {
        format!("localhost:{}", self.gateway_port)
    }

    pub(crate) fn start_gateway(&mut self) {
        let listen = format!("127.0.0.1:{}", self.gateway_port);
        let (chain, key, log) = (self.path("server.pem"), self.path("server.key"), self.path("gateway.log"));
        let [chain, key, log] = [&chain, &key, &log].map(|path| path.to_str().unwrap());
        let args = ["serve", "--listen", &listen, "--tls-cert", chain, "--tls-key", key, "--log-file", log];
        self.gateway = Some(Daemon::start(self.dir.path(), &args));
    }

    pub(crate) fn kill_and_start_gateway(&mut self) {
        self.gateway.take().unwrap().kill();
        self.start_gateway();
    }

    pub(crate) fn stop_gateway(&mut self) {
        self.gateway.take().unwrap().stop();
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("gateway.log")).unwrap()
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        process::run(self.dir.path(), args)
    }

    pub(crate) fn follow(&self) -> Follower {
        Follower::start(self.dir.path())
    }

    pub(crate) fn records(&self) -> Vec<String> {
        self.run(&["records"]).succeeds().lines().map(str::to_owned).collect()
    }

    /// But for what changes by itself.
    pub(crate) fn status(&self) -> String {
        let status = self.run(&["status", "--json"]).succeeds();
        let status = status.replace(UNPUBLISHED, &UNPUBLISHED.replace("false", "true"));
        ["connecting", "catching-up"].iter().fold(status, |status, link| status.replace(link, "live"))
    }

    /// Waits until the relay has the current bundle.
    pub(crate) fn wait_until_published(&self) {
        let start = Instant::now();
        while self.run(&["status", "--json"]).succeeds().contains(UNPUBLISHED) {
            assert!(start.elapsed() < WAIT_MAX, "the bundle is not published");
        }
    }

    /// Its folder is gone.
    pub(crate) fn lose_gateway(&mut self) {
        self.gateway.take().unwrap().kill();
        fs::remove_dir_all(self.path("gateway")).unwrap();
    }

    /// Waits for the one held grant.
    pub(crate) fn held_code(&self) -> String {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < WAIT_MAX, "no grant is held");
            let held = self.run(&["held", "--json"]).succeeds();
            if let Some((_, rest)) = held.split_once(r#""short_code":""#) {
                return rest[..9].to_owned();
            }
        }
    }

    /// Asks again until the organization has confirmed.
    pub(crate) async fn wait_for_confirmation(&self, patient: &Patient, grant: &AcceptedGrant) {
        let start = Instant::now();
        while !matches!(patient.revoke(grant.id).await.unwrap(), RevocationState::Confirmed { .. }) {
            assert!(start.elapsed() < WAIT_MAX, "the revocation is not confirmed");
        }
    }

    /// A patient of that name accepts an invitation that was made for Ana Silva.
    pub(crate) async fn accept(&self, name: &str) -> (Patient, AcceptedGrant) {
        let invite = ["invite", "--patient", "https://ehr.example/mrn|17", "--name", "Ana Silva"];
        let invitation = self.run(&[&invite[..], &["--birth-date", "1990-05-20"]].concat()).succeeds();
        let unlock = Unlock::SecretFile(self.path("patient.key"));
        let vault = Vault::create(&self.path("patient"), &unlock, &mut rand::rng()).unwrap();
        let root_certificates_pem = fs::read(self.path("roots.pem")).unwrap();
        let exceptions = danger::Exceptions { root_certificates_pem, ..danger::Exceptions::default() };
        let person = Person::new(name, "1990-05-20").unwrap();
        let patient = Patient::builder(vault).trust(exceptions.into_trust().unwrap());
        let patient = patient.create(person).await.unwrap();
        let pending = patient.consider(Invitation::from_text(&invitation).unwrap()).await.unwrap();
        let grant = pending.accept(&SharedScope::everything()).await.unwrap();
        (patient, grant)
    }

    /// Heart rates on days.
    pub(crate) async fn share(&self, patient: &Patient, days: &[(&str, &str)]) {
        let record = |(day, value): &(&str, &str)| {
            format!(
                r#"<Record type="HKQuantityTypeIdentifierHeartRate" sourceName="Watch" unit="count/min"
                value="{value}" startDate="{day} 08:00:00 +0000" endDate="{day} 08:00:00 +0000"/>"#
            )
        };
        let records: String = days.iter().map(record).collect();
        let file = Cursor::new(format!("<HealthData>{records}</HealthData>").into_bytes());
        patient.import(vec![file], |_, _| ()).await.unwrap();
        patient.share(&|_| ()).await.unwrap();
    }
}

/// One that nobody listens on now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn make_certificates(dir: &tempfile::TempDir) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let server = server.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    fs::write(dir.path().join("roots.pem"), root.pem()).unwrap();
    fs::write(dir.path().join("server.pem"), server.pem()).unwrap();
    fs::write(dir.path().join("server.key"), key.serialize_pem()).unwrap();
}
