//! The life of a transport, from the factory to the last callback (rows BT-01 to BT-12, BT-16 to
//! BT-22).

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::Poll;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use socket2::{SockRef, Socket};
use wharf::reactor::stream::SocketView;
use wharf::{Flow, Limits, Remote, TransportRef, tcp};

use crate::support::{Bench, Call, ENDING, Peer, Plain, Seen, Stubborn, over_each, poke, poll};

over_each!(bt_01_the_factory_is_called_once on tcp, unix: "memory takes a protocol, not a factory");
fn bt_01_the_factory_is_called_once(bench: &mut Bench) {
    let (over, log, calls) = (bench.over(), bench.log(), Rc::new(Cell::new(0)));
    let (ours, peer) = over.pair();
    let handle = bench.event_loop().handle().clone();
    let factory = || {
        assert_eq!(handle.statistics().sources, 0, "there is a transport before its protocol");
        calls.set(calls.get() + 1);
        log.plain()
    };
    let adopting = over.adopt(&handle, ours, factory);
    drop(bench.event_loop().block_on(adopting).unwrap());
    peer.send(b"a");
    peer.shutdown();
    bench.run_until(|| log.is_lost());
    assert_eq!(calls.get(), 1);
}

over_each!(bt_02_connection_made_is_the_first_callback_and_scheduled and one_way);
fn bt_02_connection_made_is_the_first_callback_and_scheduled(bench: &mut Bench) {
    let log = bench.log();
    let (_starting, _peer) = bench.start(log.plain());
    assert_eq!(log.story(), [""; 0], "it was called from inside the constructing call");
    bench.turn();
    bench.settle();
    assert_eq!(log.story(), ["made"]);
}

over_each!(bt_03_waiting_bytes_do_not_overtake_connection_made and read);
fn bt_03_waiting_bytes_do_not_overtake_connection_made(bench: &mut Bench) {
    let log = bench.log();
    let noting = log.clone();
    log.on(Call::Made, move |_| noting.note("made returns"));
    let (_transport, _peer) = bench.open_after(log.plain(), |peer| peer.send(b"early"));
    bench.run_until(|| log.has(Call::Data));
    assert_eq!(log.story(), ["made", "made returns", "data early"]);
}

over_each!(bt_04_connecting_ends_after_connection_made on tcp, unix: "memory has nothing to await");
fn bt_04_connecting_ends_after_connection_made(bench: &mut Bench) {
    let log = bench.log();
    let (mut starting, _peer) = bench.start(log.plain());
    assert!(poll(&mut starting).is_pending());
    assert_eq!(log.story(), [""; 0]);
    bench.turn();
    assert_eq!(log.story(), ["made"]);
    assert!(matches!(poll(&mut starting), Poll::Ready(Ok(_))));
}

over_each!(
    bt_05_the_caller_goes_on_before_the_first_data on tcp, unix: "memory has nothing to await"
);
fn bt_05_the_caller_goes_on_before_the_first_data(bench: &mut Bench) {
    let (first, second) = (bench.log().switched(), bench.log().switched());
    let over = bench.over();
    let (ours, peer) = over.pair();
    peer.send(b"waiting");
    let handle = bench.event_loop().handle().clone();
    let caller = async {
        let (transport, _) = over.adopt(&handle, ours, || first.plain()).await.unwrap();
        first.note("the caller goes on");
        transport.set_protocol(second.plain(), b"");
    };
    bench.event_loop().block_on(caller);
    bench.run_until(|| second.has(Call::Data));
    assert_eq!(first.story(), ["made", "the caller goes on"]);
    assert_eq!(second.story(), ["data waiting"]);
}

