//! [`Moment`]: what happens in the life of a transport, for those who trace it.
//!
//! A loop is told by [`Scheduler::observe`](crate::Scheduler::observe), which makes events of them where a program wants to
//! see those ([`trace`](crate::trace)), and does nothing otherwise.
//! None of it is on the way of a message: reads and writes are no moments.

use std::error::Error;
use std::io;
use std::process::ExitStatus;

use crate::lost::Lost;

/// Something that happens in the life of a transport.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Moment<'a> {
    /// The protocol is about to hear `connection_made`.
    Made,
    /// A layer stands on the transport: its handshake is over. Told of the transport above.
    Established,
    /// A layer could not be established, and the connection ends. Told of the transport above.
    Failed(&'a dyn Error),
    /// Another protocol has taken the place of the one of this type.
    Switched {
        /// The type that was there.
        from: &'static str,
        /// The type that is there now.
        to: &'static str,
    },
    /// The protocol is about to hear `pause_writing`.
    WritingPaused,
    /// The protocol is about to hear `resume_writing`.
    WritingResumed,
    /// What arrives is not delivered any more.
    ReadingPaused,
    /// What arrives is delivered again.
    ReadingResumed,
    /// The protocol is about to hear `eof_received`.
    Eof,
    /// A datagram endpoint is about to hear `error_received`.
    Error(&'a io::Error),
    /// A child process has exited.
    Exited(ExitStatus),
    /// The protocol has heard `connection_lost`.
    Lost(&'a Lost),
}
