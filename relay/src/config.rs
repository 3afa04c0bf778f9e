//! Configuration: one TOML file, environment `SEALCARE_RELAY_*`, flags; the later wins. All of it is checked
//! before anything is opened or listened on.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use sealcare_protocol::RelayOrigin;
use serde::Deserialize;

use crate::{
    api::stream_places::StreamLimits,
    auth::Rates,
    delivery_hook::DeliveryHook,
    error::{Error, Result},
    retention::Schedule,
    store::{embedded::EngineName, ordered::FREE_BYTES_MIN},
};

const SHUTDOWN_SECS: u64 = 10;
const SHUTDOWN_SECS_MAX: u64 = 600;
const CONNECTIONS: usize = 12_000;
const NETWORK_CONNECTIONS: usize = 256;
/// With the largest requests 512 MiB.
const CALLS: usize = 1_024;
const GRANT_MEBIBYTES: u64 = 1 << 10;
const SWEEP_SECS: u64 = 60;
const RECLAIM_SECS: u64 = 600;
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Certificate chain and private key, PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's key.
    pub key: PathBuf,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// A configuration that was checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the store and the operator's socket.
    pub data: PathBuf,
    /// The engine of the store; a data folder keeps the one it began with.
    pub store: EngineName,
    /// Where patients and organizations call.
    pub listen: SocketAddr,
    /// What they call it; part of what they sign.
    pub origin: RelayOrigin,
    /// For TLS, which is not optional.
    pub tls: TlsFiles,
    /// Where `/metrics` is served over plain HTTP; none serves it nowhere.
    pub ops_listen: Option<SocketAddr>,
    /// Connections at a time.
    pub connections_max: usize,
    /// Connections at a time from one IPv4 address or IPv6 /64, twice as many from a /48; this machine's own apart.
    pub network_connections_max: usize,
    /// Calls under way at a time; one network has a sixteenth of them, a /48 an eighth; this machine's own apart.
    pub calls_max: usize,
    /// Bytes that a grant may hold, whatever its ticket allows.
    pub grant_bytes_max: u64,
    /// Free bytes on the disk below which no deposit is taken.
    pub free_bytes_min: u64,
    /// Between sweeps.
    pub sweep_every: Duration,
    /// Between two rewrites of what is stored, with which revoked bytes leave the disk; the first is at once.
    pub reclaim_every: Duration,
    /// How long a shutdown waits for calls under way.
    pub shutdown_within: Duration,
    /// Bounds of deposit streams.
    pub deposit_streams: StreamLimits,
    /// Allowances for strangers.
    pub rates: Rates,
    /// Of log lines.
    pub log_format: LogFormat,
    /// Where log lines go instead of standard error.
    pub log_file: Option<PathBuf>,
    /// Alters nothing, unless a test set it.
    pub delivery_hook: DeliveryHook,
}

/// Flags and environment of `serve`.
#[derive(Args, Clone, Debug, Default)]
pub struct Overrides {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "SEALCARE_RELAY_CONFIG")]
    pub config: Option<PathBuf>,
    /// Folder for the store and the operator's socket.
    #[arg(long, value_name = "DIR", env = "SEALCARE_RELAY_DATA")]
    pub data: Option<PathBuf>,
    /// Engine of the store. A data folder keeps the one it began with.
    #[arg(long, value_name = "ENGINE", env = "SEALCARE_RELAY_STORE")]
    pub store: Option<EngineName>,
    /// Address to listen on.
    #[arg(long, value_name = "ADDR", env = "SEALCARE_RELAY_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// What patients and organizations call this relay: `https://host:port`.
    #[arg(long, value_name = "URL", env = "SEALCARE_RELAY_ORIGIN")]
    pub origin: Option<String>,
    /// Certificate chain (PEM).
    #[arg(long, value_name = "FILE", env = "SEALCARE_RELAY_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM).
    #[arg(long, value_name = "FILE", env = "SEALCARE_RELAY_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Address for `/metrics`.
    #[arg(long, value_name = "ADDR", env = "SEALCARE_RELAY_OPS_LISTEN")]
    pub ops_listen: Option<SocketAddr>,
    /// Format of log lines.
    #[arg(long, value_name = "FORMAT", env = "SEALCARE_RELAY_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Append log lines to this file instead of standard error.
    #[arg(long, value_name = "FILE", env = "SEALCARE_RELAY_LOG_FILE")]
    pub log_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    data: Option<PathBuf>,
    store: Option<EngineName>,
    listen: Option<SocketAddr>,
    origin: Option<String>,
    ops_listen: Option<SocketAddr>,
    shutdown_secs: Option<u64>,
    sweep_secs: Option<u64>,
    reclaim_secs: Option<u64>,
    connections_max: Option<usize>,
    network_connections_max: Option<usize>,
    calls_max: Option<usize>,
    grant_mebibytes_max: Option<u64>,
    free_mebibytes_min: Option<u64>,
    tls: Option<TlsFiles>,
    log: Log,
    rates: Rates,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Log {
    format: Option<LogFormat>,
    file: Option<PathBuf>,
}

impl Config {
    /// For a relay in `data` that listens on `listen` and is called `origin`; everything else by default.
    pub fn new(data: PathBuf, listen: SocketAddr, origin: RelayOrigin, tls: TlsFiles) -> Self {
        Self {
            data,
            store: EngineName::default(),
            listen,
            origin,
            tls,
            ops_listen: None,
            connections_max: CONNECTIONS,
            network_connections_max: NETWORK_CONNECTIONS,
            calls_max: CALLS,
            grant_bytes_max: GRANT_MEBIBYTES << 20,
            free_bytes_min: FREE_BYTES_MIN,
            sweep_every: Duration::from_secs(SWEEP_SECS),
            reclaim_every: Duration::from_secs(RECLAIM_SECS),
            shutdown_within: Duration::from_secs(SHUTDOWN_SECS),
            deposit_streams: StreamLimits::default(),
            rates: Rates::default(),
            log_format: LogFormat::default(),
            log_file: None,
            delivery_hook: DeliveryHook::default(),
        }
    }

