"""The scenarios themselves. See harness.py for the trace language.

S: byte streams, servers, connecting. L: the loop. Q: corners, and what looks like a defect.
A script calls the loop's end `t` and the raw end `b`.
"""
import asyncio
import errno
import gc
import os
import signal
import socket
import subprocess
import threading
import time
import warnings
from typing import Callable, NamedTuple

from harness import BP, D, P, S, error_name


class Scenario(NamedTuple):
    name: str
    title: str
    script: Callable
    needs: tuple


ALL = []


def scenario(name, title, needs=(3, 12)):
    """Enlists the function below it, a coroutine function or one that runs the loop itself."""
    def enlist(script):
        ALL.append(Scenario(name, title, script, needs))
        return script
    return enlist


def resolver(addresses):
    """A getaddrinfo that knows one answer."""
    async def getaddrinfo(*args, **kw):
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address) for address in addresses]
    return getaddrinfo


# ---- Birth, close, abort, half close ----

@scenario("S01", "client connects; the peer's first bytes are already waiting")
async def s01(env):
    a, b = env.tcp_pair()
    env.poke(b, b"early")
    await env.tick()

    def factory():
        env.log("> factory called")
        return P(env)

    t, p = await env.loop.create_connection(factory, sock=a)
    env.log("> create_connection returned")
    await env.tick()
    t.close()
    env.log("> close")
    env.eq("is_closing", t.is_closing())
    await env.tick()


@scenario("S02", "server accepts; connection and data arrive together")
async def s02(env):
    def factory():
        env.log("> factory called")
        return P(env, "A", got=lambda p, d: p.t.write(d.upper()))

    srv = await env.loop.create_server(factory, "127.0.0.1", 0)
    s = env.raw_client(srv.sockets[0].getsockname())
    env.poke(s, b"hi")
    await env.tick()
    await env.peer_sees(s)
    s.close()
    env.log("peer> close")
    await env.tick()
    srv.close()
    await srv.wait_closed()
    env.log("> wait_closed returned")


@scenario("S03", "small write then close")
async def s03(env):
    p = P(env)
    t, b = await env.connect(p)
    t.write(b"bye")
    env.log("> write 3")
    t.close()
    env.log("> close")
    env.eq("is_closing", t.is_closing())
    t.close()
    env.log("> close again")
    t.write(b"late")
    env.log("> write after close")
    await env.peer_sees(b)
    await env.tick()


@scenario("S04", "close with a full buffer: connection_lost only after the flush")
async def s04(env):
    p = P(env)
    t, b = await env.connect(p, "unix")
    n = await env.fill(t)
    for _ in range(4):
        t.write(b"y" * 65536)
        n += 65536
    t.close()
    env.log("> close")
    await env.tick(3)
    env.eq("connection_lost yet", p.lost)
    got, state = await env.drain_to_end(b)
    env.log("peer< everything" if got == n else f"peer< {got} of {n}", state)
    await env.tick()


@scenario("S05", "write accepted after close while the buffer drains")
async def s05(env):
    p = P(env)
    t, b = await env.connect(p, "unix")
    n = await env.fill(t)
    t.close()
    env.log("> close")
    env.attempt("write 7 after close", t.write, b"trailer")
    got, state = await env.drain_to_end(b)
    env.eq("extra bytes at the peer", got - n)
    env.log("peer<", state)
    await env.tick()


@scenario("S06", "abort drops the buffer")
async def s06(env):
    p = P(env)
    t, b = await env.connect(p, "unix")
    n = await env.fill(t)
    for _ in range(8):
        t.write(b"y" * 65536)
        n += 65536
    t.abort()
    env.log("> abort")
    env.eq("is_closing", t.is_closing())
    env.eq("buffer size", t.get_write_buffer_size())
    t.abort()
    t.close()
    env.log("> abort and close again")
    got, state = await env.drain_to_end(b)
    env.log("peer< less than written" if got < n else "peer< all", state)
    await env.tick()


@scenario("S07", "peer half-closes; eof_received returns a false value")
async def s07(env):
    p = P(env, eof=lambda q: q.t.write(b"last"))
    t, b = await env.connect(p)
    env.poke(b, b"q")
    b.shutdown(socket.SHUT_WR)
    env.log("peer> shutdown(WR)")
    await env.tick()
    env.eq("is_closing", t.is_closing())
    await env.peer_sees(b)


@scenario("S08", "peer half-closes; eof_received returns true")
async def s08(env):
    p = P(env, keep_open=True)
    t, b = await env.connect(p)
    b.shutdown(socket.SHUT_WR)
    env.log("peer> shutdown(WR)")
    await env.tick(2)
    env.eq("is_closing", t.is_closing())
    t.write(b"answer")
    env.log("> write 6")
    await env.peer_sees(b)
    t.close()
    env.log("> close")
    await env.peer_sees(b)


@scenario("S09", "write_eof: we half-close, the peer answers, then closes")
async def s09(env):
    p = P(env)
    t, b = await env.connect(p)
    env.eq("can_write_eof", t.can_write_eof())
    t.write(b"req")
    t.write_eof()
    env.log("> write 3, write_eof")
    env.attempt("write_eof again", t.write_eof)
    env.attempt("write after write_eof", t.write, b"x")
    env.attempt("write empty after write_eof", t.write, b"")
    env.attempt("writelines after write_eof", t.writelines, [b"x"])
    env.eq("is_closing", t.is_closing())
    await env.peer_sees(b)
    env.poke(b, b"resp")
    await env.tick()
    b.close()
    env.log("peer> close")
    await env.tick()
    env.attempt("write_eof after connection_lost", t.write_eof)


@scenario("S10", "write_eof waits for the buffer")
async def s10(env):
    p = P(env)
    t, b = await env.connect(p, "unix")
    n = await env.fill(t)
    t.write_eof()
    env.log("> write_eof with data buffered")
    await env.tick(2)
    got, state = env.drain_now(b, 1000)
    env.eq("eof before the data", state == "eof")
    k, state = await env.drain_to_end(b)
    env.log("peer< everything" if got + k == n else "peer< short", state)
    b.close()
    env.log("peer> close")
    await env.tick()


