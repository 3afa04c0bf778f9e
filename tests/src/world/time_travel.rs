//! Programs that live in another day: Debian's libfaketime, laid under a process, answers its questions for the time.
//! Timers go on as they are, so nothing waits longer or shorter. Not here: actors in this process, whose clock a story
//! holds ([`World::clock`](super::World)).

use std::path::{Path, PathBuf};

use tokio::process::Command;

/// Where the library may lie, below the system's folders of libraries.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
const FOLDERS: [&str; 2] = ["/usr/lib", "/usr/local/lib"];

/// The library, on a machine that has it.
#[derive(Clone, Debug)]
pub struct TimeTravel {
    library: PathBuf,
}

impl TimeTravel {
    /// Finds the library; a story that needs it and gets none says so and ends.
    pub fn found() -> Option<Self> {
        let library = FOLDERS.iter().find_map(|folder| library_below(Path::new(folder)));
        if library.is_none() {
            println!("skipped: a story of later days needs libfaketime (Debian: apt-get install faketime)");
        }
        library.map(|library| Self { library })
    }

    /// Lets `command` live so many days from now.
    pub(crate) fn send(&self, command: &mut Command, days: u32) {
        command.env("LD_PRELOAD", &self.library).env("FAKETIME", format!("+{days}d"));
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
    }
}

/// Debian keeps a folder for each architecture between.
fn library_below(folder: &Path) -> Option<PathBuf> {
    let between = std::fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    std::iter::once(folder.to_owned())
        .chain(between)
        .map(|place| place.join(LIBRARY))
        .find(|file| file.is_file())
}
