//! Pins the calling thread to one CPU, so that server and generator never share one by chance.

use std::io;

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
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}