# ---- Errors, reading, pausing ----

@scenario("S11", "peer resets an idle connection")
async def s11(env):
    p = P(env)
    t, b = await env.connect(p)
    env.reset(b)
    env.log("peer> reset")
    await env.tick()
    env.eq("is_closing", t.is_closing())
    env.attempt("write after the loss", t.write, b"x")
    await env.tick()


@scenario("S12", "data, then a reset: is the data delivered first?")
async def s12(env):
    p = P(env)
    t, b = await env.connect(p)
    t.pause_reading()
    env.log("> pause_reading")
    env.poke(b, b"data")
    await env.tick()
    env.reset(b)
    env.log("peer> reset")
    await env.tick()
    t.resume_reading()
    env.log("> resume_reading")
    await env.tick()


@scenario("S13", "write into a connection whose peer is gone, reading paused")
async def s13(env):
    p = P(env)
    t, b = await env.connect(p)
    t.pause_reading()
    b.close()
    env.log("peer> close")
    await env.tick()
    for i in range(3):
        env.attempt(f"write #{i}", t.write, b"x" * 10)
        env.eq("is_closing", t.is_closing())
        await env.tick()
    for i in range(6):
        env.attempt(f"write #{i + 3}", t.write, b"more")
    await env.tick()


@scenario("S14", "pause_reading and resume_reading")
async def s14(env):
    p = P(env)
    t, b = await env.connect(p)
    env.eq("is_reading", t.is_reading())
    t.pause_reading()
    t.pause_reading()
    env.log("> pause twice")
    env.eq("is_reading", t.is_reading())
    env.poke(b, b"one")
    env.poke(b, b"two")
    b.shutdown(socket.SHUT_WR)
    env.log("peer> shutdown(WR)")
    await env.tick(2)
    t.resume_reading()
    t.resume_reading()
    env.log("> resume twice")
    env.eq("is_reading", t.is_reading())
    await env.tick()
    env.eq("is_reading", t.is_reading())
    env.attempt("pause after close", t.pause_reading)
    env.attempt("resume after close", t.resume_reading)


@scenario("S15", "pause_reading inside data_received stops the flow at once")
async def s15(env):
    paused = []

    def got(p, d):
        if not paused:
            paused.append(True)
            p.t.pause_reading()
            env.log("> pause_reading in data_received")

    p = P(env, count=True, got=got)
    t, b = await env.connect(p, "unix")
    total = 0
    while total < 2_000_000:
        try:
            total += b.send(b"z" * 65536)
        except BlockingIOError:
            break
    env.log("peer> fill the socket")
    await env.tick()
    first = p.n
    env.eq("something delivered, not all", 0 < first <= total)
    await env.tick(2)
    env.eq("more while paused", p.n - first)
    t.resume_reading()
    env.log("> resume_reading")
    await env.tick(2)
    env.eq("all delivered", p.n == total)
    t.close()
    await env.tick()


@scenario("S16", "pause_reading inside connection_made")
async def s16(env):
    p = P(env, made=lambda q: q.t.pause_reading())
    a, b = env.tcp_pair()
    env.poke(b, b"early")
    t, _ = await env.loop.create_connection(lambda: p, sock=a)
    await env.tick(2)
    env.eq("is_reading", t.is_reading())
    t.resume_reading()
    env.log("> resume_reading")
    await env.tick()
    t.close()
    await env.tick()


# ---- Watermarks ----

@scenario("S17", "watermarks: strictly above high, at or below low")
async def s17(env):
    p = P(env)
    t, b = await env.connect(p, "unix")
    env.eq("default limits (low, high)", t.get_write_buffer_limits())
    await env.fill(t, 4096)
    n = t.get_write_buffer_size()
    t.set_write_buffer_limits(high=n + 100, low=50)
    env.log("> set limits high=size+100 low=50")
    t.write(b"a" * 100)
    env.log("> write to exactly high")
    env.eq("size-high", t.get_write_buffer_size() - (n + 100))
    t.write(b"b")
    env.log("> write 1 more")
    t.write(b"c" * 100)
    env.log("> write more while paused")
    await env.drain_to_end(b, 0.5)
    env.eq("buffer size", t.get_write_buffer_size())
    t.close()
    await env.tick()


@scenario("S18", "watermark arguments and defaults")
async def s18(env):
    p = P(env)
    t, b = await env.connect(p)
    for kw in ({"high": 0}, {"high": 100}, {"low": 10}, {"high": 8, "low": 8}, {}):
        t.set_write_buffer_limits(**kw)
        env.eq(f"limits after {kw}", t.get_write_buffer_limits())
    env.attempt("high=1 low=2", t.set_write_buffer_limits, high=1, low=2)
    env.attempt("high=-1", t.set_write_buffer_limits, high=-1)
    env.attempt("low=-1", t.set_write_buffer_limits, low=-1)
    env.eq("limits unchanged", t.get_write_buffer_limits())
    t.close()
    await env.tick()


@scenario("S19", "high=0: paused by any buffered byte, resumed when empty; lowering the limit pauses at once")
async def s19(env):
    p = P(env)
    t, b = await env.connect(p, "unix")
    await env.fill(t, 4096)
    env.log("> buffered below the default high mark")
    t.set_write_buffer_limits(high=0)
    env.log("> set_write_buffer_limits(0) done")
    await env.drain_to_end(b, 0.4)
    t.write(b"fits")
    env.log("> write that the kernel takes whole")
    await env.tick()
    t.close()
    await env.tick()


# ---- Exceptions in callbacks ----

@scenario("S20", "exception in data_received")
async def s20(env):
    def got(p, d):
        raise RuntimeError("boom")

    p = P(env, got=got)
    t, b = await env.connect(p)
    env.poke(b, b"x")
    env.poke(b, b"y")
    await env.tick()
    await env.peer_sees(b)


