//! The frozen vectors, checked by HPKE implementations that share no code with ours.
//!
//! Their packages are pinned here and live under the target folder. Not here: the vectors and the two
//! checking scripts (`tests/vectors`).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::commands::{succeeds, succeeds_quietly};
use crate::metadata::Workspace;
use crate::programs::{Installing, Program};
use crate::report::Outcome;

/// Python's implementation (OpenSSL and Rust underneath).
const PYTHON_PACKAGES: &[&str] = &["cryptography==50.0.2"];
/// JavaScript's implementation (WebCrypto and its own ML-KEM).
const NODE_PACKAGES: &[&str] = &["@hpke/core@1.9.0", "@hpke/hybridkem-x-wing@0.7.0"];

const PYTHON: Program =
    Program { probe: &["python3", "-c", "import ensurepip, venv"], packages: &["python3-venv"] };
const NODE: Program = Program { probe: &["node", "--version"], packages: &["nodejs"] };
const NPM: Program = Program { probe: &["npm", "--version"], packages: &["npm"] };

/// Checks the vectors with Python's `cryptography`.
pub(crate) fn python(workspace: &Workspace, installing: Installing) -> Result<Outcome> {
    let Oracle { folder, script, vectors } = Oracle::new(workspace, "python", "check_hpke.py")?;
    let interpreter = folder.join("venv").join("bin").join("python");
    let ready = || succeeds_quietly(Command::new(&interpreter).args(["-c", "import cryptography.hazmat"]));
    if !ready() {
        if !PYTHON.ensure(installing)? {
            return Ok(Outcome::LeftOut(PYTHON.advice()));
        }
        let installed = installing == Installing::Allowed
            && succeeds(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?
            && succeeds(
                Command::new(&interpreter).args(["-m", "pip", "install", "-q"]).args(PYTHON_PACKAGES),
            )?;
        if !installed {
            return Ok(Outcome::LeftOut(format!("needs PyPI {}", PYTHON_PACKAGES.join(" "))));
        }
    }
    Ok(Outcome::of(succeeds(Command::new(&interpreter).arg(script).arg(vectors))?))
}

/// Checks the vectors with npm's `@hpke`.
pub(crate) fn node(workspace: &Workspace, installing: Installing) -> Result<Outcome> {
    let Oracle { folder, script, vectors } = Oracle::new(workspace, "node", "check_hpke.mjs")?;
    if !NODE.ensure(installing)? {
        return Ok(Outcome::LeftOut(NODE.advice()));
    }
    if !folder.join("node_modules").join("@hpke").join("hybridkem-x-wing").exists() {
        if !NPM.ensure(installing)? {
            return Ok(Outcome::LeftOut(NPM.advice()));
        }
        let mut install = Command::new("npm");
        install.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]);
        install.arg("--prefix").arg(&folder).args(NODE_PACKAGES);
        if installing == Installing::Refused || !succeeds(&mut install)? {
            return Ok(Outcome::LeftOut(format!("needs npm {}", NODE_PACKAGES.join(" "))));
        }
    }
    // Node looks for packages beside the script, so the script goes to them.
    let beside = folder.join("check_hpke.mjs");
    fs::copy(script, &beside).context("cannot copy check_hpke.mjs")?;
    Ok(Outcome::of(succeeds(Command::new("node").arg(beside).arg(vectors))?))
}

/// Where one implementation lives, and what it reads.
struct Oracle {
    folder: PathBuf,
    script: PathBuf,
    vectors: PathBuf,
}

impl Oracle {
    fn new(workspace: &Workspace, name: &str, script: &str) -> Result<Self> {
        let vectors = workspace.root.join("tests").join("vectors");
        let folder = workspace.target.join("oracles").join(name);
        fs::create_dir_all(&folder).context("cannot make a folder under the target folder")?;
        Ok(Self { folder, script: vectors.join(script), vectors })
    }
}
