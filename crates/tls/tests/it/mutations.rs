//! Records that were cut, changed, repeated and left out.

use super::model::{Deed, Ground};

/// What brings a client to the end of its handshake.
const HANDSHAKE: [Deed; 6] =
    [Deed::Send, Deed::Turn, Deed::Turn, Deed::Read, Deed::Send, Deed::Turn];

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u16 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u16::try_from(self.0 >> 48).unwrap_or_default()
    }

    fn deed(&mut self) -> Deed {
        let (number, more) = (self.next(), self.next());
        let small = u8::try_from(more % 256).unwrap_or_default();
        match number % 22 {
            0..=3 => Deed::Write(more % 20_000),
            4..=8 => Deed::Send,
            9 => Deed::Flip(self.next(), small),
            10 => Deed::Cut(more % 300),
            11 => Deed::Repeat,
            12 => Deed::Garbage(more % 100, small),
            13 => Deed::Goodbye,
            14 | 15 => Deed::Read,
            16 => Deed::Refresh,
            17 => Deed::End,
            18 => Deed::Pause(more % 2 == 0),
            19 if more % 8 == 0 => Deed::Close,
            _ => Deed::Turn,
        }
    }
}

#[test]
fn whatever_a_client_sends_the_story_follows_the_rules() {
    let ground = Ground::new();
    let mut numbers = Numbers(6);
    for round in 0..600 {
        let mut deeds = if round % 4 == 0 { Vec::new() } else { HANDSHAKE.to_vec() };
        deeds.extend((0..30).map(|_| numbers.deed()));
        ground.play(&deeds);
    }
}

#[test]
fn one_turned_bit_anywhere_in_the_handshake_is_survived() {
    let ground = Ground::new();
    for place in (0..1800).step_by(31) {
        let mut deeds = vec![Deed::Flip(place, 3)];
        deeds.extend(&HANDSHAKE[1..]);
        ground.play(&deeds);
        let mut deeds = HANDSHAKE.to_vec();
        deeds[4] = Deed::Flip(place, 3);
        deeds.extend([Deed::Write(100), Deed::Send, Deed::Turn]);
        ground.play(&deeds);
    }
}
