//! Records may be cut anywhere: whatever the cuts, the same is told and sent.

use std::sync::Arc;
use wharf::memory::{LinkRef, Stage};
use wharf::tls;

use super::handshake::Echo;
use super::rig::Rig;
use crate::support::authority::{Authority, NAME, TLS12, TLS13};
use crate::support::{Call, Log, Over, over_each_carrier, pattern};

/// Echoes over a link that is set up by `cut`; gives what the client was told.
fn told(
    versions: &'static [&'static tls::rustls::SupportedProtocolVersion],
    cut: impl Fn(&LinkRef),
) -> Vec<String> {
    let (stage, authority) = (Stage::new(), Authority::new());
    let log = Log::new();
    log.on(Call::Made, |transport| {
        transport.write(&pattern(20_000));
        transport.write(b"end");
    });
    let counted = log.clone();
    log.on(Call::Data, move |transport| {
        if counted.data_len() == 20_003 {
            transport.close();
        }
    });
    let config = tls::ClientConfig::from(Arc::new(authority.rustls_client(versions)));
    let protocol = log.plain();
    let client = tls::client(config, NAME, || protocol);
    let mut server = tls::server(authority.server(), || Echo);
    let pair = stage.pair(client(), server());
    cut(&pair.link);
    stage.run();
    assert!(log.data().ends_with(b"end"));
    log.story()
}

#[test]
fn t_03_every_cut_of_reads_and_writes_gives_the_same() {
    for versions in [TLS12, TLS13] {
        let whole = told(versions, |_| {});
        assert_eq!(whole, ["made", "data of 20003 bytes", "lost closed"]);
        for size in [1, 7, 100, 16_405] {
            assert_eq!(told(versions, |link| link.limit_reads(size)), whole, "reads of {size}");
            assert_eq!(told(versions, |link| link.limit_writes(size)), whole, "writes of {size}");
        }
    }
}

over_each_carrier!(t_03_a_handshake_and_a_record_cut_at_each_place_give_the_same);
fn t_03_a_handshake_and_a_record_cut_at_each_place_give_the_same(carrier: Over) {
    let rig = Rig::new(carrier);
    let length = {
        let (_, peer) = rig.serve(rig.authority.server(), Log::new().plain());
        peer.take_records().len()
    };
    // Each place of the record's and the message's beginning, and many behind them.
    for place in (0..length).filter(|place| *place < 60 || place % 23 == 0) {
        let log = Log::new();
        let (_, peer) = rig.serve(rig.authority.server(), log.plain());
        let hello = peer.take_records();
        let place = place.min(hello.len());
        peer.send_raw(&hello[..place]);
        rig.run();
        peer.send_raw(&hello[place..]);
        rig.exchange(&peer);
        peer.with_engine(|engine| {
            use std::io::Write;
            engine.writer().write_all(b"some plaintext").unwrap();
            engine.send_close_notify();
        });
        let records = peer.take_records();
        let place = place % records.len();
        peer.send_raw(&records[..place]);
        rig.run();
        peer.send_raw(&records[place..]);
        rig.exchange(&peer);
        assert_eq!(log.story(), ["made", "data some plaintext", "eof", "lost eof"], "{place}");
    }
}
