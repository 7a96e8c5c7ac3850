//! Socket files: what is replaced, what is left alone, and what is removed.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use wharf::{Server, unix};

use crate::servers::rig::{Peer, Story, TestLoop};
use crate::support::Folder;

fn listen(ev: &mut TestLoop, path: &Path, story: &Story) -> std::io::Result<Server> {
    let listen = unix::listen(&ev.handle, path, story.echoes());
    ev.finish(listen)
}

#[track_caller]
fn is_refused(ev: &mut TestLoop, path: &Path) {
    let error = listen(ev, path, &Story::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    assert_eq!(ev.statistics().sources, 0);
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

#[track_caller]
fn is_served(ev: &mut TestLoop, path: &Path) {
    let mut peer = Peer::unix(path);
    peer.send(b"hello");
    ev.until(|| peer.received() == b"hello");
}

#[test]
fn u_01_the_file_of_a_dead_server_is_replaced() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    drop(UnixListener::bind(&path).unwrap());
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    let _server = listen(&mut ev, &path, &Story::new()).unwrap();
    is_served(&mut ev, &path);
}

#[test]
fn u_01_a_live_server_is_left_alone() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let live = UnixListener::bind(&path).unwrap();
    let before = inode(&path);
    is_refused(&mut ev, &path);
    assert_eq!(inode(&path), before);
    // The only caller it sees besides the probe is still answered.
    let mut caller = UnixStream::connect(&path).unwrap();
    for _ in 0..2 {
        drop(live.accept().unwrap());
    }
    assert_eq!(std::io::Read::read(&mut caller, &mut [0]).unwrap(), 0);
}

#[test]
fn u_01_a_live_server_with_a_full_backlog_is_left_alone() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let busy = fill(&path, 0);
    let before = inode(&path);
    is_refused(&mut ev, &path);
    assert_eq!(inode(&path), before);
    drop(busy);
}

/// A listener whose backlog is full, and who fills it.
fn fill(path: &Path, backlog: i32) -> (socket2::Socket, Vec<socket2::Socket>) {
    let stream = || {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    };
    let at = socket2::SockAddr::unix(path).unwrap();
    let listener = stream();
    listener.bind(&at).unwrap();
    listener.listen(backlog).unwrap();
    let waiting = std::iter::from_fn(|| {
        let socket = stream();
        socket.connect(&at).is_ok().then_some(socket)
    });
    let waiting: Vec<_> = waiting.collect();
    (listener, waiting)
}

#[test]
fn c_09_and_u_01_a_full_backlog_is_an_error_and_not_a_connection() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let (listener, waiting) = fill(&path, 0);
    assert!(!waiting.is_empty());
    let story = Story::new();
    let error = ev.finish(unix::connect(&ev.handle, &path, story.factory())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert_eq!((story.born(), ev.statistics().sources), (0, 0));
    // With room there, the same call connects.
    listener.accept().unwrap();
    ev.finish(unix::connect(&ev.handle, &path, story.factory())).unwrap();
    assert_eq!(story.made(), 1);
}

#[test]
fn u_02_what_is_no_socket_is_left_alone() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let file = folder.join("file");
    fs::write(&file, "precious").unwrap();
    is_refused(&mut ev, &file);
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");

    let directory = folder.join("directory");
    fs::create_dir(&directory).unwrap();
    is_refused(&mut ev, &directory);
    assert!(directory.is_dir());

    let dead = folder.join("dead");
    drop(UnixListener::bind(&dead).unwrap());
    let link = folder.join("link");
    std::os::unix::fs::symlink(&dead, &link).unwrap();
    is_refused(&mut ev, &link);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink() && dead.exists());
}

#[test]
fn u_02_a_socket_of_another_kind_is_left_alone() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let datagrams = UnixDatagram::bind(&path).unwrap();
    is_refused(&mut ev, &path);
    let sender = UnixDatagram::unbound().unwrap();
    sender.send_to(b"still here", &path).unwrap();
    assert_eq!(datagrams.recv(&mut [0; 16]).unwrap(), 10);
}

#[test]
fn u_04_closing_removes_the_file() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let server = listen(&mut ev, &path, &Story::new()).unwrap();
    assert!(path.exists());
    server.close();
    assert!(!path.exists());
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn u_04_the_file_goes_with_the_loop_too() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    drop(listen(&mut ev, &path, &Story::new()).unwrap());
    assert!(path.exists());
    drop(ev);
    assert!(!path.exists());
}

#[test]
fn u_04_a_file_that_took_its_place_is_left_alone() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let server = listen(&mut ev, &path, &Story::new()).unwrap();
    // Kept under another name, so that the system cannot give its inode away again.
    fs::rename(&path, folder.join("old")).unwrap();
    let _successor = UnixListener::bind(&path).unwrap();
    let before = inode(&path);
    server.close();
    assert_eq!(inode(&path), before);
    UnixStream::connect(&path).expect("the successor serves");
}

#[test]
fn u_04_a_file_that_is_gone_is_no_error() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let server = listen(&mut ev, &path, &Story::new()).unwrap();
    fs::remove_file(&path).unwrap();
    server.close();
    assert!(!server.is_serving());
}

#[test]
fn u_04_removing_can_be_switched_off() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let listen = unix::listen(&ev.handle, &path, Story::new().factory()).unlink_on_close(false);
    let server = ev.finish(listen).unwrap();
    server.close();
    assert!(path.exists());
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn u_04_the_file_of_a_socket_that_was_given_stays_its_makers() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let story = Story::new();
    let server = ev.finish(unix::listen_on(&ev.handle, listener, story.echoes())).unwrap();
    assert_eq!(server.addresses()[0].path(), Some(&*path));
    is_served(&mut ev, &path);
    server.close();
    assert!(path.exists());
}

#[test]
fn u_04_a_server_that_never_served_leaves_no_file() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let listen = unix::listen(&ev.handle, &path, Story::new().factory()).start_serving(false);
    let server = ev.finish(listen).unwrap();
    assert!(path.exists(), "it is bound");
    assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    server.close();
    assert!(!path.exists());
}
