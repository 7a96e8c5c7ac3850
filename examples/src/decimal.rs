//! Numbers as text, appended to what is there.

/// Appends `number`; the formatting of the standard library costs as much as the rest of a short answer.
pub fn push(into: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    into.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for number in [0, 9, 10, 13, 1_000_000, u64::MAX] {
            let mut text = Vec::new();
            push(&mut text, number);
            assert_eq!(String::from_utf8_lossy(&text), number.to_string());
        }
    }
}
