//! What tidy looks at: every text of the project, the Rust files among them, the workspace's packages.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use super::layers;
use super::source::Source;
use crate::Result;
use crate::metadata::Package;
use crate::project::Project;

#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Every file that is text, by its path from the root.
    pub(super) texts: BTreeMap<String, String>,
    pub(super) sources: Vec<Source>,
    pub(super) packages: Vec<Package>,
}

/// Folders that hold products, not sources. In a second work tree `.git` is a file.
const PRODUCTS: [&str; 5] = [".git", "target", "corpus", "artifacts", "__pycache__"];

impl Tree {
    pub(super) fn read(project: &Project) -> Result<Self> {
        let mut texts = BTreeMap::new();
        collect(&project.root, "", &mut texts)?;
        Ok(Self { packages: project.metadata.packages.clone(), ..Self::new(texts) })
    }

    fn new(texts: BTreeMap<String, String>) -> Self {
        let rust = texts.iter().filter(|(path, _)| path.ends_with(".rs"));
        let mut sources: Vec<Source> = rust.map(|(path, text)| Source::new(path, text)).collect();
        mark_test_modules(&mut sources);
        Self { texts, sources, packages: Vec::new() }
    }

    /// The text of one file.
    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// The names of all tests, and of what they call.
    pub(super) fn tests(&self) -> HashSet<&str> {
        let functions = self.sources.iter().flat_map(Source::functions);
        functions.filter(|function| function.in_test).map(|function| function.text).collect()
    }

    /// The code that users build: the sources of the library crates.
    pub(super) fn library_sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| {
            source.path.split_once("/src/").is_some_and(|(folder, _)| layers::is_library(folder))
        })
    }
}

/// A module that is declared under a test attribute is test code, and so is all below it.
fn mark_test_modules(sources: &mut [Source]) {
    let mut roots = Vec::new();
    for source in &*sources {
        let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
        let stem = file.trim_end_matches(".rs");
        let folder = match stem {
            "lib" | "main" | "mod" => folder.to_owned(),
            _ => format!("{folder}/{stem}"),
        };
        roots.extend(source.test_modules().into_iter().map(|name| format!("{folder}/{name}")));
    }
    for source in sources {
        let below = |root: &String| {
            source
                .path
                .strip_prefix(root)
                .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        if roots.iter().any(below) {
            source.mark_as_test();
        }
    }
}

fn collect(folder: &Path, prefix: &str, texts: &mut BTreeMap<String, String>) -> Result {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if PRODUCTS.contains(&name.as_str()) {
            continue;
        }
        if kind.is_dir() {
            collect(&entry.path(), &format!("{path}/"), texts)?;
        } else if kind.is_file() {
            // What is not UTF-8 is not text, and no rule of ours speaks of it.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                texts.insert(path, text);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
impl Tree {
    /// A small tree for a test.
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self::new(
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect(),
        )
    }

    pub(super) fn with(mut self, packages: Vec<Package>) -> Self {
        self.packages = packages;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_declared_for_tests_are_tests_with_all_below_them() {
        let tree = Tree::of(&[
            ("crates/tcp/src/lib.rs", "#[cfg(test)]\nmod peer;\nmod socket;"),
            ("crates/tcp/src/peer.rs", "a"),
            ("crates/tcp/src/peer/wire.rs", "a"),
            ("crates/tcp/src/peering.rs", "a"),
            ("crates/tcp/src/socket.rs", "struct Socket;\n#[cfg(test)]\nmod pair;"),
            ("crates/tcp/src/socket/pair.rs", "a"),
        ]);
        let tests = tree.sources.iter().filter(|source| source.words().all(|word| word.in_test));
        let tests: Vec<_> = tests.map(|source| source.path.as_str()).collect();
        assert_eq!(
            tests,
            [
                "crates/tcp/src/peer.rs",
                "crates/tcp/src/peer/wire.rs",
                "crates/tcp/src/socket/pair.rs"
            ]
        );
    }

    #[test]
    fn products_and_what_is_not_text_are_left_out() {
        let sh = xshell::Shell::new().unwrap();
        let folder = sh.create_temp_dir().unwrap();
        sh.change_dir(folder.path());
        sh.write_file("target/debug/build.rs", "x").unwrap();
        sh.write_file("docs/style.md", "x").unwrap();
        sh.write_file("image.png", [0xFF, 0xFE]).unwrap();
        let mut texts = BTreeMap::new();
        collect(folder.path(), "", &mut texts).unwrap();
        assert_eq!(texts.into_keys().collect::<Vec<_>>(), ["docs/style.md"]);
    }
}
