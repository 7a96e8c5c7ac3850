//! The examples and their scripts: one entry each, to be read as a conversation.

use super::script::Act::{Ended, Exits, Expect, Finish, Runs, Send};
use super::script::Example;
use super::script::Peer::{self, Client, Upstream};

const ANY_PORT: &str = "127.0.0.1:0";
const LISTENS: &str = "listening on 127.0.0.1:";

const ONE: Peer = Client(1);
const ANN: Peer = Client(2);
const BEN: Peer = Client(3);
const SERVER: Peer = Upstream(1);

pub(super) const EXAMPLES: &[Example] = &[
    Example {
        program: "tcp_echo_server",
        args: &[ANY_PORT],
        script: &[Send(ONE, "Hello World!"), Expect(ONE, "Hello World!"), Ended(ONE)],
        prints: &[LISTENS, "Connection from 127.0.0.1:", "Echo: \"Hello World!\""],
    },
    Example {
        program: "tcp_echo_client",
        args: &["{upstream}"],
        script: &[
            Expect(SERVER, "Hello World!"),
            Send(SERVER, "Hello World!"),
            Finish(SERVER),
            Ended(SERVER),
            Exits,
        ],
        prints: &["Data sent: \"Hello World!\"", "Data received: \"Hello World!\"", "is over: "],
    },
    Example {
        program: "streams_echo_server",
        args: &[ANY_PORT],
        script: &[Send(ONE, "Hello World!"), Expect(ONE, "Hello World!"), Ended(ONE)],
        prints: &[LISTENS, "Received \"Hello World!\" from 127.0.0.1:"],
    },
    Example {
        program: "streams_echo_client",
        args: &["{upstream}"],
        script: &[
            Expect(SERVER, "Hello World!"),
            Send(SERVER, "Hello World!"),
            Ended(SERVER),
            Exits,
        ],
        prints: &["Send: \"Hello World!\"", "Received: \"Hello World!\"", "is over: closed by us"],
    },
    Example {
        program: "buffered_echo",
        args: &[ANY_PORT],
        script: &[Send(ONE, "one"), Expect(ONE, "one"), Finish(ONE), Ended(ONE)],
        prints: &[LISTENS],
    },
    Example {
        program: "unix_echo",
        args: &["{path}"],
        script: &[Send(ONE, "one"), Expect(ONE, "one"), Finish(ONE), Ended(ONE)],
        prints: &["listening on /"],
    },
    Example {
        program: "existing_socket",
        args: &[],
        script: &[Exits],
        prints: &["Received: abc\n"],
    },
    Example {
        program: "udp_echo_server",
        args: &[ANY_PORT],
        script: &[
            Runs(
                "udp_echo_client",
                &["{address}"],
                "Received: \"Hello World!\"\nConnection closed",
            ),
            Runs("udp_echo_client", &["{address}"], "Send: \"Hello World!\""),
        ],
        prints: &[LISTENS, "Received \"Hello World!\" from 127.0.0.1:"],
    },
    Example {
        program: "tls_echo_server",
        args: &[ANY_PORT, "{path}"],
        script: &[
            Runs("tls_echo_client", &["{address}", "{path}"], "Data received: \"Hello World!\""),
            // Who speaks no TLS is told so by an alert.
            Send(ONE, "GET / HTTP/1.0\r\n\r\n"),
            Expect(ONE, "\u{15}\u{3}"),
        ],
        prints: &[LISTENS, "Connection by Tls13"],
    },
    Example {
        program: "starttls_echo",
        args: &[ANY_PORT, "{path}"],
        script: &[
            Expect(ONE, "220 wharf ready\r\n"),
            Send(ONE, "DATA\r\nehlo me\r\nSTART"),
            Expect(ONE, "530 say STARTTLS first\r\n250-wharf\r\n250 STARTTLS\r\n"),
            // What follows the word in the clear ends the connection.
            Send(ONE, "TLS\r\nDATA\r\n"),
            Ended(ONE),
        ],
        prints: &[LISTENS],
    },
    Example {
        program: "https_hello",
        args: &[ANY_PORT, "{path}"],
        script: &[Runs(
            "curl",
            &["-sS", "--noproxy", "*", "--cacert", "{path}", "https://{address}/"],
            "hello over TLS; you said GET / HTTP/1.1\n",
        )],
        prints: &[LISTENS],
    },
    Example {
        program: "subprocess_date",
        args: &["sh", "-c", "echo today; exit 3"],
        script: &[Exits],
        prints: &["The child has ended: exit status: 3", "Output: today\n"],
    },
    Example {
        program: "pipe_echo",
        args: &["{path}"],
        script: &[
            Runs(
                "sh",
                &["-c", "{ printf 'one\\ntwo\\n' > {path}.in; cat; } < {path}.out"],
                "one\ntwo\n",
            ),
            Exits,
        ],
        prints: &["listening on /", "try: { echo hello > ", "is written: closed by us"],
    },
    Example {
        program: "cat_echo",
        args: &[ANY_PORT],
        script: &[
            Send(ONE, "one"),
            Expect(ONE, "one"),
            Send(ANN, "two"),
            Expect(ANN, "two"),
            Send(ONE, "three"),
            Finish(ONE),
            Expect(ONE, "three"),
            Ended(ONE),
            Finish(ANN),
            Ended(ANN),
        ],
        prints: &[LISTENS, "was served: exit status: 0", "was served: exit status: 0"],
    },
    Example {
        program: "chat",
        args: &[ANY_PORT],
        script: &[
            Expect(ANN, "* your name?\n"),
            Send(ANN, "Ann\n"),
            Expect(ANN, "* welcome, Ann; here: 1\n"),
            Expect(BEN, "* your name?\n"),
            Send(BEN, "Ben\nhello"),
            Expect(BEN, "* welcome, Ben; here: 2\n"),
            Expect(ANN, "* Ben has come\n"),
            // The rest of a line may come later.
            Send(BEN, ", Ann\n"),
            Expect(ANN, "Ben: hello, Ann\n"),
            Send(ANN, "bye\n"),
            Finish(ANN),
            Expect(BEN, "Ann: bye\n* Ann has left\n"),
            Ended(ANN),
        ],
        prints: &[LISTENS, "Ann has left: "],
    },
    Example {
        program: "debug_page",
        args: &["{path}", ANY_PORT],
        script: &[
            Send(ONE, "connections\n"),
            Expect(ONE, "#1 unix open, reading, 0 B queued\n"),
            Send(ONE, "close 7\nlog 2"),
            Expect(ONE, "there is no stream 7\n"),
            Send(ANN, "quiet #2\n"),
            Expect(ANN, "done\n"),
            Send(ONE, "\n"),
            Expect(ONE, "done\n"),
            Send(ANN, "close 9\n"),
            Expect(ANN, "there is no stream 9\n"),
            Send(ONE, "close 2\n"),
            Expect(ONE, "done\n"),
            Ended(ANN),
            Send(ONE, "close 2\n"),
            Expect(ONE, "there is no stream 2\n"),
        ],
        prints: &[
            LISTENS,
            "# wire log of #2 unix",
            " < 8 bytes",
            "|close 9.|",
            " > 21 bytes",
            "|there is no stre|",
            "lost: closed by us",
        ],
    },
    Example {
        program: "proxy",
        args: &[ANY_PORT, "{upstream}"],
        script: &[
            Send(ONE, "ping"),
            Expect(SERVER, "ping"),
            Send(SERVER, "pong"),
            Expect(ONE, "pong"),
            // One direction ends, the other goes on.
            Finish(ONE),
            Ended(SERVER),
            Send(SERVER, "last words"),
            Expect(ONE, "last words"),
            Finish(SERVER),
            Ended(ONE),
        ],
        prints: &[LISTENS],
    },
    Example {
        program: "supervisor",
        args: &["test -e {path} && exit 0; touch {path}; exit 3"],
        script: &[Exits],
        prints: &["started", ": exit status: 3\nagain in 100ms\nstarted", "exit status: 0"],
    },
    Example {
        program: "dns",
        args: &[ANY_PORT],
        script: &[
            Runs("dig", &["@127.0.0.1", "-p", "{port}", "+short", "one.wharf.test"], "192.0.2.1\n"),
            Runs("dig", &["@127.0.0.1", "-p", "{port}", "three.wharf.test"], "status: NXDOMAIN"),
        ],
        prints: &[LISTENS],
    },
    Example {
        program: "redis",
        args: &[ANY_PORT],
        script: &[
            Send(ONE, "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\nPI"),
            Expect(ONE, ":1\r\n"),
            Send(ONE, "NG\r\nGET n\r\n"),
            Expect(ONE, "+PONG\r\n$1\r\n1\r\n"),
            Runs("redis-cli", &["-p", "{port}", "INCR", "n"], "2\n"),
            Runs(
                "redis-benchmark",
                &["-p", "{port}", "-q", "-t", "set,get,incr", "-n", "1000", "-P", "16"],
                "GET: ",
            ),
            Send(ONE, "*1\r\n$2000000000\r\n"),
            Expect(ONE, "-ERR Protocol error: invalid bulk length\r\n"),
            Ended(ONE),
        ],
        prints: &[LISTENS],
    },
    Example {
        program: "http",
        args: &[ANY_PORT],
        script: &[
            Send(ONE, "GET /bytes/3 HTTP/1.1\r\nHost: x\r\n\r\nPUT /echo HT"),
            Expect(ONE, "HTTP/1.1 200 OK\r\nDate: "),
            Send(ONE, "TP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok"),
            Runs("curl", &["-sS", "--noproxy", "*", "http://{address}/plaintext"], "Hello, World!"),
            Runs(
                "curl",
                &["-sS", "--noproxy", "*", "-d", "back and forth", "http://{address}/echo"],
                "back and forth",
            ),
            Send(ANN, "GET / HTTP/1.1\r\n\r\n"),
            Expect(ANN, "HTTP/1.1 400 Bad Request\r\n"),
        ],
        prints: &[LISTENS, "try: curl http://127.0.0.1:"],
    },
    Example {
        program: "http",
        args: &[ANY_PORT, "--tls", "{path}"],
        script: &[Runs(
            "curl",
            &[
                "-sS",
                "--noproxy",
                "*",
                "--http1.1",
                "--cacert",
                "{path}",
                "https://{address}/plaintext",
            ],
            "Hello, World!",
        )],
        prints: &[LISTENS, "try: curl --cacert "],
    },
    Example {
        program: "idle_timeout",
        args: &[ANY_PORT, "1"],
        script: &[Send(ONE, "one"), Expect(ONE, "one"), Expect(ONE, "* bye\n"), Ended(ONE)],
        prints: &[LISTENS, "was silent for 1s"],
    },
];
