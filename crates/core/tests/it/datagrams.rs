//! Datagrams in memory: a pair, and a model of everything that can happen between its two ends.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use wharf_core::datagram::QueueLimits;
use wharf_core::datagram::driver::DropPolicy;
use wharf_core::memory::{PostRef, Stage};
use wharf_core::{Address, Batch, DatagramProtocol, DatagramTransportRef, Limits, Lost};

/// What one end was told.
#[derive(Default)]
struct Told {
    received: Vec<Vec<u8>>,
    errors: usize,
    /// How often it was paused, less how often it was resumed.
    paused: usize,
    made: bool,
    lost: Option<&'static str>,
}

/// One end. It fails with a datagram of this length.
struct End {
    told: Rc<RefCell<Told>>,
    fails_at: usize,
    batched: bool,
}

impl End {
    fn heard(&mut self, data: &[u8]) {
        self.told.borrow_mut().received.push(data.to_vec());
        assert_ne!(data.len(), self.fails_at, "boom");
    }
}

impl DatagramProtocol for End {
    fn connection_made(&mut self, _: &DatagramTransportRef) {
        assert!(!std::mem::replace(&mut self.told.borrow_mut().made, true), "made twice");
    }

    fn datagram_received(&mut self, _: &DatagramTransportRef, data: &[u8], _: Option<&Address>) {
        self.heard(data);
    }

    fn datagrams_received(&mut self, transport: &DatagramTransportRef, batch: &Batch<'_>) {
        if !self.batched {
            for one in batch {
                self.datagram_received(transport, one.data(), one.from());
            }
            return;
        }
        for train in batch.trains() {
            if train.data().is_empty() {
                self.heard(&[]);
            }
            train.data().chunks(train.segment().max(1)).for_each(|data| self.heard(data));
        }
    }

    fn error_received(&mut self, _: &DatagramTransportRef, _: &std::io::Error) {
        self.told.borrow_mut().errors += 1;
    }

    fn pause_writing(&mut self, _: &DatagramTransportRef) {
        let mut told = self.told.borrow_mut();
        told.paused += 1;
        assert_eq!(told.paused, 1, "paused twice");
    }

    fn resume_writing(&mut self, _: &DatagramTransportRef) {
        let mut told = self.told.borrow_mut();
        assert_eq!(told.paused, 1, "resumed out of turn");
        told.paused = 0;
    }

    fn connection_lost(&mut self, _: &DatagramTransportRef, why: &Lost) {
        let lost = self.told.borrow_mut().lost.replace(Lost::NAMES[why.index()]);
        assert_eq!(lost, None, "lost twice");
    }
}

struct Ground {
    stage: Stage,
    ends: [(DatagramTransportRef, Rc<RefCell<Told>>); 2],
    posts: [PostRef; 2],
}

fn ground(fails_at: usize, batched: bool) -> Ground {
    let stage = Stage::new();
    stage.contain_faults();
    let told = [Rc::default(), Rc::default()];
    let end = |index: usize| End { told: Rc::clone(&told[index]), fails_at, batched };
    let pair = stage.datagram_pair(end(0), end(1));
    let [first, second] = told.clone();
    let ends = [(pair.first.0.clone(), first), (pair.second.0.clone(), second)];
    stage.run();
    Ground { stage, ends, posts: pair.posts }
}

#[test]
fn two_ends_are_connected_to_each_other() {
    let Ground { stage, ends: [(first, first_told), (second, second_told)], .. } =
        ground(usize::MAX, false);
    assert_eq!((first.peer_addr(), second.peer_addr()), (second.local_addr(), first.local_addr()));
    first.send_to(b"to the second", None).unwrap();
    second.send_segments(b"to the first", 6, first.local_addr().as_ref()).unwrap();
    stage.run();
    assert_eq!(second_told.borrow().received, [b"to the second".to_vec()]);
    assert_eq!(first_told.borrow().received, [b"to the".to_vec(), b" first".to_vec()]);
    first.close();
    stage.run();
    assert_eq!((first_told.borrow().lost, second_told.borrow().lost), (Some("closed"), None));
    second.send_to(b"to nobody", None).unwrap();
    stage.run();
    assert_eq!(second.write_buffer_len(), 0, "what nobody hears is lost");
    drop(stage);
    assert_eq!(second_told.borrow().lost, Some("aborted"));
}

#[derive(Debug, Clone)]
enum Op {
    Send(usize),
    Segments(usize, usize),
    LimitSends(usize),
    LimitReceives(usize),
    Capacity(usize),
    FailSend,
    FailReceive,
    Pause,
    Resume,
    Limits(usize, usize),
    Turn,
    Tick,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..40_usize).prop_map(Op::Send),
        3 => (0..400_usize, 1..40_usize).prop_map(|(len, size)| Op::Segments(len, size)),
        1 => (0..5_usize).prop_map(Op::LimitSends),
        1 => (0..3_usize).prop_map(Op::LimitReceives),
        1 => (0..2000_usize).prop_map(Op::Capacity),
        1 => Just(Op::FailSend),
        1 => Just(Op::FailReceive),
        1 => Just(Op::Pause),
        1 => Just(Op::Resume),
        1 => (0..300_usize, 0..20_usize).prop_map(|(bytes, count)| Op::Limits(bytes, count)),
        4 => Just(Op::Turn),
        1 => Just(Op::Tick),
    ]
}

