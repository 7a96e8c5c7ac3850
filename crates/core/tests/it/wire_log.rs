//! The wire log: what is in it, when it is written, and what a bad writer does.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use wharf_core::memory::{Seen, Stage};
use wharf_core::wire_log::{Entry, Hex, Pcap, Subject, Tap, WireLog};
use wharf_core::{Flow, KeepOpen, Lost, Protocol, TransportRef};

/// What was logged, one move after the other.
#[derive(Clone, Default)]
struct Moves(Rc<RefCell<Vec<String>>>);

impl Moves {
    fn take(&self) -> Vec<String> {
        self.0.take()
    }

    fn add(&self, line: String) -> io::Result<()> {
        self.0.borrow_mut().push(line);
        Ok(())
    }
}

impl WireLog for Moves {
    fn begin(&mut self, subject: &Subject) -> io::Result<()> {
        self.add(format!("begin {} {}", subject.id, subject.kind))
    }

    fn record(&mut self, at: Duration, entry: &Entry<'_>) -> io::Result<()> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.add(match entry {
            Entry::Read(bytes) => format!("{} < {}", at.as_secs(), text(bytes)),
            Entry::Written(bytes) => format!("{} > {}", at.as_secs(), text(bytes)),
            Entry::Lost(why) => format!("{} lost {why}", at.as_secs()),
            other => format!("{} {other:?}", at.as_secs()),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer that a test can look into, and that fails when it is full.
#[derive(Clone, Default)]
struct Page {
    bytes: Rc<RefCell<Vec<u8>>>,
    room: Rc<Cell<Option<usize>>>,
    drops: Rc<Cell<usize>>,
}

impl Page {
    fn with_room(room: usize) -> Self {
        let page = Self::default();
        page.room.set(Some(room));
        page
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes.take()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = match self.room.get() {
            Some(0) => return Err(io::ErrorKind::StorageFull.into()),
            Some(room) => bytes.len().min(room),
            None => bytes.len(),
        };
        self.room.set(self.room.get().map(|room| room - taken));
        self.bytes.borrow_mut().extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.drops.set(self.drops.get() + 1);
    }
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.write(data);
    }
    fn eof_received(&mut self, transport: &TransportRef) -> KeepOpen {
        transport.write_eof();
        KeepOpen::Yes
    }
}

fn tap(transport: &TransportRef) -> Tap {
    transport.extra().unwrap()
}

#[test]
fn it_holds_what_each_read_gave_and_each_write_took_in_order() {
    let stage = Stage::new();
    let (transport, _echo, wire) = stage.wire(Echo);
    stage.run();
    let moves = Moves::default();
    assert!(tap(&transport).start(moves.clone()));
    assert!(tap(&transport).is_on());
    assert_eq!(moves.take(), [""; 0], "nothing is written in the user's call");
    wire.limit_reads(3);
    wire.limit_writes(2);
    wire.send(b"abcd");
    stage.run();
    assert_eq!(
        moves.take(),
        ["begin #1 memory", "0 < abc", "0 > ab", "0 < d", "0 > cd"],
        "as it went, and not as it was written"
    );
    stage.clock().advance(Duration::from_secs(7));
    wire.shutdown();
    stage.run();
    assert_eq!(moves.take(), ["7 ReadEnd", "7 WriteEnd", "7 lost ended by the peer"]);
    assert!(!tap(&transport).is_on());
    assert!(!tap(&transport).start(Moves::default()), "a lost stream moves nothing");
}

#[test]
fn a_large_chunk_is_logged_like_a_small_one_and_a_dropped_one_is_not() {
    let stage = Stage::new();
    let (transport, _echo, wire) = stage.wire(Echo);
    stage.run();
    let moves = Moves::default();
    tap(&transport).start(moves.clone());
    let chunk = "x".repeat(20_000);
    assert_eq!(transport.write(chunk.as_bytes()), Flow::Open);
    stage.run();
    assert_eq!(moves.take(), ["begin #1 memory".to_owned(), format!("0 > {chunk}")]);
    wire.set_capacity(20_004);
    transport.write(b"taken and dropped");
    stage.run();
    transport.abort();
    stage.run();
    assert_eq!(moves.take(), ["0 > take", "0 lost aborted by us"]);
    assert_eq!(wire.seen(), Seen::Eof);
}

#[test]
fn a_log_ends_when_it_is_stopped_and_still_holds_what_came_before() {
    let stage = Stage::new();
    let (transport, _echo, wire) = stage.wire(Echo);
    stage.run();
    let (first, second, page) = (Moves::default(), Moves::default(), Page::default());
    let dropped = Rc::clone(&page.drops);
    tap(&transport).start(first.clone());
    tap(&transport).start(second.clone());
    tap(&transport).start(Hex::new(page.clone()));
    drop(page);
    wire.send(b"one");
    stage.run();
    transport.write(b"two");
    tap(&transport).stop();
    wire.send(b"three");
    stage.run();
    // The stop came before the write was flushed, and the log is about what the system took.
    let expected = ["begin #1 memory", "0 < one", "0 > one"];
    assert_eq!(first.take(), expected);
    assert_eq!(second.take(), expected);
    assert_eq!(dropped.get(), 2, "the writer is let go");
    assert!(!tap(&transport).is_on());
    tap(&transport).start(first.clone());
    wire.send(b"four");
    stage.run();
    assert_eq!(first.take(), ["begin #1 memory", "0 < four", "0 > four"]);
    assert_eq!(wire.take(), b"onetwothreefour");
}

#[test]
fn a_full_disk_ends_the_log_with_one_report_and_the_connection_lives() {
    let stage = Stage::new();
    stage.contain_faults();
    let (transport, _echo, wire) = stage.wire(Echo);
    stage.run();
    let (page, other) = (Page::with_room(100), Moves::default());
    let dropped = Rc::clone(&page.drops);
    tap(&transport).start(Hex::new(page.clone()));
    tap(&transport).start(other.clone());
    for round in 0..20 {
        wire.send(format!("round {round}").as_bytes());
        stage.run();
    }
    let faults = stage.take_faults();
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].fault.callback(), "wire log");
    assert_eq!(faults[0].transport, Some(transport.id()));
    assert!(faults[0].fault.message().contains("storage"), "{:?}", faults[0].fault);
    assert_eq!(other.take().len(), 41, "the other log goes on");
    assert_eq!(page.bytes.borrow().len(), 100);
    assert_eq!(dropped.get(), 1, "its writer is let go");
    tap(&transport).stop();
    stage.run();
    assert!(wire.take().ends_with(b"round 19"));
    assert!(!transport.is_closing());
}

