//! Streams as their users meet them, in memory: futures that are polled only when they were woken.

mod cancelling;
mod incoming;
mod reading;
mod support;
mod switching;
mod traits;
mod writing;
