"""What the scenarios share: recording protocols, raw ends, and the trace they write.

One end of a connection goes through asyncio's selector loop, the other is a raw non-blocking socket on the same thread.
Every callback is written down as one short string.

Trace language
    cb ...        a callback that the loop made on a protocol (A, B, ... name it)
    > ...         something the script did on the loop's side
    peer> ...     something the script did on the raw end
    peer< ...     something the raw end observed
    handler ...   the loop's exception handler was called
    log ...       a record on the "asyncio" logger, level only
    = ...         a value that was looked at
    ! ...         the script itself went wrong
"""
import asyncio
import errno
import gc
import inspect
import logging
import os
import shutil
import socket
import ssl
import struct
import tempfile
import time

TICK = 0.04     # One settle step in seconds; `record.py --tick` changes it.


def error_name(exc):
    """The type of an exception and its errno, or what OpenSSL calls the reason, without any text of its own."""
    if exc is None:
        return "None"
    name = type(exc).__name__
    if isinstance(exc, ssl.SSLError):
        return f"{name}[{exc.reason}]" if exc.reason else name
    if isinstance(exc, OSError) and exc.errno:
        return f"{name}[{errno.errorcode.get(exc.errno, exc.errno)}]"
    return name


def show(data):
    """How many bytes, and which when they are few."""
    data = bytes(data)
    return f"{len(data)} {data!r}" if len(data) <= 24 else f"{len(data)}"


