//! The life of a server: its two arguments, the port it prints, and its end when standard input closes.

// A server tells its port and its counters on standard output; that is its interface.
#![allow(clippy::print_stdout)]

use std::io::{self, Write};
use std::{env, process};

use crate::mode::Mode;
use crate::{affinity, allocations};

/// What the server's user asked for.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// The work.
    pub mode: Mode,
}

impl Order {
    /// Reads `MODE CPU` and pins the process.
    ///
    /// # Errors
    ///
    /// Wrong arguments, or a CPU that does not exist.
    pub fn take() -> io::Result<Self> {
        let mut words = env::args().skip(1);
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidInput, what);
        let mode = words.next().ok_or_else(|| wrong("usage: server MODE CPU".into()))?;
        let mode = mode.parse().map_err(wrong)?;
        if let Some(cpu) = words.next() {
            let cpu = cpu.parse().map_err(|_| wrong(format!("no CPU {cpu:?}")))?;
            affinity::pin(cpu)?;
        }
        Ok(Self { mode })
    }
}

/// Tells the port, on a line of its own.
///
/// # Errors
///
/// A closed standard output.
pub fn announce(port: u16) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{port}")?;
    out.flush()
}

/// Ends the process; to be called when standard input can be read, which is when it was closed.
///
/// Every server waits for that in its own loop, among its connections: a second thread would make libc's calls dearer for all of them.
pub fn end() -> ! {
    let made = allocations::so_far();
    println!("allocations {} {}", made.count, made.bytes);
    process::exit(0);
}
