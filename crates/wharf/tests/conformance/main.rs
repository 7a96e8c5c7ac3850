//! The conformance suite: one test per behaviour, named after its row in `docs/conformance.md`.

mod support;

mod base;
mod reading;
mod watermarks;
mod writing;
mod half_close;
mod closing;
mod errors;
mod eof;
mod switching;
mod faults;
mod extra_info;
mod buffered;
mod peers;

mod connecting;
mod event_loop;
mod scenarios;
mod sendfile;
mod servers;
mod unix;
