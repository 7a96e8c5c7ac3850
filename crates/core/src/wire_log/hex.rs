//! [`Hex`]: a wire log as text, for people.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use super::{Entry, Subject, WireLog};

/// How many bytes a line shows.
const WIDTH: usize = 16;

/// A wire log as text: for each move its time in seconds since the beginning of the log, `<` for what was read and `>` for
/// what was written; then the bytes with their place in the stream, in hex and in ASCII.
///
/// ```text
/// # wire log of #1 tcp 127.0.0.1:8888 <- 127.0.0.1:50312
/// 0.000213 < 5 bytes
///   00000000  68 65 6c 6c 6f                                    |hello|
/// 0.000251 > 5 bytes
///   00000000  68 65 6c 6c 6f                                    |hello|
/// 0.003120 < end
/// 0.003161 lost: ended by the peer
/// ```
#[derive(Debug)]
pub struct Hex<W> {
    writer: W,
    text: String,
    read: u64,
    written: u64,
}

impl<W: Write> Hex<W> {
    /// Text that goes to `writer`, each entry by one write.
    pub fn new(writer: W) -> Self {
        Self { writer, text: String::new(), read: 0, written: 0 }
    }

    fn put(&mut self) -> io::Result<()> {
        let written = self.writer.write_all(self.text.as_bytes());
        self.text.clear();
        written
    }
}

impl<W: Write + 'static> WireLog for Hex<W> {
    fn begin(&mut self, subject: &Subject) -> io::Result<()> {
        let Subject { id, kind, local, peer } = subject;
        let _ = write!(self.text, "# wire log of {id} {kind}");
        for (arrow, address) in [("", local), (" <-", peer)] {
            if let Some(address) = address {
                let _ = write!(self.text, "{arrow} {address}");
            }
        }
        self.text.push('\n');
        self.put()
    }

    fn record(&mut self, at: Duration, entry: &Entry<'_>) -> io::Result<()> {
        let _ = write!(self.text, "{}.{:06} ", at.as_secs(), at.subsec_micros());
        let text = &mut self.text;
        let _ = match entry {
            Entry::Read(bytes) => dump(text, '<', &mut self.read, bytes),
            Entry::Written(bytes) => dump(text, '>', &mut self.written, bytes),
            Entry::WrittenUnseen(count) => {
                self.written += *count as u64;
                writeln!(text, "> {count} bytes of a file, not seen")
            }
            Entry::ReadEnd => writeln!(text, "< end"),
            Entry::WriteEnd => writeln!(text, "> end"),
            Entry::Lost(why) => writeln!(text, "lost: {why}"),
        };
        self.put()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

fn dump(text: &mut String, arrow: char, offset: &mut u64, bytes: &[u8]) -> std::fmt::Result {
    let plural = if bytes.len() == 1 { "" } else { "s" };
    writeln!(text, "{arrow} {} byte{plural}", bytes.len())?;
    for line in bytes.chunks(WIDTH) {
        write!(text, "  {offset:08x} ")?;
        for place in 0..WIDTH {
            if place == WIDTH / 2 {
                text.push(' ');
            }
            match line.get(place) {
                Some(byte) => write!(text, " {byte:02x}")?,
                None => text.push_str("   "),
            }
        }
        text.push_str("  |");
        let shown = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' };
        text.extend(line.iter().map(shown));
        text.push_str("|\n");
        *offset += line.len() as u64;
    }
    Ok(())
}