/// Bytes that tell which datagram they are of.
fn numbered(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|index| u8::try_from((number * 7 + index) % 251).unwrap_or_default()).collect()
}

proptest! {
    #![proptest_config(crate::cases(300))]

    /// Whatever happens: what was taken arrives once, unaltered and in order, less what an error was told for; nothing is
    /// counted in the end, and whoever was paused is resumed.
    #[test]
    fn what_was_taken_arrives_in_order_less_what_errors_were_told_for(
        ops in prop::collection::vec(op(), 1..120),
        fails_at in 0..60_usize,
        batched in any::<bool>(),
    ) {
        // A panic in a train costs what the protocol had looked at, which is the whole train.
        let fails_at = if batched { usize::MAX } else { fails_at };
        let Ground { stage, ends: [(sender, told), (receiver, heard)], posts } =
            ground(fails_at, batched);
        let mut taken: Vec<Vec<u8>> = Vec::new();
        for op in ops {
            match op {
                Op::Send(len) => {
                    let data = numbered(taken.len(), len);
                    if sender.send_to(&data, None).is_ok() {
                        taken.push(data);
                    }
                }
                Op::Segments(len, size) => {
                    let data = numbered(taken.len(), len);
                    if sender.send_segments(&data, size, None).is_ok() {
                        taken.extend(data.chunks(size).map(<[u8]>::to_vec));
                    }
                }
                Op::LimitSends(most) => posts[0].limit_sends(most),
                Op::LimitReceives(most) => posts[1].limit_receives(most),
                Op::Capacity(bytes) => posts[1].set_capacity(bytes),
                Op::FailSend => posts[0].fail_sends(&[ErrorKind::OutOfMemory]),
                Op::FailReceive => posts[1].fail_receives(&[ErrorKind::ConnectionRefused]),
                Op::Pause => receiver.pause_reading(),
                Op::Resume => receiver.resume_reading(),
                Op::Limits(bytes, count) => sender.set_queue_limits(QueueLimits {
                    bytes: Limits::high(bytes),
                    datagrams: Limits::high(count).max(count + 10),
                }),
                Op::Turn => drop(stage.turn()),
                Op::Tick => stage.advance(Duration::from_millis(100)),
            }
        }
        posts[0].limit_sends(usize::MAX);
        posts[1].limit_receives(usize::MAX);
        posts[1].set_capacity(usize::MAX);
        receiver.resume_reading();
        for _ in 0..20 {
            stage.advance(Duration::from_millis(100));
        }
        let told = told.borrow();
        let heard = heard.borrow();
        prop_assert_eq!(heard.received.len() + told.errors, taken.len());
        let mut rest = taken.iter();
        prop_assert!(heard.received.iter().all(|one| rest.any(|sent| sent == one)), "out of order");
        prop_assert_eq!((sender.write_buffer_len(), sender.queued_datagrams()), (0, 0));
        prop_assert_eq!(told.paused, 0, "a writer that was paused is resumed");
        let statistics = sender.statistics();
        prop_assert_eq!(statistics.sent + told.errors as u64, taken.len() as u64);
        prop_assert_eq!(receiver.statistics().received, heard.received.len() as u64);
        prop_assert!(!sender.is_closing() && !receiver.is_closing());
    }

    /// A close delivers what was taken before it, and ends however full the way is.
    #[test]
    fn a_close_delivers_what_was_taken_before_it(
        sizes in prop::collection::vec(0..100_usize, 0..60),
        capacity in 0..3000_usize,
        reads in 1..4_usize,
    ) {
        let Ground { stage, ends: [(sender, told), (_, heard)], posts } = ground(usize::MAX, false);
        posts[1].set_capacity(capacity.max(1));
        posts[1].limit_receives(reads);
        for (number, len) in sizes.iter().enumerate() {
            prop_assert!(sender.send_to(&numbered(number, *len), None).is_ok());
        }
        sender.close();
        for _ in 0..100 {
            stage.advance(Duration::from_millis(100));
        }
        prop_assert_eq!(told.borrow().lost, Some("closed"));
        let expected: Vec<Vec<u8>> =
            sizes.iter().enumerate().map(|(number, len)| numbered(number, *len)).collect();
        prop_assert_eq!(&heard.borrow().received, &expected);
    }

    /// A queue that drops the oldest delivers the newest, in order.
    #[test]
    fn a_queue_that_drops_the_oldest_delivers_the_newest(
        count in 1..100_usize,
        ceiling in 1..20_usize,
    ) {
        let Ground { stage, ends: [(sender, _), (_, heard)], posts } = ground(usize::MAX, false);
        let datagrams = Limits::high(0).max(ceiling);
        sender.set_queue_limits(QueueLimits { datagrams, ..QueueLimits::DEFAULT });
        sender.set_drop_policy(DropPolicy::DropOldest);
        posts[0].limit_sends(0);
        let sent: Vec<Vec<u8>> = (0..count).map(|number| numbered(number, 20)).collect();
        for data in &sent {
            prop_assert!(sender.send_to(data, None).is_ok());
        }
        posts[0].limit_sends(usize::MAX);
        for _ in 0..20 {
            stage.advance(Duration::from_millis(100));
        }
        let kept = count.min(ceiling + 1);
        prop_assert_eq!(&heard.borrow().received, &sent[count - kept..]);
        prop_assert_eq!(sender.statistics().dropped_oldest, (count - kept) as u64);
    }
}
