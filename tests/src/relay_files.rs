//! What a relay's files hold, to whoever takes its disk. Not here: what is looked for in logs (`needles`).

use std::{collections::BTreeSet, path::Path};

use sealcare_protocol::KeyId;

/// The clear part of a session's init; its last 8 bytes name an epoch key.
const INIT_HEADER_BYTES: usize = 26;
/// The beginning of every data envelope, before its counter.
const DATA_HEADER_BYTES: usize = 18;

/// All that lies in `folder`.
#[allow(clippy::unwrap_used, reason = "a story that cannot go on fails")]
pub fn contents(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().filter_map(Result::ok) {
        // A relay at work renames and removes its files.
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => all.extend(contents(&entry.path())),
            Ok(kind) if kind.is_file() => all.extend(std::fs::read(entry.path()).unwrap_or_default()),
            _ => {}
        }
    }
    all
}

/// The ids of sessions whose inits, sealed to one of these keys, are among `kept`.
pub fn sessions(kept: &[u8], epochs: &[KeyId]) -> BTreeSet<Vec<u8>> {
    let inits = kept.windows(INIT_HEADER_BYTES).filter(|header| {
        header[..2] == [1, 1] && epochs.iter().any(|epoch| header[18..] == *epoch.as_bytes())
    });
    inits.map(|header| header[2..18].to_vec()).collect()
}

/// How many data envelopes of these sessions are among `kept`.
pub fn data_envelopes(kept: &[u8], sessions: &BTreeSet<Vec<u8>>) -> usize {
    let begins_one = |header: &&[u8]| header[..2] == [1, 2] && sessions.contains(&header[2..]);
    kept.windows(DATA_HEADER_BYTES).filter(begins_one).count()
}
