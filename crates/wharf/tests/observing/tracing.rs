//! Spans and events: each connection has a span for its life, its callbacks run inside, and what happens is told.

use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::io::AsyncWriteExt;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::with_default;
use tracing::{Event, Metadata, Subscriber};
use wharf::memory::{ManualClock, Stage};
use wharf::{
    DatagramProtocol, EventLoop, FaultPolicy, Flow, KeepOpen, Lost, Protocol, SubprocessProtocol,
    TransportRef, subprocess, tcp, tls, udp,
};

use crate::authority::{Authority, NAME};
use crate::support::{event_loop, outcome, run_until, turns};

/// Keeps what it is told as lines: spans when they open and close, events with the span they are in.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Collected>>);

#[derive(Default)]
struct Collected {
    next: u64,
    /// Their names with their fields, and how often each is referred to.
    spans: HashMap<u64, (String, usize)>,
    entered: Vec<u64>,
    lines: Vec<String>,
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("wharf") || metadata.target() == "test"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields(span.metadata().name().to_owned());
        span.record(&mut fields);
        let mut collected = self.0.lock().unwrap();
        collected.next += 1;
        let id = collected.next;
        collected.lines.push(format!("open {}", fields.0));
        collected.spans.insert(id, (fields.0, 1));
        Id::from_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(event.metadata().level().to_string());
        event.record(&mut fields);
        let mut collected = self.0.lock().unwrap();
        let entered = collected.entered.last().copied();
        let span = match event.parent() {
            Some(parent) => Some(parent.into_u64()),
            None if event.is_contextual() => entered,
            None => None,
        };
        let of = span.map(|span| collected.spans[&span].0.clone());
        let of = of.map(|span| span.split(' ').take(2).collect::<Vec<_>>().join(" "));
        collected.lines.push(format!("{}: {}", of.unwrap_or_default(), fields.0));
    }

    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().entered.push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        assert_eq!(self.0.lock().unwrap().entered.pop(), Some(span.into_u64()));
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.0.lock().unwrap().spans.get_mut(&id.into_u64()).unwrap().1 += 1;
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut collected = self.0.lock().unwrap();
        let span = collected.spans.get_mut(&id.into_u64()).unwrap();
        span.1 -= 1;
        let closed = span.1 == 0;
        if closed {
            let (name, _) = collected.spans.remove(&id.into_u64()).unwrap();
            let name: Vec<_> = name.split(' ').take(2).collect();
            collected.lines.push(format!("close {}", name.join(" ")));
        }
        closed
    }
}

impl Collector {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().lines)
    }

    /// Everything that is told while `run` runs; nothing stays open or entered.
    fn of(run: impl FnOnce(&Self)) -> Vec<String> {
        let collector = Self::default();
        with_default(collector.clone(), || run(&collector));
        let collected = collector.0.lock().unwrap();
        assert!(collected.spans.is_empty(), "{:?}", collected.spans);
        assert!(collected.entered.is_empty());
        drop(collected);
        collector.take()
    }
}

/// Says what it hears, as a program would.
struct Talker;

impl Protocol for Talker {
    fn connection_made(&mut self, _: &TransportRef) {
        tracing::info!(target: "test", "hello");
    }
    fn data_received(&mut self, _: &TransportRef, data: &[u8]) {
        assert_ne!(data, b"bomb", "boom");
        tracing::info!(target: "test", count = data.len(), "data");
    }
    fn eof_received(&mut self, _: &TransportRef) -> KeepOpen {
        KeepOpen::Yes
    }
    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        tracing::info!(target: "test", "goodbye: {why}");
    }
}

impl DatagramProtocol for Talker {}
impl SubprocessProtocol for Talker {}