@scenario("S21", "exception in connection_made")
async def s21(env):
    def made(p):
        raise RuntimeError("boom")

    p = P(env, made=made)
    a, b = env.tcp_pair()
    try:
        t, _ = await asyncio.wait_for(env.loop.create_connection(lambda: p, sock=a), 1)
        env.log("> create_connection returned")
    except Exception as e:
        env.log("> create_connection raised", error_name(e))
        t = p.t
    env.poke(b, b"x")
    await env.tick()
    env.eq("is_closing", t.is_closing())
    t.close()
    env.log("> close")
    await env.tick()


@scenario("S22", "exceptions in eof_received and in connection_lost")
async def s22(env):
    def boom(p, *a):
        raise RuntimeError("boom")

    t, b = await env.connect(P(env, "A", eof=boom))
    b.shutdown(socket.SHUT_WR)
    env.log("peer> shutdown(WR)")
    await env.tick()
    t2, b2 = await env.connect(P(env, "C", lost=boom))
    t2.close()
    env.log("> close")
    await env.tick()
    await env.peer_sees(b2)


@scenario("S23", "exceptions in pause_writing and resume_writing do not end the connection")
async def s23(env):
    def boom(p, *a):
        raise RuntimeError("boom")

    p = P(env, pause=boom, resume=boom)
    t, b = await env.connect(p, "unix")
    t.set_write_buffer_limits(high=10, low=0)
    n = await env.fill(t)
    env.log("> writes returned")
    k, _ = await env.drain_to_end(b, 0.5)
    env.eq("all bytes out", k == n)
    env.eq("is_closing", t.is_closing())
    t.close()
    await env.tick()


@scenario("S24", "close inside connection_made")
async def s24(env):
    p = P(env, made=lambda q: (q.t.write(b"no"), q.t.close()))
    a, b = env.tcp_pair()
    env.poke(b, b"never seen")
    t, _ = await env.loop.create_connection(lambda: p, sock=a)
    env.log("> create_connection returned")
    env.eq("is_closing", t.is_closing())
    await env.tick()
    await env.peer_sees(b)


# ---- Protocols: switched, buffered ----

@scenario("S25", "set_protocol mid-stream, plain to buffered and back")
async def s25(env):
    bp = BP(env, "B", size=8)

    def got(p, d):
        p.t.set_protocol(bp)
        env.log("> set_protocol(buffered)")
        env.eq("get_protocol is the new one", p.t.get_protocol() is bp)

    p = P(env, "A", got=got)
    t, b = await env.connect(p)
    env.poke(b, b"first")
    await env.tick()
    env.poke(b, b"second")
    await env.tick()
    c = P(env, "C")
    t.set_protocol(c)
    env.log("> set_protocol(plain)")
    env.poke(b, b"third")
    await env.tick()
    b.close()
    env.log("peer> close")
    await env.tick()


@scenario("S26", "buffered protocol with a four-byte buffer")
async def s26(env):
    p = BP(env, size=4)
    t, b = await env.connect(p)
    env.poke(b, b"0123456789")
    await env.tick()
    b.shutdown(socket.SHUT_WR)
    env.log("peer> shutdown(WR)")
    await env.tick()
    env.eq("bytes", p.data)


@scenario("S27", "buffered protocol: empty buffer, and an exception from get_buffer")
async def s27(env):
    p = BP(env, fresh=lambda: bytearray(0))
    t, b = await env.connect(p)
    env.poke(b, b"x")
    await env.tick()

    def boom():
        raise LookupError("boom")

    q = BP(env, "C", fresh=boom)
    t2, b2 = await env.connect(q)
    env.poke(b2, b"x")
    await env.tick()


# ---- Servers ----

@scenario("S28", "server close with a live connection")
async def s28(env):
    srv = await env.loop.create_server(lambda: P(env), "127.0.0.1", 0)
    addr = srv.sockets[0].getsockname()
    env.eq("is_serving", srv.is_serving())
    s = env.raw_client(addr)
    await env.tick()
    w = env.loop.create_task(srv.wait_closed())
    await env.tick()
    srv.close()
    srv.close()
    env.log("> server close twice")
    env.eq("sockets", len(srv.sockets))
    env.eq("is_serving", srv.is_serving())
    await env.tick()
    try:
        socket.create_connection(addr, 1).close()
        env.log("peer> second connect ok")
    except OSError as e:
        env.log("peer> second connect", error_name(e))
    env.eq("wait_closed done", w.done())
    env.poke(s, b"still here")
    await env.tick()
    s.close()
    env.log("peer> close")
    await env.tick()
    env.eq("wait_closed done", w.done())
    await srv.wait_closed()
    env.log("> wait_closed returned")
    try:
        await srv.start_serving()
        env.log("> start_serving after close returned")
    except Exception as e:
        env.log("> start_serving after close raises", error_name(e))


@scenario("S29", "close_clients and abort_clients", needs=(3, 13))
async def s29(env):
    for name in ("close_clients", "abort_clients"):
        srv = await env.loop.create_server(lambda: P(env), "127.0.0.1", 0)
        s = env.raw_client(srv.sockets[0].getsockname())
        await env.tick()
        srv.close()
        getattr(srv, name)()
        env.log(">", name)
        await srv.wait_closed()
        env.log("> wait_closed returned")
        await env.peer_sees(s)
        s.close()


@scenario("S30", "serve_forever")
async def s30(env):
    srv = await env.loop.create_server(lambda: P(env), "127.0.0.1", 0, start_serving=False)
    env.eq("is_serving", srv.is_serving())
    task = env.loop.create_task(srv.serve_forever())
    await env.tick()
    env.eq("is_serving", srv.is_serving())
    try:
        await srv.serve_forever()
    except Exception as e:
        env.log("> second serve_forever raises", error_name(e))
    task.cancel()
    try:
        await task
    except asyncio.CancelledError as e:
        env.log("> serve_forever ends with", error_name(e))
    env.eq("is_serving", srv.is_serving())
    try:
        await srv.serve_forever()
    except Exception as e:
        env.log("> serve_forever after close raises", error_name(e))


