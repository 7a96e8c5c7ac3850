//! The same servers on wharf: plain protocols, plain `write`, the default limits.

mod protocol;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use protocol::{Chatty, DatagramEcho, DatagramSink, Echo, Sink, Source};
use wharf::{Address, DatagramProtocol, EventLoop, EventLoopBuilder, IntoProtocol, tcp, tls, udp};
use wharf_benches::allocations::Counting;
use wharf_benches::load::datagrams::RECEIVE_BUFFER;
use wharf_benches::mode::{Mode, Service, Way};
use wharf_benches::secure;
use wharf_benches::serve::{self, Order};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Connections that may wait to be accepted.
const BACKLOG: u16 = 1024;

/// Longer than a round trip over loopback takes, and short enough for a connection that rests.
const BUSY: Duration = Duration::from_micros(200);

fn main() -> io::Result<()> {
    let order = Order::take()?;
    let plain = EventLoop::builder();
    match order.mode {
        Mode::Echo | Mode::Churn | Mode::Idle => run(plain, || Echo),
        Mode::EchoBusy => run(plain.busy_poll(BUSY), || Echo),
        Mode::Chatty => run(plain, Chatty::default),
        Mode::Sink => run(plain, || Sink),
        Mode::Source => run(plain, || Source),
        Mode::TlsEcho | Mode::TlsChurn => run(plain, tls::server(secure::server()?, || Echo)),
        Mode::TlsSink => run(plain, tls::server(secure::server()?, || Sink)),
        Mode::TlsSource => run(plain, tls::server(secure::server()?, || Source)),
        Mode::Datagrams(Service::Echo, Way::Plain) => run_datagrams(DatagramEcho),
        Mode::Datagrams(Service::Sink, Way::Plain) => run_datagrams(DatagramSink),
        mode => Err(io::Error::new(io::ErrorKind::Unsupported, format!("no {mode} on wharf"))),
    }
}

/// Serves until standard input closes.
fn run<P: IntoProtocol + 'static>(
    builder: EventLoopBuilder,
    factory: impl FnMut() -> P + 'static,
) -> io::Result<()> {
    let mut event_loop = builder.build()?;
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

/// The same for an endpoint of datagrams.
fn run_datagrams(protocol: impl DatagramProtocol) -> io::Result<()> {
    let mut event_loop = EventLoop::new()?;
    let handle = event_loop.handle().clone();
    handle.add_reader(io::stdin(), || serve::end())?;
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (transport, _) = event_loop.block_on(async {
        udp::bind(&handle, anywhere, || protocol).receive_buffer_size(RECEIVE_BUFFER).await
    })?;
    if let Some(Address::Ip(address)) = transport.local_addr() {
        serve::announce(address.port())?;
    }
    event_loop.run_forever()
}