over_each!(
    bt_06_connection_lost_is_the_last_callback_and_comes_once
    on memory, tcp, unix, tls, tls_over_tcp, tls_over_unix, tls_in_tls:
    "a pipe is never reset"
);
fn bt_06_connection_lost_is_the_last_callback_and_comes_once(bench: &mut Bench) {
    type End = fn(&TransportRef, &Peer);
    let ends: [(End, &str); 11] = [
        (|transport, _| transport.close(), "lost closed"),
        (|transport, _| transport.abort(), "lost aborted"),
        (|transport, _| transport.fail("mine".into()), "lost failed"),
        (|_, peer| peer.close(), "lost eof"),
        (|transport, peer| peer.reset(transport), "lost io"),
        (
            |transport, peer| {
                peer.close();
                transport.close();
            },
            "lost closed",
        ),
        (
            |transport, peer| {
                peer.reset(transport);
                transport.abort();
            },
            "lost aborted",
        ),
        (
            |transport, _| {
                transport.abort();
                transport.close();
            },
            "lost aborted",
        ),
        (
            |transport, _| {
                transport.write_eof();
                transport.close();
            },
            "lost closed",
        ),
        (
            |transport, peer| {
                transport.write_eof();
                peer.close();
            },
            "lost eof",
        ),
        (
            |transport, peer| {
                peer.send(b"unread");
                transport.close();
                transport.abort();
            },
            "lost aborted",
        ),
    ];
    for (index, (end, last)) in ends.into_iter().enumerate() {
        // Over TLS our end is bytes, which a peer that is gone refuses.
        if bench.is_tls() && index == 9 {
            continue;
        }
        let (log, transport, peer) = bench.connect();
        end(&transport, &peer);
        bench.run_until(|| log.is_lost());
        poke(&transport);
        for (_, method) in ENDING {
            method(&transport);
        }
        bench.settle();
        assert_eq!(log.count(Call::Lost), 1, "end {index}");
        assert_eq!(log.story().last().map(String::as_str), Some(last), "end {index}");
    }
    assert_eq!(bench.sources(), 0);
}

over_each!(
    bt_06_an_end_before_connection_made_is_told_after_it
    on memory: "elsewhere the transport is known only after connection_made"
);
fn bt_06_an_end_before_connection_made_is_told_after_it(bench: &mut Bench) {
    for (name, end) in &ENDING[1..] {
        let log = bench.log();
        let (mut starting, _peer) = bench.start(log.plain());
        let Poll::Ready(Ok(transport)) = poll(&mut starting) else {
            panic!("a transport in memory is there at once");
        };
        end(&transport);
        bench.run_until(|| log.is_lost());
        assert_eq!(log.story().len(), 2, "{name}: {:?}", log.story());
        assert_eq!(log.story()[0], "made", "{name}");
    }
}

over_each!(bt_07_without_connection_made_there_is_no_connection_lost and one_way);
fn bt_07_without_connection_made_there_is_no_connection_lost(bench: &mut Bench) {
    let log = bench.log();
    let (starting, peer) = bench.start(log.plain());
    if !bench.is_in_memory() {
        drop(starting);
        bench.settle();
        assert_eq!((log.story(), peer.seen()), (vec![], Seen::Eof), "a connect was dropped");
    }
    let (starting, peer) = bench.start(log.plain());
    bench.drop_loop();
    drop(starting);
    assert_eq!((log.story(), peer.seen()), (vec![], Seen::Eof), "the loop was dropped");
    assert_eq!(log.protocols(), 0);
}

over_each!(bt_08_one_descriptor_has_one_live_transport on unix: "the shared socket is a Unix one");
fn bt_08_one_descriptor_has_one_live_transport(bench: &mut Bench) {
    let (first, second) = (bench.log(), bench.log());
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (ours, peer) = (Rc::new(ours), Peer::socket(theirs));
    let (_transport, _script) = Stubborn::open_on(bench, &ours, first.plain());
    let (_other, _script) = Stubborn::open_on(bench, &ours, second.plain());
    bench.run_until(|| second.is_lost());
    assert_eq!(second.story(), ["made", "lost io"]);
    assert_eq!(second.why().unwrap().kind, Some(ErrorKind::AlreadyExists));
    peer.send(b"x");
    bench.run_until(|| first.has(Call::Data));
    assert_eq!(first.story(), ["made", "data x"], "the first one is untouched");
}

over_each!(
    bt_09_the_descriptor_is_closed_when_connection_lost_has_returned
    on memory, tcp, unix: "TLS says goodbye before its loss is told"
);
fn bt_09_the_descriptor_is_closed_when_connection_lost_has_returned(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    let seen = Rc::new(Cell::new(None));
    let scheduler = bench.scheduler();
    log.on(Call::Lost, {
        let (seen, peer) = (Rc::clone(&seen), Rc::new(RefCell::new(Some(peer))));
        move |_| {
            let (seen, peer) = (Rc::clone(&seen), peer.take().unwrap());
            assert_eq!(peer.seen(), Seen::Open, "it is closed before the callback");
            // The next callback that the loop runs.
            scheduler.call_soon(Box::new(move || seen.set(Some(peer.seen()))));
        }
    });
    transport.close();
    bench.run_until(|| seen.get().is_some());
    assert_eq!(seen.get(), Some(Seen::Eof));
}

