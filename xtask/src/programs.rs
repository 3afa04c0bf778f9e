//! Programs that a suite needs beside cargo: found, or installed from Debian's own packages.
//!
//! Not here: what the suites do with them (`oracles`).

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::commands::{succeeds, succeeds_quietly};

/// Whether a run may install what it misses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Installing {
    Allowed,
    Refused,
}

/// One program, how to see that it works, and where Debian has it.
#[derive(Debug)]
pub(crate) struct Program {
    /// A command that succeeds exactly when the program works.
    pub(crate) probe: &'static [&'static str],
    /// The Debian packages that bring it.
    pub(crate) packages: &'static [&'static str],
}

impl Program {
    /// Makes sure that the program works, installing it where that is allowed and possible.
    ///
    /// # Errors
    /// Only where a started installer could not be waited for; a program that stays missing is `false`.
    pub(crate) fn ensure(&self, installing: Installing) -> Result<bool> {
        if self.works() {
            return Ok(true);
        }
        if installing == Installing::Refused || !is_debian_root() {
            return Ok(false);
        }
        println!("installing {}", self.packages.join(", "));
        let installed = succeeds(&mut apt(&["update", "-qq"]))?
            && succeeds(apt(&["install", "-qq", "-y", "--no-install-recommends"]).args(self.packages))?;
        Ok(installed && self.works())
    }

    /// What a person types to get it.
    pub(crate) fn advice(&self) -> String {
        format!("needs {} (Debian: apt-get install {})", self.probe[0], self.packages.join(" "))
    }

    fn works(&self) -> bool {
        succeeds_quietly(Command::new(self.probe[0]).args(&self.probe[1..]))
    }
}

/// An apt-get that asks nothing.
fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_debian_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    Path::new("/etc/debian_version").exists() && id.is_ok_and(|id| id.stdout == b"0\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_never_installed_against_the_callers_word() {
        let program = Program { probe: &["sealcare-no-such-program"], packages: &["none"] };
        assert!(!program.ensure(Installing::Refused).unwrap());
        assert!(program.advice().contains("apt-get install none"));
    }
}
