//! The peer: the same servers on tokio's current-thread runtime, as its user would write them with care.

mod apps;
mod datagrams;
mod secure;
mod serve;

use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use wharf_benches::allocations::Counting;
use wharf_benches::mode::Mode;
use wharf_benches::serve::{self as life, Order};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

fn main() -> io::Result<()> {
    let order = Order::take()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        if let Mode::Datagrams(service, _) = order.mode {
            return datagrams::serve(service).await;
        }
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(BACKLOG)?;
        end_with_standard_input()?;
        life::announce(listener.local_addr()?.port())?;
        match order.mode {
            Mode::Echo | Mode::Idle => accept(listener, serve::echo::<{ 64 * 1024 }>).await,
            Mode::Churn => accept(listener, serve::echo::<4096>).await,
            Mode::IdleLean => accept(listener, serve::echo_lean).await,
            Mode::Chatty => accept(listener, serve::chatty).await,
            Mode::ChattyBuffered => accept(listener, serve::chatty_buffered).await,
            Mode::Sink => accept(listener, serve::sink).await,
            Mode::Source => accept(listener, serve::source).await,
            Mode::SourceBuffered => accept(listener, serve::source_buffered).await,
            Mode::Resp | Mode::Http => {
                apps::prepare(order.mode);
                accept(listener, apps::serve).await
            }
            Mode::HttpHyper => accept(listener, apps::serve_with_hyper).await,
            mode if mode.is_secure() => secure::accept(listener, mode).await,
            mode => Err(io::Error::new(io::ErrorKind::Unsupported, format!("no {mode} on tokio"))),
        }
    })
}

/// Gives each connection a task of its own.
async fn accept<F, T>(listener: TcpListener, serve: F) -> io::Result<()>
where
    F: Fn(TcpStream) -> T,
    T: Future<Output = io::Result<()>> + Send + 'static,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // The end of a connection, whatever it was, is the end of its task and no more.
        tokio::spawn(serve(stream));
    }
}

/// Ends the process when standard input closes.
fn end_with_standard_input() -> io::Result<()> {
    let stdin = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    tokio::spawn(async move {
        if stdin.readable().await.is_ok() {
            life::end();
        }
    });
    Ok(())
}
