//! Log lines. None carries a record, a name, a key, a token or an id.

use std::{fs::OpenOptions, sync::Mutex};

use tracing_subscriber::{EnvFilter, fmt::writer::BoxMakeWriter};

use crate::config::{Log, LogFormat};
use crate::error::{GatewayError, Result};

/// Levels unless `RUST_LOG` says otherwise.
const LEVELS: &str = "info,h2=warn,hyper=warn,rustls=warn,reqwest=warn";

/// Sends log lines where the configuration says. A program that has its own subscriber keeps it.
///
/// # Errors
/// [`GatewayError::Config`] if the log file cannot be opened.
pub(crate) fn log_to(log: &Log) -> Result<()> {
    let writer = match &log.file {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let unusable = |error| GatewayError::Config(format!("`log.file` cannot be opened: {error}"));
            BoxMakeWriter::new(Mutex::new(file.map_err(unusable)?))
        }
        None => BoxMakeWriter::new(std::io::stderr),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LEVELS));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false);
    // A second call in one process finds the first's subscriber.
    let _ = match log.format.unwrap_or_default() {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    Ok(())
}
