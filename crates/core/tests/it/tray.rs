//! What a callback writes by its own handle, and everything else that happens in between.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use wharf_core::driver::TRAY;
use wharf_core::memory::{Seen, Stage, Wire};
use wharf_core::{Buffered, BufferedProtocol, Bytes, Flow, Limits, Lost, Protocol, TransportRef};

/// Does something with each piece of data, once.
struct Does<F>(F);

impl<F: FnMut(&TransportRef, &[u8]) + 'static> Protocol for Does<F> {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        (self.0)(transport, data);
    }
}

/// A stage with a connection that does `work` when it gets something, which it has.
fn working(work: impl FnMut(&TransportRef, &[u8]) + 'static) -> (Stage, TransportRef, Wire) {
    let stage = Stage::new();
    let (transport, _, wire) = stage.wire(Does(work));
    stage.run();
    wire.send(b"go");
    (stage, transport, wire)
}

#[test]
fn a_write_is_queued_as_soon_as_somebody_asks() {
    let (stage, _, wire) = working(|transport, _| {
        assert_eq!(transport.write(b"abc"), Flow::Open);
        assert_eq!(transport.write_buffer_len(), 3);
        assert_eq!(transport.write(b"de"), Flow::Open);
        assert_eq!(transport.write_buffer_len(), 5);
    });
    stage.run();
    assert_eq!(wire.take(), b"abcde");
}

#[test]
fn writes_in_all_ways_keep_their_order() {
    let (stage, _, wire) = working(|transport, _| {
        transport.write(b"a");
        transport.clone().write(b"b");
        transport.write(b"c");
        transport.write_bytes(Bytes::from_static(b"d"));
        transport.write(b"e");
    });
    stage.run();
    assert_eq!(wire.take(), b"abcde");
}

#[test]
fn what_the_system_does_not_take_goes_out_later() {
    let (stage, transport, wire) = working(|transport, data| {
        transport.write(data);
        transport.write(b"body");
    });
    wire.set_capacity(4);
    stage.run();
    assert_eq!((transport.write_buffer_len(), wire.take()), (2, b"gobo".to_vec()));
    stage.run();
    wire.send(b"od");
    stage.run();
    assert_eq!(wire.take(), b"dyod", "behind what is queued");
    stage.run();
    assert_eq!(wire.take(), b"body");
}

#[test]
fn a_piece_that_has_no_room_follows_what_had() {
    let sizes = [1, TRAY - 1, 1, TRAY + 1, 3];
    let (stage, _, wire) = working(move |transport, _| {
        for (byte, size) in (1..).zip(sizes) {
            transport.write(&vec![byte; size]);
        }
    });
    stage.run();
    let expected: Vec<u8> = (1..).zip(sizes).flat_map(|(byte, size)| vec![byte; size]).collect();
    assert!(wire.take() == expected);
}

#[test]
fn nothing_is_taken_after_a_close_in_the_same_callback() {
    let (stage, _, wire) = working(|transport, _| {
        transport.write(b"last");
        transport.close();
        assert_eq!(transport.write(b"too late"), Flow::Closed);
        assert_eq!(transport.write(b""), Flow::Closed);
    });
    stage.run();
    assert_eq!((wire.take(), wire.seen()), (b"last".to_vec(), Seen::Eof));
}

#[test]
fn an_abort_drops_what_the_callback_has_written() {
    let (stage, _, wire) = working(|transport, _| {
        transport.write(b"never");
        transport.abort();
    });
    stage.run();
    assert_eq!(wire.take(), b"");
}

#[test]
fn what_a_callback_that_panics_has_written_reaches_nobody() {
    let stage = Stage::new();
    stage.contain_faults();
    let (_, _, wire) = stage.wire(Does(|transport: &TransportRef, _: &[u8]| {
        transport.write(b"half");
        panic!("on purpose");
    }));
    let (_, _, neighbour) = stage.wire(Does(|transport: &TransportRef, data: &[u8]| {
        transport.write(data);
    }));
    stage.run();
    wire.send(b"x");
    neighbour.send(b"whole");
    stage.run();
    assert_eq!((wire.take(), neighbour.take()), (Vec::new(), b"whole".to_vec()));
}

