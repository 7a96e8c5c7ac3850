//! Sending files: futures that are dropped late, and protocols that are replaced meanwhile.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use wharf::{Buffered, BufferedProtocol, Protocol, TransportRef, tcp};

use crate::support::{adopted, event_loop, panics, poll_once, run_until, turns};

/// A folder of its own for a test; dropping it removes it with everything inside.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("wharf-{name}-{}", std::process::id()));
        fs::create_dir(&path).expect("a temporary folder can be made");
        Self(path)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Best effort: a test that fails should fail with its own message.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn dropping_a_future_whose_file_is_sent_does_not_stop_the_next_file() {
    const LENGTH: usize = 4_000_000;
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let (transport, _log, mut peer) = adopted(&mut ev);
    let folder = Folder::new("next-file");
    let path = folder.path().join("file");
    fs::write(&path, vec![7; LENGTH]).unwrap();
    let file = File::open(&path).unwrap();
    let mut bytes = vec![0; 1 << 20];

    let mut first = Box::pin(tcp::sendfile(&handle, &transport, &file, 0..10));
    assert!(poll_once(&mut first).is_pending());
    turns(&mut ev, 5);
    assert_eq!(peer.read(&mut bytes).unwrap(), 10);

    let mut second = Box::pin(tcp::sendfile(&handle, &transport, &file, ..));
    assert!(poll_once(&mut second).is_pending());
    drop(first);
    let (mut received, mut outcome) = (0, None);
    run_until(&mut ev, || {
        match peer.read(&mut bytes) {
            Ok(count) => received += count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        if outcome.is_none() {
            if let Poll::Ready(result) = poll_once(&mut second) {
                outcome = Some(result.map_err(|error| error.kind()));
            }
        }
        outcome.is_some_and(|outcome| outcome.is_err() || received == LENGTH)
    });
    assert_eq!(outcome, Some(Ok(LENGTH as u64)));
}

type Story = Rc<RefCell<Vec<String>>>;

/// Takes one byte and hands over to [`New`].
struct Old([u8; 1], Story);

impl BufferedProtocol for Old {
    fn get_buffer(&mut self, _: Option<usize>) -> &mut [u8] {
        &mut self.0
    }

    fn buffer_updated(&mut self, transport: &TransportRef, count: usize) {
        self.1.borrow_mut().push(format!("old {count}"));
        transport.set_protocol(New(Rc::clone(&self.1)), b"");
    }
}

struct New(Story);

impl Protocol for New {
    fn data_received(&mut self, _: &TransportRef, data: &[u8]) {
        self.0.borrow_mut().push(format!("new {}", data.len()));
    }
}

#[test]
fn a_protocol_that_was_replaced_during_a_copy_gets_nothing_more() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let story = Story::default();
    let noted = Rc::clone(&story);
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let adopting = tcp::adopt(&handle, ours, move || Buffered(Old([0], noted)));
    let (transport, _old) = ev.block_on(adopting).unwrap();
    // A pipe that says nothing: it has to be copied, and the copy lasts.
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let file = File::from(reader);
    let mut copy = Box::pin(tcp::sendfile(&handle, &transport, &file, ..));
    assert!(poll_once(&mut copy).is_pending());
    peer.write_all(b"abc").unwrap();
    turns(&mut ev, 5);
    // Ends the read that waits in a thread of the loop.
    drop(writer);
    assert_eq!(*story.borrow(), ["old 1", "new 2"]);
}

#[test]
fn bytes_that_come_during_a_copy_are_kept_while_the_protocol_is_held() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let (transport, log, mut peer) = adopted(&mut ev);
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let file = File::from(reader);
    let mut copy = Box::pin(tcp::sendfile(&handle, &transport, &file, ..));
    assert!(poll_once(&mut copy).is_pending());
    let held = log.borrow();
    peer.write_all(b"abc").unwrap();
    assert!(panics(|| turns(&mut ev, 1)));
    drop(held);
    turns(&mut ev, 3);
    drop(writer);
    assert_eq!(log.borrow().story(), ["made", "data abc"]);
    assert!(!transport.is_closing());
}

/// A file on its way.
type Copying = Pin<Box<dyn Future<Output = ()>>>;

/// Gives up what it was given when something comes, and echoes that.
struct GivesUp(Rc<Cell<Option<Copying>>>);

impl Protocol for GivesUp {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        drop(self.0.take());
        transport.write(data);
    }
}

#[test]
fn a_callback_may_drop_the_copy_that_it_is_called_through() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let copy = Rc::new(Cell::default());
    let protocol = GivesUp(Rc::clone(&copy));
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let (transport, _) = ev.block_on(tcp::adopt(&handle, ours, move || protocol)).unwrap();
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let sender = transport.clone();
    let mut copying: Copying = Box::pin(async move {
        let _ = tcp::sendfile(&handle, &sender, &File::from(reader), ..).await;
    });
    assert!(poll_once(&mut copying).is_pending());
    copy.set(Some(copying));
    for byte in [b"a", b"b"] {
        peer.write_all(byte).unwrap();
        turns(&mut ev, 2);
        let mut heard = [0];
        peer.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, byte);
    }
    drop(writer);
    assert!(!transport.is_closing());
}
