//! One test function, a `#[test]` for each transport.

use super::bench::{Bench, Kind, Over};

/// Makes the tests `name::memory`, `name::tcp`, `name::unix`, `name::tls`, `name::tls_in_tls` and `name::pipes` of the
/// function `name` over a [`Bench`].
///
/// `over_each!(name and read)` adds the pipes that are read, `over_each!(name and written)` those that are written, and
/// `over_each!(name and one_way)` both.
/// `over_each!(name on tcp: "why")` restricts it to some of all these and says why.
macro_rules! over_each {
    ($name:ident) => {
        over_each!($name on memory, tcp, unix, tls, tls_in_tls, pipes: "every stream behaves so");
    };
    ($name:ident and read) => {
        over_each!(
            $name
            on memory, tcp, unix, tls, tls_in_tls, pipes, read_pipe, read_fifo, read_socket:
            "so does whatever is read"
        );
    };
    ($name:ident and written) => {
        over_each!(
            $name
            on memory, tcp, unix, tls, tls_in_tls, pipes, written_pipe, written_fifo, written_socket:
            "so does whatever is written"
        );
    };
    ($name:ident and one_way) => {
        over_each!(
            $name
            on memory, tcp, unix, tls, tls_in_tls, pipes, read_pipe, read_fifo, read_socket,
            written_pipe, written_fifo, written_socket: "so does everything"
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
