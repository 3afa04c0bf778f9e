//! The demo's command line.

use std::path::PathBuf;

use clap::Parser;

/// The whole Sealcare story: a patient's data is sealed, relayed, opened at a clinic, and stopped.
///
/// Without files a synthetic patient is drawn. With files a person's own Apple Health export (export.xml
/// or export.zip) or FHIR R4 bundles are shared, and nothing synthetic is mixed in. Everything happens on
/// this machine, in a temporary folder that is removed at the end.
#[derive(Debug, Parser)]
#[command(
    name = "sealcare-demo",
    after_help = "Exit status: 0 if all of the story held, 1 if something did not, 64 for a wrong command line, 65 for files that cannot be read, 130 when interrupted."
)]
pub(crate) struct Args {
    /// Apple Health exports or FHIR R4 bundles to share instead of a synthetic patient.
    pub(crate) files: Vec<PathBuf>,
    /// Print one JSON object at the end instead of the story.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write opened.ndjson, the FHIR resources that the organization opened, into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Let the relay flip one bit of an envelope, and show what refuses it.
    #[arg(long = "break")]
    pub(crate) flip: bool,
}
