//! Configuration: one TOML file, environment `SEALCARE_GATEWAY_*`, flags; the later wins. All of it is checked
//! before anything is opened or listened on. Not here: the commands and their own flags (`args`).

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use sealcare_provider::{Trust, danger::Exceptions};
use serde::Deserialize;

use crate::error::{GatewayError, Result};
use crate::home::Home;

const SHUTDOWN_SECS: u64 = 10;
const SHUTDOWN_SECS_MAX: u64 = 600;
const CONNECTIONS: usize = 256;
const CONNECTIONS_MAX: usize = 100_000;
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

/// Where log lines go, and how they look.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Of log lines; text if not set.
    pub format: Option<LogFormat>,
    /// Appended to instead of standard error.
    pub file: Option<PathBuf>,
}

/// What every command needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the vault, its key and the control socket are.
    pub home: Home,
    /// Root certificates beside the web's, PEM: for tests only.
    pub extra_roots: Option<PathBuf>,
    file: Settings,
}

/// What only `serve` needs.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Where the bundle is served.
    pub listen: SocketAddr,
    /// For TLS, which is not optional.
    pub tls: TlsFiles,
    /// HTTPS connections at a time.
    pub connections_max: usize,
    /// How long a shutdown waits for what is under way.
    pub shutdown_within: Duration,
    /// Of log lines.
    pub log: Log,
}

/// Flags and environment of every command.
#[derive(Args, Clone, Debug, Default)]
pub struct Overrides {
    /// Configuration file (TOML).
    #[arg(long, global = true, value_name = "FILE", env = "SEALCARE_GATEWAY_CONFIG")]
    pub config: Option<PathBuf>,
    /// Folder for the vault and the control socket.
    #[arg(long, global = true, value_name = "DIR", env = "SEALCARE_GATEWAY_DATA")]
    pub data: Option<PathBuf>,
    /// The vault's secret file, outside the data folder [default: the data folder's path with `.key` after it].
    #[arg(long, global = true, value_name = "FILE", env = "SEALCARE_GATEWAY_KEY_FILE")]
    pub key_file: Option<PathBuf>,
    /// Trust the root certificates in this file too. Whoever holds their keys can pose as the relay.
    #[arg(
        long,
        global = true,
        hide = true,
        value_name = "FILE",
        env = "SEALCARE_GATEWAY_DANGER_EXTRA_ROOTS"
    )]
    pub danger_extra_roots: Option<PathBuf>,
}

/// Flags and environment of `serve`.
#[derive(Args, Clone, Debug, Default)]
pub struct ServingOverrides {
    /// Address to serve the organization's keys on.
    #[arg(long, value_name = "ADDR", env = "SEALCARE_GATEWAY_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Certificate chain for the organization's domain (PEM).
    #[arg(long, value_name = "FILE", env = "SEALCARE_GATEWAY_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM).
    #[arg(long, value_name = "FILE", env = "SEALCARE_GATEWAY_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Format of log lines.
    #[arg(long, value_name = "FORMAT", env = "SEALCARE_GATEWAY_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Append log lines to this file instead of standard error.
    #[arg(long, value_name = "FILE", env = "SEALCARE_GATEWAY_LOG_FILE")]
    pub log_file: Option<PathBuf>,
}

/// The file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    data: Option<PathBuf>,
    key_file: Option<PathBuf>,
    listen: Option<SocketAddr>,
    shutdown_secs: Option<u64>,
    connections_max: Option<usize>,
    tls: Option<TlsFiles>,
    log: Log,
}

impl Config {
    /// Reads the file that `overrides` names, if any, and puts them over it.
    ///
    /// # Errors
    /// [`GatewayError::Config`], naming the setting.
    pub fn load(overrides: Overrides) -> Result<Self> {
        let file = match &overrides.config {
            Some(path) => parse(&read(path)?)?,
            None => Settings::default(),
        };
        merge(file, overrides)
    }

    /// What `serve` needs, with its flags put over the file.
    ///
    /// # Errors
    /// [`GatewayError::Config`], naming the setting.
    pub fn serving(&self, over: ServingOverrides) -> Result<Serving> {
        let file = self.file.clone();
        let tls = match (over.tls_cert, over.tls_key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            _ => file.tls,
        };
        let listen = over.listen.or(file.listen).ok_or_else(|| missing("listen"))?;
        let shutdown =
            bounded("shutdown_secs", file.shutdown_secs.unwrap_or(SHUTDOWN_SECS), 1..=SHUTDOWN_SECS_MAX)?;
        let connections = file.connections_max.unwrap_or(CONNECTIONS);
        Ok(Serving {
            listen,
            tls: tls.ok_or_else(|| missing("tls"))?,
            connections_max: bounded("connections_max", connections, 1..=CONNECTIONS_MAX)?,
            shutdown_within: Duration::from_secs(shutdown),
            log: Log { format: over.log_format.or(file.log.format), file: over.log_file.or(file.log.file) },
        })
    }

