//! Fairness: whatever is endless, the others get their turn.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use wharf::{
    EventLoop, Flow, Limits, LoopHandle, Protocol, Remote, Server, TransportRef, tcp, unix,
};

use super::{Lines, manual_loop, turns};

/// How often each endless thing came, by name.
#[derive(Clone, Default)]
struct Tally(Rc<RefCell<std::collections::BTreeMap<&'static str, usize>>>);

impl Tally {
    fn add(&self, name: &'static str, count: usize) {
        *self.0.borrow_mut().entry(name).or_default() += count;
    }

    fn get(&self, name: &str) -> usize {
        self.0.borrow().get(name).copied().unwrap_or_default()
    }
}

/// Endless input: whatever is read is there again at once.
struct Firehose {
    peer: UnixStream,
    tally: Tally,
}

impl Protocol for Firehose {
    fn data_received(&mut self, _: &TransportRef, data: &[u8]) {
        self.tally.add("bytes in", data.len());
        while (&self.peer).write(&[1; 64 * 1024]).is_ok() {}
    }
}

/// Endless output: whatever was sent is taken at once, and there is more.
struct Spring {
    peer: UnixStream,
    tally: Tally,
}

impl Spring {
    fn pour(&self, transport: &TransportRef) {
        let mut buffer = vec![0; 256 * 1024];
        while (&self.peer).read(&mut buffer).is_ok_and(|count| count > 0) {}
        while transport.write(&[2; 4096]) == Flow::Open {}
    }
}

impl Protocol for Spring {
    fn connection_made(&mut self, transport: &TransportRef) {
        transport.set_write_buffer_limits(Limits::high(16 * 1024));
        self.pour(transport);
    }

    fn data_received(&mut self, _: &TransportRef, _: &[u8]) {}

    fn pause_writing(&mut self, _: &TransportRef) {
        self.tally.add("pauses", 1);
        let mut buffer = vec![0; 256 * 1024];
        while (&self.peer).read(&mut buffer).is_ok_and(|count| count > 0) {}
    }

    fn resume_writing(&mut self, transport: &TransportRef) {
        self.tally.add("resumes", 1);
        self.pour(transport);
    }
}

/// An endless flood of clients: each that is accepted brings the next.
struct Flooded {
    tally: Tally,
}

impl Protocol for Flooded {
    fn connection_made(&mut self, transport: &TransportRef) {
        self.tally.add("accepts", 1);
        let port = transport.local_addr().and_then(|address| address.port()).unwrap();
        // The descriptor of the client goes at once; what it left in the backlog does not.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap());
        transport.abort();
    }

    fn data_received(&mut self, _: &TransportRef, _: &[u8]) {}
}

struct Echo;

impl Protocol for Echo {
    fn data_received(&mut self, transport: &TransportRef, data: &[u8]) {
        transport.write(data);
    }
}

fn chain_of_calls(handle: &LoopHandle, tally: &Tally) {
    let (again, count) = (handle.clone(), tally.clone());
    handle.call_soon(move || {
        count.add("calls", 1);
        chain_of_calls(&again, &count);
    });
}

fn chain_of_zero_timers(handle: &LoopHandle, tally: &Tally) {
    let (again, count) = (handle.clone(), tally.clone());
    handle.call_later(Duration::ZERO, move || {
        count.add("zero timers", 1);
        chain_of_zero_timers(&again, &count);
    });
}

fn chain_of_late_timers(handle: &LoopHandle, deadline: Instant, tally: &Tally) {
    let (again, count) = (handle.clone(), tally.clone());
    handle.call_at(deadline, move || {
        count.add("late timers", 1);
        chain_of_late_timers(&again, deadline, &count);
    });
}

fn chain_of_posts(remote: &Remote) {
    let again = remote.clone();
    remote.post(move |_| chain_of_posts(&again)).unwrap();
}

fn adopt<P: Protocol>(
    ev: &mut EventLoop,
    protocol: impl FnOnce(UnixStream) -> P,
) -> (TransportRef, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let handle = ev.handle().clone();
    let peer = theirs.try_clone().unwrap();
    let (transport, _) = ev.block_on(unix::adopt(&handle, ours, || protocol(theirs))).unwrap();
    (transport, peer)
}

const ACCEPT_BUDGET: usize = 4;

fn flood(ev: &mut EventLoop, tally: &Tally) -> Server {
    let (handle, tally) = (ev.handle().clone(), tally.clone());
    let server = ev.block_on(async {
        let factory = move || Flooded { tally: tally.clone() };
        let listen = tcp::listen(&handle, (Ipv4Addr::LOCALHOST, 0), factory);
        listen.accept_budget(ACCEPT_BUDGET).await.unwrap()
    });
    let port = server.addresses()[0].port().unwrap();
    for _ in 0..2 * ACCEPT_BUDGET {
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap());
    }
    server
}

