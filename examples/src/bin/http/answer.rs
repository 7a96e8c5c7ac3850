//! The head of an answer, as it goes over the wire.

use wharf_examples::decimal;

use crate::date::Text;
use crate::status::Status;

/// What the client is told about the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stays {
    /// It stays, which needs no word.
    Yes,
    /// It stays, which a client of HTTP/1.0 must be told.
    YesIfTold,
    /// It ends after this answer.
    No,
}

/// How it is known where the content ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Length {
    Sized(u64),
    Chunked,
}

/// Appends status line and fields; each of `more` begins with the end of the line before it.
pub(crate) fn head(
    into: &mut Vec<u8>,
    status: Status,
    more: &[&str],
    length: Length,
    stays: Stays,
    date: &Text,
) {
    into.extend_from_slice(status.line().as_bytes());
    into.extend_from_slice(date);
    for field in more {
        into.extend_from_slice(field.as_bytes());
    }
    match length {
        Length::Sized(size) => {
            into.extend_from_slice(b"\r\nContent-Length: ");
            decimal::push(into, size);
        }
        Length::Chunked => into.extend_from_slice(b"\r\nTransfer-Encoding: chunked"),
    }
    into.extend_from_slice(match stays {
        Stays::Yes => b"\r\n\r\n",
        Stays::YesIfTold => b"\r\nConnection: keep-alive\r\n\r\n",
        Stays::No => b"\r\nConnection: close\r\n\r\n",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_how_long_the_content_is_and_whether_the_connection_stays() {
        let mut text = Vec::new();
        let more = ["\r\nAllow: GET", "\r\nA: b"];
        head(&mut text, Status::NotFound, &more, Length::Sized(12), Stays::No, &[b'd'; 29]);
        let date = "d".repeat(29);
        assert_eq!(
            String::from_utf8_lossy(&text),
            format!(
                "HTTP/1.1 404 Not Found\r\nDate: {date}\r\nAllow: GET\r\nA: b\r\nContent-Length: 12\r\n\
                 Connection: close\r\n\r\n"
            )
        );
    }
}
