//! Processor time: of this process, and of another one.

use std::{fs, time::Duration};

use anyhow::Context as _;

/// Processor time that this process has used, all threads, user and system together.
pub(crate) fn own() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(used).unwrap_or_default()
}

/// Processor time that process `id` has used, to the clock tick (10 ms).
///
/// # Errors
/// If the process is gone, or the system has no `/proc`.
pub(crate) fn of(id: u32) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).context("reading /proc")?;
    let ticks = ticks(&text).context("/proc has another form than expected")?;
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?)
}

/// `utime` + `stime`, fields 14 and 15 of proc(5); the name before them may hold anything but ends with `)`.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 90 91 92 93 120 34 96 97 20 0 1 0 55";
        assert_eq!(ticks(stat), Some(154));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn work_takes_processor_time() {
        let before = own();
        let sum = (0..10_000_000u64).fold(0, |sum: u64, n| std::hint::black_box(sum ^ n));
        assert!(own() > before, "{sum}");
    }
}
