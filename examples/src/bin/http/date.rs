//! The `Date` of an answer, written once a second.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// As long as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) type Text = [u8; 29];

/// The date as text, good until its second is over.
#[derive(Debug, Default)]
pub(crate) struct Date {
    text: Text,
    good_until: Option<Instant>,
}

impl Date {
    /// The date at `now`, by the loop's clock; the system is asked when the second is over.
    pub(crate) fn at(&mut self, now: Instant) -> &Text {
        if self.good_until.is_none_or(|until| until <= now) {
            let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.text = text(time.as_secs());
            let rest = Duration::from_secs(1) - Duration::from_nanos(time.subsec_nanos().into());
            self.good_until = Some(now + rest);
        }
        &self.text
    }
}

/// Seconds since the epoch, as HTTP writes them.
fn text(seconds: u64) -> Text {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = seconds / 86_400;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let (year, month, day) = civil(days);
    let weekday = DAYS[(days % 7) as usize];
    let month = MONTHS[month];
    let line =
        format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT");
    // Longer only after the year 9999.
    line.as_bytes().try_into().unwrap_or(*b"Fri, 31 Dec 9999 23:59:59 GMT")
}

/// Year, month from zero and day from one, of a day counted from the epoch.
fn civil(mut days: u64) -> (u64, usize, u64) {
    let is_leap = |year: u64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    // Whole cycles of 400 years at once, so that the search is short whatever the clock says.
    let mut year = 1970 + days / 146_097 * 400;
    days %= 146_097;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 0;
    for len in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < len {
            break;
        }
        days -= len;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_wants_them() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(String::from_utf8_lossy(&text(seconds)), expected);
        }
    }

    #[test]
    fn a_second_is_written_once() {
        let (mut date, now) = (Date::default(), Instant::now());
        date.at(now);
        let until = date.good_until.unwrap();
        assert!(until > now && until <= now + Duration::from_secs(1));
        date.text = [b'x'; 29];
        assert_eq!(date.at(now), &[b'x'; 29]);
        assert_ne!(date.at(until), &[b'x'; 29]);
    }
}