over_each!(bt_09_a_reused_descriptor_meets_nothing_of_its_former_life and read);
fn bt_09_a_reused_descriptor_meets_nothing_of_its_former_life(bench: &mut Bench) {
    for round in 0..50 {
        let (log, transport, peer) = bench.connect();
        peer.send(b"x");
        bench.run_until(|| log.has(Call::Data));
        // Bytes and the end are on their way when the connection goes, and the next one takes its number.
        peer.send(b"stale");
        peer.close();
        if round % 2 == 0 {
            transport.abort()
        } else {
            transport.close()
        };
        bench.turn();
        assert_eq!(log.story()[..2], ["made", "data x"]);
        assert!(log.is_lost());
    }
    assert_eq!(bench.sources(), 0);
}

over_each!(bt_10_the_socket_is_closed_even_when_connection_lost_panics and one_way);
fn bt_10_the_socket_is_closed_even_when_connection_lost_panics(bench: &mut Bench) {
    bench.contain_faults();
    let (log, transport, peer) = bench.connect();
    log.on(Call::Lost, |_| panic!("in connection_lost"));
    transport.close();
    bench.run_until(|| log.is_lost());
    bench.settle();
    assert_eq!(peer.seen(), Seen::Eof);
    assert_eq!((log.protocols(), bench.sources()), (0, 0));
    assert_eq!(bench.failed_callbacks(), ["connection_lost"]);
}

over_each!(bt_11_is_closing_turns_true_at_once_and_for_ever);
fn bt_11_is_closing_turns_true_at_once_and_for_ever(bench: &mut Bench) {
    for (name, method) in &ENDING[1..] {
        let (log, transport, _peer) = bench.connect();
        assert!(!transport.is_closing(), "before {name}");
        method(&transport);
        assert!(transport.is_closing(), "after {name}");
        bench.run_until(|| log.is_lost());
        assert!(transport.is_closing(), "after the loss by {name}");
    }
    for answer in ["no", "yes"] {
        let (log, transport, peer) = bench.connect();
        if answer == "yes" {
            log.keep_open();
        }
        log.on(Call::Eof, |transport| assert!(!transport.is_closing()));
        peer.shutdown();
        bench.run_until(|| log.has(Call::Eof));
        assert_eq!(transport.is_closing(), answer == "no", "after an end answered with {answer}");
    }
}

over_each!(bt_12_is_closing_is_true_inside_the_callbacks_between_close_and_loss and written);
fn bt_12_is_closing_is_true_inside_the_callbacks_between_close_and_loss(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    bench.fill(&transport);
    transport.set_write_buffer_limits(Limits::high(0));
    bench.settle();
    transport.close();
    log.on(Call::Resume, |transport| assert!(transport.is_closing()));
    log.on(Call::Lost, |transport| assert!(transport.is_closing()));
    bench.run_until(|| {
        peer.read();
        log.is_lost()
    });
    assert_eq!(log.story(), ["made", "pause", "resume", "lost closed"]);
}

// invariant: T6
over_each!(bt_16_the_transport_lets_go_of_its_protocol and one_way);
fn bt_16_the_transport_lets_go_of_its_protocol(bench: &mut Bench) {
    let mut kept = Vec::new();
    for drop_loop in [false, true] {
        let log = bench.log();
        let (outcome, _peer) = bench.try_open(log.plain(), |_| {});
        let (transport, shared) = outcome.unwrap();
        if drop_loop {
            bench.drop_loop();
            assert_eq!(log.story(), ["made", "lost aborted"], "told before the loop is gone");
        } else {
            transport.close();
            bench.run_until(|| log.is_lost());
        }
        assert!(transport.protocol().is_none());
        let by_value: Plain = Rc::try_unwrap(shared).expect("nobody else holds it").into_inner();
        drop(by_value);
        assert_eq!(log.protocols(), 0);
        kept.push(transport);
    }
}

// invariant: T5
over_each!(bt_17_the_loop_owns_the_connection and read);
fn bt_17_the_loop_owns_the_connection(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    // The handle that the log keeps for its hooks goes as well.
    drop(transport);
    log.forget_transport();
    bench.settle();
    assert_eq!((peer.seen(), bench.sources()), (Seen::Open, 1), "no handle, and still there");
    peer.send(b"still there");
    bench.run_until(|| log.has(Call::Data));
    peer.shutdown();
    bench.run_until(|| log.is_lost());
    assert_eq!(log.story(), ["made", "data still there", "eof", "lost eof"]);

    let (log, transport, peer) = bench.connect();
    let handles = [transport.clone(), transport.clone()];
    transport.close();
    bench.run_until(|| log.is_lost());
    assert_eq!(peer.seen(), Seen::Eof, "the descriptor waits for its handles");
    assert_eq!((handles.len(), bench.sources()), (2, 0));
}