fn adopted(ev: &mut EventLoop) -> (TransportRef, std::os::unix::net::UnixStream) {
    let (ours, peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let handle = ev.handle().clone();
    let adopting = tcp::adopt(&handle, ours, || Talker);
    (outcome(ev, async { adopting.await.unwrap().0 }), peer)
}

#[test]
fn a_connection_has_a_span_for_its_life_and_its_callbacks_run_inside() {
    use std::io::Write;
    let lines = Collector::of(|_| {
        let mut ev = event_loop();
        let (transport, mut peer) = adopted(&mut ev);
        peer.write_all(b"four").unwrap();
        turns(&mut ev, 1);
        transport.pause_reading();
        transport.pause_reading();
        transport.resume_reading();
        while transport.write(&[0; 64 * 1024]) == Flow::Open {}
        turns(&mut ev, 1);
        transport.set_protocol(Talker, b"");
        turns(&mut ev, 1);
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        turns(&mut ev, 1);
        transport.abort();
        turns(&mut ev, 1);
    });
    let talker = std::any::type_name::<Talker>();
    assert_eq!(
        lines,
        [
            "open connection id=1 kind=unix local=(unnamed) peer=(unnamed)",
            &format!("connection id=1: DEBUG made id=1 protocol=\"{talker}\""),
            "connection id=1: INFO hello",
            "connection id=1: INFO data count=4",
            "connection id=1: DEBUG paused id=1 direction=\"reading\"",
            "connection id=1: DEBUG resumed id=1 direction=\"reading\"",
            "connection id=1: DEBUG paused id=1 direction=\"writing\"",
            &format!("connection id=1: DEBUG switched id=1 from=\"{talker}\" to=\"{talker}\""),
            "connection id=1: DEBUG paused id=1 direction=\"writing\"",
            "connection id=1: DEBUG eof id=1",
            "connection id=1: INFO goodbye: aborted by us",
            "connection id=1: DEBUG lost id=1 kind=unix cause=\"aborted\" clean=false why=aborted by us",
            "close connection id=1",
        ]
    );
}

/// A connection of a [`Talker`] on some host: its transport, what its peer does (an end, without bytes), and a turn.
type Scene<'a> = (&'a TransportRef, &'a mut dyn FnMut(&[u8]), &'a mut dyn FnMut());

