//! Anything at all, in any order: lists of operations, and what must hold whatever they are.

use wharf::{Flow, PipeTransport, SubprocessTransportRef};

use super::hearing::{Call, Heard, shell};
use crate::servers::rig::TestLoop;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % sides
    }
}

/// Children of all kinds: that talk, listen, end, do not end, close this and that, and leave others behind.
const LINES: [&str; 8] = [
    "cat",
    "exit 3",
    "yes | head -c 300000",
    "exec sleep 1000",
    "exec <&-; echo deaf; exec sleep 1000 >&-",
    "cat & echo left; exit 1",
    "read x; echo $x >&2; kill -9 $$",
    "exec >&- 2>&-; cat >/dev/null",
];

fn do_anything(dice: &mut Dice, transport: &SubprocessTransportRef) {
    let fd = i32::try_from(dice.roll(3)).unwrap();
    match (dice.roll(12), transport.pipe_transport(fd)) {
        (0..=3, Some(PipeTransport::Write(pipe))) => {
            let size = 1_usize << dice.roll(18);
            if pipe.write(&vec![b'\n'; size]) == Flow::Closed {
                assert!(pipe.is_closing());
            }
        }
        (4, Some(PipeTransport::Write(pipe))) => pipe.write_eof(),
        (5, Some(PipeTransport::Write(pipe))) => pipe.close(),
        (6, Some(PipeTransport::Write(pipe))) => pipe.abort(),
        (0..=1, Some(PipeTransport::Read(pipe))) => pipe.pause_reading(),
        (2..=3, Some(PipeTransport::Read(pipe))) => pipe.resume_reading(),
        (4, Some(PipeTransport::Read(pipe))) => pipe.close(),
        (5, Some(PipeTransport::Read(pipe))) => pipe.abort(),
        (7, _) => {
            // Stopping, going on, ending: it may be gone by now.
            let signals = [19, 18, 18, 15, 9, 0];
            let _ = transport.send_signal(signals[usize::try_from(dice.roll(6)).unwrap()]);
        }
        (8, _) if dice.roll(4) == 0 => transport.close(),
        (9, _) if dice.roll(4) == 0 => transport.abort(),
        (10, _) if dice.roll(4) == 0 => transport.fail("a cause".into()),
        _ => drop(transport.status()),
    }
}

#[test]
fn sp_41_whatever_is_done_to_children_the_grammar_holds_and_nothing_is_left() {
    for seed in 1..=60 {
        let mut dice = Dice(seed * 0x9e37_79b9);
        let mut ev = TestLoop::new();
        let mut all: Vec<Heard> = Vec::new();
        for _ in 0..40 {
            match dice.roll(6) {
                0 if all.len() < 4 => {
                    let heard = Heard::new();
                    let mut of_its_own = Dice(dice.roll(u64::MAX) | 1);
                    let calls =
                        [Call::Made, Call::Data(1), Call::PipeLost(1), Call::Exited, Call::Lost];
                    let call = calls[usize::try_from(dice.roll(5)).unwrap()];
                    heard.on(call, move |transport| do_anything(&mut of_its_own, transport));
                    let line = LINES[usize::try_from(dice.roll(8)).unwrap()];
                    let child = shell(&ev, &heard, line);
                    ev.finish(child).unwrap();
                    all.push(heard);
                }
                1 => ev.quieten(),
                2 => ev.turn(),
                _ if all.is_empty() => {}
                _ => {
                    let at = usize::try_from(dice.roll(all.len() as u64)).unwrap();
                    do_anything(&mut dice, &all[at].transport());
                }
            }
        }
        // Half of the time their loop just goes.
        if dice.roll(2) == 0 {
            for heard in &all {
                heard.transport().close();
            }
            ev.until(|| all.iter().all(Heard::is_lost));
        }
        drop(ev);
        for heard in &all {
            let lines = heard.lines();
            assert!(heard.is_lost(), "seed {seed}: {lines:?}");
            for fd in 0..3 {
                assert_eq!(heard.count(Call::PipeLost(fd)), 1, "seed {seed}: {lines:?}");
            }
            assert_eq!(
                (heard.count(Call::Exited), heard.alive()),
                (1, 0),
                "seed {seed}: {lines:?}"
            );
        }
    }
}
