//! The table at the end.

use super::fleet::Voyage;
use super::place::Kind;
use super::units;

/// What one transport has done.
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) clients: usize,
    pub(super) voyage: Voyage,
    /// Bytes of a connection at rest, where that can be measured.
    pub(super) idle: Option<u64>,
}

const HEAD: [&str; 9] =
    ["transport", "clients", "messages", "messages/s", "MiB/s", "p50", "p99", "p99.9", "idle"];

/// The rows below a head, in columns.
pub(super) fn format(rows: &[Row]) -> String {
    let head = HEAD.map(str::to_owned);
    let lines: Vec<[String; 9]> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let mut text = String::new();
    for line in &lines {
        for (column, cell) in line.iter().enumerate() {
            let width = width(column).unwrap_or_default();
            // The first column is words, the others are numbers.
            if column == 0 {
                text += &format!("{cell:<width$}");
            } else {
                text += &format!("  {cell:>width$}");
            }
        }
        text.push('\n');
    }
    text
}

fn cells(row: &Row) -> [String; 9] {
    let voyage = &row.voyage;
    let seconds = voyage.elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    let round_trip = |share| units::duration(voyage.round_trips.quantile(share));
    [
        row.kind.name().into(),
        row.clients.to_string(),
        voyage.messages.to_string(),
        format!("{:.0}", voyage.messages as f64 / seconds),
        format!("{:.0}", voyage.bytes as f64 / seconds / (1024.0 * 1024.0)),
        round_trip(0.5),
        round_trip(0.99),
        round_trip(0.999),
        row.idle.map_or_else(|| "-".into(), |bytes| format!("{bytes} B")),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::histogram::Histogram;
    use super::*;
    use std::time::Duration;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut round_trips = Histogram::default();
        round_trips.record(Duration::from_micros(87));
        let voyage = Voyage {
            messages: 1_000_000,
            bytes: 1024 * 1024 * 10,
            elapsed: Duration::from_secs(2),
            round_trips,
        };
        let row = Row { kind: Kind::Tcp4, clients: 8, voyage, idle: Some(700) };
        let text = format(&[row]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].chars().count(), lines[1].chars().count());
        assert!(lines[1].starts_with("tcp4             8   1000000      500000      5"), "{text}");
        assert!(lines[1].ends_with("700 B"), "{text}");
    }
}
