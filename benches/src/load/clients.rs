//! Others' generators: `redis-benchmark` and `wrk`, as everybody runs them.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::{Bound, Outcome, Probe, STALLED, garbled, latencies};
use crate::apps::PAGE;

/// Requests with which a server is tried, and warmed up.
const TRIED: usize = 1000;

/// What `wrk` sends where requests are pipelined.
const PIPELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pipeline.lua");

/// How many requests that script sends at once.
pub const PIPELINED: usize = 16;

/// `redis-benchmark` with 50 connections: as many SET as GET, of three bytes.
#[derive(Debug, Clone, Copy)]
pub struct RedisBenchmark {
    /// Requests in flight on each connection.
    pub depth: usize,
}

/// `wrk` with one thread.
#[derive(Debug, Clone, Copy)]
pub struct Wrk {
    /// How many connections.
    pub connections: usize,
    /// Whether requests are sent sixteen at a time.
    pub pipelined: bool,
}

impl RedisBenchmark {
    /// Tries the server, finds out how fast it is, then measures.
    ///
    /// # Errors
    ///
    /// The server stalled or answered wrongly, or the generator did not like it.
    pub fn run(
        &self,
        server: SocketAddr,
        _: Bound,
        bound: Bound,
        probe: Probe<'_>,
    ) -> io::Result<Outcome> {
        let set = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        attempt(server, set, |answer| answer.strip_prefix(b"+OK\r\n$5\r\nvalue\r\n"))?;
        let first = 20_000 * self.depth.min(4) as u64;
        let start = Instant::now();
        self.send(server, first)?;
        let each = match bound {
            Bound::Count(count) => count / 2,
            Bound::Time(time) => {
                let rate = 2.0 * first as f64 / start.elapsed().as_secs_f64();
                (rate * time.as_secs_f64() / 2.0) as u64
            }
        };
        measure(probe, || self.send(server, each).map(|()| 2 * each))
    }

    /// So many SET, then so many GET.
    fn send(&self, server: SocketAddr, each: u64) -> io::Result<()> {
        let words = format!(
            "-h {} -p {} -c 50 -P {} -n {each} -t set,get -q",
            server.ip(),
            server.port(),
            self.depth
        );
        let printed = output("redis-benchmark", &words)?;
        let is_done = |test| printed.contains(&format!("{test}: "));
        if is_done("SET") && is_done("GET") && !printed.contains("rror") {
            return Ok(());
        }
        Err(garbled(&format!("was not liked by redis-benchmark: {printed}")))
    }
}

impl Wrk {
    /// Tries the server, then measures whole seconds.
    ///
    /// # Errors
    ///
    /// The server stalled or answered wrongly, or the generator did not like it.
    pub fn run(
        &self,
        server: SocketAddr,
        _: Bound,
        bound: Bound,
        probe: Probe<'_>,
    ) -> io::Result<Outcome> {
        let Bound::Time(time) = bound else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "wrk counts seconds only"));
        };
        let get = b"GET /plaintext HTTP/1.1\r\nHost: localhost\r\n\r\n";
        attempt(server, get, |answer| {
            let text = std::str::from_utf8(answer).ok()?;
            let (head, rest) = text.split_once("\r\n\r\n")?;
            let head = head.to_ascii_lowercase();
            let wanted =
                ["http/1.1 200 ", "date: ", "content-length: 13", "content-type: text/plain"];
            let is_whole = wanted.iter().all(|line| head.contains(line));
            rest.strip_prefix(PAGE).filter(|_| is_whole).map(str::as_bytes)
        })?;
        let seconds = time.as_secs_f64().ceil().max(1.0);
        let script = if self.pipelined { format!("-s {PIPELINE}") } else { String::new() };
        let words =
            format!("-t 1 -c {} -d {seconds} {script} http://{server}/plaintext", self.connections);
        measure(probe, || {
            let printed = output("wrk", &words)?;
            let count = printed
                .split_once(" requests in ")
                .and_then(|(before, _)| before.rsplit(['\n', ' ']).next()?.parse().ok());
            match count {
                Some(count) if !printed.contains("Non-2xx") && !printed.contains("errors") => {
                    Ok(count)
                }
                _ => Err(garbled(&format!("was not liked by wrk: {printed}"))),
            }
        })
    }
}

/// Sends `request` again and again, each time when the answer has come, which `cut` cuts off.
fn attempt(
    server: SocketAddr,
    request: &[u8],
    cut: impl Fn(&[u8]) -> Option<&[u8]>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STALLED))?;
    let mut buffer = [0; 4096];
    for _ in 0..TRIED {
        stream.write_all(request)?;
        let mut filled = 0;
        loop {
            let count = stream.read(&mut buffer[filled..])?;
            filled += count;
            match cut(&buffer[..filled]) {
                Some([]) => break,
                None if count > 0 && filled < buffer.len() => {}
                _ => {
                    let answer = String::from_utf8_lossy(&buffer[..filled]).into_owned();
                    return Err(garbled(&format!("answers {answer:?}")));
                }
            }
        }
    }
    Ok(())
}

fn measure(probe: Probe<'_>, work: impl FnOnce() -> io::Result<u64>) -> io::Result<Outcome> {
    let cpu = probe()?;
    let start = Instant::now();
    let operations = work()?;
    let elapsed = start.elapsed();
    Ok(Outcome { operations, elapsed, cpu: probe()?.saturating_sub(cpu), latencies: latencies() })
}

/// Runs a generator to its end and gives what it printed.
fn output(program: &str, words: &str) -> io::Result<String> {
    let mut command = Command::new(program);
    command.args(words.split_ascii_whitespace()).stdin(Stdio::null());
    let output = command.output()?;
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    if output.status.success() {
        return Ok(printed);
    }
    Err(io::Error::other(format!("{program}: {}: {printed}", output.status)))
}
