//! The codecs by example, and under random input.

use bytes::BytesMut;
use proptest::prelude::*;
use wharf_codec::{
    ByteOrder, Decoder, DelimiterCodec, Encoder, FrameError, LengthCodec, LineCodec, LineEnding,
    TextLineCodec, verify,
};

use crate::model::{self, Settings};

fn text<T: AsRef<[u8]>>(frames: verify::Frames<T>) -> Vec<String> {
    frames
        .into_iter()
        .map(|frame| match frame {
            Ok(frame) => String::from_utf8_lossy(frame.as_ref()).into_owned(),
            Err(error) => format!("error: {error}"),
        })
        .collect()
}

fn encoded<C: Encoder<I, Error = FrameError>, I>(mut codec: C, item: I) -> Result<Vec<u8>, String> {
    let mut buffer = BytesMut::new();
    codec.encode(item, &mut buffer).map_err(|error| error.to_string())?;
    Ok(buffer.to_vec())
}

#[test]
fn lines_end_with_a_line_feed_or_with_both() {
    let frames = verify::every_split(LineCodec::new, b"one\ntwo\r\n\n\r\r\nlast");
    assert_eq!(text(frames), ["one", "two", "", "\r", "last"]);
    assert_eq!(text(verify::every_split(LineCodec::new, b"")), [""; 0]);
    assert_eq!(text(verify::every_split(LineCodec::new, b"one\n")), ["one"]);
}

#[test]
fn lines_are_sent_as_the_settings_say() {
    assert_eq!(encoded(LineCodec::new(), "one"), Ok(b"one\n".to_vec()));
    let internet = LineCodec::builder().ending(LineEnding::CrLf).build().unwrap();
    assert_eq!(encoded(internet, "one"), Ok(b"one\r\n".to_vec()));
    assert_eq!(encoded(TextLineCodec::new(), "one"), Ok(b"one\n".to_vec()));
}

#[test]
fn an_item_that_would_be_two_lines_is_refused() {
    for item in ["one\ntwo", "one\n", "one\r"] {
        let refused = Err("an item contains the end of a frame".to_owned());
        assert_eq!(encoded(LineCodec::new(), item), refused, "{item:?}");
    }
    assert_eq!(encoded(LineCodec::new(), "a\rb"), Ok(b"a\rb\n".to_vec()));
}

#[test]
fn a_line_that_is_no_text_is_an_error_and_the_next_is_a_line() {
    let frames = verify::every_split(TextLineCodec::new, b"\xc3\xa9\n\xc3\n\xc3\xa9");
    assert_eq!(text(frames), ["é", "error: a line is not UTF-8", "é"]);
}

#[test]
fn delimited_frames_need_their_delimiter() {
    let make = || DelimiterCodec::builder("--").build().unwrap();
    let frames = verify::every_split(make, b"a-b----c---d");
    assert_eq!(text(frames), ["a-b", "", "c", "error: the stream ended 2 bytes into a frame"]);
    assert_eq!(encoded(make(), "one"), Ok(b"one--".to_vec()));
}

#[test]
fn an_item_that_would_end_too_early_is_refused() {
    let make = || DelimiterCodec::builder("--").build().unwrap();
    assert!(encoded(make(), "a--b").is_err());
    assert!(encoded(make(), "a-").is_err(), "its end and the delimiter begin a delimiter");
    assert!(encoded(make(), "-a").is_ok());
}

#[test]
fn lengths_have_any_width_and_either_order() {
    for width in 1..=8 {
        for order in [ByteOrder::Big, ByteOrder::Little] {
            for counts in [false, true] {
                let make = || {
                    let settings = LengthCodec::builder().width(width).byte_order(order);
                    settings.counts_header(counts).build().unwrap()
                };
                verify::round_trip(make, &["", "a", "hello"]);
            }
        }
    }
    assert_eq!(encoded(LengthCodec::new(), "abc"), Ok(b"\0\0\0\x03abc".to_vec()));
    let settings = LengthCodec::builder().width(2).byte_order(ByteOrder::Little);
    let codec = settings.counts_header(true).build().unwrap();
    assert_eq!(encoded(codec, "abc"), Ok(b"\x05\0abc".to_vec()));
}

#[test]
fn a_stream_that_ends_within_a_frame_is_told_apart_from_one_that_ends_behind_it() {
    let frames = verify::every_split(LengthCodec::new, b"\0\0\0\x02ab\0\0\0\x02a");
    assert_eq!(text(frames), ["ab", "error: the stream ended 5 bytes into a frame"]);
    let frames = verify::every_split(LengthCodec::new, b"\0\0");
    assert_eq!(text(frames), ["error: the stream ended 2 bytes into a frame"]);
    let frames = verify::every_split(LengthCodec::new, b"\0\0\0\x02ab\0\0\0\0");
    assert_eq!(text(frames), ["ab", ""]);
}

#[test]
fn a_length_less_than_its_own_header_is_the_end() {
    let make = || LengthCodec::builder().counts_header(true).build().unwrap();
    let frames = verify::every_split(make, b"\0\0\0\x03abcdefgh");
    assert_eq!(text(frames), ["error: a frame says that it has 3 bytes, less than its header"]);
}

#[test]
fn a_line_is_searched_once_however_slowly_it_comes() {
    // Quadratic work would take minutes here.
    let mut codec = LineCodec::builder().limit(4 << 20).build().unwrap();
    let mut buffer = BytesMut::new();
    for _ in 0..(1 << 20) {
        buffer.extend_from_slice(b"x");
        assert!(codec.decode(&mut buffer).unwrap().is_none());
    }
    buffer.extend_from_slice(b"\n");
    assert_eq!(codec.decode(&mut buffer).unwrap().map(|line| line.len()), Some(1 << 20));
}

fn settings() -> impl Strategy<Value = Settings> {
    let numbers = (any::<u8>(), any::<u8>(), any::<u8>(), any::<bool>(), any::<bool>());
    numbers.prop_map(|(limit, width, oversize, flag, little)| Settings {
        limit,
        width,
        oversize,
        flag,
        little,
    })
}

/// Bytes among which line endings, delimiters and short lengths are frequent.
fn bytes(len: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), Just(b'b'), 0..9_u8, any::<u8>()];
    prop::collection::vec(byte, 0..len)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_input_is_cut_the_frames_are_the_same(settings in settings(), input in bytes(160)) {
        model::splits_do_not_matter(settings, &input);
    }

    #[test]
    fn what_a_codec_encodes_it_decodes(settings in settings(), items in prop::collection::vec(bytes(80), 0..6)) {
        model::what_goes_in_comes_out(settings, &items);
    }
}