class Env:
    """A loop, the trace, and what has to be cleaned up."""

    def __init__(self, loop, tmp):
        self.loop = loop
        self.tmp = tmp
        self.trace = []
        self.cleanup = []

    # ---- trace ----

    def log(self, *parts):
        self.trace.append(" ".join(str(p) for p in parts))

    def eq(self, what, value):
        self.log("=", what, value)

    def on_exception(self, loop, ctx):
        keys = [k for k in ("transport", "protocol", "handle", "socket", "task", "future") if ctx.get(k) is not None]
        self.log("handler", error_name(ctx.get("exception")), "with", "+".join(keys) or "-")

    # ---- the script's steps ----

    async def tick(self, n=1):
        """Gives the loop and the kernel time to settle."""
        for _ in range(n):
            await asyncio.sleep(TICK)

    def attempt(self, label, fn, *args, **kw):
        """Calls fn and notes whether it raised, and what."""
        try:
            result = fn(*args, **kw)
        except Exception as e:              # noqa: BLE001
            self.log(">", label, "raises", error_name(e))
            return None
        self.log(">", label)
        return result

    async def attempt_async(self, label, awaitable):
        """Awaits and notes whether that raised, and what."""
        try:
            result = await awaitable
        except asyncio.CancelledError:
            self.log(">", label, "raises CancelledError")
            return None
        except Exception as e:              # noqa: BLE001
            self.log(">", label, "raises", error_name(e))
            return None
        self.log(">", label, "returns")
        return result

    def later(self, fn, *args):
        """Calls fn when the scenario is over."""
        self.cleanup.append((fn, args))

    # ---- raw ends ----

    def tcp_pair(self):
        """A connected loopback pair of raw sockets, (ours, peer)."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        ours = socket.socket()
        ours.connect(listener.getsockname())
        peer, _ = listener.accept()
        listener.close()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)      # No Nagle delays on the raw end.
        return self._prepared(ours, peer)

    def unix_pair(self):
        return self._prepared(*socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM))

    def _prepared(self, *pair):
        for sock in pair:
            sock.setblocking(False)
            self.later(sock.close)
        return pair

    def raw_client(self, address):
        sock = socket.socket()
        sock.connect(address)
        sock.setblocking(False)
        self.later(sock.close)
        return sock

    def datagram_peer(self, family=socket.AF_INET, at=("127.0.0.1", 0)):
        """A raw datagram socket of its own address."""
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.bind(at)
        sock.setblocking(False)
        self.later(sock.close)
        return sock

    def datagrams(self, sock):
        """Everything that waits on a raw datagram socket."""
        got = []
        while True:
            try:
                got.append(sock.recv(100))
            except BlockingIOError:
                return got

    def full_listener(self):
        """A listener whose backlog is full: connecting to it neither succeeds nor fails."""
        hole = socket.socket()
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        self.later(hole.close)
        for _ in range(6):
            plug = socket.socket()
            plug.setblocking(False)
            self.later(plug.close)
            try:
                plug.connect(hole.getsockname())
            except BlockingIOError:
                pass
        return hole

    def dead_port(self):
        """A port that nobody listens on."""
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        sock.close()
        return port

    async def connect(self, proto, pair="tcp"):
        ours, peer = self.tcp_pair() if pair == "tcp" else self.unix_pair()
        transport, _ = await self.loop.create_connection(lambda: proto, sock=ours)
        return transport, peer

    def reset(self, sock):
        """Closes a raw TCP socket with a reset."""
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    def poke(self, sock, data):
        sock.sendall(data)
        self.log("peer> send", show(data))

    def drain_now(self, sock, limit=1 << 30):
        """Reads what is there now; returns (count, state)."""
        n = 0
        while n < limit:
            try:
                data = sock.recv(min(65536, limit - n))
            except (BlockingIOError, InterruptedError):
                return n, "open"
            except OSError as e:
                return n, errno.errorcode.get(e.errno, "err")
            if not data:
                return n, "eof"
            n += len(data)
        return n, "open"

    async def drain_to_end(self, sock, secs=5):
        """Reads until the end, an error, or the time is over; returns (count, state)."""
        n = 0
        end = time.monotonic() + secs
        while time.monotonic() < end:
            count, state = self.drain_now(sock)
            n += count
            if state != "open":
                return n, state
            await asyncio.sleep(0.005)
        return n, "open"

    async def peer_sees(self, sock):
        """Settles, then writes down what the raw end reads."""
        await self.tick()
        data = b""
        state = "open"
        while True:
            try:
                chunk = sock.recv(65536)
            except (BlockingIOError, InterruptedError):
                break
            except OSError as e:
                state = errno.errorcode.get(e.errno, "err")
                break
            if not chunk:
                state = "eof"
                break
            data += chunk
        self.log("peer<", show(data) if data else "-", state)

    async def fill(self, transport, chunk=65536):
        """Writes until the transport has to buffer; returns how many bytes."""
        n = 0
        while transport.get_write_buffer_size() == 0:
            transport.write(b"x" * chunk)
            n += chunk
        return n


class P(asyncio.Protocol):
    """A recording protocol; its hooks are plain callables."""

    def __init__(self, env, name="A", keep_open=None, count=False, **hooks):
        self.env, self.name, self.keep_open, self.count = env, name, keep_open, count
        self.hooks = hooks
        self.t = None
        self.n = 0
        self.lost = False

    def _hook(self, key, *args):
        fn = self.hooks.get(key)
        if fn:
            fn(self, *args)

    def connection_made(self, transport):
        self.t = transport
        self.env.log("cb", self.name, "connection_made")
        self._hook("made")

    def data_received(self, data):
        self.n += len(data)
        if not self.count:
            self.env.log("cb", self.name, "data_received", show(data))
        self._hook("got", data)

    def eof_received(self):
        self.env.log("cb", self.name, "eof_received")
        self._hook("eof")
        return self.keep_open

    def connection_lost(self, exc):
        self.env.log("cb", self.name, "connection_lost", error_name(exc))
        self.lost = True
        self._hook("lost", exc)

    def pause_writing(self):
        self.env.log("cb", self.name, "pause_writing")
        self._hook("pause")

    def resume_writing(self):
        self.env.log("cb", self.name, "resume_writing")
        self._hook("resume")


class BP(asyncio.BufferedProtocol):
    """A recording buffered protocol."""

    def __init__(self, env, name="B", size=4, fresh=None):
        self.env, self.name = env, name
        self.buf = bytearray(size)
        self.view = memoryview(self.buf)
        self.fresh = fresh
        self.data = b""

    def connection_made(self, transport):
        self.env.log("cb", self.name, "connection_made")

    def get_buffer(self, hint):
        self.env.log("cb", self.name, "get_buffer", "hint=-1" if hint == -1 else "hint>0")
        return self.fresh() if self.fresh else self.view

    def buffer_updated(self, n):
        self.data += bytes(self.buf[:n])
        self.env.log("cb", self.name, "buffer_updated", show(self.buf[:n]))

    def eof_received(self):
        self.env.log("cb", self.name, "eof_received")

    def connection_lost(self, exc):
        self.env.log("cb", self.name, "connection_lost", error_name(exc))

    def pause_writing(self):
        self.env.log("cb", self.name, "pause_writing")

    def resume_writing(self):
        self.env.log("cb", self.name, "resume_writing")


class D(asyncio.DatagramProtocol):
    """A recording datagram protocol; `got` is called with each datagram."""

    def __init__(self, env, name="U", got=None):
        self.env, self.name, self.got = env, name, got

    def connection_made(self, transport):
        self.env.log("cb", self.name, "connection_made")

    def datagram_received(self, data, addr):
        self.env.log("cb", self.name, "datagram_received", show(data), "from", "addr" if addr else repr(addr))
        if self.got:
            self.got()

    def error_received(self, exc):
        self.env.log("cb", self.name, "error_received", error_name(exc))

    def pause_writing(self):
        self.env.log("cb", self.name, "pause_writing")

    def resume_writing(self):
        self.env.log("cb", self.name, "resume_writing")

    def connection_lost(self, exc):
        self.env.log("cb", self.name, "connection_lost", error_name(exc))


class S(asyncio.SubprocessProtocol):
    """A subprocess protocol that remembers: the order between pipes is the system's, so it is not for the trace."""

    def __init__(self):
        self.events = []
        self.out = {1: b"", 2: b""}
        self.t = None
        self.exited = self.lost = None

    def connection_made(self, transport):
        self.t = transport
        loop = asyncio.get_running_loop()
        self.exited, self.lost = loop.create_future(), loop.create_future()
        self.events.append("connection_made")

    def pipe_data_received(self, fd, data):
        self.out[fd] += data
        self.events.append(f"pipe_data_received {fd} {show(data)}")

    def pipe_connection_lost(self, fd, exc):
        self.events.append(f"pipe_connection_lost {fd} {error_name(exc)}")

    def pause_writing(self):
        self.events.append("pause_writing")

    def resume_writing(self):
        self.events.append("resume_writing")

    def process_exited(self):
        self.events.append(f"process_exited rc={self.t.get_returncode()}")
        self.exited.set_result(None)

    def connection_lost(self, exc):
        self.events.append(f"connection_lost {error_name(exc)}")
        self.lost.set_result(None)