over_each!(bt_18_dropping_the_loop_tells_every_connection_that_it_is_lost and written);
fn bt_18_dropping_the_loop_tells_every_connection_that_it_is_lost(bench: &mut Bench) {
    let (log, transport, peer) = bench.connect();
    let (paused, full, _full_peer) = bench.connect();
    bench.fill(&full);
    full.set_write_buffer_limits(Limits::high(0));
    bench.settle();
    bench.drop_loop();
    assert_eq!(log.story(), ["made", "lost aborted"]);
    assert_eq!(paused.story(), ["made", "pause", "lost aborted"]);
    assert_eq!(peer.seen(), Seen::Eof);
    assert!(transport.is_closing());
    for transport in [&transport, &full] {
        poke(transport);
        assert_eq!(transport.write(b"x"), Flow::Closed);
    }
}

over_each!(bt_19_every_tcp_stream_has_nodelay on tcp: "it is an option of TCP");
fn bt_19_every_tcp_stream_has_nodelay(bench: &mut Bench) {
    let has_nodelay = |transport: &TransportRef| {
        let view = transport.extra::<SocketView>().unwrap();
        view.with(|fd| SockRef::from(&fd).tcp_nodelay().unwrap())
    };
    let (_adopted, transport, _peer) = bench.connect();
    assert_eq!(has_nodelay(&transport), Some(true), "adopted");

    let handle = bench.event_loop().handle().clone();
    let accepted = bench.log();
    let verdict = Rc::new(Cell::new(None));
    accepted.on(Call::Made, {
        let verdict = Rc::clone(&verdict);
        move |transport| verdict.set(has_nodelay(transport))
    });
    let protocol = accepted.clone();
    let connected = bench.log();
    let client = connected.plain();
    let made = bench.event_loop().block_on(async {
        let server = tcp::listen(&handle, "127.0.0.1:0", move || protocol.plain()).await?;
        let address = server.addresses()[0].ip().unwrap();
        tcp::connect(&handle, address, || client).await
    });
    assert_eq!(has_nodelay(&made.unwrap().0), Some(true), "connected");
    bench.run_until(|| accepted.has(Call::Made));
    assert_eq!(verdict.get(), Some(true), "accepted");
}

over_each!(
    bt_20_descriptors_are_non_blocking_and_close_on_exec on tcp, unix: "memory has no descriptors"
);
fn bt_20_descriptors_are_non_blocking_and_close_on_exec(bench: &mut Bench) {
    let log = bench.log();
    let over = bench.over();
    let (ours, _peer) = over.pair();
    let ours = Socket::from(ours);
    ours.set_nonblocking(false).unwrap();
    ours.set_cloexec(false).unwrap();
    let handle = bench.event_loop().handle().clone();
    let adopting = over.adopt(&handle, ours.into(), || log.plain());
    let (transport, _) = bench.event_loop().block_on(adopting).unwrap();
    let view = transport.extra::<SocketView>().unwrap();
    view.with(|fd| {
        assert!(SockRef::from(&fd).nonblocking().unwrap());
        let flags = fcntl(fd.as_fd(), FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
    })
    .unwrap();
}

#[test]
fn bt_21_a_transport_stays_in_its_thread_by_type() {
    trait OnlyIfNotSend<A> {
        fn holds() {}
    }
    impl<T: ?Sized> OnlyIfNotSend<()> for T {}
    struct SendToo;
    impl<T: ?Sized + Send> OnlyIfNotSend<SendToo> for T {}
    // Were one of them `Send`, two implementations would fit, and this would not compile.
    <TransportRef as OnlyIfNotSend<_>>::holds();
    <wharf::LoopHandle as OnlyIfNotSend<_>>::holds();

    fn is_send<T: Send + Clone>() {}
    is_send::<Remote>();
}

over_each!(bt_22_the_protocol_is_known_until_the_loss);
fn bt_22_the_protocol_is_known_until_the_loss(bench: &mut Bench) {
    let log = bench.log();
    let (outcome, _peer) = bench.try_open(log.plain(), |_| {});
    let (transport, shared) = outcome.unwrap();
    let known = transport.protocol().expect("an open transport has a protocol");
    assert!(known == wharf::StreamProtocol::from_shared(&shared));
    assert_eq!(known.type_name(), std::any::type_name::<Plain>());
    transport.close();
    assert!(transport.protocol().is_some(), "until it is lost");
    log.on(Call::Lost, |transport| assert!(transport.protocol().is_some()));
    bench.run_until(|| log.is_lost());
    assert!(transport.protocol().is_none());
}
