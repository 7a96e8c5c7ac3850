//! An echo server that closes a connection on which nothing has come for a while: `idle_timeout ADDRESS SECONDS`.
//!
//! Each connection has one timer. A message only notes the time; the timer, when it is due, looks how long the silence
//! has been and either ends it or sets itself for the rest.
//! So a busy connection costs no timer operation per message.
//! Try `nc 127.0.0.1 8888` and wait.

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use wharf::{EventLoop, LoopHandle, Lost, Protocol, TimerHandle, TransportRef, tcp};

struct Echo {
    silence: Rc<Silence>,
}

/// How long nothing has come on a connection.
struct Silence {
    handle: LoopHandle,
    limit: Duration,
    /// When something came last.
    since: Cell<Instant>,
    timer: Cell<Option<TimerHandle>>,
}

impl Silence {
    fn begins(&self) {
        self.since.set(self.handle.now());
    }

    /// Closes `transport` if the limit is reached, else looks again when it could be.
    fn watch(self: Rc<Self>, transport: TransportRef) {
        let end = self.since.get() + self.limit;
        if self.handle.now() >= end {
            let _ = writeln!(io::stdout(), "{} was silent for {:?}", transport.id(), self.limit);
            transport.write(b"* bye\n");
            return transport.close();
        }
        let next = Rc::clone(&self);
        let timer = self.handle.call_at(end, move || next.watch(transport));
        self.timer.set(Some(timer));
    }
}

impl Protocol for Echo {
    fn connection_made(&mut self, transport: &TransportRef) {
        self.silence.begins();
        Rc::clone(&self.silence).watch(transport.clone());
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        self.silence.begins();
        transport.write(data);
    }

    fn connection_lost(&mut self, _: &TransportRef, _: &Lost) {
        // Otherwise the timer would keep the handle until it is due.
        if let Some(timer) = self.silence.timer.take() {
            timer.cancel();
        }
    }
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or_else(|| "127.0.0.1:8888".into());
    let seconds = args.next().unwrap_or_else(|| "10".into());
    let limit = seconds.parse().map(Duration::from_secs).map_err(io::Error::other)?;
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let on = handle.clone();
    let factory = move || {
        let (since, timer) = (Cell::new(on.now()), Cell::default());
        Echo { silence: Rc::new(Silence { handle: on.clone(), limit, since, timer }) }
    };
    let server = ev.block_on(async { tcp::listen(&handle, address, factory).await })?;
    for address in server.addresses() {
        writeln!(io::stdout(), "listening on {address}")?;
        writeln!(io::stdout(), "try: socat - TCP:{address}, and wait for {seconds} s")?;
    }
    ev.run_forever()
}
