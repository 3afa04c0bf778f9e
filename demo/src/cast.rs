//! Who plays: a relay and a gateway in processes of their own, over TLS on loopback, and a patient's app.

use std::{ffi::OsString, path::PathBuf};

use anyhow::Context as _;
use rand::{RngExt as _, distr::Alphanumeric};
use sealcare_client::{Invitation, Patient, Person, SharedScope, Trust, Unlock, Vault, danger};
use sealcare_relay::operator::{self, OrganizationCommand, Output};
use tempfile::TempDir;
use tokio::process::Child;

use crate::{
    pki::Certificates,
    role::{self, Conduct, RelayStart, gateway},
    search::RelayPlaces,
};

/// The chart's name for the patient.
const CHART_PATIENT: &str = "urn:oid:2.16.840.1.113883.19.5|demo-4711";

/// A started relay, a registered and approved organization, a folder that goes when this is dropped.
pub(crate) struct Cast {
    folder: TempDir,
    certificates: Certificates,
    marker: String,
    pub(crate) relay: Child,
    _gateway: Child,
    pub(crate) relay_port: u16,
    pub(crate) domain: String,
}

impl Cast {
    /// Starts everybody.
    pub(crate) async fn start(conduct: Conduct) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("sealcare-demo-").tempdir()?;
        let certificates = Certificates::make(folder.path())?;
        let marker: String = rand::rng().sample_iter(Alphanumeric).take(24).map(char::from).collect();
        let (relay_port, gateway_port) = (role::free_port()?, role::free_port()?);
        let place = |name: &str| folder.path().join(name);
        let start = RelayStart {
            data: &place("relay"),
            log: &place("relay.log"),
            certificates: &certificates,
            port: relay_port,
            marker: &marker,
            conduct,
        };
        let relay = start.spawn().await?;
        let domain = format!("localhost:{gateway_port}");
        let at = Gateway { data: place("gateway"), roots: certificates.roots.clone() };
        let root = place("organization-root.toml");
        let origin = format!("https://localhost:{relay_port}");
        gateway(&at.args("init", &["--domain", &domain, "--relay", &origin, "--root-out", path(&root)?]))
            .await?;
        gateway(&at.args("register", &[])).await?;
        let approve = OrganizationCommand::Approve { domain: domain.clone() };
        operator::run(&place("relay"), approve, Output::Json).await?;
        let listen = format!("127.0.0.1:{gateway_port}");
        let serve = [
            "--listen",
            &listen,
            "--tls-cert",
            path(&certificates.chain)?,
            "--tls-key",
            path(&certificates.key)?,
        ];
        let serving =
            role::spawn_gateway(&at.args("serve", &serve), gateway_port, &place("gateway.log")).await?;
        Ok(Self { folder, certificates, marker, relay, _gateway: serving, relay_port, domain })
    }

    /// The gateway's command line for this organization.
    pub(crate) fn gateway(&self, command: &str, rest: &[&str]) -> Vec<OsString> {
        let at = Gateway { data: self.place("gateway"), roots: self.certificates.roots.clone() };
        at.args(command, rest)
    }

    /// An invitation for the person, as the clinic prints it.
    pub(crate) async fn invite(&self, person: &Person) -> anyhow::Result<Invitation> {
        let rest = [
            "--patient",
            CHART_PATIENT,
            "--name",
            person.name(),
            "--birth-date",
            person.birth_date(),
            "--json",
        ];
        let answer: serde_json::Value =
            serde_json::from_str(&gateway(&self.gateway("invite", &rest)).await?)?;
        let text = answer["invitation"].as_str().context("the gateway printed no invitation")?;
        Ok(Invitation::from_text(text)?)
    }

    /// The patient's app with a new vault.
    pub(crate) async fn patient(&self, person: &Person) -> anyhow::Result<Patient> {
        let vault = Vault::create(&self.place("phone"), &self.unlock(), &mut rand::rng())?;
        Ok(Patient::builder(vault).trust(self.trust()?).create(person.clone()).await?)
    }

    /// A backup of the phone: records and grants, without the state of its sessions, which no backup holds.
    pub(crate) fn back_up_phone(&self) -> anyhow::Result<()> {
        let (from, to) = (self.place("phone"), self.place("restored-phone"));
        std::fs::create_dir(&to)?;
        for entry in std::fs::read_dir(&from)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        Ok(())
    }

    /// The app on a phone that was restored from that backup.
    pub(crate) async fn restored_patient(&self) -> anyhow::Result<Patient> {
        let vault = Vault::open(&self.place("restored-phone"), &self.unlock())?;
        Ok(Patient::builder(vault).trust(self.trust()?).open().await?)
    }

    /// Accepts an invitation for all five types.
    pub(crate) async fn accept(
        patient: &Patient,
        invitation: Invitation,
    ) -> anyhow::Result<sealcare_client::AcceptedGrant> {
        let pending = patient.consider(invitation).await?;
        Ok(pending.accept(&SharedScope::everything()).await?)
    }

    /// Where the relay keeps things.
    pub(crate) fn relay_search<T>(&self, search: impl FnOnce(&RelayPlaces<'_>) -> T) -> anyhow::Result<T> {
        let process = self.relay.id().context("the relay has ended")?;
        let (data, log) = (self.place("relay"), self.place("relay.log"));
        Ok(search(&RelayPlaces { data: &data, log: &log, process, marker: &self.marker }))
    }

    fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn unlock(&self) -> Unlock {
        Unlock::SecretFile(self.place("phone.key"))
    }

    fn trust(&self) -> anyhow::Result<Trust> {
        let root_certificates_pem = std::fs::read(&self.certificates.roots)?;
        Ok(danger::Exceptions { root_certificates_pem, ..danger::Exceptions::default() }.into_trust()?)
    }
}

struct Gateway {
    data: PathBuf,
    roots: PathBuf,
}

impl Gateway {
    fn args(&self, command: &str, rest: &[&str]) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec![command.into(), "--data".into(), self.data.clone().into()];
        args.extend(["--danger-extra-roots".into(), self.roots.clone().into()]);
        args.extend(rest.iter().map(OsString::from));
        args
    }
}

fn path(path: &std::path::Path) -> anyhow::Result<&str> {
    path.to_str().context("the temporary folder's name is not UTF-8")
}
