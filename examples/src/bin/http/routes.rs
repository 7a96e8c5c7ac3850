//! What is found under which path.

use crate::request::Method;
use crate::status::Status;

/// The longest page of `/bytes/`.
const LONGEST_PAGE: u64 = 1 << 40;

/// What a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// A text.
    Text(&'static str),
    /// So many bytes of a pattern.
    Bytes(u64),
    /// The body of the request.
    Echo,
    /// Nothing, and why.
    Refused(Status),
    /// There is something, but not for this method; the field of the answer that says for which.
    OnlyFor(&'static str),
}

const READING: &str = "\r\nAllow: GET, HEAD";
const WRITING: &str = "\r\nAllow: POST, PUT";
const ASKING: &str = "\r\nAllow: OPTIONS";

const INDEX: &str = "\
/plaintext  says hello
/echo       sends back the body of a POST or a PUT
/bytes/N    N bytes
";

/// What `method` gets at `path`.
pub(crate) fn find(method: Method, path: &str) -> Page {
    let (page, allowed) = match path {
        "/plaintext" => (Page::Text("Hello, World!"), READING),
        "/echo" => (Page::Echo, WRITING),
        "/" => (Page::Text(INDEX), READING),
        // Asked of the server as a whole.
        "*" => (Page::Text(""), ASKING),
        _ => match path.strip_prefix("/bytes/").and_then(count) {
            Some(count) => (Page::Bytes(count), READING),
            None => return Page::Refused(Status::NotFound),
        },
    };
    let is_allowed = match method {
        Method::Get | Method::Head => allowed == READING,
        Method::Post | Method::Put => allowed == WRITING,
        Method::Other => allowed == ASKING,
    };
    if is_allowed { page } else { Page::OnlyFor(allowed) }
}

fn count(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|&count| is_number && count <= LONGEST_PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found_by_path_and_method() {
        let cases = [
            (Method::Get, "/plaintext", Page::Text("Hello, World!")),
            (Method::Head, "/", Page::Text(INDEX)),
            (Method::Put, "/plaintext", Page::OnlyFor(READING)),
            (Method::Post, "/echo", Page::Echo),
            (Method::Get, "/echo", Page::OnlyFor(WRITING)),
            (Method::Get, "/bytes/12", Page::Bytes(12)),
            (Method::Other, "/bytes/12", Page::OnlyFor(READING)),
            (Method::Other, "*", Page::Text("")),
            (Method::Get, "/bytes/+1", Page::Refused(Status::NotFound)),
            (Method::Get, "/bytes/99999999999999999999", Page::Refused(Status::NotFound)),
            (Method::Get, "/bytes/", Page::Refused(Status::NotFound)),
            (Method::Get, "/plaintext/", Page::Refused(Status::NotFound)),
        ];
        for (method, path, page) in cases {
            assert_eq!(find(method, path), page, "{method:?} {path}");
        }
    }
}
