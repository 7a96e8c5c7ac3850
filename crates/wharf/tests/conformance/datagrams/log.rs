//! [`Log`]: a datagram protocol that writes down what it is told, and can be made to act on it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::rc::Rc;

use wharf::{Address, Batch, DatagramProtocol, DatagramTransportRef, Lost};

/// A callback of a datagram protocol. `Data` stands for `datagram_received` and `datagrams_received`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Made,
    Data,
    Error,
    Pause,
    Resume,
    Lost,
}

type Hook = Box<dyn FnMut(&DatagramTransportRef)>;
type DataHook = Box<dyn FnMut(&DatagramTransportRef, &[u8], Option<&Address>)>;
type BatchHook = Box<dyn FnMut(&DatagramTransportRef, &Batch<'_>)>;

/// What one protocol was told. Cloning refers to the same one.
///
/// The log holds every protocol to rule T2: a callback that nests, comes before `connection_made` or after
/// `connection_lost`, or out of turn, fails the test on the spot.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<Record>);

#[derive(Default)]
struct Record {
    lines: RefCell<Vec<String>>,
    calls: RefCell<Vec<Call>>,
    senders: RefCell<Vec<Option<Address>>>,
    hooks: RefCell<HashMap<Call, Hook>>,
    data_hook: RefCell<Option<DataHook>>,
    inside: Cell<bool>,
    switched: Cell<bool>,
    protocols: Cell<usize>,
}

impl Log {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The protocol that writes here.
    pub(crate) fn plain(&self) -> Plain {
        self.0.protocols.set(self.0.protocols.get() + 1);
        Plain(self.clone())
    }

    /// A protocol that takes batches, and gives each to `look` before it writes it down.
    pub(crate) fn batched(
        &self,
        look: impl FnMut(&DatagramTransportRef, &Batch<'_>) + 'static,
    ) -> Batched {
        Batched { log: self.plain(), look: Box::new(look) }
    }

    /// From now on `call` does this. It replaces what it did before, also from inside.
    pub(crate) fn on(&self, call: Call, hook: impl FnMut(&DatagramTransportRef) + 'static) {
        self.0.hooks.borrow_mut().insert(call, Box::new(hook));
    }

    /// From now on `datagram_received` does this.
    pub(crate) fn on_data(
        &self,
        hook: impl FnMut(&DatagramTransportRef, &[u8], Option<&Address>) + 'static,
    ) {
        self.0.data_hook.replace(Some(Box::new(hook)));
    }

    /// The protocol comes or goes by `set_protocol`, so its story may lack a beginning or an end.
    pub(crate) fn switched(self) -> Self {
        self.0.switched.set(true);
        self
    }

    /// Writes a line of the test's own into the story.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.0.lines.borrow_mut().push(text.into());
    }

    /// What was told and noted, in order.
    pub(crate) fn story(&self) -> Vec<String> {
        self.0.lines.borrow().clone()
    }

    pub(crate) fn count(&self, call: Call) -> usize {
        self.0.calls.borrow().iter().filter(|told| **told == call).count()
    }

    pub(crate) fn has(&self, call: Call) -> bool {
        self.count(call) > 0
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.has(Call::Lost)
    }

    /// Who sent each datagram.
    pub(crate) fn senders(&self) -> Vec<Option<Address>> {
        self.0.senders.borrow().clone()
    }

    /// How many protocols that write here are alive.
    pub(crate) fn protocols(&self) -> usize {
        self.0.protocols.get()
    }

    /// Every protocol has come to its end and has been let go of.
    pub(crate) fn assert_whole(&self) {
        let is_whole = !self.has(Call::Made) || self.is_lost() || self.0.switched.get();
        assert!(is_whole, "connection_lost did not come: {:?}", self.story());
        assert_eq!(self.protocols(), 0, "a protocol was kept: {:?}", self.story());
    }

    fn told(&self, call: Call, line: String, act: impl FnOnce()) {
        let record = &*self.0;
        assert!(!record.inside.replace(true), "{call:?} nests: {:?}", self.story());
        let _inside = ResetOnDrop(&record.inside);
        assert!(!self.is_lost(), "{call:?} comes after the loss: {:?}", self.story());
        if call == Call::Made {
            assert!(record.calls.borrow().is_empty(), "connection_made is not the first");
        } else if !record.switched.get() {
            assert!(self.has(Call::Made), "{call:?} comes before connection_made");
        }
        let is_paused = self.count(Call::Pause) > self.count(Call::Resume);
        let in_turn = match call {
            Call::Pause => !is_paused,
            Call::Resume => is_paused,
            _ => true,
        };
        assert!(in_turn, "{call:?} comes out of turn: {:?}", self.story());
        record.lines.borrow_mut().push(line);
        record.calls.borrow_mut().push(call);
        act();
    }

    fn call(&self, call: Call, line: String, transport: &DatagramTransportRef) {
        self.told(call, line, || {
            let hook = self.0.hooks.borrow_mut().remove(&call);
            if let Some(mut hook) = hook {
                hook(transport);
                self.0.hooks.borrow_mut().entry(call).or_insert(hook);
            }
        });
    }

    fn data(&self, transport: &DatagramTransportRef, data: &[u8], from: Option<&Address>) {
        let line = match data.len() {
            0..=40 => format!("data {}", data.escape_ascii()),
            len => format!("data of {len} bytes"),
        };
        self.0.senders.borrow_mut().push(from.cloned());
        self.told(Call::Data, line.trim_end().to_owned(), || {
            let hook = self.0.data_hook.take();
            if let Some(mut hook) = hook {
                hook(transport, data, from);
                self.0.data_hook.borrow_mut().get_or_insert(hook);
            }
        });
        // A hook that panics is gone; tests that need it again set it again.
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log").field(&self.story()).finish()
    }
}

struct ResetOnDrop<'a>(&'a Cell<bool>);

