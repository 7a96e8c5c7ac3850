//! Frames that end with a mark: what lines and delimited frames have in common.

use bytes::{Buf, Bytes, BytesMut};
use wharf_core::search;

use crate::error::{FrameError, Oversize};

/// asyncio's limit of a line.
pub(crate) const DEFAULT_LIMIT: usize = 64 * 1024;

/// Finds frames that end with `mark`, none longer than `limit`.
#[derive(Debug, Clone)]
pub(crate) struct Scanner {
    mark: Bytes,
    /// Whether a carriage return before the mark belongs to the ending.
    strip_return: bool,
    limit: usize,
    oversize: Oversize,
    skipped: u64,
    /// How much of the buffer is known to hold no mark, so that bytes are looked at once.
    scanned: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Looking for the end of a frame.
    Within,
    /// Looking for the end of a frame that is not wanted.
    Skipping,
    /// A frame was too long, and the policy is to end.
    Refusing,
}

impl Scanner {
    pub(crate) fn new(mark: Bytes, strip_return: bool, limit: usize, oversize: Oversize) -> Self {
        debug_assert!(!mark.is_empty(), "builders refuse an empty mark");
        Self { mark, strip_return, limit, oversize, skipped: 0, scanned: 0, state: State::Within }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    pub(crate) fn mark(&self) -> &[u8] {
        &self.mark
    }

    /// The next frame, without its mark.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        loop {
            if self.state == State::Refusing {
                return Err(FrameError::TooLong { limit: self.limit });
            }
            let Some(end) = self.find(buffer) else {
                if self.state == State::Skipping {
                    // A part of the mark may have come.
                    let useless = buffer.len().saturating_sub(self.mark.len() - 1);
                    buffer.advance(useless);
                    self.scanned = self.scanned.saturating_sub(useless);
                    return Ok(None);
                }
                // So much without a mark is too long, whatever follows.
                let longest = self.limit + usize::from(self.strip_return);
                if buffer.len() < longest.saturating_add(self.mark.len()) {
                    return Ok(None);
                }
                self.state = State::Skipping;
                self.too_long(buffer)?;
                continue;
            };
            self.scanned = 0;
            if self.state == State::Skipping {
                self.state = State::Within;
                buffer.advance(end + self.mark.len());
                continue;
            }
            let len = self.content(&buffer[..end]);
            if len > self.limit {
                buffer.advance(end + self.mark.len());
                self.too_long(buffer)?;
                continue;
            }
            let frame = buffer.split_to(len).freeze();
            buffer.advance(end - len + self.mark.len());
            return Ok(Some(frame));
        }
    }

    /// What is left when the stream ends, as if a mark stood there; `None` if there is nothing.
    pub(crate) fn rest(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        let skipping = self.state == State::Skipping;
        self.scanned = 0;
        if self.state != State::Refusing {
            self.state = State::Within;
        }
        if buffer.is_empty() || skipping {
            buffer.clear();
            return Ok(None);
        }
        let rest = buffer.split();
        let len = self.content(&rest);
        if len > self.limit {
            self.too_long(buffer)?;
            return Ok(None);
        }
        Ok(Some(rest.freeze().slice(..len)))
    }

    /// Where the next mark begins.
    fn find(&mut self, buffer: &[u8]) -> Option<usize> {
        search::find(buffer, &self.mark, self.scanned).map_err(|next| self.scanned = next).ok()
    }

    /// How long the frame is without what belongs to its ending.
    fn content(&self, frame: &[u8]) -> usize {
        match frame {
            [content @ .., b'\r'] if self.strip_return => content.len(),
            _ => frame.len(),
        }
    }

    fn too_long(&mut self, buffer: &mut BytesMut) -> Result<(), FrameError> {
        match self.oversize {
            Oversize::Skip => {
                self.skipped += 1;
                return Ok(());
            }
            Oversize::Error => {}
            Oversize::Close => {
                // With nothing left, an error says that there will be no more frames.
                buffer.clear();
                self.state = State::Refusing;
            }
        }
        Err(FrameError::TooLong { limit: self.limit })
    }

    /// Whether `item` can be sent as one frame.
    pub(crate) fn check(&self, item: &[u8]) -> Result<(), FrameError> {
        if item.len() > self.limit {
            return Err(FrameError::TooLong { limit: self.limit });
        }
        if self.strip_return && item.ends_with(b"\r") || self.ends_within(item) {
            return Err(FrameError::ContainsEnd);
        }
        Ok(())
    }

    /// Whether the peer would see a mark before the end of `item` and its mark.
    fn ends_within(&self, item: &[u8]) -> bool {
        if let [mark] = *self.mark {
            return item.contains(&mark);
        }
        // A mark may also begin in the item and end in the mark that follows it.
        let tail = item.len().saturating_sub(self.mark.len() - 1);
        let seam = [&item[tail..], &self.mark[..self.mark.len() - 1]].concat();
        let has_mark = |bytes: &[u8]| bytes.windows(self.mark.len()).any(|w| w == self.mark);
        has_mark(item) || has_mark(&seam)
    }
}