fn on_the_loop(script: fn(Scene<'_>)) {
    use std::io::Write;
    let mut ev = EventLoop::builder().fault_policy(FaultPolicy::Contain).build().unwrap();
    let (transport, mut peer) = adopted(&mut ev);
    let mut act = |bytes: &[u8]| match bytes {
        [] => peer.shutdown(std::net::Shutdown::Write).unwrap(),
        bytes => peer.write_all(bytes).unwrap(),
    };
    script((&transport, &mut act, &mut || turns(&mut ev, 1)));
}

fn on_a_stage(script: fn(Scene<'_>)) {
    let stage = Stage::new();
    stage.contain_faults();
    let (transport, _talker, wire) = stage.wire(Talker);
    let mut act = |bytes: &[u8]| match bytes {
        [] => wire.shutdown(),
        bytes => wire.send(bytes),
    };
    stage.turn();
    script((&transport, &mut act, &mut || stage.run()));
}

fn on_tokio(script: fn(Scene<'_>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (ours, mut peer) = tokio::io::duplex(64);
    let (transport, _talker, driver) = wharf::tokio::serve(ours, Talker).start();
    let mut driver = pin!(driver);
    let mut act = |bytes: &[u8]| match bytes {
        [] => runtime.block_on(peer.shutdown()).unwrap(),
        bytes => runtime.block_on(peer.write_all(bytes)).unwrap(),
    };
    let mut turn = || {
        let _entered = runtime.enter();
        let _ = driver.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    };
    turn();
    script((&transport, &mut act, &mut turn));
}

/// A way to have a script played on a host, and what is said there of the transport: its kind, and where it has addresses.
type Host = (fn(fn(Scene<'_>)), &'static str, &'static str);

const HOSTS: [Host; 3] = [
    (on_the_loop, "unix", " local=(unnamed) peer=(unnamed)"),
    (on_a_stage, "memory", " local=(unnamed) peer=(unnamed)"),
    (on_tokio, "tokio", ""),
];

#[test]
fn every_host_tells_the_same() {
    for (host, kind, addresses) in HOSTS {
        let lines = Collector::of(|_| {
            host(|(transport, peer, turn)| {
                peer(b"four");
                turn();
                transport.pause_reading();
                transport.resume_reading();
                transport.set_protocol(Talker, b"");
                peer(b"");
                turn();
                transport.abort();
                turn();
            });
        });
        let talker = std::any::type_name::<Talker>();
        let within = [
            &format!("DEBUG made id=1 protocol=\"{talker}\""),
            "INFO hello",
            "INFO data count=4",
            "DEBUG paused id=1 direction=\"reading\"",
            "DEBUG resumed id=1 direction=\"reading\"",
            &format!("DEBUG switched id=1 from=\"{talker}\" to=\"{talker}\""),
            "DEBUG eof id=1",
            "INFO goodbye: aborted by us",
            &format!("DEBUG lost id=1 kind={kind} cause=\"aborted\" clean=false why=aborted by us"),
        ];
        let mut expected = vec![format!("open connection id=1 kind={kind}{addresses}")];
        expected.extend(within.iter().map(|line| format!("connection id=1: {line}")));
        expected.push("close connection id=1".to_owned());
        assert_eq!(lines, expected);
    }
}

#[test]
fn every_host_tells_a_fault_within_its_span() {
    for (host, kind, _) in HOSTS {
        let lines = Collector::of(|_| {
            host(|(_, peer, turn)| {
                peer(b"bomb");
                turn();
                turn();
            });
        });
        let has = |part: &str| lines.iter().any(|line| line.starts_with(part));
        let fault = "connection id=1: ERROR fault id=1 callback=\"data_received\" cause=";
        assert!(has(fault), "{kind}: {lines:#?}");
        let lost = format!("connection id=1: DEBUG lost id=1 kind={kind} cause=\"fault\" ");
        assert!(has(&lost), "{kind}: {lines:#?}");
    }
}

#[test]
fn faults_and_slow_callbacks_are_told_where_they_belong() {
    use std::io::Write;
    let lines = Collector::of(|_| {
        let mut ev = EventLoop::builder()
            .fault_policy(FaultPolicy::Contain)
            .on_slow_callback(Duration::from_nanos(1), |_| {})
            .build()
            .unwrap();
        let (_transport, mut peer) = adopted(&mut ev);
        peer.write_all(b"bomb").unwrap();
        run_until(&mut ev, || is_closed(&peer));
    });
    let has = |part: &str| lines.iter().any(|line| line.starts_with(part));
    assert!(
        has("connection id=1: ERROR fault id=1 callback=\"data_received\" cause="),
        "{lines:#?}"
    );
    assert!(has("connection id=1: WARN slow callback id=1 callback=\"data_received\" duration="));
    assert!(has("connection id=1: DEBUG lost id=1 kind=unix cause=\"fault\" clean=false why="));
}

/// Whether the other end of `peer` is closed.
fn is_closed(peer: &std::os::unix::net::UnixStream) -> bool {
    use std::io::Read;
    peer.set_nonblocking(true).unwrap();
    matches!((&*peer).read(&mut [0; 1]), Ok(0))
}

#[test]
fn tls_is_an_upgrade_within_the_span_and_each_layer_tells_its_loss() {
    let lines = Collector::of(|_| {
        let (mut ev, authority) = (event_loop(), Authority::new());
        let (below_server, peer) = adopted(&mut ev);
        let handle = ev.handle().clone();
        let factory = tls::client(authority.client(), NAME, || Talker);
        let client = tcp::adopt(&handle, peer, factory);
        let accepting = tls::start_tls(&below_server, authority.server(), b"");
        let (above_client, above_server) =
            outcome(&mut ev, async { (client.await.unwrap().0, accepting.await.unwrap()) });
        above_client.write(b"secret");
        turns(&mut ev, 4);
        above_server.close();
        // From outside of any callback of the transport below.
        above_client.abort();
        run_until(&mut ev, || handle.connections().is_empty());
    });
    let of = |id: u32| -> Vec<&str> {
        let prefix = format!("connection id={id}: ");
        lines.iter().filter_map(|line| line.strip_prefix(&prefix)).collect()
    };
    let (server, client) = (of(1), of(2));
    // The server's protocol was there before TLS, and the client's comes with it.
    let talker = std::any::type_name::<Talker>();
    let begun = [
        &format!("DEBUG made id=1 protocol=\"{talker}\""),
        "INFO hello",
        "DEBUG upgraded id=1 to=tls over unix",
        "INFO data count=6",
    ];
    assert_eq!(server[..4], begun);
    let begun =
        ["DEBUG made id=2 protocol=\"TLS\"", "DEBUG upgraded id=2 to=tls over unix", "INFO hello"];
    assert_eq!(client[..3], begun);
    for lines in [&server, &client] {
        let ends: Vec<_> = lines.iter().filter(|line| line.contains(" lost ")).collect();
        assert_eq!(ends.len(), 2, "{lines:#?}");
        assert!(
            ends[0].contains("kind=tls over unix") && ends[1].contains("kind=unix"),
            "{ends:?}"
        );
        assert!(lines.iter().any(|line| line.starts_with("INFO goodbye")));
    }
}

#[test]
fn endpoints_and_children_have_spans_too() {
    let lines = Collector::of(|_| {
        let mut ev = event_loop();
        let handle = ev.handle().clone();
        let child = outcome(&mut ev, async {
            let (endpoint, _) = udp::bind(&handle, "127.0.0.1:0", || Talker).await.unwrap();
            endpoint.close();
            subprocess::exec(&handle, "true", [""; 0], || Talker).await.unwrap().0
        });
        outcome(&mut ev, child.finished());
    });
    let has = |part: &str| lines.iter().any(|line| line.contains(part));
    assert!(has("open connection id=1 kind=udp local=127.0.0.1:"), "{lines:#?}");
    assert!(has("connection id=1: DEBUG lost id=1 kind=udp cause=\"closed\" clean=true"));
    assert!(has("kind=process "));
    assert!(has("DEBUG exited id=2 status=exit status: 0"));
    assert!(has("DEBUG lost id=2 kind=process "));
    assert!(has("kind=pipe"));
}

#[test]
fn a_loop_that_is_dropped_closes_every_span() {
    let lines = Collector::of(|_| {
        let mut ev = event_loop();
        let _connection = adopted(&mut ev);
        drop(ev);
    });
    assert_eq!(lines.last().unwrap(), "close connection id=1");
}

#[test]
fn accept_trouble_is_told() {
    let clock = ManualClock::new();
    let ev = EventLoop::builder().clock(clock).build().unwrap();
    let lines = Collector::of(|_| {
        let address = wharf::Address::Ip("127.0.0.1:80".parse().unwrap());
        let trouble = std::io::Error::from_raw_os_error(24);
        ev.note_accept_trouble(Some(&address), &trouble, Duration::from_secs(1));
    });
    let expected = ": WARN cannot accept local=127.0.0.1:80 error=Too many open files (os error 24) resting=1s";
    assert_eq!(lines, [expected]);
}

#[test]
fn a_subscriber_that_panics_costs_what_it_was_to_write() {
    #[derive(Clone)]
    struct Broken;
    impl Subscriber for Broken {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {
            panic!("out of ink")
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }
    let mut ev = event_loop();
    with_default(Broken, || {
        let (ours, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let handle = ev.handle().clone();
        let adopting = tcp::adopt(&handle, ours, crate::support::Log::default);
        let (transport, log) = outcome(&mut ev, async { adopting.await.unwrap() });
        transport.close();
        turns(&mut ev, 2);
        assert_eq!(log.borrow().story(), ["made", "lost closed by us"]);
    });
}
