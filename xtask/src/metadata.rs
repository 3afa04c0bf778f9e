//! The workspace as `cargo metadata` describes it, narrowed to what the rules read.
//!
//! Not here: the rules (`edges`, `source_rules`).

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::commands::cargo;

/// One workspace, as far as the chores need it.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One member and the members that it names as dependencies.
#[derive(Debug, PartialEq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) edges: Vec<Edge>,
}

/// One dependency on another member.
#[derive(Debug, PartialEq)]
pub(crate) struct Edge {
    pub(crate) to: String,
    pub(crate) kind: EdgeKind,
}

/// Where a dependency counts: in what is shipped, or in tests only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum EdgeKind {
    /// A normal or a build dependency.
    Shipped,
    /// A dev-dependency.
    Tests,
}

/// Asks cargo for the workspace around the current folder.
pub(crate) fn read() -> Result<Workspace> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("cargo metadata did not start")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    parse(&serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?)
}

/// Reads metadata that was already taken from cargo (`--no-deps`).
pub(crate) fn parse(metadata: &Value) -> Result<Workspace> {
    let packages = metadata["packages"].as_array().context("metadata has no packages")?;
    Ok(Workspace {
        root: text(metadata, "workspace_root")?.into(),
        target: text(metadata, "target_directory")?.into(),
        packages: packages.iter().map(package).collect::<Result<_>>()?,
    })
}

fn package(value: &Value) -> Result<Package> {
    let manifest = PathBuf::from(text(value, "manifest_path")?);
    let dependencies = value["dependencies"].as_array().context("package has no dependencies")?;
    Ok(Package {
        name: text(value, "name")?,
        folder: manifest.parent().context("manifest has no folder")?.to_path_buf(),
        // Only members have a path: everything else comes from a registry.
        edges: dependencies
            .iter()
            .filter(|dependency| dependency["path"].is_string())
            .map(edge)
            .collect::<Result<_>>()?,
    })
}

fn edge(value: &Value) -> Result<Edge> {
    let kind = match value["kind"].as_str() {
        Some("dev") => EdgeKind::Tests,
        _ => EdgeKind::Shipped,
    };
    Ok(Edge { to: text(value, "name")?, kind })
}

fn text(value: &Value, field: &str) -> Result<String> {
    let found = value[field].as_str().with_context(|| format!("metadata lacks {field}"))?;
    Ok(found.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn registry_dependencies_are_no_edges_and_kinds_are_kept() {
        let workspace = parse(&json!({
            "workspace_root": "/w",
            "target_directory": "/w/target",
            "packages": [{
                "name": "a",
                "manifest_path": "/w/a/Cargo.toml",
                "dependencies": [
                    {"name": "serde", "kind": null, "source": "registry"},
                    {"name": "b", "kind": null, "path": "/w/b"},
                    {"name": "c", "kind": "dev", "path": "/w/c"},
                    {"name": "d", "kind": "build", "path": "/w/d"},
                ],
            }],
        }))
        .unwrap();
        let edge = |to: &str, kind| Edge { to: to.into(), kind };
        assert_eq!(
            workspace.packages,
            [Package {
                name: "a".into(),
                folder: "/w/a".into(),
                edges: vec![
                    edge("b", EdgeKind::Shipped),
                    edge("c", EdgeKind::Tests),
                    edge("d", EdgeKind::Shipped),
                ],
            }]
        );
    }

    #[test]
    fn metadata_without_packages_is_an_error() {
        assert!(parse(&json!({"workspace_root": "/w", "target_directory": "/t"})).is_err());
    }
}
