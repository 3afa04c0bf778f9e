//! Looks for the patient in everything that the relay has: its disk, its logs and, where `/proc` is, its
//! memory; as plain bytes, hex, base64 and UTF-16. Before it looks, it plants a marker in each place and
//! must find that, so that "nothing found" means something.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use aho_corasick::AhoCorasick;
use data_encoding::{BASE64_NOPAD, HEXLOWER, HEXUPPER};

/// Shorter needles would be found in noise.
const NEEDLE_BYTES_MIN: usize = 6;
/// Of the texts that many records have, such as identifiers, this many are searched for, spread evenly.
const SAMPLED_MAX: usize = 400;
/// Read at a time; successive reads overlap by the longest needle.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// Texts of the patient.
#[derive(Default)]
pub(crate) struct Texts {
    /// Name, birth date, lot numbers, JSON fragments: every one is searched for.
    pub(crate) every: BTreeSet<String>,
    /// Identifiers and names of what was measured: searched for up to a number.
    pub(crate) sampled: BTreeSet<String>,
}

/// What must not be found, in every encoding.
pub(crate) struct Needles {
    automaton: AhoCorasick,
    longest: usize,
}

impl Needles {
    /// From the patient's texts; those below 6 bytes are left out.
    pub(crate) fn new(texts: &Texts) -> anyhow::Result<Self> {
        let step = texts.sampled.len().div_ceil(SAMPLED_MAX).max(1);
        let chosen = texts.every.iter().chain(texts.sampled.iter().step_by(step));
        let long = chosen.filter(|text| text.len() >= NEEDLE_BYTES_MIN);
        let patterns: BTreeSet<Vec<u8>> = long.flat_map(|text| encodings(text)).collect();
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(1);
        Ok(Self { automaton: AhoCorasick::new(patterns)?, longest })
    }

    fn of(text: &str) -> anyhow::Result<Self> {
        Self::new(&Texts { every: [text.to_owned()].into(), ..Texts::default() })
    }

    fn count(&self, bytes: &[u8]) -> usize {
        self.automaton.find_iter(bytes).count()
    }

    /// Hits in a stream, read in overlapping chunks. A hit within an overlap may count twice; none is missed.
    fn count_in(&self, mut source: impl io::Read) -> io::Result<usize> {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + self.longest);
        let mut hits = 0;
        loop {
            let kept = chunk.len();
            let read = source.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
            if read == 0 {
                return Ok(hits);
            }
            hits += self.count(&chunk);
            let tail = chunk.len().saturating_sub(self.longest - 1).min(kept + read);
            chunk.drain(..tail);
        }
    }
}

/// A text as a relay might hold it: bytes, hex, base64 at each alignment, UTF-16 of both orders.
fn encodings(text: &str) -> Vec<Vec<u8>> {
    let bytes = text.as_bytes();
    let wide = |to: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to).collect::<Vec<u8>>();
    let mut all = vec![
        bytes.to_vec(),
        HEXLOWER.encode(bytes).into_bytes(),
        HEXUPPER.encode(bytes).into_bytes(),
        wide(u16::to_le_bytes),
        wide(u16::to_be_bytes),
    ];
    for shift in 0..3 {
        // The letters that depend on these bytes only, wherever they stand in a longer text.
        let shifted = [&[0; 2][..shift], bytes].concat();
        let letters = BASE64_NOPAD.encode(&shifted);
        let (from, to) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
        if to - from >= NEEDLE_BYTES_MIN {
            all.push(letters.as_bytes()[from..to].to_vec());
            all.push(letters[from..to].replace('+', "-").replace('/', "_").into_bytes());
        }
    }
    all
}

/// Where the relay keeps things.
pub(crate) struct RelayPlaces<'a> {
    /// Its data folder.
    pub(crate) data: &'a Path,
    /// Its log file.
    pub(crate) log: &'a Path,
    /// Its process.
    pub(crate) process: u32,
    /// A text that was put into the process's environment when it was started.
    pub(crate) marker: &'a str,
}

