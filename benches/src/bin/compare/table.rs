//! A table in the form that `docs/performance.md` holds.

/// Prints a heading and a table; the first row is the column titles.
pub(crate) fn print(heading: &str, rows: &[Vec<String>]) {
    println!("\n**{heading}**\n");
    for (at, row) in rows.iter().enumerate() {
        println!("| {} |", row.join(" | "));
        if at == 0 {
            println!("|{}|", vec!["---"; row.len()].join("|"));
        }
    }
}

/// A row from anything that can be shown.
macro_rules! row {
    ($($cell:expr),+ $(,)?) => { vec![$($cell.to_string()),+] };
}
pub(crate) use row;
