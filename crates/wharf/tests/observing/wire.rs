//! The wire log over transports of the system: it is what their peers have sent and received.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use wharf::memory::Stage;
use wharf::vitals::Below;
use wharf::wire_log::{Entry, Pcap, Subject, Tap, WireLog};
use wharf::{
    PipeTransport, Protocol, ReadPipeProtocol, ReadTransportRef, SubprocessProtocol,
    SubprocessTransportRef, TransportRef, WritePipeProtocol, pipe, subprocess, tcp, tls,
};

use crate::authority::{Authority, NAME};
use crate::folder::Folder;
use crate::support::{event_loop, outcome, run_until, turns};

/// The bytes of each direction, and how many were not seen.
#[derive(Clone, Default)]
struct Bytes(Rc<RefCell<Seen>>);

#[derive(Default)]
struct Seen {
    kind: String,
    read: Vec<u8>,
    written: Vec<u8>,
    unseen: usize,
    lost: bool,
}

impl Bytes {
    fn read(&self) -> Vec<u8> {
        self.0.borrow().read.clone()
    }
    fn written(&self) -> Vec<u8> {
        self.0.borrow().written.clone()
    }
    fn is_lost(&self) -> bool {
        self.0.borrow().lost
    }
}

impl WireLog for Bytes {
    fn begin(&mut self, subject: &Subject) -> io::Result<()> {
        self.0.borrow_mut().kind = subject.kind.to_string();
        Ok(())
    }
    fn record(&mut self, _: Duration, entry: &Entry<'_>) -> io::Result<()> {
        let mut seen = self.0.borrow_mut();
        match entry {
            Entry::Read(bytes) => seen.read.extend_from_slice(bytes),
            Entry::Written(bytes) => seen.written.extend_from_slice(bytes),
            Entry::WrittenUnseen(count) => seen.unseen += count,
            Entry::Lost(_) => seen.lost = true,
            _ => {}
        }
        Ok(())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.write(data);
    }
}

impl ReadPipeProtocol for Echo {
    fn data_received(&mut self, _: &ReadTransportRef, _: &[u8]) {}
}

impl WritePipeProtocol for Echo {}

impl SubprocessProtocol for Echo {
    fn pipe_data_received(&mut self, _: &SubprocessTransportRef, _: i32, _: &[u8]) {}
}

fn log(tap: Option<Tap>) -> Bytes {
    let bytes = Bytes::default();
    assert!(tap.expect("a byte stream has a tap").start(bytes.clone()));
    bytes
}

/// Bytes that are told apart by their place.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|place| (place % 251) as u8).collect()
}

#[test]
fn sockets_log_what_their_peers_have_sent_and_received() {
    let data = pattern(3_000_000);
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let served = listener.accept().unwrap().0;
    for (ours, theirs, kind) in [
        (OwnedFd::from(ours), OwnedFd::from(theirs), "unix"),
        (OwnedFd::from(served), OwnedFd::from(client), "tcp"),
    ] {
        let adopt = tcp::adopt(&handle, ours, || Echo);
        let (transport, _) = outcome(&mut ev, async { adopt.await.unwrap() });
        let bytes = log(transport.extra());
        let (mut writer, sent) = (File::from(theirs.try_clone().unwrap()), data.clone());
        let sender = std::thread::spawn(move || writer.write_all(&sent).unwrap());
        let (mut reader, len) = (File::from(theirs), data.len());
        let receiver = std::thread::spawn(move || {
            let mut back = vec![0; len];
            reader.read_exact(&mut back).unwrap();
            back
        });
        run_until(&mut ev, || sender.is_finished() && receiver.is_finished());
        sender.join().unwrap();
        assert!(receiver.join().unwrap() == data);
        // Both threads had the peer's end, and have let go of it.
        run_until(&mut ev, || bytes.is_lost());
        assert_eq!(bytes.0.borrow().kind, kind);
        assert!(bytes.read() == data && bytes.written() == data, "{kind}");
    }
}

