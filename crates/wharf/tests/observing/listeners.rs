//! The list of listeners: what is on it, and what it says of each.

use std::net::TcpStream;
use std::time::Duration;

use wharf::{
    DatagramProtocol, Listening, LiveListener, LoopHandle, Protocol, TransportRef, tcp, udp, unix,
};

use crate::folder::Folder;
use crate::support::{event_loop, outcome, run_until, turns};

struct Silent;

impl Protocol for Silent {
    fn data_received(&mut self, _: &TransportRef, _: &[u8]) {}
}

impl DatagramProtocol for Silent {}

fn only(handle: &LoopHandle) -> LiveListener {
    let mut list = handle.listeners();
    assert_eq!(list.len(), 1, "{list:?}");
    list.remove(0)
}

#[test]
fn each_listener_is_listed_until_its_server_is_closed() {
    let (mut ev, folder) = (event_loop(), Folder::new());
    let handle = ev.handle().clone();
    assert_eq!(ev.listeners(), []);
    let path = folder.join("door");
    let (two, local, _endpoint) = outcome(&mut ev, async {
        let two = tcp::listen(&handle, ["127.0.0.1:0", "127.0.0.2:0"], || Silent).await.unwrap();
        let local = unix::listen(&handle, path.clone(), || Silent).await.unwrap();
        (two, local, udp::bind(&handle, "127.0.0.1:0", || Silent).await.unwrap())
    });
    let mut lines: Vec<_> = ev.listeners().iter().map(LiveListener::to_string).collect();
    lines.sort_unstable();
    let addresses = two.addresses();
    let line = |address| format!("tcp {address} accepting, 0 accepted, 0 connected");
    let unix = format!("unix {} accepting, 0 accepted, 0 connected", local.addresses()[0]);
    assert_eq!(lines, [line(&addresses[0]), line(&addresses[1]), unix]);

    // One client of the second address: that listener has accepted it, and it is the server's.
    let _client = TcpStream::connect(addresses[1].ip().unwrap()).unwrap();
    run_until(&mut ev, || two.connections() == 1);
    let list = ev.listeners();
    let of = |address| list.iter().find(|it| it.local.as_ref() == Some(address)).unwrap();
    let counts = addresses.iter().map(of).map(|it| (it.accepted, it.connections));
    assert_eq!(counts.collect::<Vec<_>>(), [(0, 1), (1, 1)]);

    two.close();
    assert_eq!(only(&handle).local.as_ref(), local.addresses().first());
    local.close();
    assert_eq!(ev.listeners(), []);
}

#[test]
fn a_listener_says_what_keeps_it() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let listen = tcp::listen(&handle, "127.0.0.1:0", || Silent);
    let listen = listen.max_connections(1).start_serving(false);
    let server = outcome(&mut ev, async { listen.await.unwrap() });
    assert_eq!(only(&handle).state, Listening::Bound);
    server.start_serving().unwrap();
    assert_eq!(only(&handle).state, Listening::Accepting);
    server.pause_serving();
    assert_eq!(only(&handle).state, Listening::Paused);
    server.start_serving().unwrap();

    let at = server.addresses()[0].ip().unwrap();
    let [first, _second] = [(); 2].map(|()| TcpStream::connect(at).unwrap());
    run_until(&mut ev, || server.connections() == 1);
    let line = format!("tcp {at} full, 1 accepted, 1 of 1 connected");
    assert_eq!(only(&handle).to_string(), line);
    turns(&mut ev, 2);
    assert_eq!(only(&handle).accepted, 1, "the second one waits in the backlog");
    drop(first);
    run_until(&mut ev, || only(&handle).accepted == 2);
    server.abort_clients();
    run_until(&mut ev, || server.connections() == 0);
    assert_eq!(only(&handle).state, Listening::Accepting);
}

#[test]
fn another_thread_can_ask_for_them() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let server =
        outcome(&mut ev, async { tcp::listen(&handle, "127.0.0.1:0", || Silent).await.unwrap() });
    let remote = ev.remote();
    let asking = std::thread::spawn(move || {
        let list = remote.ask(|handle| handle.listeners()).wait(Duration::from_secs(60));
        remote.stop();
        list
    });
    ev.run_forever().unwrap();
    let list = asking.join().unwrap().unwrap();
    assert_eq!(list[0].local.as_ref(), server.addresses().first());
}
