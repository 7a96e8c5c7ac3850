//! The command line of `compare`.

use std::env;
use std::str::FromStr;
use std::time::Duration;

/// How to call it.
pub(crate) const USAGE: &str = "usage: compare echo|chatty|churn|idle|bulk|udp|tls|tls-idle|apps|wakeup|timers|subprocess|list \
[--rounds N] [--seconds S] [--connections N,..] [--size BYTES,..] [--depth N,..] [--only SYSTEM,..] [--syscalls] [--instructions]";

/// What to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bench {
    /// Nothing; says what there is.
    List,
    Echo,
    Chatty,
    Churn,
    Idle,
    Bulk,
    Tls,
    TlsIdle,
    Udp,
    /// Others' generators against the examples.
    Apps,
    Wakeup,
    Timers,
    Subprocess,
}

/// What to compare, and how thoroughly.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) bench: Bench,
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
    /// Empty lists stand for the bench's own cells.
    pub(crate) connections: Vec<usize>,
    pub(crate) sizes: Vec<usize>,
    pub(crate) depths: Vec<usize>,
    /// Systems whose name begins like one of these; all when empty.
    pub(crate) only: Vec<String>,
    pub(crate) syscalls: bool,
    pub(crate) instructions: bool,
}

impl Arguments {
    pub(crate) fn read() -> Result<Self, String> {
        // `cargo run -- -- NAME` and `cargo run -- NAME` are to be the same.
        let mut words = env::args().skip(1).skip_while(|word| word == "--");
        let bench = match words.next().as_deref() {
            Some("echo") => Bench::Echo,
            Some("chatty") => Bench::Chatty,
            Some("churn") => Bench::Churn,
            Some("idle") => Bench::Idle,
            Some("bulk") => Bench::Bulk,
            Some("tls") => Bench::Tls,
            Some("tls-idle") => Bench::TlsIdle,
            Some("udp") => Bench::Udp,
            Some("apps") => Bench::Apps,
            Some("wakeup") => Bench::Wakeup,
            Some("timers") => Bench::Timers,
            Some("subprocess") => Bench::Subprocess,
            Some("list") => Bench::List,
            _ => return Err(USAGE.into()),
        };
        let mut arguments = Self {
            bench,
            rounds: 5,
            time: Duration::from_secs(1),
            connections: Vec::new(),
            sizes: Vec::new(),
            depths: Vec::new(),
            only: Vec::new(),
            syscalls: false,
            instructions: false,
        };
        while let Some(flag) = words.next() {
            match flag.as_str() {
                "--syscalls" => arguments.syscalls = true,
                "--instructions" => arguments.instructions = true,
                _ => {
                    let value =
                        words.next().ok_or_else(|| format!("{flag} wants a value\n{USAGE}"))?;
                    arguments.set(&flag, &value)?;
                }
            }
        }
        Ok(arguments)
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<(), String> {
        match flag {
            "--rounds" => self.rounds = number(flag, value, 1..=1000)?,
            "--seconds" => self.time = Duration::from_secs_f64(number(flag, value, 0.05..=60.0)?),
            "--connections" => self.connections = numbers(flag, value, 1..=15_000)?,
            "--size" => self.sizes = numbers(flag, value, 1..=1024 * 1024)?,
            "--depth" => self.depths = numbers(flag, value, 1..=1024)?,
            "--only" => self.only = value.split(',').map(str::to_owned).collect(),
            _ => return Err(format!("no option {flag}\n{USAGE}")),
        }
        Ok(())
    }

    /// Whether the system called `name` takes part.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|prefix| name.starts_with(prefix.as_str()))
    }
}

fn numbers(
    flag: &str,
    value: &str,
    range: std::ops::RangeInclusive<usize>,
) -> Result<Vec<usize>, String> {
    value.split(',').map(|word| number(flag, word, range.clone())).collect()
}

fn number<N>(flag: &str, value: &str, range: std::ops::RangeInclusive<N>) -> Result<N, String>
where
    N: FromStr + PartialOrd + std::fmt::Debug,
{
    match value.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("{flag} wants numbers in {range:?}, not {value:?}")),
    }
}
