//! How much of the CPUs other processes took: rounds that they disturbed are run again, and the table says how quiet it was.

use std::thread;
use std::time::Duration;
use std::{fs, io};

/// What others may take of the CPUs in a round that counts.
const TOLERATED: f64 = 0.05;

/// Rounds that are tried for each one that is wanted.
const TRIES: usize = 3;

/// Between a disturbed round and the next; compilers come in bursts.
const PAUSE: Duration = Duration::from_secs(1);

/// The rounds that were disturbed least.
pub(crate) struct Rounds<T> {
    pub(crate) kept: Vec<T>,
    /// What to know before believing them.
    pub(crate) remark: String,
}

/// Runs `count` rounds that nobody disturbed, if they can be had.
pub(crate) fn rounds<T>(
    count: usize,
    mut round: impl FnMut() -> io::Result<T>,
) -> io::Result<Rounds<T>> {
    let mut all: Vec<(f64, T)> = Vec::with_capacity(count);
    let mut quiet = 0;
    while quiet < count && all.len() < TRIES * count {
        let accounts = Accounts::read();
        let result = round()?;
        let others = accounts.others_since();
        all.push((others, result));
        if others <= TOLERATED {
            quiet += 1;
        } else {
            thread::sleep(PAUSE);
        }
    }
    let tried = all.len();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.truncate(count);
    let most = all.last().map_or(0.0, |(others, _)| others * 100.0);
    let remark = format!(
        "Other processes took at most {most:.0} % of the CPUs in these rounds; {} others were dropped.",
        tried - all.len()
    );
    Ok(Rounds { kept: all.into_iter().map(|(_, result)| result).collect(), remark })
}

/// A reading of the kernel's accounts, in ticks.
struct Accounts {
    total: u64,
    busy: u64,
    own: u64,
}

impl Accounts {
    fn read() -> Self {
        let (total, busy) = machine();
        Self { total, busy, own: own() }
    }

    /// What part of all CPU time others took since this reading, the host of a virtual machine among them.
    fn others_since(&self) -> f64 {
        let now = Self::read();
        let others = (now.busy - self.busy).saturating_sub(now.own - self.own);
        others as f64 / (now.total - self.total).max(1) as f64
    }
}

/// All ticks of all CPUs, and those that were not idle.
fn machine() -> (u64, u64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> =
        line.split_ascii_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; what follows is contained in user and nice.
    let total: u64 = ticks.iter().take(8).sum();
    let idle: u64 = ticks.iter().skip(3).take(2).sum();
    (total, total - idle)
}

/// The ticks of this process and of the servers that it has waited for.
fn own() -> u64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    // Counted from the state: utime stime cutime cstime.
    after_name
        .split_ascii_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|word| word.parse::<u64>().ok())
        .sum()
}
