//! `xtask/left-out.toml`: the suites that a complete run may go without, each with its reason.
//!
//! Not here: deciding what could not run (`suites`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Suite name to the reason for which it may be left out.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct LeftOut(BTreeMap<String, String>);

impl LeftOut {
    /// Reads the committed file of the repository at `root`.
    ///
    /// # Errors
    /// A missing or malformed file, an entry without a reason.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = root.join("xtask").join("left-out.toml");
        let text = fs::read_to_string(&path).context("cannot read xtask/left-out.toml")?;
        Self::parse(&text).context("xtask/left-out.toml")
    }

    fn parse(text: &str) -> Result<Self> {
        let mut reasons = BTreeMap::new();
        for (suite, reason) in text.parse::<toml::Table>()? {
            let reason = reason.as_str().unwrap_or_default().trim().to_owned();
            ensure!(!reason.is_empty(), "`{suite}` has no reason");
            reasons.insert(suite, reason);
        }
        Ok(Self(reasons))
    }

    /// Whether `suite` may be left out.
    pub(crate) fn names(&self, suite: &str) -> bool {
        self.0.contains_key(suite)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_needs_a_reason() {
        let file = LeftOut::parse("\"cargo deny\" = \"not packaged\"").unwrap();
        assert!(file.names("cargo deny") && !file.names("demo"));
        assert!(LeftOut::parse("\"cargo deny\" = \" \"").is_err());
        assert!(LeftOut::parse("\"cargo deny\" = true").is_err());
    }
}
