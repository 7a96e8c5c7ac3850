//! The same servers on wharf: plain protocols, plain `write`, the default limits.

mod protocol;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use protocol::{Chatty, Echo, Sink, Source};
use wharf::{Address, EventLoop, Protocol, tcp};
use wharf_benches::allocations::Counting;
use wharf_benches::mode::Mode;
use wharf_benches::serve::{self, Order};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Connections that may wait to be accepted.
const BACKLOG: u16 = 1024;

fn main() -> io::Result<()> {
    let order = Order::take()?;
    match order.mode {
        Mode::Echo | Mode::Churn | Mode::Idle => run(|| Echo),
        Mode::Chatty => run(Chatty::default),
        Mode::Sink => run(|| Sink),
        Mode::Source => run(|| Source),
        mode => Err(io::Error::new(io::ErrorKind::Unsupported, format!("no {mode} on wharf"))),
    }
}

/// Serves until standard input closes.
fn run<P: Protocol>(factory: impl FnMut() -> P + 'static) -> io::Result<()> {
    let mut event_loop = EventLoop::new()?;
    let handle = event_loop.handle().clone();
    handle.add_reader(io::stdin(), || serve::end())?;
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = event_loop
        .block_on(async { tcp::listen(&handle, anywhere, factory).backlog(BACKLOG).await })?;
    if let Some(Address::Ip(address)) = server.addresses().first() {
        serve::announce(address.port())?;
    }
    event_loop.run_forever()
}