# ---- Connecting, Unix sockets ----

@scenario("S31", "connect: refused, several addresses, bad arguments")
async def s31(env):
    loop, port = env.loop, env.dead_port()

    def mk():
        return P(env)

    await env.attempt_async("connect to a closed port", loop.create_connection(mk, "127.0.0.1", port))
    original = loop.getaddrinfo
    loop.getaddrinfo = resolver([("127.0.0.1", port), ("127.0.0.2", port)])
    try:
        await loop.create_connection(mk, "two.test", port)
    except OSError as e:
        env.log("> two refused addresses:", type(e).__name__, "errno", e.errno)
    try:
        await loop.create_connection(mk, "two.test", port, all_errors=True)
    except ExceptionGroup as e:
        env.log("> all_errors:", type(e).__name__, [error_name(x) for x in e.exceptions])
    loop.getaddrinfo = original
    await env.attempt_async("no host, no sock", loop.create_connection(mk))
    a, b = env.tcp_pair()
    await env.attempt_async("host and sock", loop.create_connection(mk, "127.0.0.1", port, sock=a))
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    env.later(u.close)
    await env.attempt_async("datagram sock", loop.create_connection(mk, sock=u))
    await env.attempt_async("server_hostname without ssl",
                       loop.create_connection(mk, "127.0.0.1", port, server_hostname="x"))
    await env.attempt_async("handshake timeout without ssl",
                       loop.create_connection(mk, "127.0.0.1", port, ssl_handshake_timeout=1))
    ls = socket.socket()
    ls.bind(("127.0.0.1", 0))
    ls.listen(1)
    env.later(ls.close)
    try:
        await loop.create_connection(mk, *ls.getsockname(), local_addr=ls.getsockname())
    except OSError as e:
        env.log("> local_addr in use:", type(e).__name__, errno.errorcode.get(e.errno))


@scenario("S32", "happy eyeballs: a black hole first, a live address second")
async def s32(env):
    hole = env.full_listener()
    await env.tick(2)
    ok = socket.socket()
    ok.bind(("127.0.0.1", 0))
    ok.listen(8)
    env.later(ok.close)
    env.loop.getaddrinfo = resolver([hole.getsockname(), ok.getsockname()])
    start = time.monotonic()
    t, p = await env.loop.create_connection(lambda: P(env), "x.test", 1, happy_eyeballs_delay=0.2)
    waited = time.monotonic() - start
    env.eq("connected to the second", t.get_extra_info("peername") == ok.getsockname())
    env.eq("after about one delay", 0.15 < waited < 0.8)
    t.close()
    await env.tick()
    env.loop.getaddrinfo = resolver([("127.0.0.1", env.dead_port()), ok.getsockname()])
    start = time.monotonic()
    t, p = await env.loop.create_connection(lambda: P(env, "C"), "x.test", 1, happy_eyeballs_delay=2)
    env.eq("a failure starts the next at once", time.monotonic() - start < 1)
    t.close()
    await env.tick()


@scenario("S33", "Unix socket server: stale path, cleanup, abstract, plain file", needs=(3, 13))
async def s33(env):
    loop = env.loop
    path = os.path.join(env.tmp, "s")
    old = socket.socket(socket.AF_UNIX)
    old.bind(path)
    old.close()
    env.eq("stale socket file there", os.path.exists(path))
    srv = await loop.create_unix_server(lambda: P(env, "A"), path)
    env.log("> create_unix_server over it ok")
    t, p = await loop.create_unix_connection(lambda: P(env, "C"), path)
    await env.tick()
    env.eq("client peername is the path", t.get_extra_info("peername") == path)
    env.eq("client sockname", repr(t.get_extra_info("sockname")))
    srv.close()
    env.log("> server close")
    env.eq("path exists", os.path.exists(path))
    t.close()
    await env.tick()
    with open(path, "w") as f:
        f.write("file")
    await env.attempt_async("create_unix_server on a plain file", loop.create_unix_server(lambda: P(env), path))
    os.unlink(path)
    await env.attempt_async("connect to a missing path", loop.create_unix_connection(lambda: P(env), path))
    name = f"\0scenario-{os.getpid()}"
    srv = await loop.create_unix_server(lambda: P(env, "D"), name)
    env.log("> abstract server ok")
    t, p = await loop.create_unix_connection(lambda: P(env, "E"), name)
    await env.tick()
    t.close()
    srv.close()
    await env.tick()
    srv = await loop.create_unix_server(lambda: P(env), path)
    os.unlink(path)
    o = socket.socket(socket.AF_UNIX)
    o.bind(path)
    env.later(o.close)
    srv.close()
    env.eq("a path taken over by another socket survives", os.path.exists(path))


# ---- Datagrams ----

@scenario("S34", "UDP: unconnected and connected endpoints")
async def s34(env):
    t, _ = await env.loop.create_datagram_endpoint(lambda: D(env, "U"), local_addr=("127.0.0.1", 0))
    b = env.datagram_peer()
    for data in b"hello", b"":
        b.sendto(data, t.get_extra_info("sockname"))
    env.log("peer> two datagrams, one empty")
    await env.tick()
    env.attempt("sendto with an address", t.sendto, b"pong", b.getsockname())
    env.attempt("sendto empty with an address", t.sendto, b"", b.getsockname())
    await env.tick()
    env.log("peer< datagrams", env.datagrams(b))
    c, _ = await env.loop.create_datagram_endpoint(lambda: D(env, "V"), remote_addr=b.getsockname())
    env.attempt("connected: sendto plain", c.sendto, b"a")
    env.attempt("connected: sendto same address", c.sendto, b"b", b.getsockname())
    env.attempt("connected: sendto other address", c.sendto, b"c", ("127.0.0.1", 9))
    await env.tick()
    env.log("peer< datagrams", env.datagrams(b))
    t.close()
    c.abort()
    env.log("> close U, abort V")
    env.attempt("connected: sendto after abort", c.sendto, b"x")
    await env.tick()


