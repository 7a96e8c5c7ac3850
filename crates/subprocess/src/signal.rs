//! Signals by number, those without a name included.

use std::io;

use rustix::process::Signal;

/// The largest number of a signal; Linux has as many as any.
const LAST: i32 = 64;

/// The signal with this number; `None` for zero.
///
/// # Errors
/// `InvalidInput` for a number that no signal has.
#[allow(unsafe_code)] // Signals without a name, such as the real-time ones, are known by number only.
pub(crate) fn from_number(number: i32) -> io::Result<Option<Signal>> {
    match number {
        0 => Ok(None),
        1..=LAST => {
            // SAFETY: the number is that of a signal, and it is only ever sent to another process.
            Ok(Some(unsafe { Signal::from_raw_unchecked(number) }))
        }
        _ => {
            let text = format!("there is no signal {number}");
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_a_signal_is_one_and_no_other_is() {
        assert_eq!(from_number(9).unwrap(), Some(Signal::KILL));
        assert_eq!(from_number(40).unwrap().map(Signal::as_raw), Some(40));
        assert_eq!(from_number(0).unwrap(), None);
        for wrong in [-1, 65, i32::MIN, i32::MAX] {
            assert_eq!(from_number(wrong).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
