"""The scenarios of TLS. See harness.py for the trace language, and scenarios.py for all others.

The loop's end `t` is TLS of asyncio, the raw end `b` is a socket below an engine that the script works by hand.
Each scenario makes a certificate authority of its own, with the `openssl` command.
"""
import asyncio
import os
import shutil
import ssl
import subprocess
import time

from harness import P, error_name, show
from scenarios import scenario as scenario_of_any_kind

HOST = "localhost"


def scenario(name, title):
    """Enlists the function below it, where the command is there that makes certificates."""
    if shutil.which("openssl") is None:
        print(name, "left out: there is no openssl command", flush=True)
        return lambda script: script
    return scenario_of_any_kind(name, title)


# ---- Certificates, and the raw end ----

AUTHORITY = """
[req]
distinguished_name=dn
x509_extensions=v3
prompt=no
[dn]
CN=authority of a scenario
[v3]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
"""

LEAF = """
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=DNS:localhost
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


class Certificates:
    """A throw-away authority, and a server that it vouches for."""

    def __init__(self, folder):
        self.folder = folder
        self._write("ca.cnf", AUTHORITY)
        self._write("leaf.ext", LEAF)
        self._openssl("ecparam -name prime256v1 -genkey -noout -out ca.key")
        self._openssl("req -x509 -new -key ca.key -days 30 -config ca.cnf -out ca.pem")
        self._openssl("ecparam -name prime256v1 -genkey -noout -out leaf.key")
        self._openssl("req -new -key leaf.key -subj /CN=localhost -out leaf.csr")
        self._openssl("x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 "
                      "-extfile leaf.ext -out leaf.pem")

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _write(self, name, text):
        with open(self._path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def _openssl(self, command):
        subprocess.run(["openssl", *command.split()], cwd=self.folder, check=True, capture_output=True)

    def server(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._path("leaf.pem"), self._path("leaf.key"))
        return context

    def client(self, trusting=True):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if trusting:
            context.load_verify_locations(self._path("ca.pem"))
        return context


class RawTLS:
    """TLS on a raw non-blocking socket, one step at a time."""

    def __init__(self, env, sock, context, server_side=True, host=None):
        self.env, self.sock = env, sock
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.engine = context.wrap_bio(self.incoming, self.outgoing, server_side=server_side, server_hostname=host)

    async def _flush(self):
        data = self.outgoing.read()
        while data:
            try:
                data = data[self.sock.send(data):]
            except BlockingIOError:
                await asyncio.sleep(0.005)

    async def _feed(self, secs=3):
        end = time.monotonic() + secs
        while time.monotonic() < end:
            try:
                data = self.sock.recv(65536)
            except BlockingIOError:
                await asyncio.sleep(0.005)
                continue
            if data:
                self.incoming.write(data)
            else:
                self.incoming.write_eof()
            return
        raise TimeoutError("the raw end was sent nothing")

    async def _step(self, fn, *args):
        while True:
            try:
                result = fn(*args)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._feed()
                continue
            except ssl.SSLError:
                await self._flush()
                raise
            await self._flush()
            return result

    async def handshake(self):
        await self._step(self.engine.do_handshake)
        self.env.log("peer> handshake done")

    async def send(self, data):
        await self._step(self.engine.write, data)
        self.env.log("peer> tls send", show(data))

    async def sees(self):
        """Writes down what the engine reads next."""
        try:
            data = await self._step(self.engine.read, 65536)
            self.env.log("peer< tls", show(data) if data else "close_notify")
        except ssl.SSLZeroReturnError:
            self.env.log("peer< tls close_notify")
        except ssl.SSLEOFError:
            self.env.log("peer< tls eof without close_notify")
        except OSError as e:
            self.env.log("peer< tls", error_name(e))

    async def close_notify(self):
        """Says goodbye, and does not wait for the answer."""
        try:
            self.engine.unwrap()
        except ssl.SSLWantReadError:
            pass
        await self._flush()
        self.env.log("peer> close_notify")


async def tls_pair(env, proto, **kw):
    """A client of asyncio and a server by hand, after the handshake."""
    certs = Certificates(env.tmp)
    a, b = env.tcp_pair()
    raw = RawTLS(env, b, certs.server())
    task = env.loop.create_task(raw.handshake())
    t, _ = await env.loop.create_connection(lambda: proto, sock=a, ssl=certs.client(), server_hostname=HOST, **kw)
    await task
    await env.tick()
    return t, raw, b


# ---- A life, and its ends ----

@scenario("S40", "TLS: handshake, echo, orderly close from our side")
async def s40(env):
    certs = Certificates(env.tmp)
    server, client = certs.server(), certs.client()
    server.set_alpn_protocols(["x/1"])
    client.set_alpn_protocols(["x/1"])
    a, b = env.tcp_pair()
    p = P(env)
    raw = RawTLS(env, b, server)
    task = env.loop.create_task(raw.handshake())
    t, _ = await env.loop.create_connection(lambda: p, sock=a, ssl=client, server_hostname=HOST)
    env.log("> create_connection returned")
    await task
    env.eq("can_write_eof", t.can_write_eof())
    env.attempt("write_eof", t.write_eof)
    for key in ("peercert", "cipher", "compression", "sslcontext", "ssl_object", "socket", "peername", "sockname"):
        env.eq("extra " + key, "present" if t.get_extra_info(key) is not None else "None")
    env.eq("alpn", t.get_extra_info("ssl_object").selected_alpn_protocol())
    env.eq("limits", t.get_write_buffer_limits())
    t.write(b"hello")
    env.log("> write 5")
    await raw.sees()
    await raw.send(b"world")
    await env.tick()
    t.close()
    env.log("> close")
    env.eq("is_closing", t.is_closing())
    await raw.sees()
    await env.tick()
    await raw.close_notify()
    await env.tick()
    await env.peer_sees(b)


@scenario("T01", "TLS: the peer closes in order (close_notify, then TCP close)")
async def t01(env):
    p = P(env, keep_open=True)
    t, raw, b = await tls_pair(env, p)
    await raw.send(b"data")
    await raw.close_notify()
    await env.tick()
    await raw.sees()
    await env.tick()
    env.eq("is_closing", t.is_closing())
    await env.peer_sees(b)


@scenario("T02", "TLS: truncation, TCP close without close_notify")
async def t02(env):
    t, raw, b = await tls_pair(env, P(env))
    await raw.send(b"half")
    b.close()
    env.log("peer> tcp close, no close_notify")
    await env.tick(2)


@scenario("T03", "TLS: reset by the peer")
async def t03(env):
    t, raw, b = await tls_pair(env, P(env))
    env.reset(b)
    env.log("peer> reset")
    await env.tick(2)


@scenario("T04", "TLS: application data arrives after our close")
async def t04(env):
    t, raw, b = await tls_pair(env, P(env))
    t.close()
    env.log("> close")
    await env.tick()
    await raw.send(b"trailing")
    await env.tick()
    await raw.close_notify()
    await env.tick(2)


@scenario("T05", "TLS: garbage on the wire after the handshake")
async def t05(env):
    t, raw, b = await tls_pair(env, P(env))
    b.send(b"this is not tls at all, sorry")
    env.log("peer> garbage")
    await env.tick(2)


@scenario("T06", "TLS: shutdown timeout")
async def t06(env):
    p = P(env)
    t, raw, b = await tls_pair(env, p, ssl_shutdown_timeout=0.2)
    t.close()
    env.log("> close")
    await env.tick(2)
    env.eq("connection_lost yet", p.lost)
    await asyncio.sleep(0.4)


@scenario("T07", "TLS: handshake timeout and refusal")
async def t07(env):
    certs = Certificates(env.tmp)

    def connecting(sock, trusting=True, host=HOST, **kw):
        return env.loop.create_connection(lambda: P(env), sock=sock, ssl=certs.client(trusting),
                                          server_hostname=host, **kw)

    async def refused(label, **kw):
        a, b = env.tcp_pair()
        raw = RawTLS(env, b, certs.server())
        task = env.loop.create_task(raw.handshake())
        await env.attempt_async(label, connecting(a, **kw))
        try:
            await task
            await raw.sees()
        except OSError as e:
            env.log("peer< handshake", error_name(e))

    a, b = env.tcp_pair()
    await env.attempt_async("silent peer, timeout 0.2", connecting(a, ssl_handshake_timeout=0.2))
    await env.tick()
    a, b = env.tcp_pair()
    task = env.loop.create_task(connecting(a))
    await env.tick()
    b.close()
    env.log("peer> close during the handshake")
    await env.attempt_async("peer closes", task)
    a, b = env.tcp_pair()
    await env.attempt_async("timeout zero", connecting(a, ssl_handshake_timeout=0))
    await refused("unknown authority", trusting=False)
    await refused("wrong name", host="other.test")


# ---- Starting TLS on a connection ----

@scenario("T08", "start_tls on both ends of one connection")
async def t08(env):
    loop = env.loop
    certs = Certificates(env.tmp)

    async def upgrade(p):
        p.tls = await loop.start_tls(p.t, p, certs.server(), server_side=True)
        env.log("> server start_tls returned")
        if p.held:
            p.tls.write(p.held[::-1])

    def server_got(p, data):
        if data == b"STARTTLS":
            p.t.write(b"OK")
            p.held, p.tls = b"", None
            p.task = loop.create_task(upgrade(p))
        elif p.tls is None:
            env.log("= first TLS data came before start_tls returned")
            p.held += data
        else:
            p.tls.write(data[::-1])

    srv = await loop.create_server(lambda: P(env, "S", got=server_got), "127.0.0.1", 0)
    agreed, answered = loop.create_future(), loop.create_future()
    cp = P(env, "C", got=lambda p, data: (answered if agreed.done() else agreed).set_result(data))
    t, _ = await loop.create_connection(lambda: cp, *srv.sockets[0].getsockname())
    t.write(b"STARTTLS")
    await agreed
    secure = await loop.start_tls(t, cp, certs.client(), server_hostname=HOST)
    env.log("> client start_tls returned")
    env.eq("a new transport", secure is not t)
    env.eq("get_protocol on the new one", secure.get_protocol() is cp)
    secure.write(b"abc")
    await asyncio.wait_for(answered, 3)
    secure.close()
    env.log("> close the TLS transport")
    await env.tick(3)
    srv.close()


@scenario("T09", "start_tls when the handshake bytes came with the last plain bytes")
async def t09(env):
    loop = env.loop
    certs = Certificates(env.tmp)
    a, b = env.tcp_pair()
    raw = RawTLS(env, b, certs.client(), server_side=False, host=HOST)
    try:
        raw.engine.do_handshake()
    except ssl.SSLWantReadError:
        pass
    b.send(b"GO" + raw.outgoing.read())
    env.log("peer> plain bytes and ClientHello in one segment")
    got = loop.create_future()
    p = P(env, count=True, got=lambda q, data: got.done() or got.set_result(data))
    t, _ = await loop.connect_accepted_socket(lambda: p, a)
    env.eq("plain protocol was given the hello too", len(await got) > 2)
    try:
        await loop.start_tls(t, p, certs.server(), server_side=True, ssl_handshake_timeout=0.3)
        env.log("> start_tls returned")
    except OSError as e:
        env.log("> start_tls raises", error_name(e))
    await env.tick(2)
    env.eq("is_closing", t.is_closing())


# ---- Corners ----

@scenario("Q04", "TLS close twice, then other calls")
async def q04(env):
    p = P(env)
    t, raw, b = await tls_pair(env, p)
    t.close()
    t.close()
    env.log("> close twice")
    env.attempt("get_extra_info", t.get_extra_info, "peername")
    env.attempt("is_reading", t.is_reading)
    env.attempt("write", t.write, b"x")
    env.attempt("pause_reading", t.pause_reading)
    env.attempt("abort", t.abort)
    await env.tick(2)
    env.eq("connection_lost after abort", p.lost)


@scenario("Q19", "TLS over TLS")
async def q19(env):
    loop = env.loop
    certs = Certificates(env.tmp)

    async def upgrade(p):
        p.tls = await loop.start_tls(p.t, p, certs.server(), server_side=True)
        env.log("> server inner start_tls returned")
        if p.held:
            p.tls.write(p.held.upper())

    def server_made(p):
        p.held, p.tls = b"", None
        p.task = loop.create_task(upgrade(p))

    def server_got(p, data):
        if p.tls is None:
            env.log("= first inner data came before start_tls returned")
            p.held += data
        else:
            p.tls.write(data.upper())

    srv = await loop.create_server(lambda: P(env, "S", made=server_made, got=server_got), "127.0.0.1", 0,
                                   ssl=certs.server())
    answered = loop.create_future()
    cp = P(env, "C", got=lambda p, data: answered.set_result(data))
    t, _ = await loop.create_connection(lambda: cp, *srv.sockets[0].getsockname(), ssl=certs.client(),
                                        server_hostname=HOST)
    inner = await loop.start_tls(t, cp, certs.client(), server_hostname=HOST)
    env.log("> client inner start_tls returned")
    inner.write(b"abc")
    await asyncio.wait_for(answered, 3)
    inner.close()
    env.log("> close inner")
    await env.tick(4)
    srv.close()