impl RelayPlaces<'_> {
    /// Hits of `needles` everywhere.
    ///
    /// # Errors
    /// A place that cannot be read, or a planted marker that is not found.
    pub(crate) fn search(&self, needles: &Needles) -> anyhow::Result<usize> {
        self.prove()?;
        let disk: usize =
            self.files()?.iter().map(|f| needles.count_in(File::open(f)?)).sum::<io::Result<_>>()?;
        Ok(disk + memory_hits(self.process, needles)?.unwrap_or(0))
    }

    /// Plants the marker on disk and in the log, and finds it there and in memory.
    fn prove(&self) -> anyhow::Result<()> {
        let needles = Needles::of(self.marker)?;
        let planted = self.data.join("planted-marker");
        fs::write(&planted, HEXLOWER.encode(self.marker.as_bytes()))?;
        writeln!(OpenOptions::new().append(true).open(self.log)?, "{}", self.marker)?;
        let files = self.files()?;
        for place in [planted.as_path(), self.log] {
            let is_searched = files.iter().any(|file| file == place);
            let is_found = is_searched && needles.count_in(File::open(place)?)? > 0;
            anyhow::ensure!(
                is_found,
                "the search did not find a marker planted on the relay's disk or in its log"
            );
        }
        fs::remove_file(&planted)?;
        anyhow::ensure!(
            memory_hits(self.process, &needles)? != Some(0),
            "the search did not find a marker planted in the relay's memory"
        );
        Ok(())
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let mut files = vec![self.log.to_owned()];
        let mut folders = vec![self.data.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() {
                    files.push(entry.path());
                }
            }
        }
        Ok(files)
    }
}

/// Hits in the memory that a process can have written; `None` where there is no `/proc`.
fn memory_hits(process: u32, needles: &Needles) -> io::Result<Option<usize>> {
    let Ok(maps) = fs::read_to_string(format!("/proc/{process}/maps")) else { return Ok(None) };
    let mut memory = File::open(format!("/proc/{process}/mem"))?;
    let mut hits = 0;
    for (from, to) in maps.lines().filter_map(writable_range) {
        if memory.seek(SeekFrom::Start(from)).is_ok() {
            hits += needles.count_in(UntilUnreadable((&mut memory).take(to - from)))?;
        }
    }
    Ok(Some(hits))
}

/// A mapping that goes away meanwhile, or a guard page, ends what can be read of it.
struct UntilUnreadable<R>(R);

impl<R: io::Read> io::Read for UntilUnreadable<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.0.read(buffer).unwrap_or(0))
    }
}

/// `from-to rw-p …`: the program's own text and constants are not data that it received.
fn writable_range(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    let (from, to) = range.split_once('-')?;
    let parse = |hex| u64::from_str_radix(hex, 16).ok();
    rest.starts_with("rw").then_some((parse(from)?, parse(to)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needles(text: &str) -> Needles {
        Needles::of(text).unwrap()
    }

    #[test]
    fn a_text_is_found_in_every_encoding_at_every_place() {
        let text = "Ferreira Lima";
        let needles = needles(text);
        for prefix in ["", "a", "ab", "abc"] {
            let longer = format!("{prefix}{text}zz");
            assert!(needles.count(BASE64_NOPAD.encode(longer.as_bytes()).as_bytes()) > 0, "{prefix}");
            assert!(needles.count(HEXUPPER.encode(longer.as_bytes()).as_bytes()) > 0);
            let wide: Vec<u8> = longer.encode_utf16().flat_map(u16::to_le_bytes).collect();
            assert!(needles.count(&wide) > 0);
        }
        assert_eq!(needles.count(b"Ferreira, Lima"), 0);
    }

    #[test]
    fn a_hit_across_two_reads_is_not_missed() {
        let needles = needles("Ferreira Lima");
        let mut bytes = vec![0; CHUNK_BYTES - 5];
        bytes.extend_from_slice(b"Ferreira Lima");
        bytes.resize(3 * CHUNK_BYTES, 0);
        assert_eq!(needles.count_in(&*bytes).unwrap(), 1);
    }

    #[test]
    fn the_name_is_searched_for_however_many_records_there_are() {
        let every = ["Ferreira Lima".to_owned()].into();
        let sampled = (0..20_000).map(|n| format!("record-{n:05}")).collect();
        let needles = Needles::new(&Texts { every, sampled }).unwrap();
        assert_eq!(needles.count(b"of Ferreira Lima"), 1);
        let found = (0..20_000).filter(|n| needles.count(format!("record-{n:05}").as_bytes()) > 0).count();
        assert_eq!(found, SAMPLED_MAX);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_holds_what_it_holds() {
        let secret = format!("needle-{}", std::process::id());
        assert_ne!(memory_hits(std::process::id(), &needles(&secret)).unwrap(), Some(0));
    }
}