    pub(crate) fn schedule(&self) -> Schedule {
        Schedule { sweep_every: self.sweep_every, reclaim_every: self.reclaim_every }
    }

    /// Reads the file that `overrides` names, if any, and puts them over it.
    ///
    /// # Errors
    /// [`Error::Config`], naming the setting; [`Error::File`] if the file cannot be read.
    pub fn load(overrides: Overrides) -> Result<Self> {
        let file = match &overrides.config {
            Some(path) => parse(&read(path)?)?,
            None => File::default(),
        };
        merge(file, overrides)
    }
}

fn read(path: &Path) -> Result<String> {
    let file_error = |source| Error::File { path: path.to_owned(), source };
    if fs::metadata(path).map_err(file_error)?.len() > FILE_BYTES_MAX {
        return Err(Error::Config("the file is larger than 1 MiB".into()));
    }
    fs::read_to_string(path).map_err(file_error)
}

fn parse(text: &str) -> Result<File> {
    toml::from_str(text).map_err(|error| Error::Config(error.message().to_owned()))
}

fn merge(file: File, over: Overrides) -> Result<Config> {
    let missing = |name: &str| Error::Config(format!("`{name}` is not set"));
    let tls = match (over.tls_cert, over.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        _ => file.tls,
    };
    let data = over.data.or(file.data).ok_or_else(|| missing("data"))?;
    let listen = over.listen.or(file.listen).ok_or_else(|| missing("listen"))?;
    let origin = over.origin.or(file.origin).ok_or_else(|| missing("origin"))?;
    let origin = origin
        .parse()
        .map_err(|_| Error::Config("`origin` is not `https://host:port` in lower case".into()))?;
    let mut config = Config::new(data, listen, origin, tls.ok_or_else(|| missing("tls"))?);
    config.store = over.store.or(file.store).unwrap_or_default();
    config.ops_listen = over.ops_listen.or(file.ops_listen);
    config.rates = file.rates;
    config.log_format = over.log_format.or(file.log.format).unwrap_or_default();
    config.log_file = over.log_file.or(file.log.file);
    config.connections_max = bounded("connections_max", file.connections_max, 1..=1_000_000, CONNECTIONS)?;
    let network = file.network_connections_max;
    config.network_connections_max =
        bounded("network_connections_max", network, 1..=1_000_000, NETWORK_CONNECTIONS)?;
    config.calls_max = bounded("calls_max", file.calls_max, 1..=65_536, CALLS)?;
    let grant = bounded("grant_mebibytes_max", file.grant_mebibytes_max, 1..=1 << 30, GRANT_MEBIBYTES)?;
    config.grant_bytes_max = grant << 20;
    let shutdown = bounded("shutdown_secs", file.shutdown_secs, 1..=SHUTDOWN_SECS_MAX, SHUTDOWN_SECS)?;
    config.shutdown_within = Duration::from_secs(shutdown);
    let sweep = bounded("sweep_secs", file.sweep_secs, 1..=86_400, SWEEP_SECS)?;
    config.sweep_every = Duration::from_secs(sweep);
    let reclaim = bounded("reclaim_secs", file.reclaim_secs, 1..=86_400, RECLAIM_SECS)?;
    config.reclaim_every = Duration::from_secs(reclaim);
    let free = bounded("free_mebibytes_min", file.free_mebibytes_min, 0..=1 << 30, FREE_BYTES_MIN >> 20)?;
    config.free_bytes_min = free << 20;
    Ok(config)
}

fn bounded<T: PartialOrd>(
    name: &str,
    value: Option<T>,
    range: std::ops::RangeInclusive<T>,
    default: T,
) -> Result<T> {
    let value = value.unwrap_or(default);
    if range.contains(&value) { Ok(value) } else { Err(Error::Config(format!("`{name}` is out of bounds"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../config/example.toml");

    #[test]
    fn the_example_is_complete_and_flags_win_over_it() {
        let config = merge(parse(EXAMPLE).unwrap(), Overrides::default()).unwrap();
        assert_eq!(config.origin.as_str(), "https://relay.example:7443");
        assert_eq!(config.log_format, LogFormat::Json);
        let over = Overrides { listen: Some(([127, 0, 0, 1], 1).into()), ..Overrides::default() };
        assert_eq!(merge(parse(EXAMPLE).unwrap(), over).unwrap().listen.port(), 1);
    }

    #[test]
    fn bad_settings_are_named_and_end_with_64() {
        let refusal = |text: &str| {
            let error = parse(text).and_then(|file| merge(file, Overrides::default())).unwrap_err();
            assert_eq!(error.exit_status(), 64);
            error.to_string()
        };
        assert!(refusal("colour = 1").contains("colour"));
        assert!(refusal("").contains("data"));
        assert!(refusal("store = \"paper\"").contains("paper"));
        assert!(refusal("listen = \"nowhere\"").contains("address"));
        let with = |line: &str| refusal(&EXAMPLE.replace("shutdown_secs = 10", line));
        assert!(with("shutdown_secs = 0").contains("shutdown_secs"));
        assert!(refusal(&EXAMPLE.replace("https://relay", "http://relay")).contains("origin"));
    }
}
