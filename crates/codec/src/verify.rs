//! A test for codecs: however its input is cut, a codec gives the same frames.
//!
//! A byte stream has no borders: what a peer sends in one piece may come in many, and the other way round.
//! A codec that looks only at whole inputs passes every test of its author and fails on a slow network.
//!
//! ```
//! use wharf_codec::{LineCodec, verify};
//!
//! let frames = verify::every_split(LineCodec::new, b"one\r\ntwo\nrest");
//! assert_eq!(frames.len(), 3);
//! verify::round_trip(LineCodec::new, &["", "one", "two"]);
//! ```
//!
//! These functions panic with a sentence when the codec fails, as `assert!` does; they are for tests.

use std::fmt::Debug;

use bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

/// Inputs up to this length are cut in two at each position; of longer ones as many positions are tried, evenly.
const POSITIONS: usize = 2048;

/// How many times an input is cut at random.
const ROUNDS: u64 = 64;

/// What a codec made of its input: frames, and errors as text.
pub type Frames<T> = Vec<Result<T, String>>;

/// What `codec` gives for `pieces` that come one after the other, and then the end: what a protocol that answers
/// every error with [`AfterError::GoOn`](crate::AfterError::GoOn) would be told.
///
/// # Panics
/// When the codec gives a frame that it did not have a moment before and no byte has come since, and when it makes
/// the buffer longer.
pub fn frames<'a, C>(codec: &mut C, pieces: impl IntoIterator<Item = &'a [u8]>) -> Frames<C::Item>
where
    C: Decoder,
    C::Item: Debug,
    C::Error: ToString,
{
    let mut frames = Vec::new();
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        if !drain(codec, &mut buffer, &mut frames) {
            return frames;
        }
    }
    loop {
        let before = buffer.len();
        match codec.decode_eof(&mut buffer) {
            Ok(Some(frame)) => frames.push(Ok(frame)),
            Ok(None) => return frames,
            Err(error) => {
                frames.push(Err(error.to_string()));
                if buffer.len() == before {
                    return frames;
                }
            }
        }
    }
}

/// Takes the frames out of `buffer`; says whether the codec goes on.
fn drain<C>(codec: &mut C, buffer: &mut BytesMut, frames: &mut Frames<C::Item>) -> bool
where
    C: Decoder,
    C::Item: Debug,
    C::Error: ToString,
{
    let mut stuck = false;
    loop {
        let before = buffer.len();
        let outcome = codec.decode(buffer);
        assert!(buffer.len() <= before, "the codec made the buffer longer");
        match outcome {
            Ok(Some(frame)) => {
                stuck = false;
                frames.push(Ok(frame));
            }
            Ok(None) => break,
            // The connection would fail here.
            Err(_) if buffer.len() == before && (stuck || before == 0) => return false,
            Err(error) => {
                stuck = buffer.len() == before;
                frames.push(Err(error.to_string()));
            }
        }
    }
    match codec.decode(buffer) {
        Ok(None) => {}
        Ok(Some(frame)) => panic!("the codec had no frame, and without a byte it has {frame:?}"),
        Err(error) => panic!("the codec had no frame, and without a byte: {}", error.to_string()),
    }
    true
}

/// Gives `input` to a codec in one piece, in two pieces at each position, byte by byte, and in random pieces that are
/// the same in every run; and gives back what all of them gave.
///
/// # Panics
/// When two ways give different frames or errors, and as [`frames`] does.
pub fn every_split<C>(mut make: impl FnMut() -> C, input: &[u8]) -> Frames<C::Item>
where
    C: Decoder,
    C::Item: Debug + PartialEq,
    C::Error: ToString,
{
    let whole = frames(&mut make(), [input]);
    let mut compare = |way: &str, pieces: &[&[u8]]| {
        let cut = frames(&mut make(), pieces.iter().copied());
        if cut != whole {
            let lengths: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
            panic!(
                "the codec gives other frames when its input comes {way}, in pieces of {lengths:?} bytes:\n \
                 in one piece: {whole:?}\n in pieces:    {cut:?}"
            );
        }
    };
    let step = input.len().div_ceil(POSITIONS).max(1);
    for at in (0..=input.len()).step_by(step) {
        let (head, tail) = input.split_at(at);
        compare("in two pieces", &[head, tail]);
    }
    compare("byte by byte", &input.chunks(1).collect::<Vec<_>>());
    for seed in 1..=ROUNDS {
        compare("in random pieces", &random_pieces(input, seed));
    }
    whole
}

/// Cuts `input` in pieces of up to a size that grows with the seed; some are empty.
fn random_pieces(input: &[u8], seed: u64) -> Vec<&[u8]> {
    // splitmix64: short, and good enough to cut.
    let mut state = seed;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let largest = 1 + (input.len() as u64).min(seed * seed);
    let mut rest = input;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let len =
            usize::try_from(random() % (largest + 1)).map_or(rest.len(), |len| len.min(rest.len()));
        let (piece, tail) = rest.split_at(len);
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

/// Encodes `items` one behind the other, cuts that in every way, and compares what comes out with what went in.
///
/// # Panics
/// When an item cannot be encoded, another comes out than went in, and as [`every_split`] does.
pub fn round_trip<C, I>(mut make: impl FnMut() -> C, items: &[I])
where
    C: Decoder + Encoder<I>,
    C::Item: Debug + PartialEq + PartialEq<I>,
    I: Clone + Debug,
    <C as Decoder>::Error: ToString,
    <C as Encoder<I>>::Error: ToString,
{
    let mut buffer = BytesMut::new();
    let mut codec = make();
    for item in items {
        if let Err(error) = codec.encode(item.clone(), &mut buffer) {
            panic!("{item:?} cannot be encoded: {}", error.to_string());
        }
    }
    let frames = every_split(make, &buffer);
    let same = frames.len() == items.len()
        && frames.iter().zip(items).all(|(frame, item)| frame.as_ref().is_ok_and(|f| f == item));
    assert!(same, "what comes out is not what went in:\n in:  {items:?}\n out: {frames:?}");
}
