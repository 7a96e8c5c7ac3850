//! Subprocesses, and unidirectional pipes, FIFOs and ptys.
//!
//! ```text
//!   exec(program, args, factory).await ──▶ (transport, protocol)
//!        │                                     pipe_data_received(fd, data)
//!        ▼                                     pipe_connection_lost(fd, why)
//!   the child ── pipes, each a transport       process_exited, connection_lost
//! ```
//!
//! # What happens when
//!
//! `connection_made` comes first, even if the child is dead by then.
//! For each pipe its data comes in order, then `pipe_connection_lost` once.
//! What the pipes hold when the child ends is told before `process_exited`; what comes later was written by somebody
//! who has inherited the pipe, and a pipe that is paused keeps what it has.
//! `connection_lost` comes last: after the exit and after every pipe is over.
//!
//! # Who ends a child
//!
//! The loop owns it: dropping every handle neither kills the child nor stops its protocol.
//! `close` kills it and closes its pipes; a panic in a callback does; so does dropping the loop, which reaps it too.
//! Other than that a child ends when it likes, and is reaped at once.
//! A grandchild is nobody's but the child's: give the child a [`process_group`](Exec::process_group) and signal that, to
//! reach both.
//!
//! # What a start costs
//!
//! A start takes about as long as the system takes to load the program, and the loop waits for it.
//! With `session`, `terminal`, `user`, `group`, `pre_exec`, `pass_fd` and pipes beyond stderr it copies the page tables of this
//! process besides, which takes milliseconds for each hundred megabytes: start such children while the process is
//! small, or from a small one.
//!
//! # What a pipe needs of the program
//!
//! Writing to a pipe that nobody reads is an error and an event, because a Rust program ignores SIGPIPE from its start.
//! A program whose `main` is not Rust's must ignore it before it writes to a child.
//!
//! # What a child inherits
//!
//! Of descriptors 0, 1, 2 and what is passed, and nothing else that wharf or the standard library has opened.
//! Its signal mask is empty and SIGPIPE ends it, whatever is the case here; signals that a program handles are back at
//! their defaults in its children, and those that it ignores stay ignored, as `nohup` wants it.

#![deny(unsafe_code)]

mod child;
mod exec;
mod feed;
mod fifo;
#[allow(unsafe_code)] // Code between fork and exec must be fit for it.
mod fork;
mod moment;
pub mod pipe;
mod process;
pub mod pty;
mod run;
mod settings;
#[allow(unsafe_code)] // Signals without a name are known by number only.
mod signal;
mod spawn;
mod state;
mod stdio;
mod transport;
mod watch;

pub use exec::{Exec, Started, exec, from_command, shell};
pub use fifo::{open_fifo_read, open_fifo_write};
pub use run::{Run, RunError, run, run_command, run_shell};
pub use settings::Stdio;
pub use spawn::StartError;
pub use stdio::{pipe_stderr, pipe_stdin, pipe_stdout};
pub use transport::ProcessFd;
