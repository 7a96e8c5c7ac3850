//! Scenarios of servers: closing with live connections, and serving for ever.

use std::net::{SocketAddr, TcpStream};

use super::peer::client;
use super::performance::perform;
use super::python::Raised;
use super::recorder::Recorder;
use super::scene::Scene;
use wharf::{Server, tcp};

const LOOPBACK: &str = "127.0.0.1:0";

/// A server whose protocols are called A.
async fn listen(scene: &Scene, serve: bool) -> Server {
    let of_the_factory = scene.clone();
    let factory = move || Recorder::new(&of_the_factory, "A");
    tcp::listen(&scene.handle, LOOPBACK, factory).start_serving(serve).await.unwrap()
}

fn address(server: &Server) -> SocketAddr {
    server.addresses()[0].ip().expect("a TCP server has an IP address")
}

#[test]
fn s28_a_closed_server_leaves_its_connections_alone() {
    perform("S28", async |scene| {
        let server = listen(scene, true).await;
        let at = address(&server);
        scene.value("is_serving", server.is_serving());
        let peer = client(scene, at);
        scene.until("cb A connection_made").await;
        let waiting = server.clone();
        let waiter = scene.start(async move { waiting.wait_closed().await });
        scene.settle().await;
        server.close();
        server.close();
        scene.did("server close twice");
        scene.value("sockets", server.addresses().len());
        scene.value("is_serving", server.is_serving());
        scene.settle().await;
        // A child that another test starts shares our descriptors until it runs its program.
        let mut second = TcpStream::connect(at);
        for _ in 0..100 {
            if second.is_err() {
                break;
            }
            scene.settle().await;
            second = TcpStream::connect(at);
        }
        scene.line(match second {
            Ok(_) => "peer> second connect ok".to_owned(),
            Err(error) => format!("peer> second connect {}", error.raised()),
        });
        scene.value("wait_closed done", waiter.task.is_finished());
        peer.send(b"still here");
        scene.until("cb A data_received").await;
        peer.close();
        scene.until("cb A connection_lost").await;
        scene.settle().await;
        scene.value("wait_closed done", waiter.task.is_finished());
        server.wait_closed().await;
        scene.did("wait_closed returned");
        scene.attempt("start_serving after close", server.start_serving());
    });
}

#[test]
fn s29_clients_are_closed_and_aborted_with_their_server() {
    perform("S29", async |scene| {
        type End = fn(&Server);
        let ends: [(&str, End); 2] =
            [("close_clients", Server::close_clients), ("abort_clients", Server::abort_clients)];
        for (name, end) in ends {
            let server = listen(scene, true).await;
            let peer = client(scene, address(&server));
            scene.until_true("the client", || server.connections() == 1).await;
            server.close();
            end(&server);
            scene.did(name);
            server.wait_closed().await;
            scene.did("wait_closed returned");
            peer.sees().await;
        }
    });
}

#[test]
fn s30_serving_for_ever_ends_with_its_future() {
    perform("S30", async |scene| {
        let server = listen(scene, false).await;
        scene.value("is_serving", server.is_serving());
        let serving = server.clone();
        let task = scene.start(async move { serving.serve_forever().await });
        scene.settle().await;
        scene.value("is_serving", server.is_serving());
        scene.attempt("second serve_forever", server.serve_forever().await);
        scene.cancel(task, "serve_forever ends with").await;
        scene.value("is_serving", server.is_serving());
        scene.attempt("serve_forever after close", server.serve_forever().await);
    });
}
