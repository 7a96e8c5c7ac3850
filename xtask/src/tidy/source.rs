//! A Rust file, read just closely enough: what is code, what is comment, what is test.
//!
//! This is a scanner and no parser.
//! It tells code from comments and literals, and follows braces from a test attribute to the end of its item.

use std::ops::Range;

/// One `.rs` file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
    /// The text with comments and literals blanked out; every byte keeps its place.
    code: String,
    /// The text with everything but comments blanked out.
    comments: String,
    tests: Tests,
}

#[derive(Debug)]
enum Tests {
    /// The file is compiled for tests only.
    Whole,
    /// These bytes are.
    Parts(Vec<Range<usize>>),
}

/// An identifier or keyword in the code.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    at: usize,
    pub(super) line: usize,
    pub(super) in_test: bool,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let (code, comments) = split(text);
        let in_test_folder = path.split('/').any(|part| part == "tests" || part == "benches");
        let tests = if in_test_folder || path.ends_with("/tests.rs") {
            Tests::Whole
        } else {
            Tests::Parts(test_items(&code))
        };
        Self { path: path.to_owned(), text: text.to_owned(), code, comments, tests }
    }

    /// Says that the whole file is test code, because the module that declares it says so.
    pub(super) fn mark_as_test(&mut self) {
        self.tests = Tests::Whole;
    }

    /// Modules that are declared under a test attribute and live in files of their own.
    pub(super) fn test_modules(&self) -> Vec<String> {
        let Tests::Parts(parts) = &self.tests else {
            return Vec::new();
        };
        let declared = parts.iter().filter_map(|part| {
            let item = self.code[part.clone()].trim_end().strip_suffix(';')?;
            let (_, name) = item.rsplit_once("mod ")?;
            Some(name.trim().to_owned())
        });
        declared.collect()
    }

    /// The words of the code, in order.
    pub(super) fn words(&self) -> impl Iterator<Item = Word<'_>> {
        let mut line = 1;
        let mut seen = 0;
        words(&self.code).map(move |(at, text)| {
            line += self.code[seen..at].matches('\n').count();
            seen = at;
            Word { text, at, line, in_test: self.is_test(at) }
        })
    }

    /// The lines on which `pattern` stands in the code, as a whole word where it is one.
    pub(super) fn lines_with(&self, pattern: &str) -> impl Iterator<Item = usize> {
        self.places_of(pattern).map(|at| self.line_of(at))
    }

    /// The same in code that ships, that is, outside of tests.
    pub(super) fn shipped_lines_with(&self, pattern: &str) -> impl Iterator<Item = usize> {
        self.places_of(pattern).filter(|at| !self.is_test(*at)).map(|at| self.line_of(at))
    }

    fn places_of(&self, pattern: &str) -> impl Iterator<Item = usize> {
        self.code.match_indices(pattern).map(|(at, _)| at).filter(move |&at| {
            let cuts =
                |left: &str, right: &str| left.ends_with(in_word) && right.starts_with(in_word);
            let (before, after) = (&self.code[..at], &self.code[at + pattern.len()..]);
            !cuts(before, pattern) && !cuts(pattern, after)
        })
    }

    /// Comment lines, with their numbers and whether they stand in test code.
    pub(super) fn comment_lines(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let mut at = 0;
        self.comments.split('\n').enumerate().map(move |(index, line)| {
            let start = at;
            at += line.len() + 1;
            (index + 1, line.trim(), self.is_test(start))
        })
    }

    /// Names of functions.
    pub(super) fn functions(&self) -> impl Iterator<Item = Word<'_>> {
        self.items(&["fn"]).map(|(_, name)| name)
    }

    /// Items that these keywords introduce: the keyword and the name.
    pub(super) fn items(&self, keywords: &[&str]) -> impl Iterator<Item = (&str, Word<'_>)> {
        let words: Vec<Word<'_>> = self.words().filter(|word| word.text != "mut").collect();
        let pairs = words.windows(2).filter(|pair| {
            let [keyword, name] = pair else { return false };
            let between = &self.code[keyword.at + keyword.text.len()..name.at];
            let adjacent = between.trim().trim_start_matches("mut").is_empty();
            let lifetime = self.code[..keyword.at].ends_with('\'');
            keywords.contains(&keyword.text) && adjacent && !lifetime
        });
        let pairs: Vec<_> = pairs.map(|pair| (pair[0].text, pair[1])).collect();
        pairs.into_iter()
    }

    fn is_test(&self, at: usize) -> bool {
        match &self.tests {
            Tests::Whole => true,
            Tests::Parts(parts) => parts.iter().any(|part| part.contains(&at)),
        }
    }

    fn line_of(&self, at: usize) -> usize {
        1 + self.code[..at].matches('\n').count()
    }
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The identifiers of a text with their places; numbers are not words.
pub(super) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        loop {
            let start = rest + text[rest..].find(in_word)?;
            let len = text[start..].find(|c| !in_word(c));
            rest = len.map_or(text.len(), |len| start + len);
            let word = &text[start..rest];
            if !word.starts_with(|c: char| c.is_ascii_digit()) {
                return Some((start, word));
            }
        }
    })
}

