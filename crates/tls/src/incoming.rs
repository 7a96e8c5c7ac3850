//! [`Incoming`]: records that have come and were not opened yet, in a buffer that is borrowed while there are any.

use crate::host::{Buffer, Pool};

/// A buffer grows by this much when nothing fits any more: a record that is still to be completed, at least.
const GROWTH: usize = 32 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Incoming(Option<Box<Buffer>>);

impl Incoming {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|buffer| buffer.start == buffer.end)
    }

    /// What has come and was not taken.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Some(buffer) => &mut buffer.bytes[buffer.start..buffer.end],
            None => &mut [],
        }
    }

    /// The first `count` bytes were taken.
    pub(crate) fn consume(&mut self, count: usize) {
        if let Some(buffer) = &mut self.0 {
            buffer.start += count;
            debug_assert!(buffer.start <= buffer.end);
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        if let Some(buffer) = &mut self.0 {
            buffer.start = buffer.end;
        }
    }

    /// Lends what is free to `read`, which says how much of it was filled.
    pub(crate) fn fill(&mut self, pool: &Pool, read: &mut dyn FnMut(&mut [u8]) -> usize) {
        let Buffer { bytes, start, end } = &mut **self.0.get_or_insert_with(|| pool.take_buffer());
        if *start > 0 {
            bytes.copy_within(*start..*end, 0);
            *end -= *start;
            *start = 0;
        }
        if *end == bytes.len() {
            bytes.resize(*end + GROWTH, 0);
        }
        *end += read(&mut bytes[*end..]);
    }

    /// Appends a copy of `data`.
    pub(crate) fn push(&mut self, pool: &Pool, mut data: &[u8]) {
        while !data.is_empty() {
            self.fill(pool, &mut |free| {
                let count = free.len().min(data.len());
                free[..count].copy_from_slice(&data[..count]);
                data = &data[count..];
                count
            });
        }
    }

    /// Gives the buffer back when nothing is in it.
    pub(crate) fn release(&mut self, pool: &Pool) {
        if self.is_empty() {
            if let Some(buffer) = self.0.take() {
                pool.put_buffer(buffer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_however_they_are_cut() {
        let pool = Pool::default();
        let mut incoming = Incoming::default();
        let data: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut out = Vec::new();
        for piece in data.chunks(70_000) {
            incoming.push(&pool, piece);
            let half = incoming.bytes().len() / 2;
            out.extend_from_slice(&incoming.bytes()[..half]);
            incoming.consume(half);
        }
        out.extend_from_slice(incoming.bytes());
        assert!(out == data);
        incoming.clear();
        incoming.release(&pool);
        assert!(incoming.0.is_none(), "an idle connection owns no buffer");
    }
}