#[test]
fn a_handle_that_was_kept_writes_to_its_own_connection_from_the_callback_of_another() {
    let stage = Stage::new();
    let kept = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&kept);
    let (_, _, first) = stage.wire(Does(move |transport: &TransportRef, _: &[u8]| {
        *slot.borrow_mut() = Some(transport.clone());
    }));
    let (_, _, second) = stage.wire(Does(move |transport: &TransportRef, data: &[u8]| {
        transport.write(b"<");
        kept.borrow().as_ref().map(|first| first.write(data));
        transport.write(b">");
    }));
    stage.run();
    first.send(b"x");
    stage.run();
    second.send(b"y");
    stage.run();
    assert_eq!((first.take(), second.take()), (b"y".to_vec(), b"<>".to_vec()));
}

#[test]
fn a_small_limit_is_kept_to_the_byte() {
    let answers = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&answers);
    let (stage, transport, wire) = working(move |transport, _| {
        for _ in 0..3 {
            kept.borrow_mut().push(transport.write(b"ab"));
        }
    });
    transport.set_write_buffer_limits(Limits::high(4));
    wire.set_capacity(0);
    stage.run();
    assert_eq!(*answers.borrow(), [Flow::Open, Flow::Open, Flow::Full]);
}

#[test]
fn a_limit_that_is_set_in_the_callback_counts_what_was_written_before() {
    let (stage, _, wire) = working(|transport, _| {
        transport.write(b"abcde");
        transport.set_write_buffer_limits(Limits::high(4));
        assert_eq!(transport.write(b"f"), Flow::Open, "the system takes it all");
    });
    stage.run();
    assert_eq!(wire.take(), b"abcdef");
}

#[test]
fn a_new_protocol_writes_behind_the_old_one() {
    let (stage, _, wire) = working(|transport, data| {
        transport.write(b"old ");
        transport.set_protocol(
            Does(|transport: &TransportRef, data: &[u8]| {
                transport.write(data);
            }),
            data,
        );
        transport.write(b"middle ");
    });
    stage.run();
    assert_eq!(wire.take(), b"old middle go");
}

#[test]
fn an_error_of_the_system_ends_the_connection() {
    struct Writes(Option<String>);
    impl Protocol for Writes {
        fn data_received(&mut self, transport: &TransportRef, _: &[u8]) {
            transport.write(b"to nobody");
        }
        fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
            self.0 = Some(why.to_string());
        }
    }
    let stage = Stage::new();
    let (_, writes, wire) = stage.wire(Writes(None));
    stage.run();
    wire.send(b"x");
    wire.close();
    stage.run();
    assert!(writes.borrow().0.is_some());
    assert_eq!(stage.connections(), 0);
}

/// As much as one read takes.
static FULL: [u8; 64 * 1024] = [0; 64 * 1024];

/// Does something with each two bytes, which fill its buffer.
struct Fills<F>([u8; 2], F);

impl<F: FnMut(&TransportRef, &[u8]) + 'static> BufferedProtocol for Fills<F> {
    fn get_buffer(&mut self, _: Option<usize>) -> &mut [u8] {
        &mut self.0
    }
    fn buffer_updated(&mut self, transport: &TransportRef, count: usize) {
        (self.1)(transport, &self.0[..count]);
    }
}

#[test]
fn what_a_buffered_protocol_writes_goes_out_whether_its_buffer_was_filled_or_not() {
    let stage = Stage::new();
    let (_transport, _, wire) =
        stage.wire(Buffered(Fills([0; 2], |transport: &TransportRef, data: &[u8]| {
            transport.write(data);
        })));
    stage.run();
    for data in [&b"a"[..], b"bc", b"def"] {
        wire.send(data);
        stage.turn();
        assert_eq!(wire.take(), data);
    }
}

#[test]
fn an_end_that_follows_a_full_buffer_is_told_in_the_same_turn() {
    let (stage, _, wire) = working(|transport, _| {
        transport.write(b"x");
    });
    stage.run();
    assert_eq!(wire.take(), b"x");
    wire.send(&FULL);
    wire.shutdown();
    stage.turn();
    assert_eq!((wire.take(), wire.seen(), stage.connections()), (b"x".to_vec(), Seen::Eof, 0));
}

