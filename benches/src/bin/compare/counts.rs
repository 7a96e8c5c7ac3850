//! Counts per operation: system calls under strace, user instructions under callgrind, allocations as the servers tell.
//!
//! Each count is the slope between two fixed amounts of work, so that starting and ending cost nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use wharf_benches::allocations::Allocations;
use wharf_benches::child::Server;
use wharf_benches::load::Bound;
use wharf_benches::spread::Figure;

use crate::arguments::Arguments;
use crate::cells::{Cell, Work};
use crate::systems::System;
use crate::table::{self, row};

/// Before the counted work, in both amounts alike.
fn warm_up(work: Work) -> Bound {
    Bound::Count(work.amounts()[0] / 4)
}

/// Counts rarer than this per operation are left out of the list of names.
const RARE: f64 = 0.005;

/// Counts a cell and prints its table.
pub(crate) fn run(cell: &Cell, arguments: &Arguments) -> io::Result<()> {
    let strace = arguments.syscalls && is_there("strace");
    let valgrind = arguments.instructions && is_there("valgrind");
    let mut rows = vec![row![
        "system",
        "user instructions",
        "system calls",
        "which",
        "allocations",
        "bytes allocated"
    ]];
    for system in &cell.systems {
        let name = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}, {}: {error}", system.name, cell.work))
        };
        let calls =
            if strace { Some(system_calls(cell.work, *system).map_err(name)?) } else { None };
        let instructions =
            if valgrind { Some(instructions(cell.work, *system).map_err(name)?) } else { None };
        let (allocations, bytes) = allocations(cell.work, *system).map_err(name)?;
        rows.push(row![
            system.name,
            instructions.map_or_else(|| "-".to_owned(), |count| Figure(count).to_string()),
            calls.as_ref().map_or_else(
                || "-".to_owned(),
                |calls| format!("{:.2}", calls.values().sum::<f64>())
            ),
            calls.as_ref().map_or_else(String::new, by_name),
            format!("{allocations:.2}"),
            Figure(bytes),
        ]);
    }
    table::print(&format!("{}, per {}", cell.work, cell.work.unit()), &rows);
    Ok(())
}

/// Whether a tool can be run; says so when not.
fn is_there(tool: &str) -> bool {
    let found = Command::new(tool)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        println!("{tool} is not installed: what it counts is skipped");
    }
    found
}

fn allocations(work: Work, system: System) -> io::Result<(f64, f64)> {
    let [(few, less), (many, more)] = both(work, |amount| {
        let server = Server::start(system.binary, system.mode, &[])?;
        let done = load(work, &server, amount)?;
        Ok((done, server.finish()?))
    })?;
    let per =
        |greater: u64, lesser: u64| greater.saturating_sub(lesser) as f64 / (many - few) as f64;
    let (Allocations { count: c1, bytes: b1 }, Allocations { count: c2, bytes: b2 }) = (less, more);
    Ok((per(c2, c1), per(b2, b1)))
}

fn instructions(work: Work, system: System) -> io::Result<f64> {
    let [(few, less), (many, more)] = both(work, |amount| {
        let file = Scratch::new("callgrind");
        let out = format!("--callgrind-out-file={}", file.0.display());
        let wrapper = ["valgrind", "--quiet", "--tool=callgrind", &out].map(OsStr::new);
        let server = Server::start(system.binary, system.mode, &wrapper)?;
        let done = load(work, &server, amount)?;
        server.finish()?;
        Ok((done, executed(&file.0)?))
    })?;
    Ok((more as f64 - less as f64) / (many - few) as f64)
}

/// The instructions that a callgrind file sums up.
fn executed(file: &Path) -> io::Result<u64> {
    let text = fs::read_to_string(file)?;
    text.lines()
        .find_map(|line| line.strip_prefix("summary:").or_else(|| line.strip_prefix("totals:")))
        .and_then(|rest| rest.trim().parse().ok())
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "the callgrind file has no summary")
        })
}

fn system_calls(work: Work, system: System) -> io::Result<BTreeMap<String, f64>> {
    let [(few, less), (many, more)] = both(work, |amount| {
        let file = Scratch::new("strace");
        let wrapper = [
            OsStr::new("strace"),
            OsStr::new("-f"),
            OsStr::new("-c"),
            OsStr::new("-o"),
            file.0.as_os_str(),
        ];
        let server = Server::start(system.binary, system.mode, &wrapper)?;
        let done = load(work, &server, amount)?;
        server.finish()?;
        Ok((done, called(&file.0)?))
    })?;
    let mut slopes = BTreeMap::new();
    for (name, count) in more {
        let extra = count.saturating_sub(less.get(&name).copied().unwrap_or(0));
        slopes.insert(name, extra as f64 / (many - few) as f64);
    }
    Ok(slopes)
}

/// Calls by name, from strace's summary: percent, seconds, per call, calls, errors if any, name.
fn called(file: &Path) -> io::Result<BTreeMap<String, u64>> {
    let text = fs::read_to_string(file)?;
    let mut calls = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (Some(Ok(count)), Some(name)) = (words.get(3).map(|word| word.parse()), words.last())
        else {
            continue;
        };
        if *name != "total" {
            calls.insert((*name).to_owned(), count);
        }
    }
    Ok(calls)
}

fn by_name(calls: &BTreeMap<String, f64>) -> String {
    let mut calls: Vec<_> = calls.iter().filter(|(_, count)| **count >= RARE).collect();
    calls.sort_by(|a, b| b.1.total_cmp(a.1));
    calls.iter().map(|(name, count)| format!("{name} {count:.2}")).collect::<Vec<_>>().join(", ")
}

/// Runs `once` with both amounts of work.
fn both<T>(work: Work, once: impl Fn(u64) -> io::Result<T>) -> io::Result<[T; 2]> {
    let [few, many] = work.amounts();
    Ok([once(few)?, once(many)?])
}

/// Does `amount` of the work and gives how much it became.
fn load(work: Work, server: &Server, amount: u64) -> io::Result<u64> {
    let outcome =
        work.run(server.address(), warm_up(work), Bound::Count(amount), &|| Ok(Duration::ZERO))?;
    Ok(outcome.operations)
}

/// A file that is gone when the value is.
struct Scratch(PathBuf);

impl Scratch {
    fn new(tool: &str) -> Self {
        Self(env::temp_dir().join(format!("wharf-compare-{}.{tool}", process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Not there is as good as removed.
        let _ = fs::remove_file(&self.0);
    }
}