@scenario("S35", "UDP: ICMP refused, oversize, exception in a callback; the endpoint lives on")
async def s35(env):
    def boom():
        raise RuntimeError("boom")

    c, _ = await env.loop.create_datagram_endpoint(lambda: D(env, "V"), remote_addr=("127.0.0.1", env.dead_port()))
    c.sendto(b"1")
    env.log("> sendto a closed port")
    await env.tick()
    env.attempt("sendto again", c.sendto, b"2")
    await env.tick()
    env.eq("is_closing", c.is_closing())
    c.close()
    await env.tick()
    t, _ = await env.loop.create_datagram_endpoint(lambda: D(env, "U", got=boom), local_addr=("127.0.0.1", 0))
    b = env.datagram_peer()
    for data in b"a", b"b":
        b.sendto(data, t.get_extra_info("sockname"))
        await env.tick()
    env.eq("is_closing", t.is_closing())
    env.attempt("sendto 70000 bytes", t.sendto, b"z" * 70000, t.get_extra_info("sockname"))
    await env.tick()
    t.close()
    await env.tick()


# ---- Pipes ----

@scenario("S36", "connect_read_pipe: data, eof")
async def s36(env):
    a, b = os.pipe()
    t, _ = await env.loop.connect_read_pipe(lambda: P(env, keep_open=True), os.fdopen(a, "rb", 0))
    env.eq("has write", hasattr(t, "write"))
    os.write(b, b"data")
    env.log("peer> write 4")
    await env.tick()
    t.pause_reading()
    os.write(b, b"more")
    env.log("peer> write 4 while paused")
    os.close(b)
    env.log("peer> close write end")
    await env.tick()
    t.resume_reading()
    env.log("> resume_reading")
    await env.tick()
    env.eq("is_closing", t.is_closing())


@scenario("S37", "connect_write_pipe: the reader goes away, with and without data buffered")
async def s37(env):
    async def connect(name):
        b, a = os.pipe()
        t, _ = await env.loop.connect_write_pipe(lambda: P(env, name), os.fdopen(a, "wb", 0))
        return t, b

    t, b = await connect("A")
    t.write(b"abc")
    env.log("> write 3")
    env.log("peer<", os.read(b, 10))
    os.close(b)
    env.log("peer> close read end, nothing buffered")
    await env.tick()
    t, b = await connect("C")
    await env.fill(t)
    env.log("> fill the pipe and the buffer")
    os.close(b)
    env.log("peer> close read end")
    await env.tick()
    t, b = await connect("E")
    t.write(b"tail")
    t.write_eof()
    env.log("> write 4, write_eof")
    env.eq("is_closing", t.is_closing())
    await env.tick()
    env.log("peer<", os.read(b, 10), os.read(b, 10))
    os.close(b)


# ---- Child processes ----

@scenario("S38", "subprocess: talk to it, let it end")
async def s38(env):
    p = S()
    t, _ = await env.loop.subprocess_exec(lambda: p, "sh", "-c", "read x; echo got $x; echo err >&2; exit 7")
    env.log("> subprocess_exec returned; heard so far:", p.events)
    env.eq("returncode", t.get_returncode())
    env.eq("pid is positive", t.get_pid() > 0)
    env.eq("pipe transports 0 1 2 3", [t.get_pipe_transport(fd) is not None for fd in (0, 1, 2, 3)])
    t.get_pipe_transport(0).write(b"hello\n")
    await p.lost
    env.eq("callbacks, any order in between", [p.events[0], *sorted(p.events[1:-1]), p.events[-1]])
    for fd in (1, 2):
        env.eq(f"order for fd {fd}", [e.split()[0] for e in p.events if e.split()[1:2] == [str(fd)]])
    env.eq("returncode", t.get_returncode())
    env.eq("is_closing", t.is_closing())
    env.attempt("send_signal after the end", t.send_signal, signal.SIGTERM)
    env.attempt("kill after the end", t.kill)
    env.attempt("close after the end", t.close)


@scenario("S39", "subprocess: signals, close kills, a grandchild keeps stdout open")
async def s39(env):
    ends = (
        ("terminate", lambda t: t.terminate()),
        ("kill", lambda t: t.kill()),
        ("send_signal(SIGUSR1)", lambda t: t.send_signal(signal.SIGUSR1)),
        ("close", lambda t: t.close()),
    )
    for name, end in ends:
        p = S()
        t, _ = await env.loop.subprocess_exec(lambda: p, "sleep", "1000")
        end(t)
        env.log(">", name)
        await p.lost
        env.eq("exit", [e for e in p.events if e.startswith("process_exited")])
        env.eq("last", p.events[-1])
        t.close()
    p = S()
    t, _ = await env.loop.subprocess_exec(lambda: p, "sh", "-c", "exec 3<&0; { read x <&3; } & exit 3")
    await p.exited
    env.log("> process_exited while a grandchild holds the pipes, rc", t.get_returncode())
    await env.tick()
    env.eq("connection_lost yet", p.lost.done())
    t.get_pipe_transport(0).write(b"go\n")
    await p.lost
    env.log("> connection_lost after the grandchild let go")
    t.close()


# ---- The loop ----

@scenario("L01", "call_soon is a queue; new work waits for the next turn; stop finishes the turn")
def l01(env):
    loop = env.loop
    out = []

    def a():
        out.append("a")
        loop.call_soon(lambda: out.append("a2"))
        loop.stop()

    loop.call_soon(a)
    loop.call_soon(lambda: out.append("b"))
    h = loop.call_soon(lambda: out.append("cancelled"))
    h.cancel()
    h.cancel()
    env.eq("handle cancelled", h.cancelled())
    loop.call_soon(lambda: out.append("c"))
    loop.run_forever()
    env.eq("first run", out)
    loop.call_soon(loop.stop)
    loop.run_forever()
    env.eq("second run", out)