#[test]
fn what_was_written_goes_out_though_the_new_protocol_is_held() {
    let new = Rc::new(RefCell::new(Buffered(Fills([0; 2], |_: &TransportRef, _: &[u8]| {}))));
    let next = Rc::clone(&new);
    let stage = Stage::new();
    let (_transport, _, wire) =
        stage.wire(Buffered(Fills([0; 2], move |transport: &TransportRef, data: &[u8]| {
            transport.write(data);
            transport.set_protocol(Rc::clone(&next), b"");
        })));
    stage.run();
    wire.send(b"go");
    let held = new.borrow();
    assert!(catch_unwind(AssertUnwindSafe(|| stage.turn())).is_err(), "rule T11");
    drop(held);
    stage.run();
    assert_eq!(wire.take(), b"go");
}

/// Everything that a protocol is answered and told.
type Told = Rc<RefCell<Vec<String>>>;

/// Something that a callback does by a handle; the byte is its place among the others.
type Deed = fn(&TransportRef, u8, &Told);

const DEEDS: [Deed; 12] = [
    |transport, byte, told| note(told, transport.write(&[byte])),
    |transport, byte, told| note(told, transport.write(&vec![byte; TRAY])),
    |transport, byte, told| note(told, transport.write(&vec![byte; 5 * TRAY])),
    |transport, byte, told| note(told, transport.write_bytes(vec![byte; 5].into())),
    |transport, _, told| note(told, transport.write(b"")),
    |transport, _, told| note(told, transport.write_buffer_len()),
    |transport, _, _| transport.pause_reading(),
    |transport, _, _| transport.set_write_buffer_limits(Limits::high(0)),
    |transport, _, _| transport.write_eof(),
    |transport, _, _| transport.close(),
    |transport, _, _| transport.abort(),
    |transport, _, told| {
        transport.set_protocol(Diary { deeds: None, told: Rc::clone(told) }, b"rest");
    },
];

fn note(told: &Told, what: impl std::fmt::Debug) {
    told.borrow_mut().push(format!("{what:?}"));
}

/// Does things when it gets something, by the handle that it is given or by a clone; echoes what comes later.
struct Diary {
    deeds: Option<([Deed; 3], bool)>,
    told: Told,
}

impl Protocol for Diary {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        let Some((deeds, by_clone)) = self.deeds.take() else {
            return note(&self.told, transport.write(data));
        };
        let clone = transport.clone();
        let handle = if by_clone { &clone } else { transport };
        (0..).zip(deeds).for_each(|(byte, deed)| deed(handle, byte, &self.told));
    }
    fn pause_writing(&mut self, _: &TransportRef) {
        note(&self.told, "paused");
    }
    fn resume_writing(&mut self, _: &TransportRef) {
        note(&self.told, "resumed");
    }
    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        note(&self.told, why);
    }
}

/// What the wire and the protocol see of it when `data` comes, over a stream of this capacity that becomes wide at last.
fn outcome(
    data: &[u8],
    (deeds, by_clone): ([Deed; 3], bool),
    capacity: usize,
) -> (Vec<u8>, Seen, Vec<String>) {
    let (stage, told) = (Stage::new(), Told::default());
    let diary = Diary { deeds: Some((deeds, by_clone)), told: Rc::clone(&told) };
    let (_, _, wire) = stage.wire(diary);
    stage.run();
    wire.set_capacity(capacity);
    for data in [data, b"on"] {
        wire.send(data);
        stage.run();
    }
    wire.set_capacity(usize::MAX);
    stage.run();
    (wire.take(), wire.seen(), told.take())
}

#[test]
fn a_handle_does_in_a_callback_what_its_clone_does() {
    const COUNT: usize = DEEDS.len();
    for code in 0..COUNT.pow(3) {
        let places = [code % COUNT, code / COUNT % COUNT, code / COUNT.pow(2)];
        let deeds = places.map(|place| DEEDS[place]);
        for capacity in [3, usize::MAX] {
            let own = outcome(b"go", (deeds, false), capacity);
            let clone = outcome(b"go", (deeds, true), capacity);
            assert!(own == clone, "{places:?} {capacity}: {:?} {:?}", own.2, clone.2);
            // There may be more then, so that it is asked for.
            let full = outcome(&FULL, (deeds, false), capacity);
            assert!(own == full, "{places:?} {capacity}: {:?} {:?}", own.2, full.2);
        }
    }
}