#[test]
fn a_writer_that_panics_ends_its_log_only() {
    struct Bomb;
    impl Write for Bomb {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("the pen broke")
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let stage = Stage::new();
    stage.contain_faults();
    let (transport, _echo, wire) = stage.wire(Echo);
    tap(&transport).start(Hex::new(Bomb));
    wire.send(b"x");
    stage.run();
    let faults = stage.take_faults();
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].fault.message(), "the pen broke");
    assert!(!tap(&transport).is_on());
    assert_eq!(wire.take(), b"x");
    assert!(!transport.is_closing());
}

#[test]
fn a_writer_may_use_other_transports_and_the_tap_itself() {
    struct Forward {
        to: TransportRef,
        tap: Tap,
    }
    impl Write for Forward {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.to.write(bytes);
            if bytes.starts_with(b"0.000000 >") {
                self.tap.stop();
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let stage = Stage::new();
    let (transport, _echo, wire) = stage.wire(Echo);
    let (page, _silent, screen) = stage.wire(Echo);
    let tap = tap(&transport);
    tap.start(Hex::new(Forward { to: page, tap: tap.clone() }));
    wire.send(b"hello");
    stage.run();
    wire.send(b"again");
    stage.run();
    let text = String::from_utf8(screen.take()).unwrap();
    let line = "  00000000  68 65 6c 6c 6f                                    |hello|\n";
    let head = "# wire log of #1 memory (unnamed) <- (unnamed)\n";
    assert_eq!(text, format!("{head}0.000000 < 5 bytes\n{line}0.000000 > 5 bytes\n{line}"));
}

#[test]
fn text_shows_places_in_the_stream_and_what_cannot_be_shown() {
    let stage = Stage::new();
    let (transport, _echo, wire) = stage.wire(Echo);
    stage.run();
    let page = Page::default();
    tap(&transport).start(Hex::new(page.clone()));
    wire.limit_writes(0);
    wire.send(b"\x00 ~\x7f\xff0123456789abcdef");
    stage.run();
    stage.clock().advance(Duration::from_micros(1_500_000));
    wire.send(b"!");
    stage.run();
    transport.abort();
    stage.run();
    assert_eq!(
        page.text(),
        "# wire log of #1 memory (unnamed) <- (unnamed)
0.000000 < 21 bytes
  00000000  00 20 7e 7f ff 30 31 32  33 34 35 36 37 38 39 61  |. ~..0123456789a|
  00000010  62 63 64 65 66                                    |bcdef|
1.500000 < 1 byte
  00000015  21                                                |!|
1.500000 lost: aborted by us
"
    );
}

/// One packet of a capture file.
#[derive(Debug)]
struct Packet {
    seconds: u32,
    from: u16,
    sequence: u32,
    acknowledged: u32,
    flags: u8,
    payload: Vec<u8>,
}

/// Reads a capture of IPv4 packets, and verifies what holds for each of them.
fn packets(file: &[u8]) -> Vec<Packet> {
    fn sum(parts: &[&[u8]]) -> u16 {
        let words = parts.iter().flat_map(|part| part.chunks(2));
        let total: u64 =
            words.map(|word| u64::from(word[0]) << 8 | u64::from(*word.get(1).unwrap_or(&0))).sum();
        (0..4).fold(total, |total, _| (total & 0xffff) + (total >> 16)) as u16
    }
    let little = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let header: Vec<u32> = (0..6).map(|word| little(4 * word)).collect();
    assert_eq!(header, [0xa1b2_3c4d, 0x0004_0002, 0, 0, 65_535, 101]);
    let mut packets = Vec::new();
    let mut at = 24;
    while at < file.len() {
        let (seconds, length) = (little(at), little(at + 8) as usize);
        assert_eq!(little(at + 12) as usize, length);
        let packet = &file[at + 16..at + 16 + length];
        at += 16 + length;
        assert_eq!((packet[0], packet[9]), (0x45, 6), "IPv4 and TCP");
        assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), length);
        assert_eq!(sum(&[&packet[..20]]), 0xffff, "the header's checksum");
        let (addresses, tcp) = (&packet[12..20], &packet[20..]);
        let pseudo = [&[0, 6][..], &(tcp.len() as u16).to_be_bytes()].concat();
        assert_eq!(sum(&[addresses, &pseudo, tcp]), 0xffff, "TCP's checksum");
        let big = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().unwrap());
        packets.push(Packet {
            seconds,
            from: u16::from_be_bytes([tcp[0], tcp[1]]),
            sequence: big(4),
            acknowledged: big(8),
            flags: tcp[13],
            payload: tcp[20..].to_vec(),
        });
    }
    packets
}