#[test]
fn pipes_have_taps_those_of_children_too() {
    let mut ev = event_loop();
    let handle = ev.handle().clone();
    let (reader, mut feeder) = io::pipe().unwrap();
    let (mut drain, writer) = io::pipe().unwrap();
    let (source, sink) = outcome(&mut ev, async {
        let source = pipe::connect_read(&handle, reader, Echo).await.unwrap().0;
        (source, pipe::connect_write(&handle, writer, Echo).await.unwrap().0)
    });
    let (read, written) = (log(source.extra()), log(sink.extra()));
    feeder.write_all(b"into the loop").unwrap();
    sink.write(b"out of it");
    run_until(&mut ev, || !read.read().is_empty() && !written.written().is_empty());
    let mut out = [0; 9];
    drain.read_exact(&mut out).unwrap();
    assert_eq!((&out, written.written().as_slice()), (b"out of it", &b"out of it"[..]));
    assert_eq!(read.read(), b"into the loop");

    let (child, _) = outcome(&mut ev, async {
        subprocess::exec(&handle, "cat", [""; 0], || Echo).await.unwrap()
    });
    let (Some(PipeTransport::Write(stdin)), Some(PipeTransport::Read(stdout))) =
        (child.pipe_transport(0), child.pipe_transport(1))
    else {
        panic!("a child has these pipes")
    };
    let (typed, printed) = (log(stdin.extra()), log(stdout.extra()));
    stdin.write(b"cat says this");
    run_until(&mut ev, || printed.read().len() == 13);
    assert_eq!(typed.written(), b"cat says this");
    assert_eq!(printed.read(), b"cat says this");
    stdin.close();
    run_until(&mut ev, || printed.is_lost() && typed.is_lost());
}

#[test]
fn above_tls_is_plaintext_and_below_it_what_the_other_end_has_seen() {
    let (mut ev, authority) = (event_loop(), Authority::new());
    let handle = ev.handle().clone();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = tcp::adopt(&handle, theirs, || Echo);
    let (below_server, _) = outcome(&mut ev, async { server.await.unwrap() });
    let server_wire = log(below_server.extra());
    let client = tcp::adopt(&handle, ours, || Echo);
    let (below_client, _) = outcome(&mut ev, async { client.await.unwrap() });
    let client_wire = log(below_client.extra());
    let accepting = tls::start_tls(&below_server, authority.server(), b"");
    let calling = tls::start_tls(&below_client, (authority.client(), NAME), b"");
    let (above_client, above_server) =
        outcome(&mut ev, async { (calling.await.unwrap(), accepting.await.unwrap()) });
    assert_eq!(above_client.extra::<Below>(), Some(Below(below_client.clone())));
    let plain = log(above_server.extra());
    assert_eq!(above_server.extra::<Below>(), Some(Below(below_server)), "also while it is logged");
    above_client.write(&pattern(50_000));
    run_until(&mut ev, || plain.read().len() >= 50_000);
    above_client.abort();
    run_until(&mut ev, || server_wire.is_lost() && client_wire.is_lost());
    // Echo against echo: what was read comes back, as often as there was time for.
    assert_eq!(plain.0.borrow().kind, "tls over unix");
    assert!(plain.read().starts_with(&pattern(50_000)));
    assert!(plain.read().starts_with(&plain.written()));
    let (sent, received) = (client_wire.written(), server_wire.read());
    assert!(sent.starts_with(&received) && received.len() > 50_000);
    assert_eq!(received[..2], [22, 3], "the record of a handshake");
    assert!(!sent.windows(200).any(|part| part == &pattern(200)[..]), "nothing of it is plain");
}

