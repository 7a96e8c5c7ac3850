//! [`StreamOptions`] that are the same are one object: of thousands of connections few have settings of their own.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use super::contract::StreamOptions;
use crate::resource::Resources;

/// How many settings are remembered: those of a few servers, and of the layers above each.
const REMEMBERED: usize = 16;

/// The settings that were shared last on a loop, the newest in front.
#[derive(Default)]
struct Known(RefCell<Vec<Weak<StreamOptions>>>);

impl StreamOptions {
    /// These settings as a driver takes them: those that another stream of this loop has already, where they are the same.
    ///
    /// For whoever makes settings for one stream alone.
    #[must_use]
    pub fn shared(self, resources: &Resources) -> Rc<Self> {
        resources.get(Known::default).share(self)
    }

    fn is_same(&self, other: &Self) -> bool {
        let owner =
            |options: &Self| options.owner.as_ref().map(|owner| owner.as_ptr().cast::<()>());
        self.limits == other.limits
            && self.close_timeout == other.close_timeout
            && self.read_budget == other.read_budget
            && owner(self) == owner(other)
    }
}

impl Known {
    fn share(&self, options: StreamOptions) -> Rc<StreamOptions> {
        let mut known = self.0.borrow_mut();
        let same = known.iter().filter_map(Weak::upgrade).find(|known| known.is_same(&options));
        if let Some(same) = same {
            return same;
        }
        known.retain(|known| known.strong_count() > 0);
        known.truncate(REMEMBERED - 1);
        let options = Rc::new(options);
        known.insert(0, Rc::downgrade(&options));
        options
    }
}

#[cfg(test)]
mod tests {
    use super::super::Owner;
    use super::*;
    use crate::flow::Limits;
    use crate::lost::Lost;
    use crate::transport::TransportId;

    fn limited(high: usize) -> StreamOptions {
        StreamOptions { limits: Limits::high(high), ..StreamOptions::default() }
    }

    #[test]
    fn settings_that_are_the_same_are_one_object() {
        let resources = Resources::default();
        let first = limited(1).shared(&resources);
        assert!(Rc::ptr_eq(&first, &limited(1).shared(&resources)));
        let others = [
            limited(2),
            StreamOptions { close_timeout: None, ..limited(1) },
            StreamOptions { read_budget: 1, ..limited(1) },
        ];
        for other in others {
            assert!(!Rc::ptr_eq(&first, &other.shared(&resources)));
        }
    }

    #[test]
    fn streams_of_two_servers_share_nothing() {
        struct Server;
        impl Owner for Server {
            fn connection_lost(&self, _: TransportId, _: &Lost) {}
        }
        let resources = Resources::default();
        let servers = [Rc::new(Server), Rc::new(Server)];
        let [first, second, again] = [0, 1, 0].map(|index| {
            let owner = Rc::downgrade(&servers[index]) as Weak<dyn Owner>;
            StreamOptions { owner: Some(owner), ..limited(1) }.shared(&resources)
        });
        assert!(!Rc::ptr_eq(&first, &second));
        assert!(Rc::ptr_eq(&first, &again));
    }

    #[test]
    fn few_are_remembered_and_none_kept() {
        let resources = Resources::default();
        let kept: Vec<_> =
            (0..2 * REMEMBERED).map(|high| limited(high).shared(&resources)).collect();
        let known = resources.get(Known::default);
        assert_eq!(known.0.borrow().len(), REMEMBERED);
        drop(kept);
        let _one = limited(0).shared(&resources);
        assert_eq!(known.0.borrow().len(), 1);
    }
}
