//! Numbers as people read and write them: bytes, durations.

use std::time::Duration;

/// Reads `64`, `64K`, `4M`.
pub(super) fn parse_bytes(text: &str) -> Option<usize> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 1024),
        b'M' | b'm' => (&text[..text.len() - 1], 1024 * 1024),
        _ => (text, 1),
    };
    digits.parse::<usize>().ok()?.checked_mul(unit)
}

/// `64 KiB`, `100 B`.
pub(super) fn bytes(count: usize) -> String {
    match count {
        0 => "0 B".into(),
        _ if count % (1024 * 1024) == 0 => format!("{} MiB", count / (1024 * 1024)),
        _ if count % 1024 == 0 => format!("{} KiB", count / 1024),
        _ => format!("{count} B"),
    }
}

/// Three digits and a unit: `87.1 µs`, `1.94 ms`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (number, unit) = match seconds {
        _ if seconds >= 1.0 => (seconds, "s"),
        _ if seconds >= 1e-3 => (seconds * 1e3, "ms"),
        _ => (seconds * 1e6, "µs"),
    };
    let decimals = match number {
        _ if number >= 100.0 => 0,
        _ if number >= 10.0 => 1,
        _ => 2,
    };
    format!("{number:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        assert_eq!(parse_bytes("100"), Some(100));
        assert_eq!(parse_bytes("64K"), Some(65_536));
        assert_eq!(parse_bytes("2m"), Some(2 * 1024 * 1024));
        for wrong in ["", "K", "-1", "1G", "x", "99999999999999999999M"] {
            assert_eq!(parse_bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_are_shown_with_the_unit_that_fits() {
        assert_eq!(bytes(65_536), "64 KiB");
        assert_eq!(bytes(100), "100 B");
        assert_eq!(duration(Duration::from_nanos(87_140)), "87.1 µs");
        assert_eq!(duration(Duration::from_micros(1940)), "1.94 ms");
        assert_eq!(duration(Duration::from_millis(1200)), "1.20 s");
    }
}
