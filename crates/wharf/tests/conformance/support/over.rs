//! One test function, a `#[test]` for each transport.

use super::bench::{Bench, Over};

/// Makes the tests `name::memory`, `name::tcp`, `name::unix`, `name::tls` and `name::tls_in_tls` of the function `name` over
/// a [`Bench`].
///
/// `over_each!(name on tcp: "why")` restricts it to some of the five and says why.
macro_rules! over_each {
    ($name:ident) => {
        over_each!($name on memory, tcp, unix, tls, tls_in_tls: "every stream behaves so");
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

/// Runs the test, then takes the bench down and looks for what is left over.
fn run(over: Over, test: fn(&mut Bench)) {
    let mut bench = Bench::new(over);
    test(&mut bench);
    bench.finish();
}
