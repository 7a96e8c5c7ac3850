//! A client of ours, that says something, waits for an answer, and ends as it is told.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use wharf::tls::ClientConfig;
use wharf::{EventLoop, Lost, OneshotSender, Protocol, TransportRef, oneshot, tcp, tls};

use crate::served::Facts;
use crate::tools::PATIENCE;

/// Who ends the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    We,
    They,
}

/// What became of a conversation.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) facts: Facts,
    pub(crate) heard: String,
    pub(crate) lost: String,
}

struct Caller {
    heard: Rc<RefCell<Vec<u8>>>,
    say: &'static str,
    expect: &'static str,
    ends: Ends,
    facts: Option<Facts>,
    over: Option<OneshotSender<(Facts, String)>>,
}

impl Protocol for Caller {
    fn connection_made(&mut self, transport: &TransportRef) {
        self.facts = Some(Facts::of(transport));
        transport.write(self.say.as_bytes());
    }

    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        let mut heard = self.heard.borrow_mut();
        heard.extend_from_slice(data);
        let expected = self.expect.as_bytes();
        let complete = heard.windows(expected.len()).any(|part| part == expected);
        if complete && self.ends == Ends::We {
            transport.close();
        }
    }

    fn connection_lost(&mut self, _: &TransportRef, why: &Lost) {
        let over = self.over.take().expect("there is one end");
        let facts = self.facts.take().expect("there was a beginning");
        let _ = over.send((facts, why.to_string()));
    }
}

/// Connects, says something, and goes when `expect` has come or when the server goes.
///
/// # Errors
/// What connecting says.
pub(crate) fn call(
    config: impl Into<ClientConfig>,
    address: &str,
    name: &str,
    say: &'static str,
    expect: &'static str,
    ends: Ends,
) -> io::Result<Talk> {
    let mut ev = EventLoop::new()?;
    let handle = ev.handle().clone();
    let heard = Rc::new(RefCell::new(Vec::new()));
    let (over, ended) = oneshot();
    let caller =
        Caller { heard: Rc::clone(&heard), say, expect, ends, facts: None, over: Some(over) };
    let config = config.into().shutdown_timeout(Duration::from_secs(20));
    ev.block_on(async {
        let factory = tls::client(config, name.to_owned(), || caller);
        tcp::connect(&handle, address, factory).timeout(PATIENCE).await?;
        let (facts, lost) = handle
            .timeout(PATIENCE, ended)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
            .ok_or(io::ErrorKind::BrokenPipe)?;
        let heard = String::from_utf8_lossy(&heard.borrow()).into_owned();
        Ok(Talk { facts, heard, lost })
    })
}
