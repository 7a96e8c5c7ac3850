//! Scenarios of connecting: refusals, races of addresses, Unix sockets.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use super::peer::{FullListener, dead_port};
use super::performance::perform;
use super::python::{Python, Raised, classified, errno};
use super::recorder::Recorder;
use super::scene::Scene;
use crate::support::Folder;
use wharf::tcp::ConnectError;
use wharf::{Address, UnixAddress, tcp, unix};

fn loopback(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], port))
}

#[test]
fn s31_what_cannot_be_connected_says_why() {
    perform("S31", async |scene| {
        let port = dead_port();
        let of_the_factory = scene.clone();
        let factory = move || Recorder::new(&of_the_factory, "A");
        let connect = |to: Vec<SocketAddr>| tcp::connect(&scene.handle, to, factory.clone());

        let refused = connect(vec![loopback(1, port)]).await;
        scene.attempt("connect to a closed port", refused);

        let two = vec![loopback(1, port), loopback(2, port)];
        let error = connect(two).await.map(drop).expect_err("nobody listens");
        let number = error.raw_os_error().python();
        scene.did(format!("two refused addresses: {} errno {number}", classified(&error)));
        // Every error is kept, always: what `all_errors=True` asks for.
        let all = error.get_ref().and_then(|inner| inner.downcast_ref::<ConnectError>());
        let all = all.map_or(&[][..], |all| &all.attempts);
        let names: Vec<String> = all.iter().map(|(_, error)| error.raised()).collect();
        scene.did(format!("all_errors: ExceptionGroup {}", names.python()));

        scene.attempt("no host, no sock", connect(Vec::new()).await);
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        scene.attempt("datagram sock", scene.adopt(datagrams, factory()).await);

        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = taken.local_addr().unwrap();
        let error =
            connect(vec![at]).local_addr(at).await.map(drop).expect_err("the address is in use");
        let number = errno(&error).map(|errno| format!("{errno:?}")).unwrap_or_default();
        scene.did(format!("local_addr in use: {} {number}", classified(&error)));
    });
}

/// Connects to the first of `addresses` that answers. Says whether that was so before the clock was moved by `advance`.
async fn race(
    scene: &Scene,
    name: &'static str,
    addresses: Vec<SocketAddr>,
    delay: Duration,
    advance: Duration,
) -> (wharf::TransportRef, bool) {
    let of_the_factory = scene.clone();
    let factory = move || Recorder::new(&of_the_factory, name);
    let connect = tcp::connect(&scene.handle, addresses, factory).happy_eyeballs_delay(Some(delay));
    let task = scene.start(async move { connect.await.unwrap().0 });
    scene.settle().await;
    let at_once = task.task.is_finished();
    scene.clock.advance(advance);
    (task.task.await.expect("connected"), at_once)
}

#[test]
fn s32_the_next_address_starts_after_the_delay_or_a_failure() {
    perform("S32", async |scene| {
        let hole = FullListener::new();
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        let live = good.local_addr().unwrap();

        let delay = Duration::from_millis(200);
        let (transport, at_once) = race(scene, "A", vec![hole.address, live], delay, delay).await;
        let peer = transport.peer_addr();
        scene.value("connected to the second", peer == Some(Address::Ip(live)));
        scene.value("after about one delay", !at_once);
        transport.close();
        scene.until("cb A connection_lost").await;

        let refused = loopback(1, dead_port());
        let (transport, at_once) =
            race(scene, "C", vec![refused, live], Duration::from_secs(2), Duration::ZERO).await;
        scene.value("a failure starts the next at once", at_once);
        transport.close();
        scene.until("cb C connection_lost").await;
    });
}

async fn listen(
    scene: &Scene,
    name: &'static str,
    at: UnixAddress,
) -> std::io::Result<wharf::Server> {
    let of_the_factory = scene.clone();
    unix::listen(&scene.handle, at, move || Recorder::new(&of_the_factory, name)).await
}

async fn connect(
    scene: &Scene,
    name: &'static str,
    to: UnixAddress,
) -> std::io::Result<wharf::TransportRef> {
    let of_the_factory = scene.clone();
    let connect = unix::connect(&scene.handle, to, move || Recorder::new(&of_the_factory, name));
    Ok(connect.await?.0)
}

/// The name of a Unix socket as asyncio gives it.
fn name(address: Option<Address>) -> String {
    match address {
        Some(Address::Unix(UnixAddress::Unnamed)) => "''".to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn s33_unix_sockets_come_and_go_with_their_server() {
    perform("S33", async |scene| {
        let folder = Folder::new();
        let path = folder.join("s");
        let at = || UnixAddress::from(&path);
        drop(UnixListener::bind(&path).unwrap());
        scene.value("stale socket file there", path.exists());
        let server = listen(scene, "A", at()).await.unwrap();
        scene.did("create_unix_server over it ok");
        let transport = connect(scene, "C", at()).await.unwrap();
        scene.until("cb A connection_made").await;
        let peer = transport.peer_addr();
        scene.value("client peername is the path", peer == Some(Address::Unix(at())));
        scene.value("client sockname", &*name(transport.local_addr()));
        server.close();
        scene.did("server close");
        scene.value("path exists", path.exists());
        transport.close();
        scene.until("cb A connection_lost").await;

        fs::write(&path, "file").unwrap();
        scene.attempt("create_unix_server on a plain file", listen(scene, "A", at()).await);
        fs::remove_file(&path).unwrap();
        scene.attempt("connect to a missing path", connect(scene, "A", at()).await);

        let hidden = || UnixAddress::abstract_name(format!("scenario-{}", std::process::id()));
        let server = listen(scene, "D", hidden()).await.unwrap();
        scene.did("abstract server ok");
        let transport = connect(scene, "E", hidden()).await.unwrap();
        scene.until("cb D connection_made").await;
        transport.close();
        server.close();
        scene.until("cb D connection_lost").await;

        let server = listen(scene, "A", at()).await.unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        server.close();
        scene.value("a path taken over by another socket survives", path.exists());
    });
}
