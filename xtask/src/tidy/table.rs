//! Tables in Markdown, as the documents that tidy reads hold them.

/// A row of a table, with its line counted from 1.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Row<'a> {
    pub(super) line: usize,
    pub(super) cells: Vec<&'a str>,
}

/// Every row of every table outside of code blocks, without the rulers under the heads.
pub(super) fn rows(text: &str) -> Vec<Row<'_>> {
    let mut in_block = false;
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        in_block ^= line.starts_with("```");
        let Some(inner) = line.strip_prefix('|').filter(|_| !in_block) else {
            continue;
        };
        let inner = inner.strip_suffix('|').unwrap_or(inner);
        if inner.chars().all(|c| "-:| ".contains(c)) {
            continue;
        }
        rows.push(Row { line: index + 1, cells: cells(inner) });
    }
    rows
}

/// A bar behind a backslash is text.
fn cells(row: &str) -> Vec<&str> {
    let mut cells = Vec::new();
    let mut start = 0;
    for (at, _) in row.match_indices('|') {
        if !row[..at].ends_with('\\') {
            cells.push(row[start..at].trim());
            start = at + 1;
        }
    }
    cells.push(row[start..].trim());
    cells
}

/// What stands between backticks.
pub(super) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The name of a test without the path before it.
pub(super) fn last_part(name: &str) -> &str {
    name.rsplit("::").next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_and_rulers_are_not() {
        let text = "# T\n| a | b |\n|---|:--|\n| `c` | d \\| e |\n```text\n| no | no |\n```\n";
        assert_eq!(
            rows(text),
            [
                Row { line: 2, cells: vec!["a", "b"] },
                Row { line: 4, cells: vec!["`c`", "d \\| e"] }
            ]
        );
    }

    #[test]
    fn quoted_words_are_found() {
        assert_eq!(quoted("see `a` and `b::c`, not d").collect::<Vec<_>>(), ["a", "b::c"]);
        assert_eq!(quoted("none").count(), 0);
    }
}
