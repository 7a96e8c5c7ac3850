//! A server of HTTP/1.1: pages, and bodies that are sent back as they come.
//!
//! Requests may be pipelined, bodies have a size or come in chunks, and everything has a limit: heads, bodies, bursts
//! and times (`limits.rs`).
//! SIGTERM and Ctrl-C end it: answers that have begun are finished, and clients that are still there after a moment are
//! cut off.
//! Try `curl http://127.0.0.1:8080/`, `curl -T FILE http://127.0.0.1:8080/echo` and
//! `wrk -c 64 http://127.0.0.1:8080/plaintext`; another address may be given as the first argument.
//! With `--tls` it speaks HTTPS, with a certificate that is made when it starts; behind that may stand the file for the
//! certificate to trust.

mod answer;
mod body;
mod connection;
mod date;
mod limits;
mod request;
mod routes;
mod site;
mod status;

use std::cell::Cell;
use std::io::{self, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use connection::Connection;
use limits::Limits;
use site::Site;
use wharf::tls::config::server;
use wharf::{EventLoop, oneshot, tcp, tls};
use wharf_examples::throwaway::{self, Throwaway};

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// How long clients may take to get their answers.
const GRACE: Duration = Duration::from_secs(5);

/// Connections that may wait to be accepted.
const BACKLOG: u16 = 1024;

/// What the command line asks for.
struct Order {
    address: String,
    /// Where the certificate of the throw-away authority goes.
    trust: Option<PathBuf>,
}

impl Order {
    fn read() -> Self {
        let mut args = std::env::args().skip(1).peekable();
        let address = args.next_if(|arg| arg != "--tls").unwrap_or_else(|| "127.0.0.1:8080".into());
        let trust =
            args.next().map(|_| args.next().map_or_else(throwaway::usual_place, PathBuf::from));
        Self { address, trust }
    }
}

fn main() -> io::Result<()> {
    let order = Order::read();
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
    let site = Site::new(Limits::default());
    let on = Rc::clone(&site);
    let factory = move || Connection::new(&on);
    let listen = match &order.trust {
        None => tcp::listen(&handle, order.address, factory),
        Some(trust) => {
            let authority = Throwaway::new()?;
            authority.publish(trust)?;
            let identity = authority.identity(&["localhost", "127.0.0.1"])?;
            let config = server(identity).alpn(["http/1.1"]).build()?;
            tcp::listen(&handle, order.address, tls::server(config, factory))
        }
    };
    ev.block_on(async {
        let server = listen.backlog(BACKLOG).await?;
        for address in server.addresses() {
            writeln!(io::stdout(), "listening on {address}")?;
            match &order.trust {
                None => writeln!(io::stdout(), "try: curl http://{address}/")?,
                Some(trust) => {
                    let trust = trust.display();
                    writeln!(io::stdout(), "try: curl --cacert {trust} https://{address}/")?;
                }
            }
        }
        // It can only fail by the end of its sender, which is an end too.
        let _ = stopped.await;
        server.close();
        site.stop();
        let report = server.drain(GRACE).await;
        writeln!(io::stdout(), "{report}")
    })
}
