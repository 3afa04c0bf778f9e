//! What all programs of a story have in common: one folder, one certificate, the ports, the day.

use std::{
    ffi::OsString,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::world::{Certificates, Ended, Program, Role, TimeTravel, free_port};

/// The relay's engine logs keys of its own at debug, which are ids; its default level, and this one, leave them out.
const RELAY_LOGS: &str = "debug,fjall=warn,lsm_tree=warn,sled=warn";
const GATEWAY_LOGS: &str = "debug";

/// Which engine a relay stores with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Engine {
    /// The default.
    Fjall,
    /// The other.
    Sled,
}

impl Engine {
    const fn name(self) -> &'static str {
        match self {
            Self::Fjall => "fjall",
            Self::Sled => "sled",
        }
    }
}

/// Where a story plays.
pub struct Stage {
    folder: tempfile::TempDir,
    /// Everybody's.
    pub certificates: Certificates,
    relay_port: u16,
    domain_port: u16,
    engine: Engine,
    day: AtomicU32,
    travel: Option<TimeTravel>,
    errors: Mutex<Vec<String>>,
}

impl Stage {
    pub(super) fn set(engine: Engine, travel: Option<TimeTravel>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::make(folder.path());
        let (relay_port, domain_port) = (free_port(), free_port());
        let (day, errors) = (AtomicU32::new(0), Mutex::default());
        Self { folder, certificates, relay_port, domain_port, engine, day, travel, errors }
    }

    /// A path in the story's folder.
    pub fn place(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A path in the story's folder, for a command line.
    pub fn text(&self, name: &str) -> String {
        self.place(name).to_str().unwrap().to_owned()
    }

    /// Writes a file and returns its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.place(name), content).unwrap();
        self.text(name)
    }

    /// Everything that commands have written to a standard error.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap().join("\n")
    }

    pub(super) fn is_later(&self, days: u32) {
        assert!(self.travel.is_some(), "this story stays in its day");
        self.day.fetch_add(days, Ordering::SeqCst);
    }

    pub(super) fn domain(&self) -> String {
        format!("localhost:{}", self.domain_port)
    }

    pub(super) fn origin(&self) -> String {
        format!("https://localhost:{}", self.relay_port)
    }

    /// Runs a command to its end.
    pub(super) async fn run(&self, role: Role, args: impl IntoIterator<Item = OsString>) -> Ended {
        let ended = self.today(Program::new(role, args)).run().await;
        self.errors.lock().unwrap().push(ended.err.clone());
        ended
    }

    /// Starts a command that will be killed.
    pub(super) fn start(&self, role: Role, args: impl IntoIterator<Item = OsString>) -> Program {
        self.today(Program::new(role, args)).start()
    }

    /// Starts a command whose lines will be read.
    pub(super) fn start_printing(&self, role: Role, args: impl IntoIterator<Item = OsString>) -> Program {
        self.today(Program::new(role, args)).start_printing()
    }

    pub(super) async fn start_relay(&self, data: &str) -> Program {
        let listen = ([127, 0, 0, 1], self.relay_port).into();
        let relay = Program::relay(&self.place(data), listen, &self.certificates);
        let relay = relay.with(["--store", self.engine.name()]);
        let relay = relay.logging(RELAY_LOGS, &self.place("relay.log"));
        self.today(relay).spawn_listening(self.relay_port).await
    }

    pub(super) async fn start_gateway(&self, data: &str) -> Program {
        let listen = format!("127.0.0.1:{}", self.domain_port);
        let (chain, key) = (self.text("chain.pem"), self.text("key.pem"));
        let args = ["serve", "--listen", &listen, "--tls-cert", &chain, "--tls-key", &key];
        let gateway = Program::new(Role::Gateway, self.staff_args(data, &args));
        let gateway = gateway.logging(GATEWAY_LOGS, &self.place("gateway.log"));
        self.today(gateway).spawn_listening(self.domain_port).await
    }

    /// A command line of the staff's, at the gateway in `data`.
    pub(super) fn staff_args(&self, data: &str, args: &[&str]) -> Vec<OsString> {
        let at: [OsString; 4] = [
            "--data".into(),
            self.place(data).into(),
            "--danger-extra-roots".into(),
            self.certificates.roots.clone().into(),
        ];
        args.iter().map(OsString::from).chain(at).collect()
    }

    /// A command line of the patient's, at the account in `home`.
    pub(super) fn patient_args(&self, home: &str, passphrase_file: &str, args: &[&str]) -> Vec<OsString> {
        let at: [OsString; 8] = [
            "--home".into(),
            self.place(home).into(),
            "--passphrase-file".into(),
            passphrase_file.into(),
            "--danger-extra-roots".into(),
            self.certificates.roots.clone().into(),
            "--danger-resolve".into(),
            "localhost=127.0.0.1".into(),
        ];
        at.into_iter().chain(args.iter().map(OsString::from)).collect()
    }

    fn today(&self, program: Program) -> Program {
        match (&self.travel, self.day.load(Ordering::SeqCst)) {
            (Some(travel), days @ 1..) => program.later(travel, days),
            _ => program,
        }
    }
}
