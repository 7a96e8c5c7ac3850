//! [`Log`]: a protocol that writes down what it is told, and can be made to act on it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::rc::Rc;

use wharf::{Buffered, BufferedProtocol, KeepOpen, Lost, Protocol, TransportRef};

/// A callback of a stream protocol. `Data` stands for `data_received` and `buffer_updated`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Made,
    GetBuffer,
    Data,
    Eof,
    Pause,
    Resume,
    Lost,
}

impl Call {
    const KINDS: usize = Self::Lost as usize + 1;
}

/// Something that was told, or noted by a test.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Call(Call),
    Data(Vec<u8>),
    Lost(Why),
    Note(String),
}

/// What `connection_lost` said, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Why {
    /// The cause's name in [`Lost::NAMES`].
    pub(crate) name: &'static str,
    /// The kind of the system's error, if it was one.
    pub(crate) kind: Option<io::ErrorKind>,
    pub(crate) text: String,
}

type Hook = Box<dyn FnMut(&TransportRef)>;

/// What one protocol was told. Cloning refers to the same one.
///
/// The log holds every protocol to rule T2: a callback that nests, comes before `connection_made` or after
/// `connection_lost`, or comes once more than it may, fails the test on the spot.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<Record>);

#[derive(Default)]
struct Record {
    entries: RefCell<Vec<Entry>>,
    /// How often each call came, so that a long story is not read for each of its lines.
    counts: [Cell<usize>; Call::KINDS],
    hooks: RefCell<HashMap<Call, Hook>>,
    /// The transport that told something last, for `get_buffer`; gone with the loss.
    transport: RefCell<Option<TransportRef>>,
    keep_open: Cell<KeepOpen>,
    inside: Cell<bool>,
    /// Whether `connection_made` need not have come, or `connection_lost` need not come: the protocol was switched.
    switched: Cell<bool>,
    hints: RefCell<Vec<Option<usize>>>,
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

    /// The same as a buffered protocol, with a buffer of `size` bytes.
    pub(crate) fn buffered(&self, size: usize) -> Buffered<WithBuffer> {
        self.0.protocols.set(self.0.protocols.get() + 1);
        Buffered(WithBuffer { log: self.clone(), buffer: vec![0; size] })
    }

    /// From now on `call` does this. It replaces what it did before, also from inside.
    pub(crate) fn on(&self, call: Call, hook: impl FnMut(&TransportRef) + 'static) {
        self.0.hooks.borrow_mut().insert(call, Box::new(hook));
    }

    /// From now on `eof_received` answers that the connection stays open.
    pub(crate) fn keep_open(&self) {
        self.0.keep_open.set(KeepOpen::Yes);
    }

    /// The protocol comes or goes by `set_protocol`, so its story may lack a beginning or an end.
    pub(crate) fn switched(self) -> Self {
        self.0.switched.set(true);
        self
    }

