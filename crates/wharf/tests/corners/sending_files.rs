//! Sending files: futures that are dropped late, and protocols that are replaced meanwhile.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::Poll;

use wharf::{Buffered, BufferedProtocol, Protocol, TransportRef, tcp};

use crate::support::{adopted, event_loop, poll_once, run_until, turns};

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
