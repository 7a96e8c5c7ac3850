//! HTTP/1.1 by hand: one page, whose head is written once a second.

use std::mem::MaybeUninit;
use std::time::{Duration, Instant, SystemTime};

use httparse::Status;

/// What is sent.
pub const PAGE: &str = "Hello, World!";

/// The page with its head.
#[derive(Debug)]
pub struct Pages {
    answer: Vec<u8>,
    good_until: Instant,
}

impl Default for Pages {
    fn default() -> Self {
        let mut pages = Self { answer: Vec::new(), good_until: Instant::now() };
        pages.turn();
        pages
    }
}

impl Pages {
    pub(super) fn turn(&mut self) {
        let now = Instant::now();
        if now < self.good_until {
            return;
        }
        self.good_until = now + Duration::from_secs(1);
        let date = httpdate::fmt_http_date(SystemTime::now());
        self.answer = format!(
            "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{PAGE}",
            PAGE.len()
        )
        .into_bytes();
    }

    pub(super) fn serve(&mut self, input: &[u8], answers: &mut Vec<u8>) -> Option<usize> {
        let mut used = 0;
        loop {
            let mut places = [const { MaybeUninit::uninit() }; 64];
            let mut request = httparse::Request::new(&mut []);
            let head = match request.parse_with_uninit_headers(&input[used..], &mut places) {
                Ok(Status::Complete(len)) => len,
                Ok(Status::Partial) => return Some(used),
                Err(_) => return None,
            };
            let mut hosts = 0;
            for field in request.headers.iter() {
                let is = |name: &str| field.name.eq_ignore_ascii_case(name);
                hosts += usize::from(is("host"));
                if is("content-length") || is("transfer-encoding") || is("connection") {
                    return None;
                }
            }
            let is_asked = request.method == Some("GET") && request.path == Some("/plaintext");
            if !is_asked || hosts != 1 || request.version != Some(1) {
                return None;
            }
            used += head;
            answers.extend_from_slice(&self.answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_however_they_are_cut() {
        let input = "GET /plaintext HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3);
        for size in 1..=input.len() {
            let (mut pages, mut part, mut answers) = (Pages::default(), Vec::new(), Vec::new());
            for piece in input.as_bytes().chunks(size) {
                part.extend_from_slice(piece);
                let used = pages.serve(&part, &mut answers).unwrap();
                part.drain(..used);
            }
            assert_eq!(String::from_utf8_lossy(&answers).matches(PAGE).count(), 3);
        }
    }
}
