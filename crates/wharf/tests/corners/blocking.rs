//! Blocking work: pieces that wait for each other run side by side while there are threads.

use std::sync::mpsc;
use std::time::Duration;

use crate::support::event_loop;

/// How often the race between a thread that wakes up and the next piece is run.
const ROUNDS: usize = 30;

/// Far beyond what any round takes: it ends one that would hang.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn two_pieces_in_a_row_do_not_share_one_idle_thread() {
    for _ in 0..ROUNDS {
        let mut ev = event_loop();
        let handle = ev.handle().clone();
        // Leaves one thread behind that has nothing to do.
        ev.block_on(handle.spawn_blocking(|| ())).unwrap();
        let (sender, receiver) = mpsc::channel();
        let first = handle.spawn_blocking(move || receiver.recv_timeout(PATIENCE).is_ok());
        let second = handle.spawn_blocking(move || sender.send(()).is_ok());
        let outcome = ev.block_on(async { (first.await, second.await) });
        assert_eq!(outcome, (Ok(true), Ok(true)));
    }
}
