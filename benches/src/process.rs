//! Readings of another process from `/proc`: its CPU time, its memory, its wake-ups.

use std::fs;
use std::io;
use std::time::Duration;

/// The CPU time of all threads of `pid` that live, in user and kernel mode together.
///
/// # Errors
///
/// The process is gone.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let nanoseconds = sum_over_threads(pid, "schedstat", |text| {
        text.split_ascii_whitespace().next().and_then(|first| first.parse().ok())
    })?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// How often a thread of `pid` gave up its CPU of its own accord: one for each wake-up.
///
/// # Errors
///
/// The process is gone.
pub fn wake_ups(pid: u32) -> io::Result<u64> {
    sum_over_threads(pid, "status", |text| {
        text.lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .and_then(|count| count.trim().parse().ok())
    })
}

/// The bytes of `pid` that no file stands behind: heap and stacks, resident now.
///
/// # Errors
///
/// The process is gone, or the kernel has no `smaps_rollup`.
pub fn memory(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("Anonymous:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "smaps_rollup has no line Anonymous")
        })
}

fn sum_over_threads(pid: u32, file: &str, value: impl Fn(&str) -> Option<u64>) -> io::Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join(file))?;
        sum += value(&text).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("{file} cannot be read"))
        })?;
    }
    Ok(sum)
}
