//! The handshake (rows T-01 to T-06).

use wharf::memory::Stage;
use wharf::{Protocol, TransportRef, tcp, tls};

use crate::support::authority::{Authority, NAME};
use crate::support::{Call, Log, new_loop};

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.write(data);
    }
}

#[test]
fn t_03_bytes_go_both_ways_in_memory() {
    let authority = Authority::new();
    let stage = Stage::new();
    let log = Log::new();
    log.on(Call::Made, |transport| {
        transport.write(b"hello");
    });
    log.on(Call::Data, |transport| transport.close());
    let client = tls::client(authority.client(), NAME, || log.plain());
    let mut server = tls::server(authority.server(), || Echo);
    drop(stage.pair(client(), server()));
    stage.run();
    assert_eq!(log.story(), ["made", "data hello", "lost closed"]);
    assert_eq!(stage.connections(), 0);
}

#[test]
fn t_02_connecting_ends_after_the_handshake() {
    let authority = Authority::new();
    let mut ev = new_loop();
    let handle = ev.handle().clone();
    let log = Log::new();
    let server = tls::server(authority.server(), || Echo);
    ev.block_on(async {
        let server = tcp::listen(&handle, "127.0.0.1:0", server).await.unwrap();
        let address = server.addresses()[0].clone();
        let address = address.ip().unwrap();
        let client = tls::client(authority.client(), NAME, {
            let log = log.clone();
            move || log.plain()
        });
        let (transport, _) = tcp::connect(&handle, address, client).await.unwrap();
        assert_eq!(log.story(), ["made"]);
        assert_eq!(transport.extra::<tls::TlsVersion>(), Some(tls::TlsVersion::Tls13));
        transport.write(b"hello");
        while !log.has(Call::Data) {
            handle.sleep(std::time::Duration::from_millis(1)).await;
        }
        transport.close();
        while !log.is_lost() {
            handle.sleep(std::time::Duration::from_millis(1)).await;
        }
        server.close();
        server.wait_closed().await;
    });
    assert_eq!(log.story(), ["made", "data hello", "lost closed"]);
}
