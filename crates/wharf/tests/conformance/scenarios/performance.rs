//! Performing a script: a loop and a scene for it, and the comparison of what it wrote.

use wharf::EventLoop;
use wharf::memory::ManualClock;

use super::comparison::assert_conforms;
use super::scene::Scene;
use crate::support::loop_builder;

/// After this many turns a script is taken never to end.
const TURNS: usize = 500_000;

/// Performs an asynchronous script and compares its trace with asyncio's.
///
/// The clock stands still unless the script moves it.
pub(super) fn perform(scenario: &str, script: impl AsyncFnOnce(&Scene)) {
    by_hand(scenario, |mut ev, scene| {
        let _watch = ev.spawn(end_in_time(scene.clone()));
        ev.block_on(script(scene));
        // What the end of the loop tells is not part of the story.
        let trace = scene.trace();
        drop(ev);
        trace
    });
}

/// Ends a script that waits for ever for something else than a line of its trace.
async fn end_in_time(scene: Scene) {
    for _ in 0..TURNS {
        scene.turn().await;
    }
    scene.handle.stop();
    panic!("the script does not end; its trace so far: {:#?}", scene.trace());
}

/// Performs a script that runs the loop itself, and gives the trace to be compared.
pub(super) fn by_hand(scenario: &str, script: impl FnOnce(EventLoop, &Scene) -> Vec<String>) {
    let clock = ManualClock::new();
    let ev = loop_builder().clock(clock.clone()).build().expect("a loop can be made");
    let scene = Scene::new(&ev, &clock);
    let trace = script(ev, &scene);
    assert_conforms(scenario, &trace);
}
