//! What a layer holds in each part of its life, and how little when it is idle.

use std::future::Future;
use std::pin::pin;

use rcgen::{CertificateParams, KeyPair};
use wharf_core::Protocol;
use wharf_core::memory::{Pair, Stage};

use super::*;
use crate::config::{self, Identity, Roots};
use crate::engine::Rustls;
use crate::start::start_tls;

struct Silent;

impl Protocol for Silent {
    fn data_received(&mut self, _: &TransportRef, _: &[u8]) {}
}

/// The two sides of connections that trust each other.
fn sides() -> [Side; 2] {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    let client = config::client(Roots::pem(certificate.clone())).build().unwrap();
    let server = config::server(Identity::pem(certificate, key.serialize_pem())).build().unwrap();
    [Side::from((client, "localhost")), Side::from(server)]
}

fn protocol() -> StreamProtocol {
    StreamProtocol::from_shared(&Rc::new(RefCell::new(Silent)))
}

fn has_passage(layer: &Layer) -> bool {
    layer.parts.borrow().passage.is_some()
}

#[test]
fn a_layer_that_stands_holds_nothing_of_its_handshake() {
    let stage = Stage::new();
    let layers = sides().map(|side| Layer::new(Arc::new(side), protocol()));
    let [client, server] = layers.clone().map(|layer| StreamProtocol::from_layer(layer));
    let _pair = stage.pair(client, server);
    assert!(layers.iter().all(|layer| has_passage(layer)));
    stage.run();
    assert!(layers.iter().all(|layer| layer.established().is_some()));
    assert!(!layers.iter().any(|layer| has_passage(layer)));
    let above = layers[0].established().unwrap();
    above.close();
    stage.run();
    assert_eq!(stage.connections(), 0);
    assert!(!layers.iter().any(|layer| has_passage(layer)), "the goodbye's deadline has gone");
}

/// Layers between a client's and a server's transport, which live already, and their protocols; nobody awaits them.
fn interposed(client: TransportRef, server: TransportRef) -> [Rc<Layer>; 2] {
    let mut ends = [client, server].into_iter();
    sides().map(|side| {
        let (below, engine) = (ends.next().unwrap(), side.engine());
        let layer = Layer::new(Arc::new(side), below.protocol().unwrap());
        below.interpose(StreamProtocol::from_layer(Rc::clone(&layer) as Rc<_>));
        layer.begin(&below, engine, Some(b""));
        layer.forget_waiter();
        layer
    })
}

#[derive(Default)]
struct Hears(Vec<u8>);

impl Protocol for Hears {
    fn data_received(&mut self, _: &TransportRef, data: &[u8]) {
        self.0.extend_from_slice(data);
    }
}

#[test]
fn what_is_written_above_during_the_handshake_goes_out_after_it() {
    let stage = Stage::new();
    let pair = stage.pair(Silent, Hears::default());
    stage.run();
    let Pair { first: (client, _), second: (server, hears), .. } = pair;
    let [layer, _] = interposed(client, server);
    layer.driver().unwrap().handle().write(b"early");
    stage.run();
    assert_eq!(hears.borrow().0, b"early");
}

#[test]
fn a_layer_that_took_over_holds_nothing_either() {
    let stage = Stage::new();
    let Pair { first: (client, _), second: (server, _), .. } = stage.pair(Silent, Silent);
    stage.run();
    let layers = interposed(client, server);
    assert!(layers.iter().all(|layer| has_passage(layer)));
    stage.run();
    assert!(layers.iter().all(|layer| layer.established().is_some() && !has_passage(layer)));
}

#[test]
fn a_peer_that_still_takes_our_bytes_is_given_time_for_its_goodbye() {
    for takes in [false, true] {
        let stage = Stage::new();
        let layers = sides().map(|side| Layer::new(Arc::new(side), protocol()));
        let [client, server] = layers.clone().map(|layer| StreamProtocol::from_layer(layer));
        let Pair { link, .. } = stage.pair(client, server);
        stage.run();
        let [_, layer] = layers;
        let above = layer.established().unwrap();
        link.limit_writes(0);
        above.write(&[0; 30_000]);
        above.close();
        stage.run();
        if takes {
            link.limit_writes(1000);
            stage.turn();
            link.limit_writes(0);
        }
        let patience = layer.stream().unwrap().session().patience();
        stage.advance(patience);
        assert_eq!(stage.connections(), if takes { 2 } else { 0 });
        stage.advance(patience);
        assert_eq!(stage.connections(), 0);
    }
}

#[test]
fn an_answer_is_kept_until_it_is_taken_or_dropped() {
    let stage = Stage::new();
    let Pair { first: (client, _), second: (server, _), .. } = stage.pair(Silent, Silent);
    stage.run();
    let [client_side, server_side] = sides();
    let (kept, dropped) =
        (start_tls(&client, client_side, b""), start_tls(&server, server_side, b""));
    stage.run();
    drop(dropped);
    client.abort();
    stage.run();
    assert_eq!(stage.connections(), 0);
    let mut kept = pin!(kept);
    let outcome = kept.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(
        matches!(outcome, Poll::Ready(Ok(_))),
        "the handshake was over before the end: {outcome:?}"
    );
}

