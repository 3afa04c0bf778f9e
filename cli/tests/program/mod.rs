//! The real program in an account's folder of its own.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

use std::{
    cell::RefCell,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// The name that no error may hold.
pub(crate) const NAME: &str = "Rosa Exemplar";
pub(crate) const BIRTH_DATE: &str = "1961-03-09";

/// One heart rate of 72 per minute in an Apple Health export, beside a workout.
pub(crate) const EXPORT: &str = r#"<HealthData>
<Record type="HKQuantityTypeIdentifierHeartRate" sourceName="Watch" unit="count/min" value="72"
 startDate="2024-06-15 08:00:00 +0200" endDate="2024-06-15 08:00:00 +0200"/><Workout/></HealthData>"#;

/// A person's machine: a folder with a passphrase file and, after `init`, an account.
pub(crate) struct Machine {
    pub(crate) folder: tempfile::TempDir,
    /// Options for all commands.
    pub(crate) options: Vec<String>,
    /// The account's state, unless a command may have changed it since.
    known: RefCell<Option<Value>>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("passphrase"), "correct horse battery\n").unwrap();
        Self { folder, options: Vec::new(), known: RefCell::default() }
    }

    pub(crate) fn with_account() -> Self {
        let machine = Self::new();
        let passphrase = machine.path("passphrase");
        let init = machine.run(&[
            "init",
            "--name",
            NAME,
            "--birth-date",
            BIRTH_DATE,
            "--passphrase-file",
            &passphrase,
        ]);
        assert_eq!(init.status, 0, "{init:?}");
        machine
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file beside the account.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.folder.path().join(name), content).unwrap();
        self.path(name)
    }

    pub(crate) fn run(&self, args: &[&str]) -> Answer {
        self.known.replace(None);
        self.command(args).stdin(Stdio::null()).output().unwrap().into()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealcare"));
        command.env_clear().arg("--home").arg(self.home()).args(&self.options).args(args);
        command
    }

    /// Runs a command that succeeds, for its JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let answer = self.run(&[args, &["--json"]].concat());
        assert_eq!(answer.status, 0, "{args:?}: {answer:?}");
        serde_json::from_str(&answer.out).unwrap()
    }

    /// Runs a command that must fail with `status`, leave the account as it was, say `word` on standard error and
    /// nothing on standard output.
    pub(crate) fn refused(&self, args: &[&str], status: i32, word: &str) {
        let known = self.known.take();
        let before = known.unwrap_or_else(|| self.state());
        let answer = self.run(args);
        assert_eq!(answer.status, status, "{args:?}: {answer:?}");
        assert!(answer.err.contains(word), "{args:?}: {word:?} in {answer:?}");
        assert!(answer.out.is_empty(), "{args:?}: {answer:?}");
        assert!(!answer.err.contains("Rosa") && !answer.err.contains("panicked"), "{answer:?}");
        let after = self.state();
        assert_eq!(after, before, "{args:?}");
        self.known.replace(Some(after));
    }

    /// As [`Self::refused`] for what is refused by others: a note of the attempt may be kept, nothing that shows.
    pub(crate) fn turned_away(&self, args: &[&str], status: i32, word: &str) {
        let known = self.known.take();
        let before = known.unwrap_or_else(|| self.json(&["status"]));
        let answer = self.run(args);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.err.contains(word) && answer.out.is_empty(), "{word:?} in {answer:?}");
        assert!(!answer.err.contains("Rosa") && !answer.err.contains("panicked"), "{answer:?}");
        let after = self.json(&["status"]);
        assert_eq!(after, before);
        self.known.replace(Some(after));
    }

    /// Everything that can be seen of the account, the number of stored values included; null without one.
    pub(crate) fn state(&self) -> Value {
        if !Path::new(&self.home()).join("vault/header").exists() {
            return Value::Null;
        }
        Value::Array(vec![self.json(&["status"]), self.json(&["doctor", "--offline"])])
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
