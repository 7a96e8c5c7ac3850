//! The verifier finds the mistakes that it is made for.

use std::io;

use bytes::{Buf, BytesMut};
use wharf_codec::{BytesCodec, Decoder, verify};

/// Pairs of bytes, with a mistake.
#[derive(Clone, Copy)]
enum Wrong {
    /// Forgets a byte that came alone.
    Forgets,
    /// Says that there is nothing, and gives a frame when it is asked again.
    Hesitates,
    /// Adds a byte of its own.
    Adds,
}

struct Pairs(Wrong, bool);

impl Decoder for Pairs {
    type Item = [u8; 2];
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<[u8; 2]>> {
        match self.0 {
            Wrong::Forgets if buffer.len() == 1 => buffer.clear(),
            Wrong::Adds if buffer.len() == 1 => {
                buffer.extend_from_slice(b"x");
                return Ok(None);
            }
            Wrong::Hesitates if !buffer.is_empty() => {
                self.1 = !self.1;
                if self.1 {
                    return Ok(None);
                }
            }
            _ => {}
        }
        if buffer.len() < 2 {
            return Ok(None);
        }
        let pair = [buffer[0], buffer[1]];
        buffer.advance(2);
        Ok(Some(pair))
    }
}

fn verdict(wrong: Wrong) -> String {
    let panicked = std::panic::catch_unwind(|| {
        drop(verify::every_split(|| Pairs(wrong, false), b"abcdef"));
    });
    let payload = panicked.expect_err("the mistake was not found");
    payload.downcast_ref::<String>().cloned().unwrap_or_else(|| {
        payload.downcast_ref::<&str>().map_or(String::new(), |text| (*text).to_owned())
    })
}

#[test]
fn a_codec_that_depends_on_how_its_input_is_cut_is_found() {
    assert!(verdict(Wrong::Forgets).contains("in two pieces, in pieces of [1, 5] bytes"));
}

#[test]
fn a_codec_that_changes_its_mind_is_found() {
    assert!(verdict(Wrong::Hesitates).contains("without a byte it has"));
}

#[test]
fn a_codec_that_adds_bytes_is_found() {
    assert!(verdict(Wrong::Adds).contains("made the buffer longer"));
}

#[test]
#[should_panic(expected = "other frames when its input comes in two pieces")]
fn pieces_are_no_frames() {
    drop(verify::every_split(BytesCodec::new, b"ab"));
}