    /// Whom connections to the relay trust.
    ///
    /// # Errors
    /// [`GatewayError::Config`] if the file of extra roots cannot be used.
    pub fn trust(&self) -> Result<Trust> {
        let Some(path) = &self.extra_roots else { return Ok(Trust::web()) };
        let root_certificates_pem = read(path)?.into_bytes();
        Exceptions { root_certificates_pem, ..Exceptions::default() }
            .into_trust()
            .map_err(|_| GatewayError::Config("the file of extra roots holds no certificate".into()))
    }
}

fn missing(name: &str) -> GatewayError {
    GatewayError::Config(format!("`{name}` is not set"))
}

fn read(path: &Path) -> Result<String> {
    let unreadable =
        |error: std::io::Error| GatewayError::Config(format!("{} cannot be read: {error}", path.display()));
    if fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(GatewayError::Config("a file is larger than 1 MiB".into()));
    }
    fs::read_to_string(path).map_err(unreadable)
}

fn parse(text: &str) -> Result<Settings> {
    toml::from_str(text).map_err(|error| GatewayError::Config(error.message().to_owned()))
}

fn merge(file: Settings, over: Overrides) -> Result<Config> {
    let data = over.data.or(file.data.clone()).ok_or_else(|| missing("data"))?;
    let key_file = over.key_file.or(file.key_file.clone());
    Ok(Config { home: Home::new(data, key_file), extra_roots: over.danger_extra_roots, file })
}

fn bounded<T: PartialOrd>(name: &str, value: T, range: std::ops::RangeInclusive<T>) -> Result<T> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(GatewayError::Config(format!("`{name}` is out of bounds")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../config/example.toml");

    fn load(text: &str, over: ServingOverrides) -> Result<(Config, Serving)> {
        let config = merge(parse(text)?, Overrides::default())?;
        let serving = config.serving(over)?;
        Ok((config, serving))
    }

    #[test]
    fn the_example_is_complete_and_flags_win_over_it() {
        let (config, serving) = load(EXAMPLE, ServingOverrides::default()).unwrap();
        assert_eq!(config.home.key_file(), Path::new("/etc/sealcare-gateway/vault.key"));
        assert_eq!(serving.log.format, Some(LogFormat::Json));
        assert_eq!(serving.connections_max, CONNECTIONS);
        let over = ServingOverrides { listen: Some(([127, 0, 0, 1], 1).into()), ..Default::default() };
        assert_eq!(load(EXAMPLE, over).unwrap().1.listen.port(), 1);
        let over = Overrides { data: Some("elsewhere".into()), ..Overrides::default() };
        assert_eq!(merge(parse(EXAMPLE).unwrap(), over).unwrap().home.data(), Path::new("elsewhere"));
    }

    #[test]
    fn bad_settings_are_named_and_end_with_64() {
        let refusal = |text: &str| {
            let error = load(text, ServingOverrides::default()).unwrap_err();
            assert_eq!(error.exit_status(), 64);
            error.to_string()
        };
        assert!(refusal("colour = 1").contains("colour"));
        assert!(refusal("").contains("data"));
        assert!(refusal("data = \"d\"").contains("listen"));
        assert!(refusal("data = \"d\"\nlisten = \"127.0.0.1:1\"").contains("tls"));
        assert!(refusal("listen = \"nowhere\"").contains("address"));
        let with = |line: &str| refusal(&EXAMPLE.replace("shutdown_secs = 10", line));
        assert!(with("shutdown_secs = 0").contains("shutdown_secs"));
        assert!(with("shutdown_secs = 601").contains("shutdown_secs"));
        assert!(refusal(&EXAMPLE.replace("[tls]", "[tls]\npassword = 1")).contains("password"));
    }

    #[test]
    fn a_file_that_is_not_there_ends_with_64() {
        let over = Overrides { config: Some("not/there.toml".into()), ..Overrides::default() };
        assert_eq!(Config::load(over).unwrap_err().exit_status(), 64);
        let over = Overrides {
            data: Some("d".into()),
            danger_extra_roots: Some("no.pem".into()),
            ..Default::default()
        };
        assert_eq!(Config::load(over).unwrap().trust().unwrap_err().exit_status(), 64);
    }
}
