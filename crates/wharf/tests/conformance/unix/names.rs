//! Names of Unix sockets: paths of every kind, abstract names, and what each end knows of the other.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;

use wharf::{Address, UnixAddress, unix};

use crate::servers::rig::{Peer, Story, TestLoop};
use crate::support::Folder;

#[test]
fn u_03_abstract_names_work_at_both_ends_and_touch_no_file() {
    let (mut ev, story) = (TestLoop::new(), Story::new());
    let name = UnixAddress::abstract_name(format!("wharf-{}\0u-03", std::process::id()));
    let server = ev.finish(unix::listen(&ev.handle, name.clone(), story.echoes())).unwrap();
    assert_eq!(server.addresses(), [Address::Unix(name.clone())]);
    let client = Story::new();
    let connect = unix::connect(&ev.handle, name.clone(), client.factory());
    let (transport, _) = ev.finish(connect).unwrap();
    assert_eq!(transport.peer_addr(), Some(Address::Unix(name.clone())));
    transport.write(b"hello");
    ev.until(|| client.received(0) == b"hello");
    assert_eq!(story.transport(0).local_addr(), Some(Address::Unix(name.clone())));
    server.close();
    let again = ev.finish(unix::connect(&ev.handle, name.clone(), client.factory()));
    assert_eq!(again.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    // Nothing has to be cleaned up.
    ev.finish(unix::listen(&ev.handle, name, story.factory())).unwrap();
}

#[test]
fn u_03_a_live_abstract_name_is_in_use() {
    let (mut ev, story) = (TestLoop::new(), Story::new());
    let name = UnixAddress::abstract_name(format!("wharf-{}-u-03-live", std::process::id()));
    let _server = ev.finish(unix::listen(&ev.handle, name.clone(), story.factory())).unwrap();
    let second = ev.finish(unix::listen(&ev.handle, name, story.factory()));
    assert_eq!(second.unwrap_err().kind(), ErrorKind::AddrInUse);
}

#[test]
fn u_05_a_path_that_is_missing_is_not_found() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let story = Story::new();
    let connect = unix::connect(&ev.handle, folder.join("nobody"), story.factory());
    assert_eq!(ev.finish(connect).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!((story.born(), ev.statistics().sources), (0, 0));
}

#[test]
fn u_07_every_kind_of_path_is_one() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let text = path.to_str().unwrap();
    let story = Story::new();
    let forms: [UnixAddress; 5] = [
        text.into(),
        text.to_owned().into(),
        path.as_path().into(),
        (&path).into(),
        path.clone().into(),
    ];
    for form in forms {
        let server = ev.finish(unix::listen(&ev.handle, form.clone(), story.factory())).unwrap();
        assert_eq!(server.addresses(), [Address::Unix(form.clone())]);
        ev.finish(unix::connect(&ev.handle, form, story.factory())).unwrap();
        server.close();
    }
}

#[test]
fn u_07_a_path_need_not_be_text() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.path().join(OsStr::from_bytes(b"s\xff\xfe"));
    assert!(path.to_str().is_none());
    let (story, client) = (Story::new(), Story::new());
    let server = ev.finish(unix::listen(&ev.handle, path.as_path(), story.echoes())).unwrap();
    assert_eq!(server.addresses()[0].path(), Some(&*path));
    let connect = unix::connect(&ev.handle, path.as_path(), client.factory());
    let (transport, _) = ev.finish(connect).unwrap();
    transport.write(b"hello");
    ev.until(|| client.received(0) == b"hello");
    server.close();
    assert!(!path.exists());
}

#[test]
fn u_08_a_path_that_is_too_long_is_refused_and_nothing_is_made() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join(&"x".repeat(120));
    let listen = unix::listen(&ev.handle, &path, Story::new().factory());
    let error = ev.finish(listen).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("xxx"), "{error}");
    let connect = unix::connect(&ev.handle, &path, Story::new().factory());
    assert_eq!(ev.finish(connect).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn u_08_a_path_whose_folder_is_missing_is_not_found() {
    let mut ev = TestLoop::new();
    let path = Path::new("/nowhere-at-all/s");
    let error = ev.finish(unix::listen(&ev.handle, path, Story::new().factory())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("/nowhere-at-all/s"), "{error}");
}

#[test]
fn u_09_what_is_no_unix_stream_is_refused() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let datagrams = UnixDatagram::bind(folder.join("d")).unwrap();
    let listen = unix::listen_on(&ev.handle, datagrams, Story::new().factory());
    assert_eq!(ev.finish(listen).unwrap_err().kind(), ErrorKind::InvalidInput);
    let datagrams = UnixDatagram::bind(folder.join("e")).unwrap();
    let handle = ev.handle.clone();
    let adopting = async move { unix::adopt(&handle, datagrams, Story::new().factory()).await };
    assert_eq!(ev.finish(adopting).unwrap_err().kind(), ErrorKind::InvalidInput);
    let unnamed = unix::listen(&ev.handle, UnixAddress::Unnamed, Story::new().factory());
    assert_eq!(ev.finish(unnamed).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn i_07_a_client_has_no_name_and_knows_its_servers() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let path = folder.join("s");
    let (story, client) = (Story::new(), Story::new());
    let _server = ev.finish(unix::listen(&ev.handle, &path, story.factory())).unwrap();
    let connect = unix::connect(&ev.handle, &path, client.factory());
    let (transport, _) = ev.finish(connect).unwrap();
    ev.until(|| story.made() == 1);
    let (named, unnamed) = (Address::Unix((&path).into()), Address::Unix(UnixAddress::Unnamed));
    assert_eq!(transport.local_addr(), Some(unnamed.clone()));
    assert_eq!(transport.peer_addr(), Some(named.clone()));
    assert_eq!(story.transport(0).local_addr(), Some(named.clone()));
    assert_eq!(story.transport(0).peer_addr(), Some(unnamed.clone()));
    // They stay readable after the loss.
    transport.abort();
    ev.until(|| client.lost() == 1 && story.lost() == 1);
    assert_eq!(transport.local_addr(), Some(unnamed));
    assert_eq!(transport.peer_addr(), Some(named));
}

#[test]
fn i_07_a_client_that_has_a_name_shows_it() {
    let (mut ev, folder) = (TestLoop::new(), Folder::new());
    let (path, own) = (folder.join("s"), folder.join("c"));
    let story = Story::new();
    let _server = ev.finish(unix::listen(&ev.handle, &path, story.factory())).unwrap();
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&own).unwrap()).unwrap();
    socket.connect(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    let _peer = Peer::of(UnixStream::from(socket));
    ev.until(|| story.made() == 1);
    assert_eq!(story.transport(0).peer_addr(), Some(Address::Unix((&own).into())));
}
