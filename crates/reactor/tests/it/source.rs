//! Places on the loop, as the crates of transports use them.

use std::cell::Cell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use wharf_core::driver::Readiness;
use wharf_core::stream::Interest;
use wharf_reactor::source::{Registration, Source};

use crate::support::{Path, event_loop, turns};

both_paths!(a_place_that_forgets_its_descriptor_is_called_for_the_next_one_only);

#[derive(Default)]
struct Calls(Cell<usize>);

impl Source for Calls {
    fn ready(self: Rc<Self>, _: Readiness) {
        self.0.set(self.0.get() + 1);
    }

    fn shut(self: Rc<Self>) {}
}

fn a_place_that_forgets_its_descriptor_is_called_for_the_next_one_only(path: Path) {
    const READ: Interest = Interest { read: true, write: false };
    for exclusive in [false, true] {
        let mut ev = event_loop(path);
        let calls = Rc::new(Calls::default());
        let place = Registration::new(ev.handle());
        place.attach(calls.clone());
        place.set_exclusive(exclusive);
        let (first, mut peer) = UnixStream::pair().unwrap();
        // One that has a duplicate goes on being polled if nobody says otherwise.
        let duplicate = (!exclusive).then(|| first.try_clone().unwrap());
        place.set_interest(&first, READ).unwrap();
        place.forget(&first);
        drop(first);
        if duplicate.is_some() {
            peer.write_all(b"x").unwrap();
        }
        turns(&mut ev, 3);
        assert_eq!(calls.0.get(), 0);

        let (second, mut peer) = UnixStream::pair().unwrap();
        place.set_interest(&second, READ).unwrap();
        peer.write_all(b"x").unwrap();
        turns(&mut ev, 1);
        assert_eq!(calls.0.get(), 1);
        place.close(&second);
        assert_eq!(Rc::strong_count(&calls), 1, "the place was given back");
    }
}
