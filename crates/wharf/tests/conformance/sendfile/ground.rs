//! Where files are sent: over TCP and over Unix sockets, by the system and by copying.

use std::fs::File;
use std::io::{self, Seek};
use std::net::{TcpListener, TcpStream};
use std::ops::RangeBounds;
use std::os::unix::net::UnixStream;

use wharf::memory::ManualClock;
use wharf::{JoinHandle, TransportRef, tcp};

use super::veil::veil;
use crate::servers::rig::{Peer, Story, TestLoop};
use crate::support::{Folder, pattern};

/// How a file is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the system, from the file to the socket.
    Native,
    /// By reading and writing, because the transport does not show its socket.
    Copied,
}

/// One end of a connection, its peer, and a folder for files.
pub(crate) struct Ground {
    pub(crate) way: Way,
    pub(crate) clock: ManualClock,
    pub(crate) story: Story,
    pub(crate) transport: TransportRef,
    pub(crate) peer: Peer,
    pub(crate) folder: Folder,
    // Last, because it looks for what the others have left.
    pub(crate) ev: TestLoop,
}

/// Runs `test` once for each way of sending over each kind of socket.
pub(crate) fn each_way(test: impl Fn(Ground)) {
    native(&test);
    each_socket(Way::Copied, test);
}

/// Runs `test` once for each kind of socket, sending by the system.
pub(crate) fn native(test: impl Fn(Ground)) {
    each_socket(Way::Native, test);
}

// A test that fails shows this with its failure.
#[allow(clippy::print_stdout)]
fn each_socket(way: Way, test: impl Fn(Ground)) {
    for over_unix in [false, true] {
        println!("{way:?}, over Unix sockets: {over_unix}");
        test(Ground::new(over_unix, way));
    }
}

impl Ground {
    pub(crate) fn new(over_unix: bool, way: Way) -> Self {
        let (mut ev, clock) = TestLoop::manual();
        let story = Story::new();
        let (handle, factory) = (ev.handle.clone(), story.factory());
        let (transport, peer) = if over_unix {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let adopting = async move { tcp::adopt(&handle, ours, factory).await };
            (ev.finish(adopting).unwrap().0, Peer::of(theirs))
        } else {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let adopting = async move { tcp::adopt(&handle, ours, factory).await };
            let transport = ev.finish(adopting).unwrap().0;
            (transport, Peer::of(listener.accept().unwrap().0))
        };
        let transport = match way {
            Way::Native => transport,
            Way::Copied => veil(&transport),
        };
        Self { way, clock, story, transport, peer, folder: Folder::new(), ev }
    }

    /// A file with these bytes, opened for reading.
    pub(crate) fn file(&self, bytes: &[u8]) -> File {
        let path = self.folder.join("file");
        std::fs::write(&path, bytes).unwrap();
        File::open(path).unwrap()
    }

    /// Takes the peer out; somebody who has no part in this stands in for it.
    pub(crate) fn take_peer(&mut self) -> Peer {
        std::mem::replace(&mut self.peer, Peer::of(UnixStream::pair().unwrap().0))
    }

    /// Starts sending.
    pub(crate) fn send(
        &self,
        file: &File,
        range: impl RangeBounds<u64> + 'static,
    ) -> JoinHandle<io::Result<u64>> {
        let (handle, transport) = (self.ev.handle.clone(), self.transport.clone());
        // The same open file, so that its position can be looked at.
        let file = file.try_clone().unwrap();
        self.ev.spawn(async move { tcp::sendfile(&handle, &transport, &file, range).await })
    }

    /// Takes turns until the sending is over, while the peer reads.
    #[track_caller]
    pub(crate) fn finish(&mut self, task: JoinHandle<io::Result<u64>>) -> io::Result<u64> {
        self.ev.until(|| {
            self.peer.received();
            task.is_finished()
        });
        self.ev.finish(task).unwrap()
    }

    /// Takes turns until the sending is over, while the peer does nothing.
    #[track_caller]
    pub(crate) fn finish_alone(&mut self, task: JoinHandle<io::Result<u64>>) -> io::Result<u64> {
        self.ev.finish(task).unwrap()
    }

    /// Takes turns until some of a file has come to the peer, and not all.
    #[track_caller]
    pub(crate) fn begin(&mut self, task: &JoinHandle<io::Result<u64>>) {
        self.ev.until(|| !self.peer.received().is_empty());
        assert!(!task.is_finished(), "the file is too small for the test");
    }

    /// Takes turns until the peer has `bytes`, all of them.
    #[track_caller]
    pub(crate) fn arrives(&mut self, bytes: &[u8]) {
        self.ev.until(|| self.peer.received().len() >= bytes.len());
        assert!(self.peer.received() == bytes, "other bytes have come than were sent");
    }
}

/// Where an open file stands.
pub(crate) fn position(mut file: &File) -> u64 {
    file.stream_position().unwrap()
}

/// More than a connection whose peer does not read can take.
pub(crate) fn large() -> Vec<u8> {
    // The period of the pattern, so that a repetition goes on where it began.
    pattern(251 * 256).repeat(256)
}
