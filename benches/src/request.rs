//! Cuts a stream into the 64-byte requests of the chatty servers; shared, so that no system parses better than another.

/// The bytes of one request.
pub const REQUEST: usize = 64;

/// The bytes of one write of its answer.
pub const PIECE: usize = 8;

/// The part of a request that has come until now.
#[derive(Debug, Default)]
pub struct Requests {
    part: Vec<u8>,
}

impl Requests {
    /// Takes what was read and calls `answer` with each piece of each complete request.
    pub fn feed(&mut self, mut data: &[u8], mut answer: impl FnMut(&[u8])) {
        if !self.part.is_empty() {
            let (missing, rest) = data.split_at(data.len().min(REQUEST - self.part.len()));
            self.part.extend_from_slice(missing);
            data = rest;
            if self.part.len() < REQUEST {
                return;
            }
            self.part.chunks_exact(PIECE).for_each(&mut answer);
            self.part.clear();
        }
        let requests = data.chunks_exact(REQUEST);
        let part = requests.remainder();
        for request in requests {
            request.chunks_exact(PIECE).for_each(&mut answer);
        }
        if !part.is_empty() {
            self.part.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_found_however_the_stream_is_cut() {
        let stream: Vec<u8> = (0..REQUEST * 3).map(|n| n as u8).collect();
        for size in 1..stream.len() {
            let mut requests = Requests::default();
            let mut answered = Vec::new();
            for chunk in stream.chunks(size) {
                requests.feed(chunk, |piece| answered.extend_from_slice(piece));
            }
            assert_eq!(answered, stream, "cut into {size}");
        }
    }
}