class LogTap(logging.Handler):
    """Writes the level of each record into the trace of the scenario that runs."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.env = None

    def emit(self, record):
        if self.env is not None:
            self.env.log("log", record.levelname)


def perform(script, tap, timeout=25):
    """Runs one script on a new loop and gives its trace."""
    tmp = tempfile.mkdtemp(prefix="scenario")
    loop = asyncio.SelectorEventLoop()
    env = Env(loop, tmp)
    tap.env = env
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(env.on_exception)
    try:
        if inspect.iscoroutinefunction(script):
            loop.run_until_complete(_within(timeout, script, env))
        else:
            script(env)
    except Exception as e:                  # noqa: BLE001
        env.log("! scenario error", error_name(e))
    finally:
        trace = list(env.trace)
        tap.env = None
        _clean_up(env)
        shutil.rmtree(tmp, ignore_errors=True)
    return trace


async def _within(timeout, script, env):
    try:
        await asyncio.wait_for(script(env), timeout)
    except asyncio.TimeoutError:
        env.log("! scenario timed out")


def _clean_up(env):
    loop = env.loop
    loop.set_exception_handler(lambda *args: None)
    for fn, args in reversed(env.cleanup):
        try:
            fn(*args)
        except Exception:                   # noqa: BLE001
            pass
    if not loop.is_closed():
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    gc.collect()
