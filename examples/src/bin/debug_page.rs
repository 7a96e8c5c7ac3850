//! A debug page: an echo server, and beside it a Unix socket where one may look at what the loop is doing.
//!
//! `debug_page PATH ADDRESS` serves the page at PATH and the echo at ADDRESS.
//! Try `nc 127.0.0.1 8888` in one terminal and `nc -U /tmp/page` in another, and type `help` there.
//! Whoever may open the socket may close connections and see what they move, so it belongs into a folder of one's own.

use std::io::{self, Write};

use wharf::wire_log::{Hex, Tap};
use wharf::{
    EventLoop, LoopHandle, Lost, Protocol, Statistics, TransportId, TransportRef, tcp, unix,
};

const HELP: &str = "\
connections   what lives on the loop
listeners     what waits for connections
statistics    what the loop has counted
log ID        write what connection ID moves to stdout, from now on
quiet ID      stop that
close ID      close connection ID
";

/// A longer line ends the connection.
const LONGEST_LINE: usize = 256;

struct Page {
    handle: LoopHandle,
    partial: Vec<u8>,
}

impl Page {
    fn answer(&self, command: &str) -> String {
        let (command, id) = command.split_once(' ').unwrap_or((command, ""));
        match command {
            "connections" => self.connections(),
            "listeners" => self.listeners(),
            "statistics" => statistics(&self.handle.statistics()),
            "log" | "quiet" | "close" => match self.found(id) {
                Some(transport) => act(command, &transport),
                None => format!("there is no stream {id}\n"),
            },
            _ => HELP.to_owned(),
        }
    }

    /// A line for each; its `Display` says more.
    fn connections(&self) -> String {
        let line = |connection: wharf::LiveConnection| {
            let (id, kind, vitals) = (connection.id, &connection.kind, &connection.vitals);
            let reading = if vitals.reading { "reading" } else { "not reading" };
            format!("{id} {kind} {}, {reading}, {} B queued\n", vitals.life, vitals.queued)
        };
        self.handle.connections().into_iter().map(line).collect()
    }

    fn listeners(&self) -> String {
        self.handle.listeners().iter().map(|listener| format!("{listener}\n")).collect()
    }

    fn found(&self, id: &str) -> Option<TransportRef> {
        let number = id.trim_start_matches('#').parse().ok()?;
        self.handle.transport(TransportId::new(number))
    }
}

fn act(command: &str, transport: &TransportRef) -> String {
    let tap = transport.extra::<Tap>();
    match (command, tap) {
        ("close", _) => transport.close(),
        ("log", Some(tap)) => drop(tap.start(Hex::new(io::stdout()))),
        (_, Some(tap)) => tap.stop(),
        (_, None) => return "it cannot be logged\n".to_owned(),
    }
    "done\n".to_owned()
}

fn statistics(counted: &Statistics) -> String {
    let lost = Lost::NAMES.iter().zip(counted.lost);
    let lost: Vec<_> = lost.map(|(cause, count)| format!("{cause} {count}")).collect();
    format!(
        "turns {}\nread {} B\nwritten {} B\naccepted {}\nlost {}\nslow callbacks {}\nfaults {}\n",
        counted.turns,
        counted.bytes_read,
        counted.bytes_written,
        counted.accepted,
        lost.join(", "),
        counted.slow_callbacks,
        counted.faults,
    )
}

impl Protocol for Page {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        self.partial.extend_from_slice(data);
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.partial.drain(..=end).collect();
            let answer = self.answer(String::from_utf8_lossy(&line).trim());
            transport.write(answer.as_bytes());
        }
        if self.partial.len() > LONGEST_LINE {
            transport.fail("the line is too long".into());
        }
    }
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.write(data);
    }
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "/tmp/page".into());
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8888".into());
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let looked_at = handle.clone();
    let factory = move || Page { handle: looked_at.clone(), partial: Vec::new() };
    let (page, echo) = ev.block_on(async {
        let page = unix::listen(&handle, path, factory).await?;
        io::Result::Ok((page, tcp::listen(&handle, address, || Echo).await?))
    })?;
    for address in page.addresses().iter().chain(&echo.addresses()) {
        writeln!(io::stdout(), "listening on {address}")?;
    }
    ev.run_forever()
}
