//! What carries the prober's bytes: transports of ours in memory, on sockets and on the pipes of a child, TLS on some of
//! them, and streams of tokio.

use std::cell::RefCell;
use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::ChildStdin;
use tokio::task::{LocalSet, spawn_local};
use wharf::memory::Stage;
use wharf::tokio::serve;
use wharf::{
    EventLoop, IntoProtocol, Server, SubprocessProtocol, pipe, subprocess, tcp, tls, unix,
};

use super::echo::{Spawn, Style};
use super::prober::{Ending, Plan, Prober, Report, Reporting};
use crate::support::authority::{Authority, NAME};
use crate::support::{Folder, new_loop};

/// After this many turns a story is taken never to end.
const TURNS: usize = 50_000;

// ---- in memory ----

/// Tasks on a stage, each polled when it was woken.
#[derive(Clone, Default)]
struct Tasks(Rc<RefCell<Vec<Task>>>);

struct Task {
    body: Pin<Box<dyn Future<Output = ()>>>,
    woken: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Tasks {
    fn spawner(&self) -> Spawn {
        let tasks = self.clone();
        Rc::new(move |body| {
            let woken = Arc::new(Flag(AtomicBool::new(true)));
            tasks.0.borrow_mut().push(Task { body, woken });
        })
    }

    /// Polls those that were woken; says whether there were any.
    fn run(&self) -> bool {
        let mut any = false;
        let mut tasks = self.0.take();
        tasks.retain_mut(|task| {
            if !task.woken.0.swap(false, Ordering::Relaxed) {
                return true;
            }
            any = true;
            let waker = Waker::from(Arc::clone(&task.woken));
            task.body.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Pending
        });
        self.0.borrow_mut().append(&mut tasks);
        any
    }
}

fn on_a_stage<P: IntoProtocol, Q: IntoProtocol>(
    tasks: &Tasks,
    prober: P,
    echo: Q,
    report: &Reporting,
) -> Report {
    let stage = Stage::new();
    drop(stage.pair(prober, echo));
    for _ in 0..TURNS {
        let busy = stage.turn();
        if !tasks.run() && !busy {
            break;
        }
    }
    assert_eq!(stage.connections(), 0, "a connection is left over");
    report.take()
}

pub(crate) fn memory(plan: Plan, style: Style) -> Report {
    let tasks = Tasks::default();
    let (prober, report) = Prober::new(plan);
    let echo = style.protocol(&tasks.spawner());
    on_a_stage(&tasks, prober, echo, &report)
}

pub(crate) fn tls_in_memory() -> impl Fn(Plan, Style) -> Report {
    let authority = Authority::new();
    move |plan, style| {
        let tasks = Tasks::default();
        let (prober, report) = Prober::new(plan);
        let echo = style.protocol(&tasks.spawner());
        let client = tls::client(authority.client(), NAME, || prober)();
        let server = tls::server(authority.server(), || echo.clone())();
        on_a_stage(&tasks, client, server, &report)
    }
}

// ---- on the event loop ----

fn spawner(ev: &EventLoop) -> Spawn {
    let handle = ev.handle().clone();
    Rc::new(move |body| handle.spawn(body).detach())
}

/// Takes turns until the story has its end, and nothing is left on the loop when its server is closed.
fn to_the_end(mut ev: EventLoop, server: &Server, report: &Reporting) -> Report {
    for _ in 0..TURNS {
        if report.borrow().lost.is_some() {
            server.close();
            if ev.statistics().sources == 0 {
                return report.take();
            }
        }
        ev.turn(Some(Duration::from_millis(1))).expect("the poller works");
    }
    panic!("the story has no end: {report:?}");
}

fn over_tcp<P: IntoProtocol + 'static, Q: IntoProtocol + 'static>(
    mut ev: EventLoop,
    prober: impl FnOnce() -> P + 'static,
    echo: impl FnMut() -> Q + 'static,
    report: &Reporting,
) -> Report {
    let handle = ev.handle().clone();
    let server = ev.block_on(async {
        let server = tcp::listen(&handle, "127.0.0.1:0", echo).await.expect("a port is free");
        let address = server.addresses()[0].ip().expect("it is an address of TCP");
        tcp::connect(&handle, address, prober).await.expect("the server listens");
        server
    });
    to_the_end(ev, &server, report)
}

pub(crate) fn tcp(plan: Plan, style: Style) -> Report {
    let ev = new_loop();
    let spawn = spawner(&ev);
    let (prober, report) = Prober::new(plan);
    over_tcp(ev, || prober, move || style.protocol(&spawn), &report)
}

pub(crate) fn unix(plan: Plan, style: Style) -> Report {
    let folder = Folder::new();
    let mut ev = new_loop();
    let (handle, spawn) = (ev.handle().clone(), spawner(&ev));
    let (prober, report) = Prober::new(plan);
    let path = folder.join("socket");
    let server = ev.block_on(async {
        let echo = move || style.protocol(&spawn);
        let server = unix::listen(&handle, &path, echo).await.expect("the path is free");
        unix::connect(&handle, &path, || prober).await.expect("the server listens");
        server
    });
    to_the_end(ev, &server, &report)
}

pub(crate) fn tls() -> impl Fn(Plan, Style) -> Report {
    let authority = Authority::new();
    move |plan, style| {
        let ev = new_loop();
        let spawn = spawner(&ev);
        let (prober, report) = Prober::new(plan);
        let client = tls::client(authority.client(), NAME, || prober);
        let server = tls::server(authority.server(), move || style.protocol(&spawn));
        over_tcp(ev, client, server, &report)
    }
}

/// The protocol of a child that sends everything back.
struct Silent;

impl SubprocessProtocol for Silent {}

/// What a child of ours writes and what it reads, as one stream.
pub(crate) fn child(plan: Plan, _: Style) -> Report {
    let mut ev = new_loop();
    let handle = ev.handle().clone();
    let (prober, report) = Prober::new(plan);
    let child = ev.block_on(async {
        let (stdin, to_child) = pipe::pair().expect("a pipe can be made");
        let (from_child, stdout) = pipe::pair().expect("a pipe can be made");
        let child = subprocess::exec(&handle, "cat", [""; 0], || Silent);
        let child = child.stdin(stdin).stdout(stdout).stderr(subprocess::Stdio::Inherit);
        let (child, _) = child.await.expect("cat can be started");
        let both = pipe::connect_both(&handle, from_child, to_child, prober);
        both.await.expect("pipes can be joined");
        child
    });
    let status = ev.block_on(child.finished());
    assert!(status.success() || plan.ending == Ending::Abort, "cat ends with its input: {status}");
    for _ in 0..TURNS {
        if report.borrow().lost.is_some() && ev.statistics().sources == 0 {
            return report.take();
        }
        ev.turn(Some(Duration::from_millis(1))).expect("the poller works");
    }
    panic!("the story has no end: {report:?}");
}

// ---- on tokio ----

fn on_tokio<F: Future>(story: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().expect("a runtime can be made");
    let bounded = async { tokio::time::timeout(Duration::from_secs(60), story).await };
    runtime.block_on(LocalSet::new().run_until(bounded)).expect("the story has an end")
}

fn tokio_spawner() -> Spawn {
    Rc::new(|body| drop(spawn_local(body)))
}

async fn between<T, U>(ours: T, theirs: U, plan: Plan, style: Style) -> Report
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    U: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (prober, report) = Prober::new(plan);
    let echo = spawn_local(serve(theirs, style.protocol(&tokio_spawner())).into_future());
    serve(ours, prober).await.expect("no callback panics");
    echo.await.expect("it was not cancelled").expect("no callback panics");
    report.take()
}

