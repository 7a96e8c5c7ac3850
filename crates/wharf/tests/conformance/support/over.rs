//! [`Over`]: one test function, a `#[test]` for each transport.

use std::io;
use std::os::fd::OwnedFd;

use wharf::subprocess::{open_fifo_read, open_fifo_write};
use wharf::{IntoProtocol, LoopHandle, StreamProtocol, TransportRef, pipe, tcp, unix};

use super::bench::{Bench, Starting};
use super::folder::Folder;
use super::one_way;
use super::peer::{Peer, tcp_pair, unix_pair};

/// The kind of transport under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Memory,
    Tcp,
    Unix,
    /// TLS over memory.
    Tls,
    TlsOverTcp,
    TlsOverUnix,
    /// TLS over TLS over memory.
    TlsInTls,
    /// Two pipes as one stream.
    Pipes,
    /// One pipe that is read.
    Read(Kind),
    /// One pipe that is written.
    Written(Kind),
}

/// What a pipe is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pipe,
    Fifo,
    Socket,
}

impl Over {
    /// What there is below all TLS.
    pub(crate) fn lowest(self) -> Self {
        match self {
            Self::Tls | Self::TlsInTls => Self::Memory,
            Self::TlsOverTcp => Self::Tcp,
            Self::TlsOverUnix => Self::Unix,
            plain => plain,
        }
    }

    /// How many layers of TLS there are.
    pub(crate) fn layers(self) -> usize {
        match self {
            Self::Tls | Self::TlsOverTcp | Self::TlsOverUnix => 1,
            Self::TlsInTls => 2,
            _ => 0,
        }
    }

    /// The two ends of one descriptor: the one to be put under a transport, and the peer's.
    pub(crate) fn pair(self) -> (OwnedFd, Peer) {
        match self.lowest() {
            Self::Tcp => tcp_pair(),
            Self::Unix | Self::Read(Kind::Socket) | Self::Written(Kind::Socket) => unix_pair(),
            Self::Read(kind) => {
                let (ours, theirs) = pipe_of(kind);
                (ours, Peer::pipes(None, Some(theirs)))
            }
            Self::Written(kind) => {
                let (theirs, ours) = pipe_of(kind);
                (ours, Peer::pipes(Some(theirs), None))
            }
            _ => panic!("there is no one descriptor"),
        }
    }

    /// Puts the protocol of `factory` on a descriptor, by the function for its kind.
    pub(crate) async fn adopt<P: IntoProtocol>(
        self,
        handle: &LoopHandle,
        ours: OwnedFd,
        factory: impl FnOnce() -> P,
    ) -> io::Result<(TransportRef, P::Shared)> {
        match self.lowest() {
            Self::Tcp => tcp::adopt(handle, ours, factory).await,
            Self::Unix => unix::adopt(handle, ours, factory).await,
            Self::Read(_) => one_way::connect(handle, ours, true, factory()).await,
            Self::Written(_) => one_way::connect(handle, ours, false, factory()).await,
            _ => panic!("there is no one descriptor"),
        }
    }

    /// A connection in the making, and the peer's end of it.
    pub(crate) fn connecting(
        self,
        handle: &LoopHandle,
        protocol: StreamProtocol,
    ) -> (Starting, Peer) {
        let handle = handle.clone();
        if self == Self::Pipes {
            let (reader, to_us) = pipe::pair().expect("a pipe can be made");
            let (from_us, writer) = pipe::pair().expect("a pipe can be made");
            let both = pipe::connect_both(&handle, reader, writer, protocol);
            let connecting = async move { both.await.map(|(transport, _)| transport) };
            return (Box::pin(connecting), Peer::pipes(Some(from_us), Some(to_us)));
        }
        let (ours, peer) = self.pair();
        let connecting = async move {
            self.adopt(&handle, ours, || protocol).await.map(|(transport, _)| transport)
        };
        (Box::pin(connecting), peer)
    }
}

/// The two ends of a pipe, the one to read from first.
fn pipe_of(kind: Kind) -> (OwnedFd, OwnedFd) {
    if kind == Kind::Pipe {
        return pipe::pair().expect("a pipe can be made");
    }
    let folder = Folder::new();
    let path = folder.join("fifo");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).expect("a FIFO can be made");
    let reader = open_fifo_read(&path).expect("a FIFO can be read");
    (reader, open_fifo_write(&path).expect("it is read"))
}

