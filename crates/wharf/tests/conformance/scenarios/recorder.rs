//! [`Recorder`] and [`BufferedRecorder`]: protocols that write every callback into the trace.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use wharf::{BufferedProtocol, KeepOpen, Lost, Protocol, TransportRef};

use super::python::{Raised, shown};
use super::scene::Scene;

/// Which callback a hook follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Callback {
    Made,
    Data,
    Eof,
    Pause,
    Resume,
    Lost,
}

type Hook = Box<dyn FnMut(&TransportRef)>;

/// A recording protocol, with something to do in its callbacks.
pub(super) struct Recorder {
    scene: Scene,
    name: &'static str,
    answer: KeepOpen,
    /// Where to count what is received, instead of writing it down.
    counter: Option<Rc<Cell<usize>>>,
    hooks: Vec<(Callback, Hook)>,
}

impl Recorder {
    pub(super) fn new(scene: &Scene, name: &'static str) -> Self {
        let scene = scene.clone();
        Self { scene, name, answer: KeepOpen::No, counter: None, hooks: Vec::new() }
    }

    /// Answers the peer's end with [`KeepOpen::Yes`].
    pub(super) fn keeps_open(mut self) -> Self {
        self.answer = KeepOpen::Yes;
        self
    }

    /// Only counts what is received.
    pub(super) fn counts(mut self, counter: &Rc<Cell<usize>>) -> Self {
        self.counter = Some(Rc::clone(counter));
        self
    }

    /// Calls `hook` at the end of `callback`.
    pub(super) fn on(
        mut self,
        callback: Callback,
        hook: impl FnMut(&TransportRef) + 'static,
    ) -> Self {
        self.hooks.push((callback, Box::new(hook)));
        self
    }

    fn heard(&mut self, callback: Callback, line: &str, transport: &TransportRef) {
        self.scene.line(format!("cb {} {line}", self.name));
        self.call_hooks(callback, transport);
    }

    fn call_hooks(&mut self, callback: Callback, transport: &TransportRef) {
        for (_, hook) in self.hooks.iter_mut().filter(|(after, _)| *after == callback) {
            hook(transport);
        }
    }
}

impl Protocol for Recorder {
    fn connection_made(&mut self, transport: &TransportRef) {
        self.heard(Callback::Made, "connection_made", transport);
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        if let Some(counter) = &self.counter {
            counter.set(counter.get() + data.len());
            self.call_hooks(Callback::Data, transport);
        } else {
            self.heard(Callback::Data, &format!("data_received {}", shown(data)), transport);
        }
    }

    fn eof_received(&mut self, transport: &TransportRef) -> KeepOpen {
        self.heard(Callback::Eof, "eof_received", transport);
        self.answer
    }

    fn pause_writing(&mut self, transport: &TransportRef) {
        self.heard(Callback::Pause, "pause_writing", transport);
    }

    fn resume_writing(&mut self, transport: &TransportRef) {
        self.heard(Callback::Resume, "resume_writing", transport);
    }

    fn connection_lost(&mut self, transport: &TransportRef, why: &Lost) {
        self.heard(Callback::Lost, &format!("connection_lost {}", why.raised()), transport);
    }
}

/// A recording buffered protocol.
pub(super) struct BufferedRecorder {
    scene: Scene,
    name: &'static str,
    buffer: Vec<u8>,
    received: Rc<RefCell<Vec<u8>>>,
    fails: Option<&'static str>,
}

impl BufferedRecorder {
    /// One that gives a buffer of `size` bytes.
    pub(super) fn new(scene: &Scene, name: &'static str, size: usize) -> Self {
        let scene = scene.clone();
        Self { scene, name, buffer: vec![0; size], received: Rc::default(), fails: None }
    }

    /// Panics with this when it is asked for its buffer.
    pub(super) fn fails(mut self, message: &'static str) -> Self {
        self.fails = Some(message);
        self
    }

    /// All that it will have received.
    pub(super) fn received(&self) -> Rc<RefCell<Vec<u8>>> {
        Rc::clone(&self.received)
    }

    fn heard(&self, line: &str) {
        self.scene.line(format!("cb {} {line}", self.name));
    }
}

impl BufferedProtocol for BufferedRecorder {
    fn connection_made(&mut self, _: &TransportRef) {
        self.heard("connection_made");
    }

    fn get_buffer(&mut self, size_hint: Option<usize>) -> &mut [u8] {
        self.heard(&format!("get_buffer hint{}", if size_hint.is_none() { "=-1" } else { ">0" }));
        if let Some(message) = self.fails {
            panic!("{message}");
        }
        &mut self.buffer
    }

    fn buffer_updated(&mut self, _: &TransportRef, count: usize) {
        self.received.borrow_mut().extend_from_slice(&self.buffer[..count]);
        self.heard(&format!("buffer_updated {}", shown(&self.buffer[..count])));
    }

    fn eof_received(&mut self, _: &TransportRef) -> KeepOpen {
        self.heard("eof_received");
        KeepOpen::No
    }

    fn pause_writing(&mut self, _: &TransportRef) {
        self.heard("pause_writing");
    }

    fn resume_writing(&mut self, _: &TransportRef) {
        self.heard("resume_writing");
    }

    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        self.heard(&format!("connection_lost {}", why.raised()));
    }
}