#[test]
fn a_file_is_read_and_logged_and_one_that_was_under_way_is_counted() {
    let (mut ev, folder, data) = (event_loop(), Folder::new(), pattern(3_000_000));
    let handle = ev.handle().clone();
    std::fs::write(folder.join("file"), &data).unwrap();
    let file = Rc::new(File::open(folder.join("file")).unwrap());
    for logged_first in [true, false] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let adopt = tcp::adopt(&handle, ours, || Echo);
        let (transport, _) = outcome(&mut ev, async { adopt.await.unwrap() });
        let bytes = logged_first.then(|| log(transport.extra()));
        let (sending, file, handle) = (transport.clone(), Rc::clone(&file), handle.clone());
        let sent = handle
            .clone()
            .spawn(async move { tcp::sendfile(&handle, &sending, &file, ..).await.unwrap() });
        // As far as the socket holds: the file is in the middle.
        turns(&mut ev, 3);
        let bytes = bytes.unwrap_or_else(|| log(transport.extra()));
        let len = data.len();
        let receiver = std::thread::spawn(move || {
            let mut received = vec![0; len + 5];
            theirs.read_exact(&mut received).unwrap();
            received
        });
        let sent = outcome(&mut ev, async { sent.await.unwrap() });
        assert_eq!(sent, data.len() as u64);
        transport.write(b"after");
        run_until(&mut ev, || receiver.is_finished());
        assert!(receiver.join().unwrap().starts_with(&data));
        run_until(&mut ev, || bytes.is_lost());
        let seen = bytes.0.borrow();
        if logged_first {
            assert_eq!((seen.unseen, seen.written.len()), (0, len + 5));
            assert!(seen.written.starts_with(&data));
        } else {
            assert!(seen.unseen > 0 && seen.unseen < len, "a part went out before the log");
            assert_eq!(seen.written, b"after");
        }
    }
}

#[test]
fn a_disk_that_is_full_costs_the_log_and_not_the_connection() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return println!("skipped: there is no /dev/full here");
    };
    let faults = Rc::new(RefCell::new(Vec::new()));
    let mut ev = event_loop();
    let told = Rc::clone(&faults);
    let policy = move |report: wharf::guard::FaultReport| told.borrow_mut().push(report.fault);
    ev.set_fault_policy(wharf::FaultPolicy::report(policy));
    let handle = ev.handle().clone();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let adopt = tcp::adopt(&handle, ours, || Echo);
    let (transport, _) = outcome(&mut ev, async { adopt.await.unwrap() });
    let tap: Tap = transport.extra().unwrap();
    tap.start(Pcap::new(full));
    for _ in 0..3 {
        theirs.write_all(b"on and on").unwrap();
        let mut back = [0; 9];
        theirs.set_nonblocking(true).unwrap();
        run_until(&mut ev, || theirs.read_exact(&mut back).is_ok());
    }
    assert!(!tap.is_on());
    let faults = faults.borrow();
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].callback(), "wire log");
    assert_eq!(ev.statistics().faults, 1);
}

/// A capture file in memory.
#[derive(Clone, Default)]
struct Capture(Rc<RefCell<Vec<u8>>>);

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `tcpdump` says of a capture, a line or two for each packet; `None` where it is not installed.
fn tcpdump(capture: &[u8]) -> Option<String> {
    let mut command = Command::new("tcpdump");
    command.args(["-n", "-vv", "-S", "-r", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    // It reads while it prints less than a pipe holds.
    child.stdin.take().unwrap().write_all(capture).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn tcpdump_follows_a_capture_as_a_connection_and_finds_its_checksums_right() {
    for (ours, theirs) in [("10.0.0.1:80", "10.0.0.2:50000"), ("[::1]:80", "[::2]:50000")] {
        let (local, peer): (SocketAddr, SocketAddr) =
            (ours.parse().unwrap(), theirs.parse().unwrap());
        let stage = Stage::new();
        let (transport, _echo, wire) = stage.wire(Echo);
        let capture = Capture::default();
        let tap: Tap = transport.extra().unwrap();
        tap.start(Pcap::new(capture.clone()).between(local, peer));
        wire.send(b"hello");
        stage.run();
        wire.shutdown();
        stage.run();
        let Some(told) = tcpdump(&capture.0.borrow()) else {
            return println!("skipped: tcpdump is not there");
        };
        let sums = told.matches("cksum").count();
        let right = told.matches("(correct)").count();
        // A handshake of three, hello and its echo, and an end of two.
        assert_eq!((sums, right), (7, 7), "{told}");
        let flags: Vec<&str> =
            told.split("Flags [").skip(1).map(|rest| &rest[..rest.find(']').unwrap()]).collect();
        assert_eq!(flags, ["S", "S.", ".", "P.", "P.", "F.", "F."], "{told}");
        assert_eq!(told.matches("length 5").count(), 2, "{told}");
    }
}