/// Makes the tests `name::memory`, `name::tcp` and so on of the function `name` over a [`Bench`].
///
/// `over_each!(name and read)` adds the pipes that are read to the eight kinds of streams, `over_each!(name and written)`
/// those that are written, and `over_each!(name and one_way)` both.
/// `over_each!(name on tcp: "why")` restricts it to some of all these and says why.
macro_rules! over_each {
    ($name:ident) => {
        over_each!($name also: "every stream behaves so");
    };
    ($name:ident and read) => {
        over_each!($name also read_pipe, read_fifo, read_socket: "so does whatever is read");
    };
    ($name:ident and written) => {
        over_each!($name also written_pipe, written_fifo, written_socket: "so does whatever is written");
    };
    ($name:ident and one_way) => {
        over_each!(
            $name
            also read_pipe, read_fifo, read_socket, written_pipe, written_fifo, written_socket:
            "so does everything"
        );
    };
    ($name:ident also $($more:ident),* : $why:literal) => {
        over_each!(
            $name
            on memory, tcp, unix, tls, tls_over_tcp, tls_over_unix, tls_in_tls, pipes $(, $more)*: $why
        );
    };
    ($name:ident on $($over:ident),+ : $why:literal) => {
        mod $name {
            $(
                #[test]
                fn $over() {
                    $crate::support::over::$over(super::$name);
                }
            )+
        }
    };
}
pub(crate) use over_each;

/// The same for what carries TLS: makes `name::memory`, `name::tcp`, `name::unix` and `name::tls_in_tls` of a function over
/// an [`Over`], of which the last is a stream of TLS.
macro_rules! over_each_carrier {
    ($name:ident) => {
        over_each_carrier!($name on memory, tcp, unix, tls_in_tls: "every carrier does");
    };
    ($name:ident on $($over:ident),+ : $why:literal) => {
        mod $name {
            $(
                #[test]
                fn $over() {
                    super::$name($crate::support::over::carrier::$over());
                }
            )+
        }
    };
}
pub(crate) use over_each_carrier;

/// What TLS can be put on.
pub(crate) mod carrier {
    use super::Over;

    pub(crate) fn memory() -> Over {
        Over::Memory
    }

    pub(crate) fn tcp() -> Over {
        Over::Tcp
    }

    pub(crate) fn unix() -> Over {
        Over::Unix
    }

    pub(crate) fn tls_in_tls() -> Over {
        Over::Tls
    }
}

pub(crate) fn memory(test: fn(&mut Bench)) {
    run(Over::Memory, test);
}

pub(crate) fn tcp(test: fn(&mut Bench)) {
    run(Over::Tcp, test);
}

pub(crate) fn unix(test: fn(&mut Bench)) {
    run(Over::Unix, test);
}

/// TLS over memory.
pub(crate) fn tls(test: fn(&mut Bench)) {
    run(Over::Tls, test);
}

pub(crate) fn tls_over_tcp(test: fn(&mut Bench)) {
    run(Over::TlsOverTcp, test);
}

pub(crate) fn tls_over_unix(test: fn(&mut Bench)) {
    run(Over::TlsOverUnix, test);
}

/// TLS over TLS over memory.
pub(crate) fn tls_in_tls(test: fn(&mut Bench)) {
    run(Over::TlsInTls, test);
}

/// Two pipes as one stream.
pub(crate) fn pipes(test: fn(&mut Bench)) {
    run(Over::Pipes, test);
}

pub(crate) fn read_pipe(test: fn(&mut Bench)) {
    run(Over::Read(Kind::Pipe), test);
}

pub(crate) fn read_fifo(test: fn(&mut Bench)) {
    run(Over::Read(Kind::Fifo), test);
}

/// A socket of which one direction is used.
pub(crate) fn read_socket(test: fn(&mut Bench)) {
    run(Over::Read(Kind::Socket), test);
}

pub(crate) fn written_pipe(test: fn(&mut Bench)) {
    run(Over::Written(Kind::Pipe), test);
}

pub(crate) fn written_fifo(test: fn(&mut Bench)) {
    run(Over::Written(Kind::Fifo), test);
}

pub(crate) fn written_socket(test: fn(&mut Bench)) {
    run(Over::Written(Kind::Socket), test);
}

/// Runs the test, then takes the bench down and looks for what is left over.
fn run(over: Over, test: fn(&mut Bench)) {
    let mut bench = Bench::new(over);
    test(&mut bench);
    bench.finish();
}