/// The code alone and the comments alone.
fn split(text: &str) -> (String, String) {
    let blank: String = text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect();
    let (mut code, mut comments) = (blank.clone().into_bytes(), blank.into_bytes());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let (kind, len) = piece(&bytes[at..]);
        let piece = at..at + len;
        match kind {
            Piece::Code => code[piece.clone()].copy_from_slice(&bytes[piece.clone()]),
            Piece::Comment => comments[piece.clone()].copy_from_slice(&bytes[piece.clone()]),
            Piece::Literal => {}
        }
        at = piece.end;
    }
    let utf8 = "pieces begin and end at ASCII bytes";
    (String::from_utf8(code).expect(utf8), String::from_utf8(comments).expect(utf8))
}

enum Piece {
    Code,
    Comment,
    Literal,
}

/// What begins here, and how many bytes it takes.
fn piece(rest: &[u8]) -> (Piece, usize) {
    match rest {
        [b'/', b'/', ..] => (Piece::Comment, until(rest, b"\n").unwrap_or(rest.len())),
        [b'/', b'*', ..] => (Piece::Comment, block_comment(rest)),
        [b'"', ..] => (Piece::Literal, quoted(rest, b'"')),
        [b'r', b'"' | b'#', ..] => {
            raw_string(rest).map_or((Piece::Code, 1), |len| (Piece::Literal, len))
        }
        [b'\'', b'\\', ..] => (Piece::Literal, quoted(rest, b'\'')),
        [b'\'', ..] => char_literal(rest).map_or((Piece::Code, 1), |len| (Piece::Literal, len)),
        _ => (Piece::Code, 1),
    }
}

/// The place of `mark` in `bytes`.
fn until(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

/// Block comments nest.
fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// From a quote to the next one that no backslash hides.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &[u8]) -> Option<usize> {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    let body = 1 + hashes + 1;
    if rest.get(body - 1) != Some(&b'"') {
        return None; // a raw identifier
    }
    let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    Some(until(&rest[body..], &end).map_or(rest.len(), |len| body + len + end.len()))
}

/// `'x'` is a literal and `'x` a lifetime: the closing quote follows after one character, or never.
fn char_literal(rest: &[u8]) -> Option<usize> {
    let continued = rest.iter().skip(2).take_while(|byte| **byte & 0xC0 == 0x80).count();
    let end = 2 + continued;
    (rest.get(end) == Some(&b'\'')).then_some(end + 1)
}

/// Items under `#[test]` or a `cfg` that asks for tests, attribute included.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    for (at, _) in code.match_indices("#[") {
        let end = at + bracketed(&code[at..]);
        let attribute = &code[at..end];
        let asks = |word: &str| words(attribute).any(|(_, found)| found == word);
        let is_test =
            asks("test") && !asks("not") && (asks("cfg") || attribute.trim() == "#[test]");
        if is_test && !items.iter().any(|item: &Range<usize>| item.contains(&at)) {
            items.push(at..end + item(&code[end..]));
        }
    }
    items
}