@scenario("L02", "timers: order, equal times, negative delay, cancel")
def l02(env):
    loop = env.loop
    out = []
    now = loop.time()
    loop.call_later(0.06, out.append, "60")
    loop.call_later(0.03, out.append, "30")
    loop.call_later(-1, out.append, "-1")
    loop.call_later(0, out.append, "0")
    loop.call_soon(out.append, "soon")
    h = loop.call_later(0.04, out.append, "cancelled")
    h.cancel()
    loop.call_at(now + 0.05, out.append, "50")
    loop.call_later(0.1, loop.stop)
    loop.run_forever()
    env.eq("order", out)


@scenario("L03", "a callback raises; the loop goes on; a handler that raises")
def l03(env):
    loop = env.loop

    def boom():
        raise ValueError("boom")

    loop.call_soon(boom)
    loop.call_soon(lambda: env.log("cb next callback ran"))
    loop.call_soon(loop.stop)
    loop.run_forever()

    def bad(loop, ctx):
        raise KeyError("worse")

    loop.set_exception_handler(bad)
    loop.call_soon(boom)
    loop.call_soon(lambda: env.log("cb next callback ran"))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.set_exception_handler(None)


@scenario("L04", "call_soon_threadsafe wakes a sleeping loop")
def l04(env):
    loop = env.loop
    start = time.monotonic()

    def other_thread():
        time.sleep(0.1)
        loop.call_soon_threadsafe(loop.stop)

    threading.Thread(target=other_thread).start()
    loop.call_later(5, loop.stop)
    loop.run_forever()
    env.eq("woken early", time.monotonic() - start < 2)
    env.eq("running", loop.is_running())
    loop.close()
    env.attempt("call_soon on a closed loop", loop.call_soon, print)
    env.attempt("call_later on a closed loop", loop.call_later, 0, print)
    env.attempt("call_soon_threadsafe on a closed loop", loop.call_soon_threadsafe, print)
    env.attempt("run_forever on a closed loop", loop.run_forever)
    env.attempt("close again", loop.close)


# ---- Probes of corners, and of what looks like a defect ----

@scenario("Q01", "writelines with an empty chunk, then close")
async def q01(env):
    p = P(env)
    t, b = await env.connect(p)
    env.attempt("writelines [abc, empty]", t.writelines, [b"abc", b""])
    t.close()
    env.log("> close")
    await env.tick(3)
    env.eq("connection_lost", p.lost)
    await env.peer_sees(b)
    t.abort()
    await env.tick()


@scenario("Q02", "writelines does not pause the protocol; writelines after close")
async def q02(env):
    p = P(env)
    t, b = await env.connect(p, "unix")
    t.set_write_buffer_limits(high=10, low=0)
    env.attempt("writelines 4 MiB", t.writelines, [b"x" * (1 << 20)] * 4)
    env.eq("buffer above high", t.get_write_buffer_size() > 10)
    env.eq("paused", any("pause_writing" in x for x in env.trace))
    t.abort()
    await env.tick()
    env.attempt("writelines after connection_lost", t.writelines, [b"x"])
    q = P(env, "C")
    t, b = await env.connect(q)
    t.close()
    env.attempt("writelines after close", t.writelines, [b"x"])
    await env.tick()


@scenario("Q03", "eof kept open, then pause and resume: a second eof_received?")
async def q03(env):
    p = P(env, keep_open=True)
    t, b = await env.connect(p)
    b.shutdown(socket.SHUT_WR)
    env.log("peer> shutdown(WR)")
    await env.tick()
    env.eq("is_reading after eof", t.is_reading())
    t.pause_reading()
    t.resume_reading()
    env.log("> pause, resume")
    await env.tick()
    t.close()
    await env.tick()


@scenario("Q05", "datagram flow control: buffered, drained, resumed?")
async def q05(env):
    at, to = os.path.join(env.tmp, "a"), os.path.join(env.tmp, "b")
    b = env.datagram_peer(socket.AF_UNIX, to)
    a = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.bind(at)
    a.connect(to)
    a.setblocking(False)
    t, _ = await env.loop.create_datagram_endpoint(lambda: D(env), sock=a)
    t.set_write_buffer_limits(high=100, low=20)
    sent = 0
    while not any("pause_writing" in line for line in env.trace):
        before = t.get_write_buffer_size()
        t.sendto(b"0123456789")
        sent += 1
        if before == 0 and t.get_write_buffer_size():
            env.eq("size counted for one queued 10-byte datagram", t.get_write_buffer_size())
    got = 0
    for _ in range(20):
        got += len(env.datagrams(b))
        await asyncio.sleep(0.01)
    env.eq("all delivered", got == sent)
    env.eq("buffer size is zero when everything is out", t.get_write_buffer_size() == 0)
    env.eq("resumed", any("resume_writing" in line for line in env.trace))
    t.close()
    await env.tick()


@scenario("Q06", "a protocol factory that raises on accept")
async def q06(env):
    def factory():
        env.log("> factory raises")
        raise RuntimeError("boom")

    srv = await env.loop.create_server(factory, "127.0.0.1", 0)
    s = env.raw_client(srv.sockets[0].getsockname())
    await env.tick(2)
    await env.peer_sees(s)
    env.eq("server still serving", srv.is_serving())
    srv.close()


@scenario("Q07", "mutating a bytearray after write")
async def q07(env):
    p = P(env)
    t, b = await env.connect(p, "unix")
    n = await env.fill(t)
    ba = bytearray(b"AAAA")
    t.write(ba)
    ba[:] = b"BBBB"
    env.log("> write(bytearray), then overwrite it")
    data = bytearray()
    for _ in range(200):
        try:
            data += b.recv(1 << 20)
        except BlockingIOError:
            await asyncio.sleep(0.005)
        if len(data) >= n + 4:
            break
    env.eq("peer got", bytes(data[-4:]))
    t.abort()
    await env.tick()


