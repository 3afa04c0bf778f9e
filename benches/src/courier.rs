//! The relay, as a process of its own: this program executed again. `SEALCARE_BENCH_ROLE` says so.

use std::{
    ffi::OsString,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use sealcare_protocol::RelayOrigin;
use sealcare_relay::{
    Config, Rates,
    config::TlsFiles,
    operator::{self, OrganizationCommand, Output},
    telemetry,
};
use sealcare_transport::{Trust, danger::Exceptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
};

use crate::processor;

const ROLE: &str = "SEALCARE_BENCH_ROLE";
const START_WITHIN: Duration = Duration::from_secs(30);
/// Every patient of a measurement is a stranger from one address, all at once.
const ACCEPT_PER_MINUTE: u32 = 1_000_000;

/// Serves as the relay, if this process was started as it.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    std::env::var_os(ROLE)?;
    Some(match serve(&std::env::args_os().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealcare-benches: relay: {error:#}");
            ExitCode::FAILURE
        }
    })
}

fn serve(args: &[OsString]) -> anyhow::Result<()> {
    let [folder, port, ops] = args else { anyhow::bail!("started without its arguments") };
    let folder = PathBuf::from(folder);
    let [listen, ops] = [port, ops].map(|port| port.to_str().and_then(|port| port.parse::<u16>().ok()));
    let listen = listen.context("port")?;
    let tls = TlsFiles { certificate: folder.join("chain.pem"), key: folder.join("key.pem") };
    let mut config = Config::new(folder.join("data"), loopback(listen), origin(listen)?, tls);
    config.ops_listen = Some(loopback(ops.context("port of metrics")?));
    config.log_file = Some(folder.join("relay.log"));
    config.rates = Rates { accept_per_minute: ACCEPT_PER_MINUTE, ..Rates::default() };
    telemetry::log_to(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(sealcare_relay::run(config, std::future::pending()))?;
    Ok(())
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn origin(port: u16) -> anyhow::Result<RelayOrigin> {
    Ok(format!("https://localhost:{port}").parse()?)
}

/// A relay that runs. Dropping it ends its process.
pub(crate) struct Courier {
    pub(crate) origin: RelayOrigin,
    pub(crate) trust: Trust,
    folder: PathBuf,
    ops: u16,
    process: Child,
}

impl Courier {
    /// Starts one with a fresh certificate and an empty store in `folder`; returns when it listens.
    pub(crate) async fn start(folder: &Path) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(folder.join("chain.pem"), made.cert.pem())?;
        fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
        let addresses = [("localhost".to_owned(), Ipv4Addr::LOCALHOST.into())].into();
        let trust =
            Exceptions { root_certificates_pem: made.cert.pem().into_bytes(), addresses }.into_trust()?;
        let (port, ops) = free_ports()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.env(ROLE, "relay").arg(folder).args([port.to_string(), ops.to_string()]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn()?;
        let courier = Self { origin: origin(port)?, trust, folder: folder.to_owned(), ops, process };
        tokio::time::timeout(START_WITHIN, connected(port)).await.context("the relay did not start")?;
        Ok(courier)
    }

    /// Lets the organization of `domain` receive.
    pub(crate) async fn approve(&self, domain: &str) -> anyhow::Result<()> {
        let command = OrganizationCommand::Approve { domain: domain.to_owned() };
        operator::run(&self.folder.join("data"), command, Output::Json).await?;
        Ok(())
    }

    /// Processor time that it has used.
    pub(crate) fn processor(&self) -> anyhow::Result<Duration> {
        processor::of(self.process.id().context("the relay ended")?)
    }

    /// What it has committed since it started.
    pub(crate) async fn commits(&self) -> anyhow::Result<Commits> {
        let mut stream = TcpStream::connect(loopback(self.ops)).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(Commits::parse(&text))
    }
}

/// Group commits of a store, from its metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Commits {
    count: f64,
    operations: f64,
}

impl Commits {
    /// From metrics in Prometheus's text format.
    pub(crate) fn parse(text: &str) -> Self {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
        };
        Self {
            count: value("relay_commit_operations_count"),
            operations: value("relay_commit_operations_sum"),
        }
    }

    /// Operations in one commit, on average, since `before`; 1 if there was none.
    pub(crate) fn group_since(self, before: Self) -> f64 {
        let count = self.count - before.count;
        if count < 1.0 { 1.0 } else { ((self.operations - before.operations) / count).max(1.0) }
    }
}

/// Two ports that are free now on the loopback interface.
fn free_ports() -> anyhow::Result<(u16, u16)> {
    let [one, other] = [TcpListener::bind(loopback(0))?, TcpListener::bind(loopback(0))?];
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}

async fn connected(port: u16) {
    while TcpStream::connect(loopback(port)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_group_is_taken_between_two_readings() {
        let text = "# TYPE relay_commit_operations summary\nrelay_commit_operations{quantile=\"0.5\"} 3\n\
                    relay_commit_operations_sum 120\nrelay_commit_operations_count 30\n";
        let (before, after) = (Commits { count: 20.0, operations: 40.0 }, Commits::parse(text));
        assert!((after.group_since(before) - 8.0).abs() < 1e-9);
        assert!((before.group_since(before) - 1.0).abs() < 1e-9);
    }
}