/// The length of an attribute: to the bracket that closes its first one.
fn bracketed(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '[' => depth += 1,
            ']' if depth == 1 => return at + 1,
            ']' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// The length of an item: to its semicolon, or to the brace that closes its body.
fn item(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(c, '}' | ';') {
            return at + 1;
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        split(text).0
    }

    fn shipped_words(text: &str) -> Vec<String> {
        let source = Source::new("crates/core/src/lib.rs", text);
        source.words().filter(|word| !word.in_test).map(|word| word.text.to_owned()).collect()
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        for (text, expected) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"a("b \" c", d)"#, "a(        , d)"),
            (r##"a(r#"b " c"#, d)"##, "a(          , d)"),
            ("a(b'\"', c)", "a(b   , c)"),
            ("r#type", "r#type"),
            ("fn a<'b>(x: &'b str) -> char { 'c' }", "fn a<'b>(x: &'b str) -> char {     }"),
            ("a('\\'', b)", "a(    , b)"),
            ("a('ü', b)", "a(    , b)"),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
    }

    #[test]
    fn what_never_ends_is_cut_at_the_end() {
        for text in ["/* a", "\"a", "r#\"a", "'\\", "a // b"] {
            assert_eq!(code(text).len(), text.len(), "{text}");
        }
    }

    #[test]
    fn every_byte_keeps_its_line() {
        let text = "//! one\nfn two() {}\n\"a\nb\"; four\n";
        let source = Source::new("x.rs", text);
        let lines: Vec<_> = source.words().map(|word| (word.text, word.line)).collect();
        assert_eq!(lines, [("fn", 2), ("two", 2), ("four", 4)]);
    }

    #[test]
    fn test_items_are_told_from_what_ships() {
        let text = "fn ships() {}\n#[cfg(test)]\nmod tests { fn inner() { x } }\nfn after() {}";
        assert_eq!(shipped_words(text), ["fn", "ships", "fn", "after"]);
        let text = "#[test]\n#[should_panic]\nfn a(b: [u8; 4]) { c }\nfn d() {}";
        assert_eq!(shipped_words(text), ["fn", "d"]);
        let text = "#[cfg(not(test))]\nfn a() {}";
        assert_eq!(shipped_words(text), ["cfg", "not", "test", "fn", "a"]);
        let text = "#[cfg(all(test, unix))]\nuse a::{b};\nfn c() {}";
        assert_eq!(shipped_words(text), ["fn", "c"]);
    }

    #[test]
    fn test_folders_are_tests() {
        assert!(Source::new("crates/tcp/tests/it/main.rs", "a").words().all(|word| word.in_test));
        assert!(Source::new("crates/tcp/src/tcp/tests.rs", "a").words().all(|word| word.in_test));
        assert!(!Source::new("crates/tcp/src/contests.rs", "a").words().any(|word| word.in_test));
    }

    #[test]
    fn test_modules_in_files_of_their_own_are_named() {
        let source = Source::new(
            "a.rs",
            "#[cfg(test)]\npub(crate) mod bench;\n#[cfg(test)]\nmod tests {}\nmod c;",
        );
        assert_eq!(source.test_modules(), ["bench"]);
    }

    #[test]
    fn lines_with_a_pattern_respect_words_and_tests() {
        let text = "use polling::Poller;\nepolling::x;\n#[cfg(test)]\nmod t { polling::y; }\n// polling::z";
        let source = Source::new("crates/reactor/src/poll.rs", text);
        assert_eq!(source.lines_with("polling::").collect::<Vec<_>>(), [1, 4]);
        assert_eq!(source.shipped_lines_with("polling::").collect::<Vec<_>>(), [1]);
        assert_eq!(source.lines_with("poll").count(), 0);
    }

    #[test]
    fn comment_lines_know_where_they_stand() {
        let source = Source::new("a.rs", "// one\n#[cfg(test)]\nmod t {\n  // two\n}");
        let comments: Vec<_> =
            source.comment_lines().filter(|(_, text, _)| !text.is_empty()).collect();
        assert_eq!(comments, [(1, "// one", false), (4, "// two", true)]);
    }

    #[test]
    fn items_have_names() {
        let source = Source::new(
            "a.rs",
            "pub fn a(b: fn(X)) {} static mut B: u8 = 0; fn c(x: &'static str) {}",
        );
        let names: Vec<_> =
            source.items(&["fn", "static"]).map(|(key, name)| (key, name.text)).collect();
        assert_eq!(names, [("fn", "a"), ("static", "B"), ("fn", "c")]);
    }
}
