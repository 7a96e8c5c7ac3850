//! What every socket of a loop has, and what no write ever does: raise SIGPIPE.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::{SigSet, Signal};
use socket2::SockRef;
use wharf::reactor::stream::SocketView;
use wharf::{Flow, TransportRef, tcp, unix};

use super::process::{alone, descriptors};
use super::rig::{Peer, Story, TestLoop, address};
use crate::support::Folder;

/// Transports of every making: accepted, connected and adopted, over TCP and over Unix sockets.
fn every_making(ev: &mut TestLoop, folder: &Folder) -> Vec<(&'static str, TransportRef)> {
    let story = Story::new();
    let handle = ev.handle.clone();
    let server = ev.finish(tcp::listen(&handle, "127.0.0.1:0", story.factory())).unwrap();
    let path = folder.join("s");
    let _unix_server = ev.finish(unix::listen(&handle, path.clone(), story.factory())).unwrap();
    let tcp_client = ev.finish(tcp::connect(&handle, address(&server), story.factory())).unwrap();
    ev.until(|| story.made() == 2);
    let unix_client = ev.finish(unix::connect(&handle, path, story.factory())).unwrap();
    ev.until(|| story.made() == 4);
    let accepted: Vec<TransportRef> = (0..4)
        .map(|place| story.transport(place))
        .filter(|transport| *transport != tcp_client.0 && *transport != unix_client.0)
        .collect();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    unprepare(&ours);
    let factory = story.factory();
    let own = handle.clone();
    let tcp_adopted = ev.finish(async move { tcp::adopt(&own, ours, factory).await }).unwrap();
    let listener = UnixListener::bind(folder.join("t")).unwrap();
    let ours = std::os::unix::net::UnixStream::connect(folder.join("t")).unwrap();
    unprepare(&ours);
    let factory = story.factory();
    let unix_adopted = ev.finish(async move { unix::adopt(&handle, ours, factory).await }).unwrap();
    drop(listener);

    vec![
        ("tcp accepted", accepted[0].clone()),
        ("unix accepted", accepted[1].clone()),
        ("tcp connected", tcp_client.0),
        ("unix connected", unix_client.0),
        ("tcp adopted", tcp_adopted.0),
        ("unix adopted", unix_adopted.0),
    ]
}

/// Makes a socket as bare as other people's sockets may be.
fn unprepare(socket: impl AsFd) {
    fcntl(socket.as_fd(), FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    fcntl(socket.as_fd(), FcntlArg::F_SETFL(OFlag::empty())).unwrap();
}

#[test]
fn bt_19_and_20_every_stream_is_non_blocking_and_tcp_does_not_delay() {
    let mut ev = TestLoop::new();
    let folder = Folder::new();
    for (making, transport) in every_making(&mut ev, &folder) {
        let view = transport.extra::<SocketView>().unwrap();
        view.with(|fd| {
            let status = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap());
            assert!(status.contains(OFlag::O_NONBLOCK), "{making}");
            if making.starts_with("tcp") {
                assert!(SockRef::from(&fd).tcp_nodelay().unwrap(), "{making}");
            }
        })
        .unwrap();
    }
}

/// The flags of a descriptor of this process, as `open` would be given them.
fn flags(number: i32) -> OFlag {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
    let octal = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
    OFlag::from_bits_retain(i32::from_str_radix(octal, 8).unwrap())
}

#[test]
fn bt_20_every_descriptor_of_a_loop_with_everything_on_it_is_close_on_exec() {
    const NAME: &str = "bt_20_every_descriptor_of_a_loop_with_everything_on_it_is_close_on_exec";
    alone(module_path!(), NAME, || {
        let folder = Folder::new();
        let before: Vec<i32> = descriptors().into_iter().map(|(number, _)| number).collect();
        let mut ev = TestLoop::new();
        let _transports = every_making(&mut ev, &folder);
        let added: Vec<(i32, String)> =
            descriptors().into_iter().filter(|(number, _)| !before.contains(number)).collect();
        let sockets = added.iter().filter(|(_, target)| target.starts_with("socket:")).count();
        assert_eq!(sockets, 8, "two listeners, both ends of two connections, and two adopted");
        for (number, target) in added {
            assert!(flags(number).contains(OFlag::O_CLOEXEC), "{target}");
            let blocks = !flags(number).contains(OFlag::O_NONBLOCK);
            assert!(!(blocks && target.starts_with("socket:")), "{target}");
        }
    });
}

/// SIGPIPE held back in this thread, so that one that was raised can be seen. A signal that is ignored is kept all the
/// same while it is held back, so this works whatever the disposition is.
pub(crate) struct Held(SigSet);

impl Held {
    pub(crate) fn new() -> Self {
        let mut set = SigSet::empty();
        set.add(Signal::SIGPIPE);
        set.thread_block().unwrap();
        Self(set)
    }

    pub(crate) fn was_raised(&self) -> bool {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let pending = status.lines().find_map(|line| line.strip_prefix("SigPnd:")).unwrap();
        let pending = u64::from_str_radix(pending.trim(), 16).unwrap();
        pending & (1 << (Signal::SIGPIPE as u64 - 1)) != 0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.was_raised() {
            self.0.wait().unwrap();
        }
        self.0.thread_unblock().unwrap();
    }
}

#[test]
fn a_raised_sigpipe_would_be_seen() {
    let held = Held::new();
    assert!(!held.was_raised());
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    drop(theirs);
    // A plain write of nobody's making but the test's.
    let error = nix::unistd::write(&ours, b"x").unwrap_err();
    assert_eq!(error, nix::errno::Errno::EPIPE);
    assert!(held.was_raised());
}

#[test]
fn w_24_writing_to_a_peer_that_is_gone_never_raises_sigpipe() {
    let held = Held::new();
    let mut ev = TestLoop::new();
    let folder = Folder::new();
    let story = Story::new();
    let tcp_server = ev.finish(tcp::listen(&ev.handle, "127.0.0.1:0", story.factory())).unwrap();
    let path = folder.join("s");
    let listen = unix::listen(&ev.handle, path.clone(), story.factory());
    let _unix_server = ev.finish(listen).unwrap();
    for over in ["tcp", "unix"] {
        for way in ["write", "writelines", "write_bytes"] {
            let place = story.made();
            let peer = match over {
                "tcp" => Peer::tcp(address(&tcp_server)),
                _ => Peer::unix(&path),
            };
            ev.until(|| story.made() == place + 1);
            let transport = story.transport(place);
            // What is not read finds out only by writing.
            transport.pause_reading();
            ev.turn();
            drop(peer);
            let chunk = vec![7; 32 * 1024];
            ev.until(|| {
                let flow = match way {
                    "write" => transport.write(&chunk),
                    "write_bytes" => transport.write_bytes(chunk.clone().into()),
                    _ => transport.writelines(&[std::io::IoSlice::new(&chunk)]),
                };
                flow == Flow::Closed
            });
            ev.until(|| story.lost() == place + 1);
        }
    }
    assert_eq!(story.count("lost io"), 6);
    let gone =
        |kind: &ErrorKind| matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
    assert!(story.errors().iter().all(gone), "{:?}", story.errors());
    assert!(!held.was_raised());
}
