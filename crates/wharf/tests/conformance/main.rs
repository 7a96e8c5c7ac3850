//! The conformance suite: one test per behaviour, named after its row in `docs/conformance.md`.

mod support;

mod base;
mod buffered;
mod calls;
mod closing;
mod eof;
mod errors;
mod extra_info;
mod faults;
mod half_close;
mod peers;
mod reading;
mod switching;
mod watermarks;
mod writing;

mod connecting;
mod datagrams;
mod event_loop;
mod everywhere;
mod scenarios;
mod sendfile;
mod servers;
mod tls;
mod unix;

mod pipes;
mod processes;
mod ptys;
