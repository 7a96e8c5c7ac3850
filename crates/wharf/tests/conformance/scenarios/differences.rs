//! The intended differences from asyncio: reading `conformance/differences.txt`, and applying it to a trace.

/// One intended difference: a piece of asyncio's trace, what stands in its place in ours, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) scenario: String,
    /// The rows and rules that want it.
    pub(super) rows: Vec<String>,
    pub(super) reason: String,
    asyncio: Vec<String>,
    ours: Vec<String>,
}

/// Reads the table. Its format is described at its top.
pub(super) fn parse(table: &str) -> Result<Vec<Difference>, String> {
    let text: Vec<&str> = table.lines().filter(|line| !line.starts_with('#')).collect();
    let blocks = text.split(|line| line.trim().is_empty()).filter(|block| !block.is_empty());
    blocks.map(parse_block).collect()
}

fn parse_block(block: &[&str]) -> Result<Difference, String> {
    let (head, lines) = block.split_first().ok_or("an empty difference")?;
    let malformed = || format!("not of the form `S05 [CL-05] reason`: {head}");
    let (scenario, rest) = head.split_once(" [").ok_or_else(malformed)?;
    let (rows, reason) = rest.split_once("] ").ok_or_else(malformed)?;
    let rows = rows.split(' ').map(str::to_owned).collect();
    let mut difference = Difference {
        scenario: scenario.to_owned(),
        rows,
        reason: reason.to_owned(),
        asyncio: Vec::new(),
        ours: Vec::new(),
    };
    for line in lines {
        let Some((mark, text)) = line.split_at_checked(2) else {
            return Err(format!("{scenario}: a line without a mark: {line:?}"));
        };
        match mark {
            "- " => difference.asyncio.push(text.to_owned()),
            "+ " => difference.ours.push(text.to_owned()),
            "  " => {
                difference.asyncio.push(text.to_owned());
                difference.ours.push(text.to_owned());
            }
            _ => return Err(format!("{scenario}: a line without a mark: {line:?}")),
        }
    }
    if difference.asyncio == difference.ours || difference.asyncio.is_empty() {
        return Err(format!("{scenario}: `{reason}` changes nothing, or has no place"));
    }
    Ok(difference)
}

impl Difference {
    /// Puts our lines in the place of asyncio's, which must stand in `trace` exactly once.
    pub(super) fn apply(&self, trace: &mut Vec<String>) -> Result<(), String> {
        let len = self.asyncio.len();
        let mut places = (0..=trace.len().saturating_sub(len))
            .filter(|&start| trace.get(start..start + len) == Some(&self.asyncio[..]));
        let (first, second) = (places.next(), places.next());
        match (first, second) {
            (Some(start), None) => {
                trace.splice(start..start + len, self.ours.iter().cloned());
                Ok(())
            }
            (None, _) => Err(format!(
                "asyncio's trace of {} does not hold the lines of the difference `{}`",
                self.scenario, self.reason
            )),
            (Some(_), Some(_)) => Err(format!(
                "the lines of the difference `{}` stand more than once in asyncio's trace of {}",
                self.reason, self.scenario
            )),
        }
    }
}

const TABLE: &str = "# A comment.\nS05 [CL-05 T7] dropped\n  > close\n- = bytes 7\n+ = bytes 0\n";

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_difference_is_read_and_applied() {
    let table = parse(TABLE).unwrap();
    assert_eq!((table.len(), &*table[0].scenario, &*table[0].reason), (1, "S05", "dropped"));
    assert_eq!(table[0].rows, ["CL-05", "T7"]);
    let mut trace = lines("made\n> close\n= bytes 7\nlost");
    table[0].apply(&mut trace).unwrap();
    assert_eq!(trace, lines("made\n> close\n= bytes 0\nlost"));
}

#[test]
fn a_difference_must_fit_in_exactly_one_place() {
    let table = parse(TABLE).unwrap();
    let applied = |trace: &str| table[0].apply(&mut lines(trace));
    assert!(applied("> close\n= bytes 8").unwrap_err().contains("does not hold"));
    assert!(applied("").unwrap_err().contains("does not hold"));
    let twice = "> close\n= bytes 7\n> close\n= bytes 7";
    assert!(applied(twice).unwrap_err().contains("more than once"));
}

#[test]
fn a_difference_that_says_nothing_is_refused() {
    for table in ["S05 no rows", "S05 [CL-05] same\n  a", "S05 [CL-05] none", "S05 [CL-05] x\n*a"] {
        assert!(parse(table).is_err(), "{table}");
    }
    assert!(parse("S05 [CL-05] nowhere\n+ a").is_err());
}
