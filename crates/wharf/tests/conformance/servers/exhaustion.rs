//! Running out of descriptors: the listener rests, once and for all listeners together, and nobody is lost.
//!
//! The limit is the process's, so each test has a process of its own.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use wharf::memory::ManualClock;
use wharf::{Listening, Server, tcp};

use super::process::{alone, descriptors};
use super::rig::{End, Peer, Story, TestLoop, address};

/// A process that has no descriptor left. Dropping this gives it as many as before.
struct Exhausted {
    before: u64,
    _filling: Vec<File>,
}

impl Exhausted {
    fn new() -> Self {
        let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let highest = descriptors().iter().map(|(number, _)| *number).max().unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, u64::try_from(highest).unwrap() + 1, hard).unwrap();
        // What lies free below the limit is filled.
        let filling = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        let error = File::open("/dev/null").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::EMFILE as i32));
        Self { before, _filling: filling }
    }
}

impl Drop for Exhausted {
    fn drop(&mut self) {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, self.before, hard).unwrap();
    }
}

type Reports = Rc<RefCell<Vec<(Option<i32>, Duration)>>>;

/// A server on two addresses, with clients waiting on both, in a process that has just run out of descriptors.
fn resting(
    clients: usize,
) -> (TestLoop, ManualClock, Server, Story, Reports, Vec<Peer>, Exhausted) {
    let (mut ev, clock) = TestLoop::manual();
    let story = Story::new();
    let reports = Reports::default();
    let seen = Rc::clone(&reports);
    let listen = tcp::listen(&ev.handle, ["127.0.0.1:0", "127.0.0.2:0"], story.echoes())
        .on_accept_error(move |trouble| {
            seen.borrow_mut().push((trouble.error.raw_os_error(), trouble.resting));
        });
    let server = ev.finish(listen).unwrap();
    let places: Vec<_> = server.addresses().iter().flat_map(|it| it.ip()).collect();
    let peers: Vec<Peer> = (0..clients).map(|it| Peer::tcp(places[it % 2])).collect();
    let exhausted = Exhausted::new();
    ev.until(|| !reports.borrow().is_empty());
    (ev, clock, server, story, reports, peers, exhausted)
}

const REST: Duration = Duration::from_secs(1);

#[test]
fn sv_20_running_out_of_descriptors_is_one_report_and_one_rest() {
    alone(module_path!(), "sv_20_running_out_of_descriptors_is_one_report_and_one_rest", || {
        let (mut ev, clock, server, story, reports, mut peers, exhausted) = resting(6);
        let events = ev.statistics().events;
        ev.quieten();
        assert_eq!(*reports.borrow(), [(Some(Errno::EMFILE as i32), REST)]);
        assert_eq!(ev.statistics().timers, 1);
        assert_eq!(ev.statistics().events, events, "a resting listener is not polled");
        assert_eq!((story.born(), server.is_serving()), (0, true));
        assert!(ev.listeners().iter().all(|listener| listener.state == Listening::Resting));
        drop(exhausted);
        clock.advance(REST - Duration::from_millis(1));
        ev.quieten();
        assert_eq!(story.born(), 0, "it rests for a second");
        clock.advance(Duration::from_millis(1));
        peers.iter().for_each(|peer| peer.send(b"still here"));
        ev.until(|| peers.iter_mut().all(|peer| peer.received() == b"still here"));
        assert_eq!((reports.borrow().len(), ev.statistics().timers), (1, 0));
        assert!(ev.listeners().iter().all(|listener| listener.state == Listening::Accepting));
    });
}

#[test]
fn sv_20_who_is_still_out_of_descriptors_after_the_rest_rests_again() {
    alone(
        module_path!(),
        "sv_20_who_is_still_out_of_descriptors_after_the_rest_rests_again",
        || {
            let (mut ev, clock, _server, story, reports, peers, exhausted) = resting(2);
            for round in 2..5 {
                clock.advance(REST);
                ev.until(|| reports.borrow().len() == round);
                ev.quieten();
                assert_eq!((reports.borrow().len(), ev.statistics().timers), (round, 1));
            }
            drop(exhausted);
            clock.advance(REST);
            ev.until(|| story.made() == peers.len());
        },
    );
}

#[test]
fn sv_20_connections_that_are_there_go_on_during_the_rest() {
    alone(module_path!(), "sv_20_connections_that_are_there_go_on_during_the_rest", || {
        let (mut ev, _clock) = TestLoop::manual();
        let story = Story::new();
        let troubles = Rc::new(Cell::new(0));
        let seen = Rc::clone(&troubles);
        let listen = tcp::listen(&ev.handle, "127.0.0.1:0", story.echoes())
            .on_accept_error(move |_| seen.set(seen.get() + 1));
        let server = ev.finish(listen).unwrap();
        let mut inside = Peer::tcp(address(&server));
        ev.until(|| story.made() == 1);
        let _outside = Peer::tcp(address(&server));
        let exhausted = Exhausted::new();
        ev.until(|| troubles.get() == 1);
        inside.send(b"hello");
        ev.until(|| inside.received() == b"hello");
        drop(exhausted);
    });
}

#[test]
fn sv_21_a_server_closed_while_it_rests_stays_closed() {
    alone(module_path!(), "sv_21_a_server_closed_while_it_rests_stays_closed", || {
        let (mut ev, clock, server, story, reports, mut peers, exhausted) = resting(2);
        server.close();
        assert_eq!(ev.statistics().timers, 0, "the rest is taken back");
        drop(exhausted);
        assert!(peers.iter_mut().all(|peer| peer.end() == Some(End::Reset)));
        // The numbers of the closed listeners are free for others, who must not be mistaken for them.
        let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
        let _visitor = Peer::tcp(stranger.local_addr().unwrap());
        clock.advance(REST * 2);
        ev.quieten();
        assert_eq!((story.born(), reports.borrow().len()), (0, 1));
        assert_eq!((ev.statistics().sources, server.is_serving()), (0, false));
        stranger.accept().expect("the stranger's visitor is the stranger's");
        server.start_serving().unwrap_err();
    });
}

#[test]
fn sv_21_a_server_paused_while_it_rests_stays_paused() {
    alone(module_path!(), "sv_21_a_server_paused_while_it_rests_stays_paused", || {
        let (mut ev, clock, server, story, _reports, peers, exhausted) = resting(2);
        server.pause_serving();
        drop(exhausted);
        clock.advance(REST);
        ev.quieten();
        assert_eq!((story.born(), ev.statistics().timers), (0, 0));
        server.start_serving().unwrap();
        ev.until(|| story.made() == peers.len());
    });
}