/// How many turns everything endless is watched for.
const TURNS: usize = 50;

// invariant: T12
#[test]
fn l_60_nothing_endless_starves_anything_else() {
    let (mut ev, clock) = manual_loop();
    let tally = Tally::default();
    let lines = Lines::default();
    let (_echo, mut client) = adopt(&mut ev, |_| Echo);
    ev.call_later(Duration::from_secs(1), lines.note("a timer among others"));

    let count = tally.clone();
    let (_firehose, mut nozzle) = adopt(&mut ev, |peer| Firehose { peer, tally: count });
    nozzle.write_all(b"begin").unwrap();
    let count = tally.clone();
    let _spring = adopt(&mut ev, |peer| Spring { peer, tally: count });
    let _server = flood(&mut ev, &tally);
    let handle = ev.handle().clone();
    chain_of_calls(&handle, &tally);
    chain_of_zero_timers(&handle, &tally);
    chain_of_late_timers(&handle, handle.now(), &tally);
    chain_of_posts(&handle.remote());
    let count = tally.clone();
    let busy = ev.spawn(std::future::poll_fn(move |cx| {
        count.add("polls", 1);
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    }));

    turns(&mut ev, 3); // Until all of them flow.
    let names = ["bytes in", "resumes", "accepts", "calls", "zero timers", "late timers", "polls"];
    let before = names.map(|name| tally.get(name));
    clock.advance(Duration::from_secs(1));
    let mut answered = Vec::new();
    for turn in 0..TURNS {
        client.write_all(&[u8::try_from(turn).unwrap()]).unwrap();
        turns(&mut ev, 1);
        let mut answer = [0; 16];
        if let Ok(count) = client.read(&mut answer) {
            answered.extend_from_slice(&answer[..count]);
        }
    }
    let flowed: Vec<usize> =
        names.iter().zip(before).map(|(name, before)| tally.get(name) - before).collect();
    let [bytes, resumes, accepts, calls, zero, late, polls] = flowed[..] else { unreachable!() };

    assert_eq!(answered.len(), TURNS, "the echo answers in the turn of the question");
    assert_eq!(lines.take(), ["a timer among others"]);
    assert_eq!([calls, zero, late, polls], [TURNS; 4], "chains move by one link a turn");
    // The system may take or give a little less than a turn's worth, never nothing; the budgets are the most.
    assert!((TURNS..=ACCEPT_BUDGET * TURNS).contains(&accepts), "{accepts} accepts");
    assert!((TURNS * 1024..=512 * 1024 * TURNS).contains(&bytes), "{bytes} bytes in");
    assert!(resumes >= TURNS / 4, "{resumes} resumes");
    drop(busy);
}

#[test]
fn l_60_a_timer_that_is_always_late_does_not_starve_the_others() {
    let (mut ev, clock) = manual_loop();
    let (tally, lines) = (Tally::default(), Lines::default());
    let handle = ev.handle().clone();
    let past = handle.now();
    ev.call_later(Duration::from_secs(1), lines.note("victim"));
    chain_of_late_timers(&handle, past, &tally);
    clock.advance(Duration::from_secs(2));
    turns(&mut ev, 1);
    assert_eq!((tally.get("late timers"), lines.take()), (1, vec!["victim".to_owned()]));
}

#[test]
fn l_60_a_connection_that_always_has_bytes_reads_no_more_than_its_budget_a_turn() {
    const BUDGET: usize = 256 * 1024;
    let (mut ev, _clock) = manual_loop();
    let tally = Tally::default();
    let most = Rc::new(Cell::new(0));
    let count = tally.clone();
    let (_firehose, mut nozzle) = adopt(&mut ev, |peer| Firehose { peer, tally: count });
    nozzle.write_all(b"begin").unwrap();
    for _ in 0..TURNS {
        let before = tally.get("bytes in");
        turns(&mut ev, 1);
        most.set(most.get().max(tally.get("bytes in") - before));
    }
    // A read begins while the budget lasts, so the last one may go over it by one buffer.
    assert!(most.get() > 0 && most.get() < 2 * BUDGET, "{} bytes in a turn", most.get());
}
