//! The other programs of the story, which are this one executed again: `SEALCARE_DEMO_ROLE` says as what.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use sealcare_protocol::EnvelopeHeader;
use sealcare_relay::{Config, DeliveryHook, config::TlsFiles, telemetry};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

const ROLE: &str = "SEALCARE_DEMO_ROLE";
/// In the relay's environment, and so in its memory, for the search to find.
const MARKER: &str = "SEALCARE_DEMO_MARKER";
const START_WITHIN: Duration = Duration::from_secs(30);

/// Runs as another program if this process was started as one.
pub(crate) fn run() -> Option<ExitCode> {
    let role = std::env::var(ROLE).ok()?;
    let args = std::env::args_os().skip(1);
    Some(match role.as_str() {
        "gateway" => sealcare_gateway::main_from(args),
        _ => match relay(&args.collect::<Vec<_>>()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("sealcare-demo: relay: {error:#}");
                ExitCode::FAILURE
            }
        },
    })
}

/// What the relay does to envelopes.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Conduct {
    Honest,
    FlipsOneBit,
}

/// How the relay is started.
pub(crate) struct RelayStart<'a> {
    pub(crate) data: &'a Path,
    pub(crate) log: &'a Path,
    pub(crate) certificates: &'a crate::pki::Certificates,
    pub(crate) port: u16,
    pub(crate) marker: &'a str,
    pub(crate) conduct: Conduct,
}

impl RelayStart<'_> {
    /// Starts the relay and waits until it listens.
    pub(crate) async fn spawn(&self) -> anyhow::Result<Child> {
        let mut command = program("relay")?;
        command.env(MARKER, self.marker).args([
            self.data,
            self.log,
            &self.certificates.chain,
            &self.certificates.key,
        ]);
        command.arg(self.port.to_string());
        if self.conduct == Conduct::FlipsOneBit {
            command.arg("flip");
        }
        let child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        listening(self.port, "the relay").await?;
        Ok(child)
    }
}

/// Starts the gateway's `serve` and waits until it listens.
pub(crate) async fn spawn_gateway(args: &[OsString], port: u16, log: &Path) -> anyhow::Result<Child> {
    let log = std::fs::File::create(log)?;
    let mut command = program("gateway")?;
    command.args(args).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
    let child = command.spawn()?;
    listening(port, "the gateway").await?;
    Ok(child)
}

/// One gateway command line, run to its end; its standard output.
pub(crate) async fn gateway(args: &[OsString]) -> anyhow::Result<String> {
    let name = args.first().map(|a| a.to_string_lossy().into_owned()).unwrap_or_default();
    let output = program("gateway")?.args(args).kill_on_drop(true).output().await?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "sealcare-gateway {name}: {}", complaint.trim());
    Ok(String::from_utf8(output.stdout)?)
}

/// A gateway command whose standard output is read as it comes.
pub(crate) fn gateway_stream(args: &[OsString]) -> anyhow::Result<Child> {
    let mut command = program("gateway")?;
    Ok(command.args(args).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()?)
}

fn program(role: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(ROLE, role).stdin(Stdio::null());
    Ok(command)
}

/// A port that is free now on the loopback interface.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

async fn listening(port: u16, name: &str) -> anyhow::Result<()> {
    let connect = async {
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(START_WITHIN, connect).await.with_context(|| format!("{name} did not start"))
}

fn relay(args: &[OsString]) -> anyhow::Result<()> {
    let [data, log, certificate, key, port, flip @ ..] = args else {
        anyhow::bail!("started without its arguments");
    };
    let port: u16 = port.to_str().context("port")?.parse()?;
    let tls = TlsFiles { certificate: certificate.into(), key: key.into() };
    let origin = format!("https://localhost:{port}").parse()?;
    let mut config = Config::new(data.into(), SocketAddr::from((Ipv4Addr::LOCALHOST, port)), origin, tls);
    config.log_file = Some(log.into());
    let conduct = if flip.is_empty() { Conduct::Honest } else { Conduct::FlipsOneBit };
    config.delivery_hook = watch(conduct);
    telemetry::log_to(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(sealcare_relay::run(config, std::future::pending()))?;
    Ok(())
}

/// Prints what the relay sees of each data envelope, `bytes hex`; alters the first one if so told.
fn watch(conduct: Conduct) -> DeliveryHook {
    let is_done = AtomicBool::new(conduct == Conduct::Honest);
    DeliveryHook::altering(Arc::new(move |envelope: Bytes| {
        if !matches!(EnvelopeHeader::parse(&envelope), Some(EnvelopeHeader::Data(_))) {
            return envelope;
        }
        let middle = envelope.len() / 2;
        // Nobody reads any more once the story is over.
        let _ =
            writeln!(io::stdout(), "{} {}", envelope.len(), HEXLOWER.encode(&envelope[middle..middle + 12]));
        if is_done.swap(true, Ordering::SeqCst) {
            return envelope;
        }
        let mut bytes = envelope.to_vec();
        bytes[middle] ^= 1;
        bytes.into()
    }))
}
