//! A runtime whose time is tokio's paused one, and a protocol that writes down what it is told.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use tokio::runtime::Builder;
use tokio::task::LocalSet;
use wharf_core::{KeepOpen, Lost, Protocol, TransportRef};

/// Runs a test to its end; tasks may be spawned with `spawn_local`.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    run_on(Builder::new_current_thread().enable_all().start_paused(true), test)
}

/// The same with time that passes, for sockets: a clock that stands still would run ahead of the kernel.
pub(crate) fn run_in_real_time<F: Future>(test: F) -> F::Output {
    run_on(Builder::new_current_thread().enable_all(), test)
}

fn run_on<F: Future>(builder: &mut Builder, test: F) -> F::Output {
    let runtime = builder.build().expect("a runtime can be made");
    runtime.block_on(LocalSet::new().run_until(test))
}

/// What a protocol was told.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<Record>);

#[derive(Default)]
struct Record {
    entries: RefCell<Vec<String>>,
    keep_open: Cell<bool>,
}

impl Log {
    pub(crate) fn add(&self, entry: impl Into<String>) {
        self.0.entries.borrow_mut().push(entry.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.0.entries.take()
    }

    pub(crate) fn has(&self, entry: &str) -> bool {
        self.0.entries.borrow().iter().any(|known| known == entry)
    }

    pub(crate) fn keep_open(&self) {
        self.0.keep_open.set(true);
    }

    pub(crate) fn echo(&self) -> Echo {
        Echo(self.clone())
    }

    /// Lets other tasks run until this entry is there.
    pub(crate) async fn wait_for(&self, entry: &str) {
        for _ in 0..10_000 {
            if self.has(entry) {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("`{entry}` was not told: {:?}", self.take());
    }
}

/// Sends everything back, and writes down what it is told, but for the bytes.
pub(crate) struct Echo(Log);

impl Protocol for Echo {
    fn connection_made(&mut self, _: &TransportRef) {
        self.0.add("made");
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        match data {
            b"close" => transport.close(),
            b"abort" => transport.abort(),
            b"panic" => panic!("as it was told"),
            _ => drop(transport.write(data)),
        }
    }

    fn eof_received(&mut self, _: &TransportRef) -> KeepOpen {
        self.0.add("eof");
        if self.0.0.keep_open.get() { KeepOpen::Yes } else { KeepOpen::No }
    }

    fn pause_writing(&mut self, _: &TransportRef) {
        self.0.add("pause");
    }

    fn resume_writing(&mut self, _: &TransportRef) {
        self.0.add("resume");
    }

    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        self.0.add(format!("lost: {why}"));
    }
}

/// `len` bytes that tell where they belong.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| u8::try_from(index % 251).unwrap_or_default()).collect()
}