#[test]
fn a_capture_is_a_connection_whose_numbers_and_checksums_agree() {
    let stage = Stage::new();
    let (transport, _echo, wire) = stage.wire(Echo);
    stage.run();
    let page = Page::default();
    let begun = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let (local, peer) = ("10.0.0.1:80".parse().unwrap(), "10.0.0.2:50000".parse().unwrap());
    tap(&transport).start(Pcap::new(page.clone()).begun_at(begun).between(local, peer));
    wire.set_capacity(1 << 20);
    wire.send(&[7; 70_001]);
    stage.clock().advance(Duration::from_secs(5));
    stage.run();
    wire.shutdown();
    stage.run();
    let packets = packets(&page.bytes.borrow());
    let control: Vec<_> = packets
        .iter()
        .filter(|packet| packet.payload.is_empty())
        .map(|packet| (packet.from, packet.flags))
        .collect();
    assert_eq!(control, [(50_000, 2), (80, 0x12), (50_000, 0x10), (50_000, 0x11), (80, 0x11)]);
    // Every byte in both directions, each where its number says, and what was acknowledged had come.
    let mut next = [(80, 0_u32), (50_000, 0)];
    let mut streams = [Vec::new(), Vec::new()];
    for packet in &packets {
        let side = usize::from(packet.from == 50_000);
        assert_eq!(packet.from, next[side].0);
        assert_eq!(packet.sequence, next[side].1);
        if packet.flags & 0x10 != 0 {
            assert_eq!(packet.acknowledged, next[1 - side].1);
        }
        next[side].1 += packet.payload.len() as u32 + u32::from(packet.flags & 3 != 0);
        streams[side].extend_from_slice(&packet.payload);
    }
    assert_eq!(streams[0], [7; 70_001]);
    assert_eq!(streams[1], [7; 70_001]);
    let first = packets.iter().find(|packet| !packet.payload.is_empty()).unwrap();
    assert_eq!(first.seconds, 1_000_005);
}

#[test]
fn an_end_without_an_address_has_one_in_the_capture_and_an_abort_is_a_reset() {
    let stage = Stage::new();
    let (transport, _echo, wire) = stage.wire(Echo);
    let page = Page::default();
    tap(&transport).start(Pcap::new(page.clone()));
    wire.send(b"x");
    stage.run();
    transport.abort();
    stage.run();
    let packets = packets(&page.bytes.borrow());
    let last = packets.last().unwrap();
    assert_eq!((last.from, last.flags), (49_153, 0x14));
    assert_eq!(packets.len(), 6);
}

#[test]
fn a_protocol_that_is_switched_or_paused_changes_nothing_for_the_log() {
    struct Quiet(Rc<RefCell<Vec<String>>>);
    impl Protocol for Quiet {
        fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
            self.0.borrow_mut().push(format!("{data:?}"));
            transport.pause_reading();
        }
        fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
            self.0.borrow_mut().push(why.to_string());
        }
    }
    let stage = Stage::new();
    let (transport, _echo, wire) = stage.wire(Echo);
    stage.run();
    let (moves, seen) = (Moves::default(), Rc::default());
    tap(&transport).start(moves.clone());
    transport.set_protocol(Quiet(Rc::clone(&seen)), b"left");
    wire.send(b"ab");
    stage.run();
    assert_eq!(moves.take(), ["begin #1 memory"], "paused, so nothing is read");
    transport.resume_reading();
    stage.run();
    assert_eq!(moves.take(), ["0 < ab"]);
    wire.reset();
    transport.resume_reading();
    stage.run();
    assert_eq!(moves.take().len(), 1);
    assert_eq!(seen.borrow().len(), 3);
}
