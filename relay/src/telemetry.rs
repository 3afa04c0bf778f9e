//! Log lines and metrics. Neither carries a record, a name, a key, a token or an id.

use std::{
    fs::OpenOptions,
    sync::{Mutex, OnceLock},
    time::Duration,
};

use axum::{Router, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{EnvFilter, fmt::writer::BoxMakeWriter};

use crate::{
    config::{Config, LogFormat},
    error::{Error, Result},
};

/// Between two drains of the histograms.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Levels unless `RUST_LOG` says otherwise. The engine logs paths and keys below warnings.
const LEVELS: &str = "info,fjall=warn,lsm_tree=warn,h2=warn,hyper=warn,rustls=warn";

/// Sends log lines where the configuration says. A program that has its own subscriber keeps it.
///
/// # Errors
/// [`Error::File`] if the log file cannot be opened.
pub fn log_to(config: &Config) -> Result<()> {
    let writer = match &config.log_file {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let file = file.map_err(|source| Error::File { path: path.clone(), source })?;
            BoxMakeWriter::new(Mutex::new(file))
        }
        None => BoxMakeWriter::new(std::io::stderr),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LEVELS));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false);
    // A second call in one process finds the first's subscriber.
    let _ = match config.log_format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    Ok(())
}

/// The process's recorder; several relays in one process share it.
pub(crate) fn recorder() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let install = || {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok().map(|()| handle)
    };
    HANDLE.get_or_init(install).as_ref()
}

/// Drains what histograms collected, until `closing`: without it they grow for as long as nobody asks.
pub(crate) async fn upkeep(handle: &'static PrometheusHandle, closing: CancellationToken) {
    while closing.run_until_cancelled(tokio::time::sleep(UPKEEP_EVERY)).await.is_some() {
        handle.run_upkeep();
    }
}

/// `/metrics`, in Prometheus's text format.
pub(crate) fn routes(handle: &'static PrometheusHandle) -> Router {
    Router::new().route("/metrics", get(move || async move { handle.render() }))
}
