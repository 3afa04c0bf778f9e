//! The program under test, as processes.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

/// A test that waits for longer has failed.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(30);

fn gateway(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealcare-gateway"));
    command.args(args).arg("--data").arg(dir.join("gateway"));
    command.arg("--danger-extra-roots").arg(dir.join("roots.pem"));
    command
}

/// Runs a command to its end.
pub(crate) fn run(dir: &Path, args: &[&str]) -> Ended {
    Ended(gateway(dir, args).output().unwrap())
}

/// A command that has ended.
pub(crate) struct Ended(Output);

impl Ended {
    /// Its standard output, without the last line end.
    pub(crate) fn succeeds(self) -> String {
        assert!(self.0.status.success(), "{}", String::from_utf8_lossy(&self.0.stderr));
        String::from_utf8(self.0.stdout).unwrap().trim_end().to_owned()
    }

    /// Its standard output, with this exit status.
    pub(crate) fn says_with(self, status: i32) -> String {
        assert_eq!(self.0.status.code(), Some(status), "{}", String::from_utf8_lossy(&self.0.stderr));
        String::from_utf8(self.0.stdout).unwrap()
    }

    /// With this exit status and words for people.
    pub(crate) fn ends_with(self, status: i32) {
        let text = String::from_utf8_lossy(&self.0.stderr);
        assert_eq!(self.0.status.code(), Some(status), "{text}");
        assert!(!text.is_empty() && !text.contains("panicked"));
    }
}

/// `serve`, once it listens.
pub(crate) struct Daemon(Child);

impl Daemon {
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Self {
        let mut child = gateway(dir, args).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert!(ready.starts_with("serving on "), "{ready}");
        Self(child)
    }

    /// As a crash.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// As an operator.
    pub(crate) fn stop(mut self) {
        let stopped = Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        assert!(stopped.success() && self.0.wait().unwrap().success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `records --follow --events`.
pub(crate) struct Follower {
    child: Child,
    lines: Receiver<String>,
}

impl Follower {
    pub(crate) fn start(dir: &Path) -> Self {
        let mut command = gateway(dir, &["records", "--follow", "--events"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// The next line that is such an event.
    pub(crate) fn wait_for(&mut self, event: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(WAIT_MAX).unwrap();
            if line.starts_with(&format!(r#"{{"event":"{event}""#)) {
                return line;
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
