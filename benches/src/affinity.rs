//! Pins the calling thread to one CPU, so that server and generator never share one by chance.

use std::io;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// The CPU the servers run on.
pub const SERVER_CPU: usize = 0;

/// The CPU the generator runs on.
pub const GENERATOR_CPU: usize = 1;

/// Pins the calling thread, and what it starts from now on, to `cpu`.
///
/// # Errors
///
/// The kernel's refusal, such as `EINVAL` when there is no such CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    set(None, cpu)
}

/// Pins another process, which has one thread, to `cpu`.
///
/// # Errors
///
/// The kernel's refusal, and `InvalidInput` when no process has such a number.
pub fn pin_process(pid: u32, cpu: usize) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    set(Some(pid.ok_or(io::ErrorKind::InvalidInput)?), cpu)
}

fn set(pid: Option<Pid>, cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(pid, &set)?)
}
