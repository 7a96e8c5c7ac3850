//! `redis-cli` and `redis-benchmark` against the server for clients of Redis.

use std::io::{Read, Write};

use crate::program::{Server, is_there, run};

fn server() -> Server {
    Server::start(env!("CARGO_BIN_EXE_redis"), &[])
}

#[test]
fn redis_cli_sets_counts_and_lets_keys_expire() {
    if !is_there("redis-cli") {
        return;
    }
    let server = server();
    let commands = b"SET k v\nEXPIRE k 100\nTTL k\nGET k\nSET n 1 EX 100\nINCR n\nTTL n\n\
        EXPIRE k -1\nGET k\nDEL n none\nEXISTS n\nTTL n\nPING\nECHO hello\nNONSENSE\n";
    let printed = run("redis-cli", &["-p", server.port()], commands);
    let lines = [
        "OK",
        "1",
        "100",
        "v",
        "OK",
        "2",
        "100",
        "1",
        "",
        "1",
        "0",
        "-2",
        "PONG",
        "hello",
        "ERR unknown command 'nonsense'",
        "",
    ];
    assert_eq!(printed.text().trim_end_matches('\n').split('\n').collect::<Vec<_>>(), lines[..15]);
}

#[test]
fn redis_cli_sends_a_long_pipeline_and_every_command_is_answered() {
    if !is_there("redis-cli") {
        return;
    }
    let server = server();
    let commands = "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n".repeat(50_000);
    let printed = run("redis-cli", &["-p", server.port(), "--pipe"], commands.as_bytes());
    assert!(printed.text().contains("errors: 0, replies: 50000"), "{}", printed.text());
    let printed = run("redis-cli", &["-p", server.port(), "GET", "n"], b"");
    assert_eq!(printed.text(), "50000\n");
}

#[test]
fn redis_benchmark_runs_plain_and_pipelined() {
    if !is_there("redis-benchmark") {
        return;
    }
    let server = server();
    for depth in ["1", "16"] {
        let args =
            ["-p", server.port(), "-q", "-n", "2000", "-P", depth, "-t", "ping,set,get,incr"];
        let printed = run("redis-benchmark", &args, b"");
        for test in ["PING_INLINE: ", "PING_MBULK: ", "SET: ", "GET: ", "INCR: "] {
            assert!(printed.text().contains(test), "no {test:?} in\n{}", printed.text());
        }
        assert!(!printed.errors.contains("rror"), "{}", printed.errors);
    }
}

#[test]
fn the_server_stops_when_it_is_told_to() {
    let server = server();
    let mut client = server.connect();
    client.write_all(b"PING\r\n").unwrap();
    let mut answer = [0; 7];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
    server.terminate();
    server.end();
    assert_eq!(client.read(&mut answer).unwrap_or(0), 0);
}
