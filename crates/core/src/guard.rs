//! The one place where a panic of user code is caught (rule T9).
//!
//! Everything that calls user code calls it through [`call`].
//! Under `panic = "abort"` nothing is caught, and a panic in a callback ends the process.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::lost::Fault;
use crate::transport::TransportId;

/// Runs `callback`; a panic comes back as a [`Caught`] that names it.
///
/// # Errors
/// When the callback panicked.
#[inline]
pub fn call<R>(name: &'static str, callback: impl FnOnce() -> R) -> Result<R, Caught> {
    // Unwind safety is the transport's own doing: it holds nothing of its own while user code runs (rule T3), and the
    // protocol that panicked hears nothing more than `connection_lost`.
    catch_unwind(AssertUnwindSafe(callback)).map_err(|payload| Caught::new(name, payload))
}

/// A panic that was caught: what remains readable of it, and the payload.
pub struct Caught {
    /// Which callback, and what it said.
    pub fault: Fault,
    /// What the panic carried, to be resumed by those who want that.
    pub payload: Box<dyn Any + Send>,
}

impl Caught {
    #[cold]
    fn new(callback: &'static str, payload: Box<dyn Any + Send>) -> Self {
        let message = payload
            .downcast_ref::<&'static str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned());
        Self { fault: Fault::new(callback, message), payload }
    }
}

impl fmt::Debug for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caught").field("fault", &self.fault).finish_non_exhaustive()
    }
}

/// A fault on its way to the loop's fault policy: asyncio's exception-handler context, as a struct.
#[derive(Debug)]
#[non_exhaustive]
pub struct FaultReport {
    /// What failed.
    pub fault: Fault,
    /// The payload of the panic; `None` where a rule was broken without one.
    pub payload: Option<Box<dyn Any + Send>>,
    /// The connection concerned, if any.
    pub transport: Option<TransportId>,
    /// The type of the protocol concerned, if any.
    pub protocol: Option<&'static str>,
}

impl FaultReport {
    /// A report of a panic that was caught.
    #[must_use]
    pub fn caught(caught: Caught) -> Self {
        Self { fault: caught.fault, payload: Some(caught.payload), transport: None, protocol: None }
    }

    /// A report of a broken rule.
    #[must_use]
    pub fn broken_rule(fault: Fault) -> Self {
        Self { fault, payload: None, transport: None, protocol: None }
    }

    /// The same report, with the connection it concerns.
    #[must_use]
    pub fn concerning(mut self, transport: TransportId, protocol: &'static str) -> Self {
        self.transport = Some(transport);
        self.protocol = Some(protocol);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_comes_back_with_its_message() {
        let caught = call("data_received", || panic!("boom {}", 1)).unwrap_err();
        assert_eq!(caught.fault, Fault::new("data_received", "boom 1"));
        let caught = call("eof_received", || std::panic::panic_any(7_u8)).unwrap_err();
        assert_eq!(caught.fault.message(), "a panic without a message");
        assert_eq!(caught.payload.downcast_ref::<u8>(), Some(&7));
    }

    #[test]
    fn what_returns_comes_back_as_it_is() {
        assert_eq!(call("x", || 5).unwrap(), 5);
    }
}
