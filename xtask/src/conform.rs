//! Record asyncio's behaviour anew, compare it with the committed traces, then run ours.
//!
//! The recording needs Python 3.12 or newer: `$WHARF_PYTHON`, `python3.13`, `python3`, `python3.12`, or pyenv's.
//! Without one it is skipped; our side is compared with the committed traces all the same.
//! An interpreter of another version than the recorded one may differ: that is said, and does not fail.

use std::collections::{BTreeMap, BTreeSet};

use lexopt::Parser;
use serde_json::Value;
use xshell::{Cmd, cmd};

use crate::project::Project;
use crate::step::{Outcome, step};
use crate::{Result, cli};

const COMMITTED: &str = "conformance/traces.asyncio-3.13.0.json";
const OLDEST: (u32, u32) = (3, 12);

pub(crate) fn run(project: &Project, args: Parser) -> Result<Outcome> {
    cli::nothing_more(args)?;
    let recorded = step("asyncio's traces", || record(project))?;
    let sh = &project.sh;
    step("our traces", || {
        let test = ["--locked", "--test", "conformance", "scenarios"];
        let list = cmd!(sh, "cargo test --quiet {test...} -- --list").quiet().read()?;
        if !list.contains(": test") {
            return Err("the facade's conformance tests have no scenarios".into());
        }
        cmd!(sh, "cargo test {test...}").run().map_err(crate::Error::from)
    })?;
    Ok(recorded)
}

fn record(project: &Project) -> Result<Outcome> {
    let Some(python) = python(project) else {
        return Outcome::skipped("no Python 3.12 or newer; set WHARF_PYTHON to one");
    };
    let sh = &project.sh;
    let folder = sh.create_temp_dir()?;
    let fresh = folder.path().join("traces.json");
    cmd!(sh, "{python} conformance/record.py --out {fresh}").run()?;
    let committed = Traces::parse(&sh.read_file(COMMITTED)?)?;
    let fresh = Traces::parse(&sh.read_file(fresh)?)?;
    let different = committed.differences(&fresh).join(", ");
    if different.is_empty() {
        return Ok(Outcome::Done);
    }
    let message = format!(
        "asyncio of Python {} behaves differently from {COMMITTED} in {different}",
        fresh.python
    );
    if fresh.python == committed.python {
        return Err(message.into());
    }
    println!("notice: {message}");
    Ok(Outcome::Done)
}

/// What `record.py` writes.
struct Traces {
    python: String,
    scenarios: BTreeMap<String, Value>,
}

impl Traces {
    fn parse(json: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(json)?;
        let scenarios =
            json["scenarios"].as_object().ok_or("a file of traces holds `scenarios`")?;
        Ok(Self {
            python: json["python"].as_str().unwrap_or_default().to_owned(),
            scenarios: scenarios.iter().map(|(id, trace)| (id.clone(), trace.clone())).collect(),
        })
    }

    /// The scenarios whose traces are not the same, or are on one side only.
    /// What asyncio itself does now so, now otherwise, is not compared.
    fn differences<'a>(&'a self, fresh: &'a Self) -> Vec<&'a str> {
        let ids: BTreeSet<&String> = self.scenarios.keys().chain(fresh.scenarios.keys()).collect();
        let is_stable =
            |id: &String| self.scenarios.get(id).is_none_or(|trace| trace["stable"] != false);
        let differs = |id: &String| self.scenarios.get(id) != fresh.scenarios.get(id);
        ids.into_iter().filter(|id| is_stable(id) && differs(id)).map(String::as_str).collect()
    }
}

/// The first interpreter that is new enough; the recorded release is preferred.
fn python(project: &Project) -> Option<String> {
    let sh = &project.sh;
    let says = |command: Cmd<'_>| command.quiet().ignore_stderr().read().ok();
    let named = std::env::var("WHARF_PYTHON").ok();
    let known = ["python3.13", "python3", "python3.12"].map(str::to_owned);
    let in_pyenv = ["3.13", "3.12"].into_iter().filter_map(|version| {
        let folder = says(cmd!(sh, "pyenv prefix {version}"))?;
        Some(format!("{folder}/bin/python3"))
    });
    named.into_iter().chain(known).chain(in_pyenv).find(|python| {
        let version = says(cmd!(sh, "{python} --version"));
        version.and_then(|version| release(&version)) >= Some(OLDEST)
    })
}

/// `Python 3.13.0` or `3.13.0` is of release 3.13.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers =
        version.trim_start_matches("Python ").split('.').map_while(|part| part.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_as_numbers() {
        for (version, new_enough) in [
            ("Python 3.13.0", true),
            ("Python 3.12.1", true),
            ("Python 4.0.0", true),
            ("Python 3.11.9", false),
            ("Python 3.9.18", false),
            ("", false),
        ] {
            assert_eq!(release(version) >= Some(OLDEST), new_enough, "{version}");
        }
    }

    #[test]
    fn a_changed_a_new_and_a_lost_scenario_are_named() {
        let committed = r#"{ "python": "3.13.0", "scenarios": { "A": [1], "B": [2], "C": [3] } }"#;
        let fresh = r#"{ "python": "3.12.1", "scenarios": { "A": [1], "B": [0], "D": [4] } }"#;
        let (committed, fresh) = (Traces::parse(committed).unwrap(), Traces::parse(fresh).unwrap());
        assert_eq!(committed.differences(&fresh), ["B", "C", "D"]);
        assert_eq!(committed.differences(&committed), [""; 0]);
        assert!(Traces::parse("{}").is_err());
    }

    #[test]
    fn what_is_not_stable_is_not_compared() {
        let committed = r#"{ "scenarios": { "A": { "stable": false, "trace": [1] } } }"#;
        let fresh = r#"{ "scenarios": { "A": { "stable": true, "trace": [2] } } }"#;
        let (committed, fresh) = (Traces::parse(committed).unwrap(), Traces::parse(fresh).unwrap());
        assert_eq!(committed.differences(&fresh), [""; 0]);
    }
}
