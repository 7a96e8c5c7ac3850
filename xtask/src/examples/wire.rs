//! The peers' side of a script: TCP and Unix connections that wait only so long.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::Result;

/// How long anything may take before the example has failed; generous, because CI machines are busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until there is an answer or the patience is at an end.
pub(super) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("{what} did not come in {PATIENCE:?}").into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A server that we play.
pub(super) struct Door(TcpListener);

impl Door {
    pub(super) fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    pub(super) fn address(&self) -> String {
        self.0.local_addr().map(|address| address.to_string()).unwrap_or_default()
    }

    pub(super) fn accept(&self) -> Result<Wire> {
        wait_for("a connection", || match self.0.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                Wire::tcp(stream).map(Some)
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        })
    }
}

/// One connection.
pub(super) enum Wire {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Wire {
    /// To `HOST:PORT`, or to the path of a Unix socket.
    pub(super) fn connect(address: &str) -> Result<Self> {
        if address.contains('/') {
            let stream = UnixStream::connect(address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(Self::Unix(stream))
        } else {
            Self::tcp(TcpStream::connect(address)?)
        }
    }

    fn tcp(stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self::Tcp(stream))
    }

    pub(super) fn send(&mut self, text: &str) -> Result {
        match self {
            Self::Tcp(stream) => stream.write_all(text.as_bytes())?,
            Self::Unix(stream) => stream.write_all(text.as_bytes())?,
        }
        Ok(())
    }

    pub(super) fn expect(&mut self, text: &str) -> Result {
        let mut got = vec![0; text.len()];
        let mut filled = 0;
        while filled < got.len() {
            let count = self.read(&mut got[filled..])?;
            filled += count;
            if count == 0 || got[..filled] != text.as_bytes()[..filled] {
                let got = String::from_utf8_lossy(&got[..filled]).into_owned();
                return Err(format!("got {got:?}").into());
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write)?,
            Self::Unix(stream) => stream.shutdown(Shutdown::Write)?,
        }
        Ok(())
    }

    pub(super) fn ended(&mut self) -> Result {
        let mut rest = Vec::new();
        let mut piece = [0; 1024];
        loop {
            match self.read(&mut piece)? {
                0 if rest.is_empty() => return Ok(()),
                0 => {
                    return Err(format!(
                        "before its end came {:?}",
                        String::from_utf8_lossy(&rest)
                    )
                    .into());
                }
                count => rest.extend_from_slice(&piece[..count]),
            }
        }
    }

    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        Ok(match self {
            Self::Tcp(stream) => stream.read(into)?,
            Self::Unix(stream) => stream.read(into)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Wire, Wire) {
        let door = Door::open().unwrap();
        (Wire::connect(&door.address()).unwrap(), door.accept().unwrap())
    }

    #[test]
    fn what_is_sent_is_expected() {
        let (mut ours, mut theirs) = pair();
        theirs.send("one two").unwrap();
        ours.expect("one ").unwrap();
        ours.expect("two").unwrap();
        theirs.finish().unwrap();
        ours.ended().unwrap();
    }

    #[test]
    fn other_bytes_are_found() {
        let (mut ours, mut theirs) = pair();
        theirs.send("won").unwrap();
        assert!(ours.expect("one").is_err());
    }

    #[test]
    fn an_end_too_early_is_found() {
        let (mut ours, mut theirs) = pair();
        theirs.send("on").unwrap();
        theirs.finish().unwrap();
        assert!(ours.expect("one").is_err());
    }

    #[test]
    fn bytes_before_the_end_are_found() {
        let (mut ours, mut theirs) = pair();
        theirs.send("more").unwrap();
        theirs.finish().unwrap();
        assert!(ours.ended().is_err());
    }
}
