//! What the codecs promise, on input of any kind; shared with the fuzzer, which finds its own.

use bytes::{Bytes, BytesMut};
use wharf_codec::{
    ByteOrder, DelimiterCodec, Encoder, LengthCodec, LineCodec, LineEnding, Oversize, verify,
};

/// The settings of a codec, from arbitrary numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) limit: u8,
    pub(crate) width: u8,
    pub(crate) oversize: u8,
    pub(crate) flag: bool,
    pub(crate) little: bool,
}

impl Settings {
    fn limit(self) -> usize {
        usize::from(self.limit % 64) + 1
    }

    fn oversize(self) -> Oversize {
        [Oversize::Error, Oversize::Skip, Oversize::Close][usize::from(self.oversize % 3)]
    }

    fn lines(self) -> LineCodec {
        let ending = if self.flag { LineEnding::CrLf } else { LineEnding::Lf };
        let codec = LineCodec::builder().limit(self.limit()).oversize(self.oversize());
        codec.ending(ending).build().expect("the limit is not zero")
    }

    fn lengths(self) -> LengthCodec {
        let order = if self.little { ByteOrder::Little } else { ByteOrder::Big };
        LengthCodec::builder()
            .width(usize::from(self.width % 8) + 1)
            .byte_order(order)
            .counts_header(self.flag)
            .limit(self.limit())
            .oversize(self.oversize())
            .build()
            .expect("64 fits every header")
    }

    fn delimiter(self) -> DelimiterCodec {
        let delimiters: [&[u8]; 4] = [b"\0", b"ab", b"aab", b"\r\n\r\n"];
        DelimiterCodec::builder(delimiters[usize::from(self.width % 4)])
            .limit(self.limit())
            .oversize(self.oversize())
            .build()
            .expect("the limit is not zero")
    }
}

/// However `input` is cut, the codecs give the same, and no frame is longer than the limit.
pub(crate) fn splits_do_not_matter(settings: Settings, input: &[u8]) {
    let all = [
        verify::every_split(|| settings.lines(), input),
        verify::every_split(|| settings.lengths(), input),
        verify::every_split(|| settings.delimiter(), input),
    ];
    for frame in all.iter().flatten().flatten() {
        assert!(frame.len() <= settings.limit(), "a frame of {} bytes", frame.len());
    }
}

/// What a codec encodes, it decodes; what it cannot, it refuses without a byte.
pub(crate) fn what_goes_in_comes_out(settings: Settings, items: &[Vec<u8>]) {
    let sent = accepted(&mut settings.lines(), items);
    verify::round_trip(|| settings.lines(), &sent);
    let sent = accepted(&mut settings.lengths(), items);
    verify::round_trip(|| settings.lengths(), &sent);
    let sent = accepted(&mut settings.delimiter(), items);
    verify::round_trip(|| settings.delimiter(), &sent);
}

fn accepted<C: for<'a> Encoder<&'a [u8]>>(codec: &mut C, items: &[Vec<u8>]) -> Vec<Bytes> {
    let mut sent = Vec::new();
    for item in items {
        let mut buffer = BytesMut::new();
        match codec.encode(item, &mut buffer) {
            Ok(()) => sent.push(Bytes::from(item.clone())),
            Err(_) => assert!(buffer.is_empty(), "a part of a refused item was encoded"),
        }
    }
    sent
}
