//! How a subprocess protocol is shared between its user and its transport: [`IntoSubprocessProtocol`] and
//! [`SharedSubprocessProtocol`].
//!
//! As with byte streams, a transport holds the very `Rc<RefCell<P>>` that starting gives to the user, until
//! `connection_lost`.

use std::any::type_name;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use crate::protocol::SubprocessProtocol;
use crate::shared::free;

/// What can become the protocol of a child process: any [`SubprocessProtocol`], or one that is shared already.
pub trait IntoSubprocessProtocol {
    /// What the user keeps.
    type Shared: Clone;

    /// The shared object, and the transport's hold on it.
    fn share(self) -> (Self::Shared, SharedSubprocessProtocol);
}

impl<P: SubprocessProtocol> IntoSubprocessProtocol for P {
    type Shared = Rc<RefCell<P>>;

    fn share(self) -> (Self::Shared, SharedSubprocessProtocol) {
        Rc::new(RefCell::new(self)).share()
    }
}

impl<P: SubprocessProtocol> IntoSubprocessProtocol for Rc<RefCell<P>> {
    type Shared = Self;

    fn share(self) -> (Self::Shared, SharedSubprocessProtocol) {
        (Self::clone(&self), SharedSubprocessProtocol(self))
    }
}

/// A subprocess protocol as a transport holds it. Its methods are the callbacks, for those who implement transports.
#[derive(Clone)]
pub struct SharedSubprocessProtocol(Rc<dyn Callbacks>);

impl SharedSubprocessProtocol {
    /// Refuses a protocol that its user holds a borrow of while the loop runs (rule T11).
    ///
    /// # Panics
    /// With a sentence that names the type.
    pub fn assert_free(&self) {
        self.0.assert_free();
    }

    /// Whether nobody holds a borrow of it.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.0.is_free()
    }

    /// The name of its type, for reports.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.0.type_name()
    }

    /// Calls it: `callback` is given the protocol itself.
    pub fn with(&self, callback: impl FnOnce(&mut dyn SubprocessProtocol)) {
        let mut callback = Some(callback);
        self.0.with(&mut |protocol| {
            if let Some(callback) = callback.take() {
                callback(protocol);
            }
        });
    }
}

impl fmt::Debug for SharedSubprocessProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedSubprocessProtocol").field(&self.type_name()).finish()
    }
}

trait Callbacks {
    fn assert_free(&self);
    fn is_free(&self) -> bool;
    fn type_name(&self) -> &'static str;
    fn with(&self, callback: &mut dyn FnMut(&mut dyn SubprocessProtocol));
}

impl<P: SubprocessProtocol> Callbacks for RefCell<P> {
    fn assert_free(&self) {
        drop(free(self));
    }

    fn is_free(&self) -> bool {
        self.try_borrow_mut().is_ok()
    }

    fn type_name(&self) -> &'static str {
        type_name::<P>()
    }

    fn with(&self, callback: &mut dyn FnMut(&mut dyn SubprocessProtocol)) {
        callback(&mut *free(self));
    }
}
