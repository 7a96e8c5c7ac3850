//! [`Resources`]: what the transports of one kind share on a loop, at most one value of each type.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

#[cfg(feature = "tracing")]
use crate::trace::Spans;

/// The values, of which there are few. A global would serve as well, were there only one loop (rule L6).
#[derive(Default)]
pub struct Resources {
    values: RefCell<Vec<Rc<dyn Any>>>,
    /// Not one of the values, because every callback looks here.
    #[cfg(feature = "tracing")]
    spans: Spans,
}

impl Resources {
    /// The value of this type, made if it is not there yet.
    pub fn get<T: 'static>(&self, make: impl FnOnce() -> T) -> Rc<T> {
        let find =
            || self.values.borrow().iter().find_map(|value| Rc::clone(value).downcast().ok());
        if let Some(value) = find() {
            return value;
        }
        let value = Rc::new(make());
        // What makes a value may have asked for it itself.
        find().unwrap_or_else(|| {
            self.values.borrow_mut().push(Rc::clone(&value) as Rc<dyn Any>);
            value
        })
    }

    /// The spans of the loop's transports.
    #[cfg(feature = "tracing")]
    pub(crate) fn spans(&self) -> &Spans {
        &self.spans
    }

    /// Takes all values out.
    #[must_use]
    pub fn take(&self) -> Vec<Rc<dyn Any>> {
        self.values.take()
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resources").field("count", &self.values.borrow().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_value_of_each_type() {
        let resources = Resources::default();
        let first = resources.get(|| 1_u8);
        assert!(Rc::ptr_eq(&first, &resources.get(|| 2)));
        assert_eq!(*resources.get(|| 3_u16), 3);
        assert_eq!(resources.take().len(), 2);
        assert_eq!(*resources.get(|| 4_u8), 4);
    }

    #[test]
    fn a_value_that_was_made_meanwhile_is_the_one() {
        let resources = Resources::default();
        let outer = resources.get(|| *resources.get(|| 1_u8) + 1);
        assert_eq!(*outer, 1);
        assert_eq!(resources.take().len(), 1);
    }
}
