//! The programs as processes: the binary `actor`, which is each of them by turns.

use std::{
    ffi::{OsStr, OsString},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
};

use super::{Certificates, TimeTravel, soon};

/// Between two knocks at a port that is not open yet.
const PACE: Duration = Duration::from_millis(20);

/// Which program a process is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// `sealcare`, the patient's command line.
    Patient,
    /// `sealcare-gateway`.
    Gateway,
    /// `sealcare-relay`.
    Relay,
}

impl Role {
    /// The environment's variable that tells a process which it is.
    pub const VARIABLE: &str = "SEALCARE_ACTOR";
    const ALL: [Self; 3] = [Self::Patient, Self::Gateway, Self::Relay];

    const fn name(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::Gateway => "gateway",
            Self::Relay => "relay",
        }
    }

    /// The role of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// A program to start, or one that runs and is killed when dropped.
pub struct Program {
    command: Command,
    child: Option<Child>,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: i32,
    /// What it printed.
    pub out: String,
    /// What it complained.
    pub err: String,
}

impl Program {
    /// As `role`, with these arguments and nothing of this process's environment.
    pub fn new(role: Role, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut command = Command::new(actor());
        command.env_clear().env(Role::VARIABLE, role.name()).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        Self { command, child: None, lines: None }
    }

    /// A relay that keeps its things in `data`.
    pub fn relay(data: &Path, listen: SocketAddr, certificates: &Certificates) -> Self {
        let origin = format!("https://localhost:{}", listen.port());
        let pairs: [(&str, OsString); 5] = [
            ("--data", data.into()),
            ("--listen", listen.to_string().into()),
            ("--origin", origin.into()),
            ("--tls-cert", certificates.chain.clone().into()),
            ("--tls-key", certificates.key.clone().into()),
        ];
        let args = pairs.into_iter().flat_map(|(name, value)| [OsString::from(name), value]);
        Self::new(Role::Relay, std::iter::once(OsString::from("serve")).chain(args))
    }

    /// With these arguments too.
    #[must_use]
    pub fn with(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(args);
        self
    }

    /// Logs by this filter, at the end of a file.
    #[must_use]
    pub fn logging(mut self, filter: &str, file: &Path) -> Self {
        let file = std::fs::File::options().create(true).append(true).open(file).unwrap();
        self.command.env("RUST_LOG", filter).stderr(file);
        self
    }

    /// In another day.
    #[must_use]
    pub fn later(mut self, travel: &TimeTravel, days: u32) -> Self {
        travel.send(&mut self.command, days);
        self
    }

    /// Starts it and waits until it listens on `port`.
    pub async fn spawn_listening(mut self, port: u16) -> Self {
        self.child = Some(self.command.spawn().unwrap());
        let knocking = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
                assert!(ended.is_none(), "the program ended: {ended:?}");
                tokio::time::sleep(PACE).await;
            }
        };
        soon("a program listens", knocking).await;
        self
    }

    /// Starts it and leaves it alone.
    #[must_use]
    pub fn start(mut self) -> Self {
        self.child = Some(self.command.spawn().unwrap());
        self
    }

    /// Starts it, for [`Self::next_line`].
    #[must_use]
    pub fn start_printing(mut self) -> Self {
        let mut child = self.command.stdout(Stdio::piped()).spawn().unwrap();
        self.lines = child.stdout.take().map(|out| BufReader::new(out).lines());
        self.child = Some(child);
        self
    }

    /// The next line that it prints.
    pub async fn next_line(&mut self) -> String {
        self.lines.as_mut().unwrap().next_line().await.unwrap().unwrap()
    }

    /// Whether it has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Runs it to its end.
    pub async fn run(mut self) -> Ended {
        let output = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().await.unwrap();
        Ended {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Kills it: it has no time to do anything.
    pub async fn kill(mut self) {
        if let Some(child) = &mut self.child {
            child.kill().await.unwrap();
        }
    }
}

/// Cargo puts a test's binary into `deps/`, and this package's programs beside that folder.
fn actor() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join(format!("actor{}", std::env::consts::EXE_SUFFIX))
}

/// A port that is free now on the loopback interface.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
