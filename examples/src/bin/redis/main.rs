//! A server for clients of Redis: strings that expire, in memory.
//!
//! It does PING, ECHO, SET (EX, PX), GET, DEL, EXISTS, INCR, DECR, INCRBY, EXPIRE, TTL, DBSIZE and QUIT; requests may
//! be pipelined, and may be words on a line, which are not quoted here.
//! SIGTERM and Ctrl-C end it: what was asked until then is answered, and clients that do not take it in a moment are cut
//! off.
//! Try `redis-cli -p 6380` and `redis-benchmark -p 6380 -t set,get -P 16`; another address may be given as the first
//! argument.

mod commands;
mod connection;
mod resp;
mod store;

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use connection::{Connection, Shared};
use wharf::{EventLoop, oneshot, tcp};

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// How long clients may take to get their answers.
const GRACE: Duration = Duration::from_secs(1);

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:6380".into());
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let (stop, stopped) = oneshot();
    let stop = Rc::new(Cell::new(Some(stop)));
    for signal in [SIGINT, SIGTERM] {
        let stop = Rc::clone(&stop);
        ev.add_signal_handler(signal, move || {
            if let Some(stop) = stop.take() {
                let _ = stop.send(());
            }
        })?;
    }
    let shared: Rc<Shared> = Rc::default();
    ev.block_on(async {
        let factory = move || Connection::new(Rc::clone(&shared));
        let server = tcp::listen(&handle, address, factory).await?;
        for address in server.addresses() {
            writeln!(io::stdout(), "listening on {address}")?;
        }
        // It can only fail by the end of its sender, which is an end too.
        let _ = stopped.await;
        server.close_clients();
        let report = server.drain(GRACE).await;
        writeln!(io::stdout(), "{report}")
    })
}
