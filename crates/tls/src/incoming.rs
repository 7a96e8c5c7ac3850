//! [`Incoming`]: records that have come and were not opened yet, in a buffer that is borrowed while there are any.

use crate::host::Pool;

/// A buffer grows by this much when nothing fits any more: a record that is still to be completed, at least.
const GROWTH: usize = 32 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Incoming {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Incoming {
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// What has come and was not taken.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.end]
    }

    /// The first `count` bytes were taken.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end);
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.start = self.end;
    }

    /// Lends what is free to `read`, which says how much of it was filled.
    pub(crate) fn fill(&mut self, pool: &Pool, read: &mut dyn FnMut(&mut [u8]) -> usize) {
        if self.buffer.is_empty() {
            self.buffer = pool.take_buffer();
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            let mut larger = std::mem::take(&mut self.buffer).into_vec();
            larger.resize(self.end + GROWTH, 0);
            self.buffer = larger.into();
        }
        self.end += read(&mut self.buffer[self.end..]);
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
        if self.is_empty() && !self.buffer.is_empty() {
            pool.put_buffer(std::mem::take(&mut self.buffer));
            (self.start, self.end) = (0, 0);
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
        assert!(incoming.buffer.is_empty(), "an idle connection owns no buffer");
    }
}
