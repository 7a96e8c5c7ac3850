//! Invariant L7: time enters by one door, the loop's clock.

use super::finding::Finding;
use super::tree::Tree;

/// Where the time may be read, how often, and why there.
const DOORS: &[(&str, usize, &str)] = &[
    ("crates/reactor/src/clock.rs", 1, "this is the door"),
    ("crates/tokio/src/host.rs", 1, "there it is tokio's clock, which its tests can stop"),
    ("crates/core/src/memory.rs", 1, "a manual clock needs an `Instant` to begin with"),
];

/// What asks the system for the time; `elapsed` does so out of sight.
const READS: [&str; 4] = ["Instant::now", "SystemTime::now", ".elapsed()", "clock_gettime"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.library_sources() {
        let door = DOORS.iter().find(|(path, ..)| *path == source.path);
        let allowed = door.map_or(0, |(_, reads, _)| *reads);
        let reads = READS
            .iter()
            .flat_map(|read| source.shipped_lines_with(read).map(move |line| (line, read)));
        for (line, read) in reads.skip(allowed) {
            let message = format!("`{read}`: time enters by one door, the loop's clock");
            findings.push(Finding::error(&source.path, line, message));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn a_second_door_for_time_is_found() {
        for read in ["let a = Instant::now();", "SystemTime::now()", "start.elapsed()"] {
            let text = format!("fn a() {{ {read} }}");
            assert_eq!(found("crates/tcp/src/connect.rs", &text), 1, "{read}");
            assert_eq!(found("crates/reactor/src/clock.rs", &text), 0, "{read}");
            assert_eq!(found("crates/reactor/src/clock.rs", &text.repeat(2)), 1, "{read}");
            assert_eq!(found("crates/tcp/tests/it/main.rs", &text), 0, "{read}");
            assert_eq!(found("examples/src/bin/chat.rs", &text), 0, "{read}");
        }
        assert_eq!(found("crates/core/src/schedule.rs", "fn at(&self, when: Instant);"), 0);
        assert_eq!(found("crates/core/src/a.rs", "fn received(&self) -> SystemTime;"), 0);
    }
}
