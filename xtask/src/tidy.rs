//! Check the project's own rules: layers, invariants, names, file heads, unsafe code.
//!
//! Each file below tidy/ holds one family of rules as pure functions over the tree's text,
//! with tests that show that they bite.
//! The rules themselves are in docs/style.md and docs/architecture.md.

mod aliases;
mod budget;
mod conformance;
mod dependencies;
mod facade;
mod finding;
mod footprint;
mod headers;
mod invariants;
pub(crate) mod layers;
mod names;
mod platform;
mod source;
mod state;
mod table;
mod time;
mod tree;
mod unsafe_code;
mod words;

use lexopt::Parser;

use crate::project::Project;
use crate::step::Outcome;
use crate::{Result, cli};
use finding::{Finding, Weight};
use tree::Tree;

const CHECKS: &[fn(&Tree) -> Vec<Finding>] = &[
    headers::check,
    budget::check,
    words::check,
    names::check,
    aliases::check,
    unsafe_code::check,
    layers::check,
    facade::check,
    platform::check,
    state::check,
    time::check,
    invariants::check,
    dependencies::check,
    conformance::check,
];

pub(crate) fn run(project: &Project, args: Parser) -> Result<Outcome> {
    cli::nothing_more(args)?;
    check(project)
}

pub(crate) fn check(project: &Project) -> Result<Outcome> {
    let tree = Tree::read(project)?;
    let mut findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
    findings.extend(footprint::check(project)?);
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    let errors = findings.iter().filter(|finding| finding.weight == Weight::Error).count();
    println!("{} files, {errors} errors, {} warnings", tree.texts.len(), findings.len() - errors);
    if errors == 0 { Ok(Outcome::Done) } else { Err("tidy found errors".into()) }
}