@scenario("Q08", "eof on a read pipe: eof_received and a new resume")
async def q08(env):
    a, b = os.pipe()
    await env.loop.connect_read_pipe(lambda: BP(env), os.fdopen(a, "rb", 0))
    os.write(b, b"abc")
    await env.tick()
    os.close(b)
    await env.tick()


@scenario("Q09", "pty: the other side closes")
async def q09(env):
    master, slave = os.openpty()
    t, _ = await env.loop.connect_read_pipe(lambda: P(env, "R"), os.fdopen(master, "rb", 0))
    os.write(slave, b"hi")
    await env.tick()
    os.close(slave)
    env.log("peer> close slave")
    await env.tick()
    master, slave = os.openpty()
    t, _ = await env.loop.connect_write_pipe(lambda: P(env, "W"), os.fdopen(slave, "wb", 0))
    t.write(b"abc")
    await env.tick()
    env.log("peer<", os.read(master, 10))
    os.close(master)
    env.log("peer> close master")
    await env.tick(2)
    env.eq("is_closing", t.is_closing())
    env.attempt("write after the master is gone", t.write, b"more")
    await env.tick()
    env.eq("is_closing", t.is_closing())
    t.close()
    await env.tick()


@scenario("Q10", "regular file given to the pipe functions")
async def q10(env):
    path = os.path.join(env.tmp, "f")
    with open(path, "wb") as f:
        f.write(b"x")
    reading, writing = open(path, "rb"), open(path, "ab")
    env.later(reading.close)
    env.later(writing.close)
    await env.attempt_async("connect_read_pipe(file)", env.loop.connect_read_pipe(lambda: P(env), reading))
    await env.attempt_async("connect_write_pipe(file)", env.loop.connect_write_pipe(lambda: P(env), writing))


@scenario("Q11", "abort inside data_received, with eof behind it")
async def q11(env):
    p = P(env, got=lambda q, d: (q.t.abort(), env.log("> abort in data_received")))
    t, b = await env.connect(p)
    env.poke(b, b"x")
    b.shutdown(socket.SHUT_WR)
    env.log("peer> shutdown(WR)")
    await env.tick(2)


@scenario("Q12", "writing to oneself from resume_writing")
async def q12(env):
    state = {"n": 0}

    def resume(p):
        state["n"] += 1
        if state["n"] < 3:
            p.t.write(b"z" * 400000)
            env.log("> write in resume_writing")

    p = P(env, resume=resume)
    t, b = await env.connect(p, "unix")
    await env.fill(t)
    t.write(b"y" * 100000)
    await env.drain_to_end(b, 1.0)
    env.eq("resumes", state["n"])
    t.close()
    await env.tick()