pub(crate) fn tokio_duplex(plan: Plan, style: Style) -> Report {
    on_tokio(async {
        let (ours, theirs) = tokio::io::duplex(10_000);
        between(ours, theirs, plan, style).await
    })
}

pub(crate) fn tokio_tcp(plan: Plan, style: Style) -> Report {
    on_tokio(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let ours = TcpStream::connect(address).await.expect("it listens");
        let (theirs, _) = listener.accept().await.expect("somebody has connected");
        between(ours, theirs, plan, style).await
    })
}

/// What a child reads. tokio ends it by dropping it only.
struct Input(Option<ChildStdin>);

impl Input {
    fn open(&mut self) -> io::Result<Pin<&mut ChildStdin>> {
        self.0.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncWrite for Input {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.open()?.poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        drop(self.0.take());
        Poll::Ready(Ok(()))
    }
}

/// The pipes of a child of tokio that sends everything back: what it writes and what it reads, as one stream.
pub(crate) fn tokio_pipes(plan: Plan, _: Style) -> Report {
    on_tokio(async {
        let mut child = tokio::process::Command::new("cat");
        child.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().expect("cat can be started");
        let output = child.stdout.take().expect("it is piped");
        let input = Input(child.stdin.take());
        let (prober, report) = Prober::new(plan);
        serve(tokio::io::join(output, input), prober).await.expect("no callback panics");
        child.wait().await.expect("cat ends with its input");
        report.take()
    })
}
