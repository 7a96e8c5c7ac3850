//! Pseudoterminals: a terminal for a child, with its other side as a transport.
//!
//! [`open`] makes a pair.
//! The slave goes to a child, by [`Exec::terminal`](crate::Exec::terminal); what is written to the master is typed into
//! it, and what it prints is read there.
//! [`connect`] puts the master on the loop.
//!
//! # The end
//!
//! When nobody has the slave open any more the protocol hears `eof_received` and then `connection_lost` with
//! [`Lost::Eof`](wharf_core::Lost::Eof), after all that was printed.
//! The answer of `eof_received` makes no difference, for a terminal has no halves: `can_write_eof` is false, and
//! `write_eof` does nothing; the end of input is typed as any other key, [`END_OF_INPUT`].
//! Bytes that the system would not take before it came to that are lost, and the cause is then `BrokenPipe`.
//! Closing the transport hangs the terminal up: what runs in it gets SIGHUP.
//!
//! # What a terminal does to bytes
//!
//! A new one is for people: it echoes, edits lines, and makes `\r\n` of `\n`.
//! [`set_raw`] ends all of that.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use wharf_core::driver::{IoAccess, StreamOptions};
use wharf_core::extra::Request;
use wharf_core::vitals::TransportKind;
use wharf_core::{Address, IntoProtocol, TransportRef};
use wharf_reactor::stream::{self, Origin, Polled, StreamDriver, StreamSocket};
use wharf_reactor::{Handle, LoopClosed, LoopHandle, oneshot};

/// The key that ends the input of a program that reads lines from a terminal, at the beginning of a line: control-D.
pub const END_OF_INPUT: u8 = 4;

/// How many characters a terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowSize {
    /// How many lines.
    pub rows: u16,
    /// How many characters a line has.
    pub columns: u16,
}

/// Makes a pseudoterminal: the master and the slave, both closed on exec. Neither becomes our own terminal.
///
/// # Errors
/// The system's: no descriptors, or no more terminals.
#[doc(alias = "openpty")]
pub fn open() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    #[cfg(not(target_vendor = "apple"))]
    let master = openpt(flags | OpenptFlags::CLOEXEC)?;
    #[cfg(target_vendor = "apple")]
    let master = openpt(flags)?;
    #[cfg(target_vendor = "apple")]
    rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = open_slave(&master)?;
    Ok((master, slave))
}

fn open_slave(master: &OwnedFd) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let name = ptsname(master, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(name, flags, Mode::empty())?)
}

/// How large the terminal is, asked at either side.
///
/// # Errors
/// The system's, when this is no terminal.
pub fn window_size(terminal: impl AsFd) -> io::Result<WindowSize> {
    let size = tcgetwinsize(terminal)?;
    Ok(WindowSize { rows: size.ws_row, columns: size.ws_col })
}

/// Makes the terminal another size, at either side. What runs in it gets SIGWINCH if that changes anything.
///
/// For a master that is a transport, lend it from [`SocketView`](stream::SocketView):
/// `transport.extra::<SocketView>()`.
///
/// # Errors
/// The system's, when this is no terminal.
pub fn set_window_size(terminal: impl AsFd, size: WindowSize) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(terminal, size)?)
}

/// Has the terminal pass bytes on as they are from now on, in both directions: no echo, no lines, no signals.
///
/// # Errors
/// The system's, when this is no terminal.
#[doc(alias = "cfmakeraw")]
pub fn set_raw(terminal: impl AsFd) -> io::Result<()> {
    let mut modes = tcgetattr(&terminal)?;
    modes.make_raw();
    Ok(tcsetattr(&terminal, OptionalActions::Now, &modes)?)
}

/// Puts the protocol of `factory` on the master of a pseudoterminal, for both directions. It is non-blocking from now
/// on.
///
/// It ends after `connection_made` has returned and before anything else is told.
/// Dropping the future takes everything back.
///
/// # Errors
/// `InvalidInput` when it is no master, and the system's.
pub async fn connect<P, F>(
    handle: &LoopHandle,
    master: impl Into<OwnedFd>,
    factory: F,
) -> io::Result<(TransportRef, P::Shared)>
where
    P: IntoProtocol,
    F: FnOnce() -> P,
{
    let master = Master::new(master.into())?;
    let (shared, protocol) = factory().share();
    let driver = stream::stream(
        handle,
        master,
        Origin::default(),
        protocol,
        Rc::new(StreamOptions::default()),
    );
    let (sender, receiver) = oneshot();
    let begun = Rc::clone(&driver);
    let begin = handle.call_soon(move || {
        // Nobody waits any more: the guard below has taken the stream back.
        let _ = sender.send(begun.begin());
    });
    let mut guard = TakeBack { driver: Some(driver), begin };
    let Some(begun) = receiver.await else {
        // It did not begin: the loop is gone. The guard takes the stream back.
        return Err(io::Error::other(LoopClosed));
    };
    let Some(driver) = guard.driver.take() else { return Err(io::ErrorKind::Other.into()) };
    begun.map(|()| (driver.handle(), shared)).map_err(io::Error::other)
}

/// Takes a stream back whose maker has given up: without a word if its protocol knows nothing, else by an abort.
struct TakeBack {
    driver: Option<Rc<StreamDriver<Master>>>,
    begin: Handle,
}

impl Drop for TakeBack {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            self.begin.cancel();
            if !driver.abandon() {
                driver.handle().abort();
            }
        }
    }
}

/// The master of a pseudoterminal as a byte stream: what the system does, for core's driver.
struct Master(OwnedFd);

impl Master {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        if !is_master(&fd) {
            let text = "this is not the master of a pseudoterminal";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self(fd))
    }

    /// What a write has met. A terminal that is full and whose slaves are gone stays full for ever, and the poller would
    /// say for ever that it is ready.
    fn written(&self, outcome: rustix::io::Result<usize>) -> io::Result<usize> {
        match outcome {
            Err(rustix::io::Errno::AGAIN) if self.is_hung_up() => {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            outcome => Ok(outcome?),
        }
    }

    fn is_hung_up(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::HUP)
    }
}

/// Whether this is the master of a pseudoterminal: nothing else has a slave with a name.
pub(crate) fn is_master(fd: impl AsFd) -> bool {
    ptsname(fd, Vec::new()).is_ok()
}

impl AsFd for Master {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl StreamSocket for Master {
    const HALF_CLOSES: bool = false;

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match rustix::io::read(&self.0, buffer) {
            // The slaves are gone, and what they have printed was read.
            Err(rustix::io::Errno::IO) => Ok(0),
            outcome => Ok(outcome?),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.written(rustix::io::write(&self.0, bytes))
    }

    fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.written(rustix::io::writev(&self.0, slices))
    }

    fn shutdown_write(&self) -> io::Result<()> {
        // It has no halves, and the driver closes it.
        Ok(())
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    fn local_addr(&self) -> Option<Address> {
        None
    }

    fn provide(
        &self,
        request: &mut Request<'_>,
        _: &dyn Fn() -> Option<Rc<dyn IoAccess<Polled<Self>>>>,
    ) {
        request.provide(|| TransportKind("terminal".into()));
    }
}
