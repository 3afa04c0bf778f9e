//! A patient's phone: a home, and the command line that a person types.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;

use super::Stage;
use crate::world::{Ended, Role, soon};

/// What every patient types; its home is its own.
pub const PASSPHRASE: &str = "correct horse battery";
/// Between two passes of one who waits for an answer; it is the answer that is awaited.
const PACE: Duration = Duration::from_millis(50);

/// A patient's phone.
pub struct Phone {
    stage: Arc<Stage>,
    home: String,
    passphrase_file: String,
}

impl Phone {
    /// One that holds nothing yet.
    pub(super) fn new(stage: &Arc<Stage>, home: &str) -> Self {
        let passphrase_file = stage.file("passphrase", PASSPHRASE);
        Self { stage: Arc::clone(stage), home: home.to_owned(), passphrase_file }
    }

    /// The same, opened with another passphrase.
    #[must_use]
    pub fn with_passphrase(&self, passphrase: &str) -> Self {
        let passphrase_file = self.stage.file("other-passphrase", passphrase);
        Self { stage: Arc::clone(&self.stage), home: self.home.clone(), passphrase_file }
    }

    /// Where its account lies.
    pub fn home(&self) -> PathBuf {
        self.stage.place(&self.home)
    }

    /// Runs a command.
    pub async fn tries(&self, args: &[&str]) -> Ended {
        self.stage.run(Role::Patient, self.stage.patient_args(&self.home, &self.passphrase_file, args)).await
    }

    /// A command that goes well: what it printed.
    pub async fn does(&self, args: &[&str]) -> String {
        let ended = self.tries(args).await;
        assert_eq!(ended.status, 0, "{args:?}: {ended:?}");
        ended.out
    }

    /// A command that goes well: the object that it printed.
    pub async fn tells(&self, args: &[&str]) -> Value {
        let out = self.does(&[args, &["--json"]].concat()).await;
        serde_json::from_str(&out).unwrap()
    }

    /// A command that is refused in words for people, which are returned.
    pub async fn is_refused(&self, args: &[&str]) -> String {
        let ended = self.tries(args).await;
        assert!(ended.status != 0 && !ended.err.is_empty(), "{args:?}: {ended:?}");
        assert!(!ended.err.contains("panicked"), "{ended:?}");
        ended.err
    }

    /// Runs a command, and kills it once the account's database has grown by so many bytes.
    pub async fn is_killed_after(&self, bytes: u64, args: &[&str]) {
        let files = ["vault.db", "vault.db-wal"].map(|name| self.home().join("vault").join(name));
        let size = || files.iter().map(|file| file.metadata().map_or(0, |file| file.len())).sum::<u64>();
        let before = size();
        let args = self.stage.patient_args(&self.home, &self.passphrase_file, args);
        let mut program = self.stage.start(Role::Patient, args);
        while size() < before + bytes {
            assert!(program.is_running(), "it ended before it could be killed");
            tokio::task::yield_now().await;
        }
        program.kill().await;
    }

    /// Imports FHIR resources.
    pub async fn imports<const COUNT: usize>(&self, resources: [String; COUNT]) {
        let file = self.stage.file(&format!("{}.ndjson", self.home), resources.join("\n"));
        self.does(&["import", "--yes", &file]).await;
    }

    /// Its only grant, as `status` tells it.
    pub async fn grant(&self) -> Value {
        self.tells(&["status"]).await["grants"][0].take()
    }

    /// Shares again and again, for ever.
    pub(super) async fn shares_on(&self) {
        let mut pace = tokio::time::interval(PACE);
        loop {
            pace.tick().await;
            // Somebody who does not answer is asked again.
            let _ = self.tries(&["share"]).await;
        }
    }

    /// Shares again and again until its grant is as wanted.
    pub async fn shares_until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut pace = tokio::time::interval(PACE);
        let sharing = async {
            loop {
                pace.tick().await;
                // Somebody who does not answer is asked again.
                let _ = self.tries(&["share"]).await;
                let grant = self.grant().await;
                if is_so(&grant) {
                    return grant;
                }
            }
        };
        soon(what, sharing).await
    }

    /// Shares until so many records have arrived and nothing waits.
    pub async fn shares_all(&self, confirmed: u64) {
        let is_so = |grant: &Value| grant["confirmed"] == confirmed && grant["pending"] == 0;
        self.shares_until("everything arrives", is_so).await;
    }

    /// A copy of everything that it holds.
    #[must_use]
    pub fn copied(&self, home: &str) -> Self {
        copy_folder(&self.home(), &self.stage.place(home));
        Self::new(&self.stage, home)
    }
}

/// Copies a folder, which must be new at its place.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}
