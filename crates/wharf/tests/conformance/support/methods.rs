//! Every method of a stream transport, to be called wherever a test likes.

use std::io::IoSlice;

use bytes::Bytes;
use wharf::extra::PeerAddr;
use wharf::{Limits, TransportRef};

/// A method by name, called with harmless arguments.
pub(crate) type Method = (&'static str, fn(&TransportRef));

/// The methods that leave an open connection open.
pub(crate) const METHODS: &[Method] = &[
    ("write", |transport| ignore(transport.write(b"w"))),
    ("write_bytes", |transport| ignore(transport.write_bytes(Bytes::from_static(b"b")))),
    ("writelines", |transport| {
        transport.writelines(&[IoSlice::new(b"l"), IoSlice::new(b"")]);
    }),
    ("a large write", |transport| ignore(transport.write(&[b'L'; 20_000]))),
    ("can_write_eof", |transport| ignore(transport.can_write_eof())),
    ("is_closing", |transport| ignore(transport.is_closing())),
    ("pause_reading", |transport| transport.pause_reading()),
    ("resume_reading", |transport| transport.resume_reading()),
    ("is_reading", |transport| ignore(transport.is_reading())),
    ("write_buffer_len", |transport| ignore(transport.write_buffer_len())),
    ("write_buffer_limits", |transport| ignore(transport.write_buffer_limits())),
    ("low limits", |transport| transport.set_write_buffer_limits(Limits::high(0))),
    ("default limits", |transport| transport.set_write_buffer_limits(Limits::DEFAULT)),
    ("protocol", |transport| ignore(transport.protocol())),
    ("id", |transport| ignore(transport.id())),
    ("local_addr", |transport| ignore(transport.local_addr())),
    ("peer_addr", |transport| ignore(transport.peer_addr())),
    ("extra", |transport| ignore(transport.extra::<PeerAddr>())),
    ("scheduler", |transport| ignore(transport.scheduler())),
];

/// The methods that end a connection, or its one half.
pub(crate) const ENDING: &[Method] = &[
    ("write_eof", |transport| transport.write_eof()),
    ("close", |transport| transport.close()),
    ("fail", |transport| transport.fail("a cause of the test's".into())),
    ("abort", |transport| transport.abort()),
];

fn ignore<T>(_: T) {}

/// Calls every method that leaves the connection open.
pub(crate) fn poke(transport: &TransportRef) {
    for (_, method) in METHODS {
        method(transport);
    }
}
