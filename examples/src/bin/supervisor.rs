//! Keeps a program running: `supervisor 'LINE OF THE SHELL'`.
//!
//! A child that fails is started again, each time after a longer pause; one that has run well for a while has earned a
//! short pause again, and one that ends with success has done its work.
//! Ctrl-C and SIGTERM ask the child to end, and kill it when it does not.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use wharf::subprocess::{self, Stdio};
use wharf::{
    EventLoop, LoopHandle, OneshotSender, SubprocessProtocol, SubprocessTransportRef, oneshot,
};

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A child that has run for so long was started well.
const WELL: Duration = Duration::from_secs(10);

/// How long a child may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// What is supervised.
#[derive(Default)]
struct Service {
    child: Option<SubprocessTransportRef>,
    /// Cuts a pause short.
    pause: Option<OneshotSender<()>>,
    stopping: bool,
}

/// The child's descriptors are ours, so its protocol hears of its end only, and that is awaited.
struct Quiet;

impl SubprocessProtocol for Quiet {}

async fn supervise(handle: &LoopHandle, line: &str, service: &RefCell<Service>) -> io::Result<()> {
    let mut pause = FIRST_PAUSE;
    loop {
        let started = handle.now();
        // A group of its own: Ctrl-C is for us, and we decide what the child hears.
        let child = subprocess::shell(handle, line, || Quiet).process_group(0);
        let child = child.stdin(Stdio::Null).stdout(Stdio::Inherit).stderr(Stdio::Inherit);
        let (transport, _) = child.await?;
        writeln!(io::stdout(), "started {}", transport.pid())?;
        service.borrow_mut().child = Some(transport.clone());
        let status = transport.exited().await;
        service.borrow_mut().child = None;
        writeln!(io::stdout(), "ended {}: {status}", transport.pid())?;
        if status.success() || service.borrow().stopping {
            return Ok(());
        }
        if handle.now() - started >= WELL {
            pause = FIRST_PAUSE;
        }
        writeln!(io::stdout(), "again in {pause:?}")?;
        let (cut_short, stopped) = oneshot();
        service.borrow_mut().pause = Some(cut_short);
        if handle.timeout(pause, stopped).await.is_ok() {
            return Ok(());
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Asks the child to end, and kills it when it does not.
fn stop(handle: &LoopHandle, service: &RefCell<Service>) {
    let mut service = service.borrow_mut();
    service.stopping = true;
    if let Some(pause) = service.pause.take() {
        let _ = pause.send(());
    }
    if let Some(child) = service.child.clone() {
        // One that has ended meanwhile need not be asked.
        let _ = child.terminate();
        handle.call_later(GRACE, move || child.close());
    }
}

fn main() -> io::Result<()> {
    let line =
        std::env::args().nth(1).ok_or_else(|| io::Error::other("which line of the shell?"))?;
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let service = Rc::new(RefCell::new(Service::default()));
    for signal in [SIGINT, SIGTERM] {
        let (on, service) = (handle.clone(), Rc::clone(&service));
        ev.add_signal_handler(signal, move || stop(&on, &service))?;
    }
    ev.block_on(supervise(&handle, &line, &service))
}
