//! Typed extra info: asyncio's `get_extra_info`, with types in the place of strings.
//!
//! A fact is a type of its own, such as [`PeerAddr`], and `transport.extra::<PeerAddr>()` asks for it.
//! A transport answers through a [`Request`], so a third-party transport can offer facts of its own, and a layer passes
//! the request on to the layer below for what it does not know itself.

use std::any::Any;
use std::fmt;

use crate::address::Address;

/// The address of our end, as it was while the connection lived.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalAddr(pub Address);

/// The address of the peer's end, as it was when the connection was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerAddr(pub Address);

/// The protocol was told `pause_writing`, and not yet `resume_writing`. Absent when it was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WritingPaused;

/// A question for one fact, on its way down through the layers of a transport.
pub struct Request<'a> {
    slot: &'a mut dyn Any,
    /// Whether it has passed a layer that changes the bytes.
    layered: bool,
}

impl Request<'_> {
    /// Answers with what `value` makes, if this fact was asked for and nobody above has answered.
    pub fn provide<T: 'static>(&mut self, value: impl FnOnce() -> T) -> &mut Self {
        self.provide_some(|| Some(value()))
    }

    /// Answers with what `value` makes, if it makes something. See [`provide`](Self::provide).
    pub fn provide_some<T: 'static>(&mut self, value: impl FnOnce() -> Option<T>) -> &mut Self {
        if let Some(slot) = self.slot.downcast_mut::<Option<T>>() {
            if slot.is_none() {
                *slot = value();
            }
        }
        self
    }

    /// Answers only where no layer has passed the request on: for what belongs to this very stream of bytes, such as a way
    /// to send some of them past the transport. Around TLS that would send plaintext.
    pub fn provide_here<T: 'static>(&mut self, value: impl FnOnce() -> Option<T>) -> &mut Self {
        if self.layered { self } else { self.provide_some(value) }
    }

    /// The same request, as a layer that changes the bytes passes it on to the transport below.
    pub fn below(&mut self) -> &mut Self {
        self.layered = true;
        self
    }

    /// Asks for a `T` by handing a request to `answer`.
    pub fn ask<T: 'static>(answer: impl FnOnce(&mut Request<'_>)) -> Option<T> {
        let mut slot: Option<T> = None;
        answer(&mut Request { slot: &mut slot, layered: false });
        slot
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_layer_answers_first_and_unknown_facts_are_absent() {
        let layers = |request: &mut Request<'_>| {
            request
                .provide(|| 1_u8)
                .provide(|| 2_u8)
                .provide_some(|| None::<u16>)
                .provide(|| 3_u16);
        };
        assert_eq!(Request::ask::<u8>(layers), Some(1));
        assert_eq!(Request::ask::<u16>(layers), Some(3));
        assert_eq!(Request::ask::<u32>(layers), None);
    }

    #[test]
    fn what_belongs_to_one_stream_of_bytes_does_not_pass_a_layer() {
        let below = |request: &mut Request<'_>| {
            request.provide_here(|| Some(1_u8)).provide(|| 2_u16);
        };
        assert_eq!(Request::ask::<u8>(below), Some(1));
        assert_eq!(Request::ask::<u8>(|request| below(request.below())), None);
        assert_eq!(Request::ask::<u16>(|request| below(request.below())), Some(2));
    }
}
