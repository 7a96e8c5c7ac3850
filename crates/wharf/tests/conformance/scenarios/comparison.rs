//! Comparing: asyncio's recorded trace, with the intended differences applied, is ours to the line.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::differences::{self, Difference};

/// A file of the project.
fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A scenario as asyncio played it.
struct Recorded {
    title: String,
    trace: Vec<String>,
}

fn recorded() -> BTreeMap<String, Recorded> {
    let document: Value = serde_json::from_str(&read("conformance/traces.asyncio-3.13.0.json"))
        .expect("the traces are JSON");
    let scenarios = document["scenarios"].as_object().expect("a file of traces holds `scenarios`");
    let text = |value: &Value| value.as_str().expect("a trace holds strings").to_owned();
    let entry = |value: &Value| {
        assert_eq!(value["stable"], true, "only stable traces can be compared");
        let trace = value["trace"].as_array().expect("a scenario holds a `trace`");
        Recorded { title: text(&value["title"]), trace: trace.iter().map(text).collect() }
    };
    scenarios.iter().map(|(id, value)| (id.clone(), entry(value))).collect()
}

/// asyncio's trace of one scenario.
fn played_by_asyncio(scenario: &str) -> Vec<String> {
    recorded().remove(scenario).expect("the scenario is recorded").trace
}

fn intended() -> Vec<Difference> {
    differences::parse(&read("conformance/differences.txt"))
        .unwrap_or_else(|error| panic!("conformance/differences.txt: {error}"))
}

/// Our trace of `scenario` must be asyncio's with the intended differences, all of them and no other.
pub(super) fn assert_conforms(scenario: &str, ours: &[String]) {
    let asyncio = played_by_asyncio(scenario);
    let mut expected = asyncio.clone();
    for difference in intended().iter().filter(|difference| difference.scenario == scenario) {
        difference.apply(&mut expected).unwrap_or_else(|error| panic!("{error}"));
    }
    if ours == expected {
        return;
    }
    let hint = if ours == asyncio {
        "\nour trace is asyncio's: the differences of conformance/differences.txt do not occur any more"
    } else {
        ""
    };
    let shown = side_by_side(&expected, ours);
    panic!("{scenario}: - is expected (asyncio's, with the differences), + is ours\n{shown}{hint}");
}

/// The lines that two traces begin and end with, and what is between.
fn side_by_side(expected: &[String], ours: &[String]) -> String {
    let same = |(a, b): &(&String, &String)| a == b;
    let head = expected.iter().zip(ours).take_while(same).count();
    let (left, right) = (&expected[head..], &ours[head..]);
    let tail = left.iter().rev().zip(right.iter().rev()).take_while(same).count();
    let marked = |mark: &str, lines: &[String]| -> String {
        lines.iter().map(|line| format!("  {mark} {line}\n")).collect()
    };
    [
        marked(" ", &expected[..head]),
        marked("-", &left[..left.len() - tail]),
        marked("+", &right[..right.len() - tail]),
        marked(" ", &left[left.len() - tail..]),
    ]
    .concat()
}

/// The name of the test of each scenario, by the scenario's id, out of the sources beside this one.
fn tests() -> BTreeMap<String, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/scenarios");
    let mut tests = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the folder of the scenarios") {
        let source = fs::read_to_string(entry.expect("a file").path()).expect("a source");
        let lines: Vec<&str> = source.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[test]") {
            let name = pair[1].trim_start_matches("fn ").split('(').next().unwrap_or_default();
            let id = name.split('_').next().unwrap_or_default().to_uppercase();
            if id.len() == 3 && id[1..].parse::<u8>().is_ok() {
                let twice = tests.insert(id, name.to_owned());
                assert_eq!(twice, None, "one test per scenario");
            }
        }
    }
    tests
}

#[test]
fn every_recorded_scenario_has_a_test_and_every_test_a_recording() {
    let recorded: Vec<String> = recorded().into_keys().collect();
    let tests: Vec<String> = tests().into_keys().collect();
    assert_eq!(tests, recorded);
}

#[test]
fn every_difference_belongs_to_a_recorded_scenario() {
    let recorded = recorded();
    for difference in intended() {
        let id = &difference.scenario;
        assert!(recorded.contains_key(id), "there is no scenario {id}: {}", difference.reason);
    }
}

/// The table of docs/conformance.md, as it should read.
#[test]
fn the_documented_table_is_what_is_tested() {
    let (tests, intended) = (tests(), intended());
    let mut table = String::from("| scenario | test | differences |\n| --- | --- | --- |\n");
    for (id, scenario) in recorded() {
        let of_this = intended.iter().filter(|difference| difference.scenario == id);
        let reasons: Vec<String> = of_this
            .map(|difference| format!("{} ({})", difference.reason, difference.rows.join(", ")))
            .collect();
        let reasons = if reasons.is_empty() { "none".to_owned() } else { reasons.join("; ") };
        let test = tests.get(&id).map_or("", String::as_str);
        table += &format!("| {id}: {} | `{test}` | {reasons} |\n", scenario.title);
    }
    let document = read("docs/conformance.md");
    assert!(document.contains(&table), "the table of the scenarios should read:\n\n{table}");
}

#[test]
#[should_panic(expected = "do not occur any more")]
fn a_listed_difference_that_does_not_occur_is_a_failure() {
    assert_conforms("S05", &played_by_asyncio("S05"));
}

#[test]
#[should_panic(expected = "+ cb A connection_lost None")]
fn a_difference_that_is_not_listed_is_a_failure() {
    let mut trace = played_by_asyncio("S03");
    trace.push("cb A connection_lost None".to_owned());
    assert_conforms("S03", &trace);
}