/// What callbacks were told, in order.
type Told = Rc<RefCell<Vec<String>>>;

/// Notes what it is told of the handshake.
fn note(told: &Told) -> impl FnOnce(Result<&TransportRef, &Error>) + 'static {
    let told = Rc::clone(told);
    move |outcome| {
        told.borrow_mut().push(match outcome {
            Ok(_) => "established".to_owned(),
            Err(error) => error.to_string(),
        });
    }
}

#[test]
fn a_callback_that_is_set_when_all_is_over_is_called_soon() {
    for awaited in [false, true] {
        let stage = Stage::new();
        let Pair { first: (client, _), second: (server, _), .. } = stage.pair(Silent, Silent);
        stage.run();
        let [client_side, server_side] = sides();
        let mut answer = start_tls(&client, client_side, b"");
        drop(start_tls(&server, server_side, b""));
        stage.run();
        if awaited {
            let outcome = pin!(&mut answer).poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(outcome, Poll::Ready(Ok(_))), "{outcome:?}");
        }
        let told = Told::default();
        let answer = answer.on_established(note(&told));
        assert!(told.borrow().is_empty(), "not in the midst of the call");
        stage.run();
        assert_eq!(told.take(), ["established"]);
        client.abort();
        stage.run();
        drop(answer.on_established(note(&told)));
        stage.run();
        assert_eq!(told.take(), ["established"], "it was, before the end");
    }
}

#[test]
fn a_callback_that_is_set_after_a_failure_is_told_it() {
    let stage = Stage::new();
    let Pair { first: (client, _), second: (server, _), .. } = stage.pair(Silent, Silent);
    stage.run();
    let [client_side, _] = sides();
    let answer = start_tls(&client, client_side, b"");
    server.abort();
    stage.run();
    let told = Told::default();
    drop(answer.on_established(note(&told)));
    stage.run();
    assert_eq!(told.take(), ["the connection was lost during the TLS handshake: connection reset"]);
}

/// Notes what has come.
struct Noting(Told);

impl Protocol for Noting {
    fn data_received(&mut self, _: &TransportRef, data: &[u8]) {
        self.0.borrow_mut().push(String::from_utf8_lossy(data).into_owned());
    }
}

#[test]
fn what_waits_for_the_transport_comes_after_a_late_callback() {
    let stage = Stage::new();
    let told = Told::default();
    let Pair { first: (client, _), second: (server, _), .. } =
        stage.pair(Noting(Rc::clone(&told)), Silent);
    stage.run();
    let [client_side, server_side] = sides();
    let mut answer = start_tls(&client, client_side, b"");
    assert!(pin!(&mut answer).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(start_tls(&server, server_side, b"").on_established(|transport| {
        transport.unwrap().write(b"data");
    }));
    stage.run();
    assert!(told.borrow().is_empty(), "somebody has yet to be given the transport");
    drop(answer.on_established(note(&told)));
    stage.run();
    assert_eq!(told.take(), ["established", "data"]);
}

/// A client of TLS within TLS whose peer never answers the inner handshake, and what is below the outer one.
fn nested(stage: &Stage) -> (StreamProtocol, TransportRef) {
    let [client, server] = sides().map(Arc::new);
    let inner = StreamProtocol::from_layer(Layer::new(Arc::clone(&client), protocol()));
    let outer = StreamProtocol::from_layer(Layer::new(client, inner));
    let server = StreamProtocol::from_layer(Layer::new(server, protocol()));
    let pair = stage.pair(outer.clone(), server);
    (outer, pair.first.0)
}

#[test]
fn a_layer_above_that_was_lost_is_an_error_of_the_whole() {
    for asks_between in [true, false] {
        let stage = Stage::new();
        let (outer, below) = nested(&stage);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(outer.poll_established(&below, &mut cx).is_pending());
        stage.run();
        if asks_between {
            assert!(outer.poll_established(&below, &mut cx).is_pending());
        }
        below.abort();
        stage.run();
        let outcome = outer.poll_established(&below, &mut cx);
        assert!(matches!(outcome, Poll::Ready(Err(_))), "{asks_between}: {outcome:?}");
    }
}

#[test]
fn whoever_asks_first_when_all_is_over_is_answered() {
    let stage = Stage::new();
    let [client, server] = sides().map(|side| Layer::new(Arc::new(side), protocol()));
    let [client, server] = [client, server].map(|layer| StreamProtocol::from_layer(layer));
    let Pair { first: (below, _), .. } = stage.pair(client.clone(), server);
    stage.run();
    below.abort();
    stage.run();
    assert_eq!(stage.connections(), 0);
    let outcome = client.poll_established(&below, &mut Context::from_waker(Waker::noop()));
    assert!(matches!(outcome, Poll::Ready(Err(_))), "{outcome:?}");
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_layer_adds_little_to_its_engine() {
    assert_eq!(size_of::<LayerHost>(), 8);
    assert_eq!(size_of::<Layer>(), 24);
    assert_eq!(size_of::<Driver>(), 88);
    assert_eq!(size_of::<Session>() - size_of::<Rustls>(), 64);
    assert!(size_of::<Rustls>() <= size_of::<rustls::Connection>() + 8);
}
