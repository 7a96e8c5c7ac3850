//! The loop's counters of bytes: what streams have moved, whichever way it went.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use wharf::{Protocol, TransportRef, tcp};

use crate::support::{event_loop, run_until};

/// Answers each byte by a piece of this size.
struct Generous(usize);

impl Protocol for Generous {
    fn data_received(&mut self, transport: &TransportRef, _: &[u8]) {
        transport.write(&vec![b'x'; self.0]);
    }
}

/// Reads what has come.
fn drain(mut peer: &TcpStream) -> usize {
    let (mut total, mut buffer) = (0, [0; 64 * 1024]);
    loop {
        match peer.read(&mut buffer) {
            Ok(count) => total += count,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return total;
            }
        }
    }
}

#[test]
fn every_byte_is_counted_once() {
    // Pieces that are gathered and such that go straight to the system, both until it takes a part of one.
    for size in [10_000, 100_000] {
        let mut ev = event_loop();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        peer.set_nonblocking(true).unwrap();
        let handle = ev.handle().clone();
        let adopting = tcp::adopt(&handle, ours, move || Generous(size));
        let (transport, _) = ev.block_on(adopting).unwrap();
        let mut pieces = 0;
        while transport.write_buffer_len() == 0 {
            (&peer).write_all(b"?").unwrap();
            run_until(&mut ev, || handle.statistics().bytes_read > pieces);
            pieces += 1;
        }
        let (mut received, total) = (0, pieces * size as u64);
        run_until(&mut ev, || {
            received += drain(&peer) as u64;
            // What is in the socket has been written, and no more.
            assert!(handle.statistics().bytes_written >= received);
            received == total
        });
        let statistics = ev.statistics();
        assert_eq!(statistics.bytes_read, pieces);
        assert_eq!(statistics.bytes_written, total);
    }
}
