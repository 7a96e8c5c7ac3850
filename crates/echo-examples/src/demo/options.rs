//! The demo's command line, read by hand: a dozen options do not need a library.

use std::path::PathBuf;
use std::time::Duration;

use super::place::Kind;
use super::units;

/// What `--help` prints.
pub(super) const HELP: &str = "\
demo: echo over every transport, every byte verified

For each transport an echo server runs on one event loop in one thread, and many clients on a second loop in a second
thread. A client sends a message, waits until all of it has come back, compares every byte, and sends the next.
A byte that differs, a message that stays away for 10 seconds, and a connection that is lost end the run.

  --clients N         clients of each transport (64)
  --messages N        messages of each client (1000)
  --seconds S         send for S seconds instead of a number of messages
  --size BYTES        the largest message, such as 100, 64K or 1M (64K); the smallest is one byte
  --transport NAME    only this one; may be given again. tcp4, tcp6, unix, abstract (a Unix name without a file, Linux),
                      buffered (a protocol that owns its buffer, over TCP), tls (over TCP), tls-unix (over a Unix socket),
                      starttls (over TCP; each connection begins in the clear), udp4, udp6, unixgram (datagrams:
                      a message is one of no more than 1200 bytes, and is sent again where it was lost), cat (over TCP,
                      echoed by a child for each connection)
  --idle N            idle connections whose memory is measured (1000, or what the limit of descriptors allows; 0: none)
  --seed N            of the sizes (1)
  --quick             8 clients, 100 messages, 100 idle connections
  --help              this text

messages/s and MiB/s count what came back. p50, p99 and p99.9 are round trips, from the first write of a message to its
last byte. idle is the memory of a connection at rest: by how much the anonymous memory (heap and stacks) of a server
process of its own grows for one connection that has spoken once; what the kernel holds is not in it (Linux only).
A buffered protocol's own buffer, 16 KiB here, is in it, and so is the state of TLS.

The exit status is 0 if everything came back, 1 if something did not, 2 if the command line is wrong.
";

/// The argument by which the demo starts itself as the server whose memory is measured.
pub(super) const IDLE_SERVER: &str = "--idle-server";

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) clients: usize,
    /// Of each client; no limit when it runs by time.
    pub(super) messages: u64,
    pub(super) seconds: Option<Duration>,
    pub(super) size: usize,
    pub(super) kinds: Vec<Kind>,
    pub(super) idle: usize,
    pub(super) seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clients: 64,
            messages: 1000,
            seconds: None,
            size: 64 * 1024,
            kinds: Kind::ALL.to_vec(),
            idle: 1000,
            seed: 1,
        }
    }
}

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Request {
    Run(Options),
    Help,
    /// Be the server whose memory is measured.
    IdleServer(Kind, PathBuf),
}

/// Reads a command line; an error is a sentence.
pub(super) fn parse(args: impl IntoIterator<Item = String>) -> Result<Request, String> {
    let mut args = args.into_iter();
    let mut options = Options::default();
    let mut kinds = Vec::new();
    while let Some(arg) = args.next() {
        let (name, attached) = match arg.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        let mut value = || {
            attached.clone().or_else(|| args.next()).ok_or_else(|| format!("{name} needs a value"))
        };
        match name.as_str() {
            "--help" | "-h" => return Ok(Request::Help),
            "--quick" => {
                (options.clients, options.messages, options.idle) = (8, 100, 100);
            }
            "--clients" => options.clients = at_least_one(&name, &value()?, parse_number)?,
            "--messages" => options.messages = at_least_one(&name, &value()?, parse_number)?,
            "--size" => options.size = at_least_one(&name, &value()?, units::parse_bytes)?,
            "--idle" => options.idle = number(&name, &value()?, parse_number)?,
            "--seed" => options.seed = number(&name, &value()?, parse_number)?,
            "--seconds" => {
                let seconds = at_least_one(&name, &value()?, parse_number)?;
                options.seconds = Some(Duration::from_secs(seconds));
            }
            "--transport" => kinds.push(kind(&value()?)?),
            IDLE_SERVER => return Ok(Request::IdleServer(kind(&value()?)?, value()?.into())),
            _ => return Err(format!("no option {name}; --help lists them")),
        }
    }
    if options.seconds.is_some() {
        options.messages = u64::MAX;
    }
    if !kinds.is_empty() {
        options.kinds = kinds;
    }
    Ok(Request::Run(options))
}

fn parse_number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn number<T>(name: &str, text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    parse(text).ok_or_else(|| format!("{name}: {text:?} is not a number"))
}

fn at_least_one<T: Default + PartialEq>(
    name: &str,
    text: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, String> {
    let number = number(name, text, parse)?;
    if number == T::default() { Err(format!("{name} must be at least 1")) } else { Ok(number) }
}

fn kind(name: &str) -> Result<Kind, String> {
    Kind::named(name).ok_or_else(|| {
        let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        format!("no transport {name:?}; there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Request, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    fn options(line: &str) -> Options {
        match read(line) {
            Ok(Request::Run(options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn values_stand_behind_a_space_or_an_equals_sign() {
        let read = options("--clients 3 --size=2K --transport unix --transport=tcp4 --seed 9");
        assert_eq!((read.clients, read.size, read.seed), (3, 2048, 9));
        assert_eq!(read.kinds, [Kind::Unix, Kind::Tcp4]);
        assert_eq!(options(""), Options::default());
    }

    #[test]
    fn quick_may_be_refined() {
        let read = options("--quick --clients 2");
        assert_eq!((read.clients, read.messages), (2, 100));
    }

    #[test]
    fn by_time_there_is_no_number_of_messages() {
        let read = options("--seconds 2");
        assert_eq!((read.seconds, read.messages), (Some(Duration::from_secs(2)), u64::MAX));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, message) in [
            ("--clients", "--clients needs a value"),
            ("--clients 0", "--clients must be at least 1"),
            ("--clients x", "--clients: \"x\" is not a number"),
            ("--fast", "no option --fast; --help lists them"),
            ("here", "no option here; --help lists them"),
            (
                "--transport sctp",
                "no transport \"sctp\"; there are tcp4, tcp6, unix, abstract, buffered, \
                 tls, tls-unix, starttls, udp4, udp6, unixgram, cat",
            ),
        ] {
            assert_eq!(read(line), Err(message.to_owned()));
        }
    }

    #[test]
    fn help_is_found_anywhere() {
        assert_eq!(read("--quick --help"), Ok(Request::Help));
        assert_eq!(read("-h"), Ok(Request::Help));
    }
}