@scenario("Q13", "get_extra_info before, during and after")
async def q13(env):
    p = P(env)
    t, b = await env.connect(p)
    pn, sn = b.getsockname(), b.getpeername()
    env.eq("peername", t.get_extra_info("peername") == pn)
    env.eq("sockname", t.get_extra_info("sockname") == sn)
    env.eq("unknown key", t.get_extra_info("nope"))
    env.eq("unknown key with default", t.get_extra_info("nope", 7))
    s = t.get_extra_info("socket")
    env.eq("socket type", type(s).__name__)
    env.eq("nodelay", bool(s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
    env.attempt("socket.setblocking(True)", s.setblocking, True)
    env.attempt("socket.settimeout(1)", s.settimeout, 1)
    env.eq("socket has close", hasattr(s, "close"))
    t.close()
    await env.tick()
    env.eq("peername after close", t.get_extra_info("peername") == pn)
    env.eq("sockname after close", t.get_extra_info("sockname") == sn)
    env.eq("socket after close", t.get_extra_info("socket").fileno())


@scenario("Q14", "sendfile over a transport")
async def q14(env):
    path = os.path.join(env.tmp, "f")
    with open(path, "wb") as f:
        f.write(b"0123456789" * 2000000)
    p = P(env)
    t, b = await env.connect(p)
    t.write(b"pre-")
    f = open(path, "rb")
    env.later(f.close)
    task = env.loop.create_task(env.loop.sendfile(t, f, 10, 15000000))
    await env.tick()
    env.attempt("write during sendfile", t.write, b"x")
    env.attempt("writelines during sendfile", t.writelines, [b"x"])
    env.eq("is_reading during", t.is_reading())
    n = 0
    for _ in range(2000):
        try:
            n += len(b.recv(1 << 20))
        except BlockingIOError:
            await asyncio.sleep(0.005)
        if n >= 15000004:
            break
    env.eq("returned", await task)
    env.eq("file position", f.tell())
    env.eq("is_reading after", t.is_reading())
    t.write(b"-post")
    await env.peer_sees(b)
    t.close()
    await env.attempt_async("sendfile on a closing transport", env.loop.sendfile(t, f))
    await env.tick()


@scenario("Q15", "cancelling create_connection")
async def q15(env):
    hole = env.full_listener()
    await env.tick()
    before = len(os.listdir("/proc/self/fd"))
    task = env.loop.create_task(env.loop.create_connection(lambda: P(env), *hole.getsockname()))
    await env.tick()
    task.cancel()
    await env.attempt_async("create_connection", task)
    await env.tick()
    env.eq("descriptors leaked", len(os.listdir("/proc/self/fd")) - before)
    a, b = env.tcp_pair()
    task = env.loop.create_task(env.loop.create_connection(lambda: P(env, "C"), sock=a))
    await asyncio.sleep(0)
    task.cancel()
    await env.attempt_async("create_connection(sock=)", task)
    await env.tick()
    await env.peer_sees(b)


@scenario("Q16", "one fd, two transports")
async def q16(env):
    p = P(env)
    a, b = env.tcp_pair()
    t, _ = await env.loop.create_connection(lambda: p, sock=a)
    second = env.loop.create_connection(lambda: P(env, "C"), sock=a)
    await env.attempt_async("a second transport on the same socket", second)
    t.close()
    await env.tick()


@scenario("Q17", "subprocess redirections")
async def q17(env):
    loop = env.loop
    p = S()
    t, _ = await loop.subprocess_exec(lambda: p, "sh", "-c", "echo out; echo err >&2", stdin=subprocess.DEVNULL,
                                      stderr=subprocess.STDOUT)
    env.eq("pipe transports", [t.get_pipe_transport(fd) is not None for fd in (0, 1, 2)])
    await p.lost
    env.eq("merged", p.out)
    t.close()
    p = S()
    t, _ = await loop.subprocess_shell(lambda: p, "exit 5", stdin=None, stdout=None, stderr=None)
    await p.lost
    env.eq("no pipes, events", p.events)
    t.close()
    p = S()
    await env.attempt_async("missing program", loop.subprocess_exec(lambda: p, "no-such-program-here"))
    env.eq("protocol heard", p.events)
    await env.attempt_async("shell=True given to exec", loop.subprocess_exec(S, "true", shell=True))
    await env.attempt_async("bufsize=4096", loop.subprocess_exec(S, "true", bufsize=4096))
    await env.attempt_async("cmd not a string", loop.subprocess_shell(S, ["true"]))
    p = S()
    t, _ = await loop.subprocess_exec(lambda: p, "cat")
    t.get_pipe_transport(0).write(b"abc")
    t.get_pipe_transport(0).close()
    env.log("> close stdin of cat")
    await p.lost
    env.eq("stdout", p.out[1])
    env.eq("lost fds", sorted(e for e in p.events if "pipe_connection_lost" in e))
    t.close()
    p = S()
    t, _ = await loop.subprocess_exec(lambda: p, "sleep", "1000", stdin=subprocess.DEVNULL)
    t.get_pipe_transport(1).close()
    env.log("> close our end of stdout only")
    await env.tick()
    env.eq("events", p.events)
    t.kill()
    await p.lost
    env.eq("extra subprocess", "present" if t.get_extra_info("subprocess") is not None else "None")
    t.close()


@scenario("Q18", "huge stdin to a process that exits without reading")
async def q18(env):
    p = S()
    t, _ = await env.loop.subprocess_exec(lambda: p, "sh", "-c", "read x; exit 0", stdout=subprocess.DEVNULL,
                                          stderr=subprocess.DEVNULL)
    t.get_pipe_transport(0).write(b"\n" + b"x" * (1 << 20))
    env.log("> write 1 MiB to stdin")
    env.eq("paused", "pause_writing" in p.events)
    await p.lost
    env.eq("stdin lost with", [e for e in p.events if e.startswith("pipe_connection_lost 0")])
    env.eq("last", p.events[-1])
    t.close()


@scenario("Q20", "a transport that is dropped without being closed")
async def q20(env):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        p = P(env)
        t, b = await env.connect(p)
        t.pause_reading()
        await env.tick()
        p.t = None
        del t
        gc.collect()
        await env.tick()
        env.eq("warnings", sorted({x.category.__name__ for x in caught if issubclass(x.category, ResourceWarning)}))
    await env.peer_sees(b)


@scenario("Q21", "exception in data_received on a read pipe")
async def q21(env):
    def boom(p, data):
        raise RuntimeError("boom")

    a, b = os.pipe()
    t, _ = await env.loop.connect_read_pipe(lambda: P(env, got=boom), os.fdopen(a, "rb", 0))
    os.write(b, b"abc")
    await env.tick()
    env.eq("is_closing", t.is_closing())
    env.attempt("peer writes again", os.write, b, b"def")
    await env.tick()
    os.close(b)
    await env.tick()


@scenario("Q22", "UDP: sendto with no address on an unconnected endpoint; sendto after close")
async def q22(env):
    t, _ = await env.loop.create_datagram_endpoint(lambda: D(env, "U"), local_addr=("127.0.0.1", 0))
    env.attempt("sendto without an address", t.sendto, b"lost")
    await env.tick()
    env.eq("is_closing", t.is_closing())
    u, _ = await env.loop.create_datagram_endpoint(lambda: D(env, "V"), local_addr=("127.0.0.1", 0))
    b = env.datagram_peer()
    u.close()
    env.log("> close")
    env.attempt("sendto after close, same turn", u.sendto, b"x", b.getsockname())
    await env.tick()
    env.attempt("sendto after connection_lost", u.sendto, b"y", b.getsockname())
    await env.tick()
    env.log("peer< datagrams", env.datagrams(b))
    t.close()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.setblocking(False)
    env.later(theirs.close)
    w, _ = await env.loop.create_datagram_endpoint(lambda: D(env, "W"), sock=ours)
    env.attempt("sendto on a socketpair end", w.sendto, b"z")
    await env.tick()
    env.log("peer< datagrams", env.datagrams(theirs))
    w.close()
    await env.tick()


@scenario("Q23", "datagrams: close with a queue; pause_reading")
async def q23(env):
    at, to = os.path.join(env.tmp, "a"), os.path.join(env.tmp, "b")
    b = env.datagram_peer(socket.AF_UNIX, to)
    a = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.bind(at)
    a.connect(to)
    a.setblocking(False)
    t, _ = await env.loop.create_datagram_endpoint(lambda: D(env), sock=a)
    t.pause_reading()
    env.log("> pause_reading")
    b.sendto(b"meanwhile", at)
    await env.tick()
    env.eq("is_reading", t.is_reading())
    t.resume_reading()
    env.log("> resume_reading")
    await env.tick()
    sent = 0
    while not t.get_write_buffer_size():
        t.sendto(b"filler")
        sent += 1
        await asyncio.sleep(0)
    t.sendto(b"last")
    t.close()
    env.log("> close")
    await env.tick()
    env.eq("connection_lost yet", any("connection_lost" in line for line in env.trace))
    got = []
    for _ in range(20):
        got += env.datagrams(b)
        await asyncio.sleep(0.01)
    env.eq("all delivered", len(got) == sent + 1)
    env.log("peer< the last", got[-1])
    await env.tick()
