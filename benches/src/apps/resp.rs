//! RESP by hand: requests are parsed where they lie, and answered into one buffer.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// More arguments than any command here has.
const MOST_ARGUMENTS: usize = 8;

/// Keys and values.
#[derive(Debug)]
pub struct Store {
    entries: HashMap<Vec<u8>, Entry>,
    now: Instant,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    expires: Option<Instant>,
}

impl Default for Store {
    fn default() -> Self {
        Self { entries: HashMap::new(), now: Instant::now() }
    }
}

impl Store {
    pub(super) fn turn(&mut self) {
        self.now = Instant::now();
    }

    pub(super) fn serve(&mut self, input: &[u8], answers: &mut Vec<u8>) -> Option<usize> {
        let mut used = 0;
        loop {
            let mut arguments: [&[u8]; MOST_ARGUMENTS] = [&[]; MOST_ARGUMENTS];
            match request(&input[used..], &mut arguments)? {
                None => return Some(used),
                Some((len, count)) => {
                    used += len;
                    self.execute(&arguments[..count], answers);
                }
            }
        }
    }

    fn execute(&mut self, arguments: &[&[u8]], answers: &mut Vec<u8>) {
        let is = |name: &[u8]| arguments[0].eq_ignore_ascii_case(name);
        match arguments[1..] {
            [] if is(b"PING") => answers.extend_from_slice(b"+PONG\r\n"),
            [key, value] if is(b"SET") => {
                match self.entries.get_mut(key) {
                    Some(entry) => {
                        entry.value.clear();
                        entry.value.extend_from_slice(value);
                        entry.expires = None;
                    }
                    None => {
                        let entry = Entry { value: value.to_vec(), expires: None };
                        self.entries.insert(key.to_vec(), entry);
                    }
                }
                answers.extend_from_slice(b"+OK\r\n");
            }
            [key] if is(b"GET") => match self.live(key) {
                Some(entry) => bulk(answers, &entry.value),
                None => answers.extend_from_slice(b"$-1\r\n"),
            },
            [key] if is(b"INCR") => {
                let value = self.live(key).map_or(Some(0), |entry| number(&entry.value));
                match value.and_then(|value: i64| value.checked_add(1)) {
                    None => answers.extend_from_slice(b"-ERR value is not an integer\r\n"),
                    Some(value) => {
                        let text = value.to_string();
                        match self.entries.get_mut(key) {
                            Some(entry) => entry.value = text.clone().into_bytes(),
                            None => {
                                let entry =
                                    Entry { value: text.clone().into_bytes(), expires: None };
                                self.entries.insert(key.to_vec(), entry);
                            }
                        }
                        answers.extend_from_slice(format!(":{text}\r\n").as_bytes());
                    }
                }
            }
            [key, seconds] if is(b"EXPIRE") => {
                let now = self.now;
                let seconds: u64 = number(seconds).unwrap_or(0);
                match self.live(key) {
                    None => answers.extend_from_slice(b":0\r\n"),
                    Some(entry) => {
                        entry.expires = now.checked_add(Duration::from_secs(seconds));
                        answers.extend_from_slice(b":1\r\n");
                    }
                }
            }
            // What redis-benchmark asks before it begins.
            [_, _] if is(b"CONFIG") => answers.extend_from_slice(b"*0\r\n"),
            _ => answers.extend_from_slice(b"-ERR unknown command\r\n"),
        }
    }

    /// What has not expired.
    fn live(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let expired = match self.entries.get(key) {
            None => return None,
            Some(entry) => entry.expires.is_some_and(|at| at <= self.now),
        };
        if expired {
            self.entries.remove(key);
            return None;
        }
        self.entries.get_mut(key)
    }
}

fn bulk(answers: &mut Vec<u8>, value: &[u8]) {
    answers.push(b'$');
    let mut digits = [0; 20];
    let (mut first, mut rest) = (digits.len(), value.len());
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    answers.extend_from_slice(&digits[first..]);
    answers.extend_from_slice(b"\r\n");
    answers.extend_from_slice(value);
    answers.extend_from_slice(b"\r\n");
}

fn number<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The length of the first request and the number of its arguments, if all of it is there; nothing when that is none.
fn request<'a>(
    input: &'a [u8],
    arguments: &mut [&'a [u8]; MOST_ARGUMENTS],
) -> Option<Option<(usize, usize)>> {
    let Some((count, mut at)) = length(input, 0, b'*')? else { return Some(None) };
    if !(1..=MOST_ARGUMENTS).contains(&count) {
        return None;
    }
    for argument in &mut arguments[..count] {
        let Some((len, start)) = length(input, at, b'$')? else { return Some(None) };
        let end = start + len;
        match input.get(end..end + 2) {
            None => return Some(None),
            Some(b"\r\n") => {}
            Some(_) => return None,
        }
        *argument = &input[start..end];
        at = end + 2;
    }
    Some(Some((at, count)))
}

/// The number in the line at `at` that begins with `kind`, and where the next line begins.
fn length(input: &[u8], at: usize, kind: u8) -> Option<Option<(usize, usize)>> {
    let Some(line) = input.get(at..) else { return Some(None) };
    let (mut number, mut digits) = (0_usize, 0);
    match line.first() {
        None => return Some(None),
        Some(&first) if first != kind => return None,
        Some(_) => {}
    }
    for &byte in &line[1..] {
        match byte {
            b'0'..=b'9' if digits < 7 => {
                number = number * 10 + usize::from(byte - b'0');
                digits += 1;
            }
            b'\r' if digits > 0 => {
                let end = at + 1 + digits;
                return match input.get(end + 1) {
                    None => Some(None),
                    Some(b'\n') => Some(Some((number, end + 2))),
                    Some(_) => None,
                };
            }
            _ => return None,
        }
    }
    Some(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_answered_however_they_are_cut() {
        let input = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$11\r\nhello world\r\n*2\r\n$3\r\nget\r\n$1\r\nk\r\n\
            *2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*3\r\n$6\r\nEXPIRE\r\n$1\r\nk\r\n$1\r\n0\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        for size in 1..=input.len() {
            let (mut store, mut part, mut answers) = (Store::default(), Vec::new(), Vec::new());
            for piece in input.chunks(size) {
                part.extend_from_slice(piece);
                let used = store.serve(&part, &mut answers).unwrap();
                part.drain(..used);
            }
            let expected = "+OK\r\n$11\r\nhello world\r\n:1\r\n:1\r\n$-1\r\n";
            assert_eq!(String::from_utf8_lossy(&answers), expected, "cut into {size}");
        }
    }

    #[test]
    fn what_is_no_request_is_noticed() {
        for input in ["x", "*0\r\n", "*1\r\n*", "*1\r\n$1\r\nabc", "*1\r\n$99999999\r\n", "*1x"] {
            let answered = Store::default().serve(input.as_bytes(), &mut Vec::new());
            assert_eq!(answered, None, "{input:?}");
        }
    }
}