    /// Writes a line of the test's own into the story.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.0.entries.borrow_mut().push(Entry::Note(text.into()));
    }

    /// What was told and noted, in order. Bytes that came in several calls in a row are told as one, since the cuts
    /// mean nothing; `get_buffer` is left out.
    pub(crate) fn story(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut data: Vec<u8> = Vec::new();
        for entry in &*self.0.entries.borrow() {
            match entry {
                Entry::Data(bytes) => data.extend(bytes),
                Entry::Call(Call::GetBuffer) => {}
                _ => {
                    told_data(&mut lines, &mut data);
                    lines.push(entry.line());
                }
            }
        }
        told_data(&mut lines, &mut data);
        lines
    }

    /// The story without the bytes: for tests about large amounts of them.
    pub(crate) fn story_without_data(&self) -> Vec<String> {
        self.story().into_iter().filter(|line| !line.starts_with("data ")).collect()
    }

    /// How often `call` came.
    pub(crate) fn count(&self, call: Call) -> usize {
        self.0.counts[call as usize].get()
    }

    pub(crate) fn has(&self, call: Call) -> bool {
        self.count(call) > 0
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.has(Call::Lost)
    }

    /// How many bytes were delivered.
    pub(crate) fn data_len(&self) -> usize {
        self.chunks().iter().sum()
    }

    /// The sizes in which bytes were delivered.
    pub(crate) fn chunks(&self) -> Vec<usize> {
        let size = |entry: &Entry| match entry {
            Entry::Data(bytes) => Some(bytes.len()),
            _ => None,
        };
        self.0.entries.borrow().iter().filter_map(size).collect()
    }

    /// All bytes that were delivered.
    pub(crate) fn data(&self) -> Vec<u8> {
        let mut data = Vec::new();
        for entry in &*self.0.entries.borrow() {
            if let Entry::Data(bytes) = entry {
                data.extend(bytes);
            }
        }
        data
    }

    /// Why the connection was lost.
    pub(crate) fn why(&self) -> Option<Why> {
        self.0.entries.borrow().iter().find_map(|entry| match entry {
            Entry::Lost(why) => Some(why.clone()),
            _ => None,
        })
    }

    /// The hints that came with `get_buffer`.
    pub(crate) fn hints(&self) -> Vec<Option<usize>> {
        self.0.hints.borrow().clone()
    }

    /// Lets go of the handle that is kept for the hook of `get_buffer`.
    pub(crate) fn forget_transport(&self) {
        self.0.transport.take();
    }

    /// How many protocols that write here are alive.
    pub(crate) fn protocols(&self) -> usize {
        self.0.protocols.get()
    }

    /// What must be true of every protocol once its loop is gone.
    pub(crate) fn assert_whole(&self) {
        assert_eq!(self.protocols(), 0, "somebody holds a protocol: {:?}", self.story());
        if !self.0.switched.get() {
            let ends = (self.count(Call::Made), self.count(Call::Lost));
            assert_eq!(ends.0, ends.1, "made and lost do not pair up: {:?}", self.story());
        }
    }

    /// Notes a callback and runs its hook.
    fn told(&self, call: Call, entry: Entry, transport: Option<&TransportRef>) {
        let record = &*self.0;
        assert!(!record.inside.replace(true), "{call:?} nests: {:?}", self.story());
        let _inside = ResetOnDrop(&record.inside);
        assert!(!self.is_lost(), "{call:?} comes after the loss: {:?}", self.story());
        let once = matches!(call, Call::Made | Call::Eof | Call::Lost);
        assert!(!once || !self.has(call), "{call:?} comes twice: {:?}", self.story());
        if call == Call::Made {
            assert_eq!(self.story().len(), self.notes(), "connection_made is not the first");
        } else if !record.switched.get() {
            assert!(self.has(Call::Made), "{call:?} comes before connection_made");
        }
        assert!(self.alternates(call), "{call:?} comes out of turn: {:?}", self.story());
        record.entries.borrow_mut().push(entry);
        let count = &record.counts[call as usize];
        count.set(count.get() + 1);
        if let Some(transport) = transport {
            record.transport.replace(Some(transport.clone()));
        }
        let transport = match call {
            Call::Lost => record.transport.take(),
            _ => record.transport.borrow().clone(),
        };
        let hook = record.hooks.borrow_mut().remove(&call);
        if let (Some(mut hook), Some(transport)) = (hook, transport) {
            hook(&transport);
            record.hooks.borrow_mut().entry(call).or_insert(hook);
        }
    }

    /// Whether `pause_writing` and `resume_writing` come in turn, the former first.
    fn alternates(&self, call: Call) -> bool {
        let is_paused = || self.count(Call::Pause) > self.count(Call::Resume);
        match call {
            Call::Pause => !is_paused(),
            Call::Resume => is_paused(),
            _ => true,
        }
    }

    fn notes(&self) -> usize {
        let entries = self.0.entries.borrow();
        entries.iter().filter(|entry| matches!(entry, Entry::Note(_))).count()
    }

    fn lost(&self, transport: &TransportRef, why: &Lost) {
        let kind = match why {
            Lost::Io(error) => Some(error.kind()),
            _ => None,
        };
        let why = Why { name: Lost::NAMES[why.index()], kind, text: why.to_string() };
        self.told(Call::Lost, Entry::Lost(why), Some(transport));
    }

    fn call(&self, call: Call, transport: &TransportRef) {
        self.told(call, Entry::Call(call), Some(transport));
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log").field(&self.story()).finish()
    }
}

