//! [`Marks`]: what is so about a session besides its phase, a bit for each: an idle connection has one.

/// What is so, or is not.
#[derive(Clone, Copy, Default)]
pub(super) struct Marks(u16);

impl Marks {
    /// The transport below was full, and has not said that it no longer is.
    pub(super) const FULL: u16 = 1;
    /// The stream above wants more.
    pub(super) const READING: u16 = 2;
    /// We have paused the transport below.
    pub(super) const PAUSED: u16 = 4;
    /// Plaintext waits until somebody has been given the transport.
    pub(super) const HELD: u16 = 8;
    /// The handshake waits for its turn.
    pub(super) const QUEUED: u16 = 16;
    /// The transport below has reached its end.
    pub(super) const ENDED: u16 = 32;
    /// A read would find nothing before more has come from below.
    pub(super) const DRY: u16 = 64;
    /// The user has written something that may not have reached the system.
    pub(super) const DIRTY: u16 = 128;
    /// The layer will be settled before the turn ends.
    pub(super) const ENLISTED: u16 = 256;

    pub(super) const fn has(self, mark: u16) -> bool {
        self.0 & mark != 0
    }

    pub(super) fn set(&mut self, mark: u16, on: bool) {
        *self = self.with(mark, on);
    }

    /// Sets a mark; says what it was.
    pub(super) fn replace(&mut self, mark: u16, on: bool) -> bool {
        let was = self.has(mark);
        self.set(mark, on);
        was
    }

    pub(super) const fn with(self, mark: u16, on: bool) -> Self {
        Self(if on { self.0 | mark } else { self.0 & !mark })
    }
}