impl Drop for ResetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// The name of an error, as far as systems agree on it.
pub(crate) fn error_name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => format!("{:?}", nix::errno::Errno::from_raw(errno)),
        None => format!("{:?}", error.kind()),
    }
}

/// A log as a protocol that takes one datagram at a time.
#[derive(Debug)]
pub(crate) struct Plain(Log);

impl DatagramProtocol for Plain {
    fn connection_made(&mut self, transport: &DatagramTransportRef) {
        self.0.call(Call::Made, "made".into(), transport);
    }

    fn datagram_received(
        &mut self,
        transport: &DatagramTransportRef,
        data: &[u8],
        from: Option<&Address>,
    ) {
        self.0.data(transport, data, from);
    }

    fn error_received(&mut self, transport: &DatagramTransportRef, error: &io::Error) {
        self.0.call(Call::Error, format!("error {}", error_name(error)), transport);
    }

    fn pause_writing(&mut self, transport: &DatagramTransportRef) {
        self.0.call(Call::Pause, "pause".into(), transport);
    }

    fn resume_writing(&mut self, transport: &DatagramTransportRef) {
        self.0.call(Call::Resume, "resume".into(), transport);
    }

    fn connection_lost(&mut self, transport: &DatagramTransportRef, why: &Lost) {
        self.0.call(Call::Lost, format!("lost {}", Lost::NAMES[why.index()]), transport);
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let record = &self.0.0;
        record.protocols.set(record.protocols.get() - 1);
    }
}

/// A log as a protocol that takes batches.
pub(crate) struct Batched {
    log: Plain,
    look: BatchHook,
}

impl DatagramProtocol for Batched {
    fn connection_made(&mut self, transport: &DatagramTransportRef) {
        self.log.connection_made(transport);
    }

    fn datagrams_received(&mut self, transport: &DatagramTransportRef, batch: &Batch<'_>) {
        self.log.0.note(format!("batch of {}", batch.len()));
        (self.look)(transport, batch);
    }

    fn error_received(&mut self, transport: &DatagramTransportRef, error: &io::Error) {
        self.log.error_received(transport, error);
    }

    fn connection_lost(&mut self, transport: &DatagramTransportRef, why: &Lost) {
        self.log.connection_lost(transport, why);
    }
}

impl fmt::Debug for Batched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Batched").field(&self.log).finish()
    }
}
