//! The statuses that this server answers with.

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    ContentTooLarge,
    UriTooLong,
    ExpectationFailed,
    FieldsTooLarge,
    NotImplemented,
    VersionNotSupported,
}

impl Status {
    /// The status line, and the name of the field that always follows.
    pub(crate) const fn line(self) -> &'static str {
        match self {
            Self::Ok => "HTTP/1.1 200 OK\r\nDate: ",
            Self::BadRequest => "HTTP/1.1 400 Bad Request\r\nDate: ",
            Self::NotFound => "HTTP/1.1 404 Not Found\r\nDate: ",
            Self::MethodNotAllowed => "HTTP/1.1 405 Method Not Allowed\r\nDate: ",
            Self::RequestTimeout => "HTTP/1.1 408 Request Timeout\r\nDate: ",
            Self::ContentTooLarge => "HTTP/1.1 413 Content Too Large\r\nDate: ",
            Self::UriTooLong => "HTTP/1.1 414 URI Too Long\r\nDate: ",
            Self::ExpectationFailed => "HTTP/1.1 417 Expectation Failed\r\nDate: ",
            Self::FieldsTooLarge => "HTTP/1.1 431 Request Header Fields Too Large\r\nDate: ",
            Self::NotImplemented => "HTTP/1.1 501 Not Implemented\r\nDate: ",
            Self::VersionNotSupported => "HTTP/1.1 505 HTTP Version Not Supported\r\nDate: ",
        }
    }

    /// Its code and its reason.
    pub(crate) fn text(self) -> &'static str {
        let line = self.line();
        &line["HTTP/1.1 ".len()..line.len() - "\r\nDate: ".len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_line_without_its_frame() {
        assert_eq!(Status::NotFound.text(), "404 Not Found");
        assert_eq!(Status::Ok.text(), "200 OK");
    }
}
