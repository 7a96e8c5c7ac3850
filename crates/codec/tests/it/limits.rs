//! Limits: on unless said otherwise, met by a named policy, and refused where they contradict the header.

use bytes::BytesMut;
use wharf_codec::{
    Decoder, DelimiterCodec, Encoder, LengthCodec, LimitError, LineCodec, Oversize, verify,
};

fn lines(oversize: Oversize) -> LineCodec {
    LineCodec::builder().limit(3).oversize(oversize).build().unwrap()
}

fn lengths(oversize: Oversize) -> LengthCodec {
    LengthCodec::builder().width(1).limit(3).oversize(oversize).build().unwrap()
}

fn delimited(oversize: Oversize) -> DelimiterCodec {
    DelimiterCodec::builder("!!").limit(3).oversize(oversize).build().unwrap()
}

fn outcome<T: AsRef<[u8]>>(frames: &verify::Frames<T>) -> Vec<&str> {
    let text = |frame: &T| std::str::from_utf8(frame.as_ref()).map(str::len);
    frames
        .iter()
        .map(|frame| match frame {
            Ok(frame) => ["", "a", "ab", "abc"][text(frame).unwrap()],
            Err(error) if error == "a frame is longer than 3 bytes" => "too long",
            Err(_) => "another error",
        })
        .collect()
}

#[test]
fn the_policy_of_a_codec_decides_what_becomes_of_a_long_frame() {
    let policies = [
        (Oversize::Error, vec!["abc", "too long", "ab"]),
        (Oversize::Skip, vec!["abc", "ab"]),
        (Oversize::Close, vec!["abc", "too long"]),
    ];
    for (policy, expected) in policies {
        let frames = verify::every_split(|| lines(policy), b"abc\nabcd\nab\n");
        assert_eq!(outcome(&frames), expected, "{policy:?}");
        let frames = verify::every_split(|| lines(policy), b"abc\r\nabcdefghi\r\nab\r\n");
        assert_eq!(outcome(&frames), expected, "{policy:?}");
        let frames = verify::every_split(|| delimited(policy), b"abc!!abcdef!gh!!ab!!");
        assert_eq!(outcome(&frames), expected, "{policy:?}");
        let frames = verify::every_split(|| lengths(policy), b"\x03abc\x04abcd\x02ab");
        assert_eq!(outcome(&frames), expected, "{policy:?}");
    }
}

#[test]
fn what_is_skipped_is_counted() {
    let mut codec = lines(Oversize::Skip);
    assert_eq!(verify::frames(&mut codec, [&b"abcd\na\nabcdefgh\nabcd"[..]]).len(), 1);
    assert_eq!(codec.skipped(), 3);
    let mut codec = lengths(Oversize::Skip);
    assert_eq!(verify::frames(&mut codec, [&b"\x04abcd\x01a\xffabc"[..]]).len(), 1);
    assert_eq!(codec.skipped(), 2);
    let mut codec = delimited(Oversize::Skip);
    assert_eq!(verify::frames(&mut codec, [&b"abcd!!a!!"[..]]).len(), 1);
    assert_eq!(codec.skipped(), 1);
}

#[test]
fn limits_are_on_unless_said_otherwise() {
    let long = vec![b'x'; 64 * 1024 + 1];
    assert_eq!(verify::frames(&mut LineCodec::new(), [&long[..]])[0].as_ref().ok(), None);
    let mut delimited = DelimiterCodec::builder("\0").build().unwrap();
    assert_eq!(verify::frames(&mut delimited, [&long[..]])[0].as_ref().ok(), None);
    let announced = (1_u32 << 20) + 1;
    let frames = verify::frames(&mut LengthCodec::new(), [&announced.to_be_bytes()[..]]);
    assert_eq!(frames[0].as_ref().ok(), None);
}

#[test]
fn an_announced_frame_takes_no_memory_before_it_comes() {
    let mut codec = LengthCodec::builder().limit(8 << 20).build().unwrap();
    let mut buffer = BytesMut::from(&(8_u32 << 20).to_be_bytes()[..]);
    assert!(codec.decode(&mut buffer).unwrap().is_none());
    assert!(buffer.capacity() < 64, "{} bytes for a header", buffer.capacity());
}

#[test]
fn a_long_frame_is_not_kept_while_it_passes() {
    let mut codecs: [Box<dyn Decoder<Item = _, Error = _>>; 3] = [
        Box::new(lines(Oversize::Skip)),
        Box::new(delimited(Oversize::Skip)),
        Box::new(
            LengthCodec::builder().width(8).limit(3).oversize(Oversize::Skip).build().unwrap(),
        ),
    ];
    for codec in &mut codecs {
        let mut buffer = BytesMut::new();
        buffer.extend_from_slice(&u64::MAX.to_be_bytes());
        for _ in 0..10 {
            buffer.extend_from_slice(&[b'x'; 1000]);
            assert!(codec.decode(&mut buffer).unwrap().is_none());
            assert!(buffer.len() < 2, "{} bytes are kept", buffer.len());
        }
    }
}

#[test]
fn a_limit_that_the_header_cannot_announce_is_refused() {
    let refused = |limit, width, longest| {
        let built = LengthCodec::builder().width(width).limit(limit).build();
        assert_eq!(built.err(), Some(LimitError::BeyondHeader { limit, width, longest }));
    };
    refused(256, 1, 255);
    refused(65_536, 2, 65_535);
    refused(usize::MAX, 7, (1 << 56) - 1);
    assert!(LengthCodec::builder().width(1).limit(255).build().is_ok());
    assert!(LengthCodec::builder().width(8).limit(usize::MAX).build().is_ok());
    let counting = LengthCodec::builder().width(1).counts_header(true).limit(255).build();
    let error = counting.err().map(|error| error.to_string());
    let sentence = "a header of 1 bytes cannot announce 255 bytes; the longest frame has 254";
    assert_eq!(error.as_deref(), Some(sentence));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    assert_eq!(LineCodec::builder().limit(0).build().err(), Some(LimitError::Zero));
    assert_eq!(LineCodec::builder().limit(0).build_text().err(), Some(LimitError::Zero));
    assert_eq!(LengthCodec::builder().limit(0).build().err(), Some(LimitError::Zero));
    assert_eq!(DelimiterCodec::builder("x").limit(0).build().err(), Some(LimitError::Zero));
    assert_eq!(DelimiterCodec::builder("").build().err(), Some(LimitError::EmptyDelimiter));
    for width in [0, 9] {
        let refused = LengthCodec::builder().width(width).build().err();
        assert_eq!(refused, Some(LimitError::Width { width }));
    }
}

#[test]
fn an_item_beyond_the_limit_is_not_sent() {
    let mut buffer = BytesMut::new();
    assert!(lines(Oversize::Error).encode("abcd", &mut buffer).is_err());
    assert!(lengths(Oversize::Error).encode("abcd", &mut buffer).is_err());
    assert!(delimited(Oversize::Error).encode("abcd", &mut buffer).is_err());
    assert!(buffer.is_empty());
    assert!(lines(Oversize::Error).encode("abc", &mut buffer).is_ok());
}
