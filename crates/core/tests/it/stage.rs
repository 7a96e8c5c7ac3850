//! A stage that is gone keeps nothing alive, whatever its transports and its scheduler are asked for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use wharf_core::memory::Stage;
use wharf_core::schedule::Settle;
use wharf_core::{Protocol, Scheduler, TransportRef};

struct Deaf;

impl Protocol for Deaf {
    fn data_received(&mut self, _: &TransportRef, _: &[u8]) {}
}

/// Something to settle; its transport would lead back to the stage.
struct Item(#[expect(dead_code)] Rc<()>);

impl Settle for Item {
    fn settle(self: Rc<Self>) {}
}

#[test]
fn after_the_stage_is_gone_nothing_is_kept() {
    let stage = Stage::new();
    let scheduler: Rc<dyn Scheduler> = stage.scheduler();
    let (transport, deaf, _wire) = stage.wire(Deaf);
    stage.run();
    drop(stage);
    assert_eq!(Rc::strong_count(&deaf), 1, "the transport has let go of its protocol");
    let token = Rc::new(());
    let held = || Rc::clone(&token);
    scheduler.enlist(Rc::new(Item(held())));
    let callback = held();
    scheduler.call_soon(Box::new(move || drop(callback)));
    let callback = held();
    scheduler.call_later(Duration::ZERO, Box::new(move || drop(callback))).cancel();
    let callback = held();
    drop(scheduler.call_later(Duration::ZERO, Box::new(move || drop(callback))));
    transport.close();
    assert_eq!(Rc::strong_count(&token), 1, "what came too late was dropped");
}

#[test]
fn a_protocol_that_is_held_does_not_hold_up_the_others() {
    let stage = Stage::new();
    let (first, held, _wire) = stage.wire(Deaf);
    let (second, _, _other_wire) = stage.wire(Deaf);
    stage.run();
    first.close();
    second.close();
    let borrow = held.borrow();
    assert!(catch_unwind(AssertUnwindSafe(|| stage.turn())).is_err(), "rule T11");
    drop(borrow);
    stage.run();
    assert_eq!(stage.connections(), 0);
}
