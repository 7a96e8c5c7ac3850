//! [`Pace`]: how many connections are taken at a time, so that few questions for one are in vain.
//!
//! A listener that has given its last connection says so only to whoever asks for one more, and to ask in vain costs more
//! than to get one: 4.0 us and not 2.5 where it was measured, because the system makes a socket before it looks.
//! The poller says for a tenth of that that there are more.
//! So as many are taken as were there the last time; and once the loop has done so much that a vain question does not show,
//! as many as there are.

use std::cell::Cell;

/// So many events and connections are some hundred microseconds of work or more, next to which a vain question is little.
const WORTH_ASKING: u64 = 64;

/// What a listener has learned of how its connections come.
pub(super) struct Pace {
    /// How many there were when the listener last had no more.
    expected: Cell<usize>,
    /// What the loop had done by then.
    asked: Cell<u64>,
}

impl Default for Pace {
    /// Nothing is known yet, so all that there are come first.
    fn default() -> Self {
        Self { expected: Cell::new(usize::MAX), asked: Cell::new(0) }
    }
}

impl Pace {
    /// Whether to ask for another connection after `taken` of them, on a loop that has done so much work.
    pub(super) fn admits(&self, taken: usize, work: u64) -> bool {
        taken < self.expected.get() || work.wrapping_sub(self.asked.get()) >= WORTH_ASKING
    }

    /// There were no more than `taken`.
    pub(super) fn ran_out(&self, taken: usize, work: u64) {
        self.expected.set(taken.max(1));
        self.asked.set(work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets connections come in batches of `sizes`, four units of work each; says how many questions were in vain, and how
    /// many times the poller had to tell.
    fn vain_and_told(sizes: impl IntoIterator<Item = usize>) -> (usize, usize) {
        let (pace, mut work) = (Pace::default(), 0);
        let (mut vain, mut told) = (0, 0);
        for mut waiting in sizes {
            while waiting > 0 {
                told += 1;
                work += 1;
                let mut taken = 0;
                while pace.admits(taken, work) {
                    if waiting == 0 {
                        pace.ran_out(taken, work);
                        vain += 1;
                        break;
                    }
                    taken += 1;
                    waiting -= 1;
                    work += 3;
                }
            }
        }
        (vain, told)
    }

    #[test]
    fn single_connections_are_taken_one_by_one_with_few_vain_questions() {
        let (vain, told) = vain_and_told([1; 1000]);
        assert_eq!(told, 1000);
        assert!(vain <= 1 + 4 * 1000 / 64, "{vain}");
    }

    #[test]
    fn batches_of_one_size_are_taken_whole() {
        let (vain, told) = vain_and_told([8; 1000]);
        assert_eq!(told, 1000);
        assert!(vain <= 1 + 25 * 1000 / 64, "{vain}");
    }

    #[test]
    fn a_crowd_is_taken_at_once_after_a_while_of_single_ones() {
        let singles = std::iter::repeat_n(1, 100);
        let (_, told) = vain_and_told(singles.chain([1000]));
        assert!(told <= 100 + 64 / 4 + 1, "{told}");
    }

    #[test]
    fn a_listener_that_had_nothing_after_all_is_asked_again() {
        let pace = Pace::default();
        pace.ran_out(0, 10);
        assert!(pace.admits(0, 11));
        assert!(!pace.admits(1, 11));
    }

    #[test]
    fn batches_of_any_size_cost_few_vain_questions() {
        let sizes = (0..1000).map(|n| 1 + n * 7919 % 5);
        let count: usize = sizes.clone().sum();
        let (vain, _) = vain_and_told(sizes);
        // One that is worth its cost, and one for each size that it turned out too large by.
        assert!(vain <= count / 4, "{vain} of {count}");
    }
}
