//! A stage that is gone keeps nothing alive, whatever its transports and its scheduler are asked for.

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
