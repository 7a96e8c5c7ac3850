//! The event loop of wharf: readiness, timers, signals, futures, blocking work.
//!
//! ```text
//!   EventLoop    owns the loop; one thread, one at a time
//!       │ handle()
//!       ▼
//!   LoopHandle   refers to it within the thread: call_soon, call_later, spawn, transports
//!       │ remote()
//!       ▼
//!   Remote       refers to it from any thread: post, ask, stop
//! ```
//!
//! What one turn does, step by step, stands at the top of `event_loop.rs`.
//!
//! # What this is not
//!
//! Not a runtime: there is no global state, no hidden thread until blocking work or a name asks for one, and no
//! current loop to find by magic.
//! A loop lives in one thread; for more cores, run more loops.

#![deny(unsafe_code)]

mod ages;
mod answer;
#[allow(unsafe_code)] // Reading the tick counter is an intrinsic.
mod clock;
mod connections;
pub mod datagram;
mod duties;
mod ebb;
pub mod endpoint;
mod event_loop;
mod fault;
mod former;
mod handle;
mod inbox;
#[allow(unsafe_code)] // A value of any type lies in a few words.
mod job;
mod listeners;
#[allow(unsafe_code)] // Registering a descriptor is a promise about its life.
mod poll;
mod pool;
mod ready;
mod registry;
mod remote;
mod resolve;
#[allow(unsafe_code)] // What runs in a signal handler is a promise.
mod signal;
mod socket_file;
pub mod source;
mod statistics;
pub mod stream;
mod sync;
mod task;
mod time;
mod timers;
mod watch;

pub use answer::{Answer, Unanswered};
pub use clock::SystemClock;
pub use connections::LiveConnection;
pub use endpoint::{EndpointList, Endpoints};
pub use event_loop::{EventLoop, EventLoopBuilder};
pub use fault::FaultPolicy;
pub use handle::{Handle, LoopHandle};
pub use listeners::{Listening, LiveListener};
pub use pool::Blocking;
pub use remote::{LoopClosed, Remote};
pub use resolve::{Resolution, Resolver, SystemResolver};
pub use socket_file::SocketFile;
pub use statistics::{SlowCallback, Statistics};
pub use task::{Elapsed, JoinHandle, OneshotReceiver, OneshotSender, Sleep, TaskError, oneshot};
pub use time::TimerHandle;
