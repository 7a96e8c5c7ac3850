//! In which order addresses are tried, and when the next one starts: RFC 8305, without the connecting.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use wharf_reactor::{LoopHandle, Sleep};

/// How addresses are raced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Racing {
    /// How long an attempt has before the next one starts beside it; `None` waits for it to fail.
    pub(crate) delay: Option<Duration>,
    /// How many addresses of the first family come before the families alternate; zero leaves the order alone.
    pub(crate) interleave: usize,
}

impl Racing {
    /// RFC 8305's recommended delay, and its count for the first family.
    pub(crate) const DEFAULT: Self =
        Self { delay: Some(Duration::from_millis(250)), interleave: 1 };
}

/// The order in which to try `addresses`: `first_family` of the first one's family, then the families in turn, each in
/// the resolver's order. Zero leaves the resolver's order alone.
pub(crate) fn interleave(addresses: &[SocketAddr], first_family: usize) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().filter(|_| first_family > 0) else {
        return addresses.to_vec();
    };
    let (mut ours, mut others): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut order: Vec<SocketAddr> = ours.drain(..first_family.min(ours.len()) - 1).collect();
    let (mut ours, mut others) = (ours.drain(..), others.drain(..));
    loop {
        match (ours.next(), others.next()) {
            (None, None) => return order,
            (one, other) => order.extend([one, other].into_iter().flatten()),
        }
    }
}

/// The attempts that failed, in the order in which they did.
pub(crate) type Failures = Vec<(SocketAddr, io::Error)>;

/// Starts `attempt` on one address after the other: the next when the last one has failed or has had its time. The first
/// to succeed wins, and the others are dropped.
pub(crate) async fn race<T, F>(
    handle: &LoopHandle,
    addresses: &[SocketAddr],
    delay: Option<Duration>,
    mut attempt: impl FnMut(SocketAddr) -> F,
) -> Result<T, Failures>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = addresses.iter().copied();
    let mut running: Vec<(SocketAddr, Pin<Box<F>>)> = Vec::new();
    let mut stagger: Option<Pin<Box<Sleep>>> = None;
    let mut failures = Failures::new();
    std::future::poll_fn(move |cx| {
        let mut start_next = running.is_empty();
        loop {
            if std::mem::take(&mut start_next) {
                if let Some(address) = waiting.next() {
                    running.push((address, Box::pin(attempt(address))));
                    stagger = delay.map(|delay| Box::pin(handle.sleep(delay)));
                }
            }
            let mut place = 0;
            while place < running.len() {
                let (address, future) = &mut running[place];
                match future.as_mut().poll(cx) {
                    Poll::Ready(Ok(winner)) => {
                        running.clear();
                        return Poll::Ready(Ok(winner));
                    }
                    Poll::Ready(Err(error)) => {
                        failures.push((*address, error));
                        drop(running.remove(place));
                        start_next = true;
                    }
                    Poll::Pending => place += 1,
                }
            }
            if waiting.len() == 0 {
                if running.is_empty() {
                    return Poll::Ready(Err(std::mem::take(&mut failures)));
                }
                return Poll::Pending;
            }
            if stagger.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready()) {
                start_next = true;
            }
            if !start_next {
                return Poll::Pending;
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;
    use wharf_core::memory::ManualClock;
    use wharf_reactor::EventLoop;

    fn addresses(names: &str) -> Vec<SocketAddr> {
        let address = |name: &str| match name.split_at(1) {
            ("4", port) => format!("127.0.0.1:{port}"),
            (_, port) => format!("[::1]:{port}"),
        };
        names.split_whitespace().map(|name| address(name).parse().unwrap()).collect()
    }

    #[test]
    fn families_alternate_after_the_first_ones() {
        for (first_family, given, wanted) in [
            (0, "61 62 41 42", "61 62 41 42"),
            (1, "61 62 63 41 42", "61 41 62 42 63"),
            (2, "61 62 63 41 42", "61 62 41 63 42"),
            (9, "61 62 41", "61 62 41"),
            (1, "41 42", "41 42"),
            (1, "", ""),
        ] {
            let order = interleave(&addresses(given), first_family);
            assert_eq!(order, addresses(wanted), "{first_family} of the first family of {given}");
        }
    }

    /// Races three attempts that end as `script` says after so many milliseconds; gives the log and the outcome.
    fn run(
        delay: Option<u64>,
        script: &'static [(u64, bool)],
    ) -> (Vec<String>, Result<u16, usize>) {
        let clock = ManualClock::new();
        let mut ev = EventLoop::builder().clock(clock.clone()).build().unwrap();
        let handle = ev.handle().clone();
        let log = Rc::new(RefCell::new(Vec::new()));
        let (start, entries) = (handle.now(), Rc::clone(&log));
        let list: Vec<SocketAddr> = (0..script.len())
            .map(|port| SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap())))
            .collect();
        let racing = handle.clone();
        let task = ev.spawn(async move {
            let attempt = |address: SocketAddr| {
                let (millis, succeeds) = script[usize::from(address.port())];
                let at = racing.now().duration_since(start).as_millis();
                entries.borrow_mut().push(format!("{}@{at}", address.port()));
                let sleep = racing.sleep(Duration::from_millis(millis));
                async move {
                    sleep.await;
                    if succeeds {
                        Ok(address.port())
                    } else {
                        Err(io::ErrorKind::ConnectionRefused.into())
                    }
                }
            };
            let delay = delay.map(Duration::from_millis);
            race(&racing, &list, delay, attempt).await.map_err(|failures| failures.len())
        });
        for _ in 0..2000 {
            if task.is_finished() {
                break;
            }
            for _ in 0..4 {
                ev.turn(Some(Duration::ZERO)).unwrap();
            }
            clock.advance(Duration::from_millis(1));
        }
        assert!(task.is_finished(), "the race did not end");
        let outcome = ev.block_on(task).unwrap();
        (log.take(), outcome)
    }

    #[test]
    fn the_next_attempt_starts_when_the_delay_is_over_or_the_last_one_failed() {
        let (log, outcome) = run(Some(100), &[(1000, true), (1000, true), (10, true)]);
        assert_eq!((log, outcome), (vec!["0@0".into(), "1@100".into(), "2@200".into()], Ok(2)));
        let (log, outcome) = run(Some(100), &[(20, false), (5, false), (10, true)]);
        assert_eq!((log, outcome), (vec!["0@0".into(), "1@20".into(), "2@25".into()], Ok(2)));
    }

    #[test]
    fn without_a_delay_addresses_are_tried_one_after_the_other() {
        let (log, outcome) = run(None, &[(500, false), (5, false), (10, false)]);
        assert_eq!((log, outcome), (vec!["0@0".into(), "1@500".into(), "2@505".into()], Err(3)));
    }

    #[test]
    fn the_first_to_succeed_wins_even_when_it_started_last() {
        let (_, outcome) = run(Some(10), &[(100, true), (100, true), (1, true)]);
        assert_eq!(outcome, Ok(2));
    }
}