impl Entry {
    fn line(&self) -> String {
        match self {
            Self::Call(call) => format!("{call:?}").to_lowercase(),
            Self::Data(bytes) => match bytes.len() {
                0..=40 => format!("data {}", bytes.escape_ascii()),
                len => format!("data of {len} bytes"),
            },
            Self::Lost(why) => format!("lost {}", why.name),
            Self::Note(text) => text.clone(),
        }
    }
}

/// Puts the bytes that were gathered into the story, if there are any.
fn told_data(lines: &mut Vec<String>, data: &mut Vec<u8>) {
    if !data.is_empty() {
        lines.push(Entry::Data(std::mem::take(data)).line());
    }
}

struct ResetOnDrop<'a>(&'a Cell<bool>);

impl Drop for ResetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// A log as a plain protocol.
#[derive(Debug)]
pub(crate) struct Plain(Log);

impl Protocol for Plain {
    fn connection_made(&mut self, transport: &TransportRef) {
        self.0.call(Call::Made, transport);
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        assert!(!data.is_empty(), "data_received was given an empty slice");
        self.0.told(Call::Data, Entry::Data(data.to_vec()), Some(transport));
    }

    fn eof_received(&mut self, transport: &TransportRef) -> KeepOpen {
        self.0.call(Call::Eof, transport);
        self.0.0.keep_open.get()
    }

    fn pause_writing(&mut self, transport: &TransportRef) {
        self.0.call(Call::Pause, transport);
    }

    fn resume_writing(&mut self, transport: &TransportRef) {
        self.0.call(Call::Resume, transport);
    }

    fn connection_lost(&mut self, transport: &TransportRef, why: &Lost) {
        self.0.lost(transport, why);
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let record = &self.0.0;
        record.protocols.set(record.protocols.get() - 1);
    }
}

/// A log as a buffered protocol.
#[derive(Debug)]
pub(crate) struct WithBuffer {
    log: Log,
    buffer: Vec<u8>,
}

impl WithBuffer {
    /// What the buffer holds, whoever filled it.
    pub(crate) fn buffer(&self) -> &[u8] {
        &self.buffer
    }
}

impl BufferedProtocol for WithBuffer {
    fn connection_made(&mut self, transport: &TransportRef) {
        self.log.call(Call::Made, transport);
    }

    fn get_buffer(&mut self, size_hint: Option<usize>) -> &mut [u8] {
        self.log.0.hints.borrow_mut().push(size_hint);
        self.log.told(Call::GetBuffer, Entry::Call(Call::GetBuffer), None);
        &mut self.buffer
    }

    fn buffer_updated(&mut self, transport: &TransportRef, count: usize) {
        assert!(0 < count && count <= self.buffer.len(), "{count} bytes were put into the buffer");
        let entry = Entry::Data(self.buffer[..count].to_vec());
        self.log.told(Call::Data, entry, Some(transport));
    }

    fn eof_received(&mut self, transport: &TransportRef) -> KeepOpen {
        self.log.call(Call::Eof, transport);
        self.log.0.keep_open.get()
    }

    fn pause_writing(&mut self, transport: &TransportRef) {
        self.log.call(Call::Pause, transport);
    }

    fn resume_writing(&mut self, transport: &TransportRef) {
        self.log.call(Call::Resume, transport);
    }

    fn connection_lost(&mut self, transport: &TransportRef, why: &Lost) {
        self.log.lost(transport, why);
    }
}

impl Drop for WithBuffer {
    fn drop(&mut self) {
        let record = &self.log.0;
        record.protocols.set(record.protocols.get() - 1);
    }
}
