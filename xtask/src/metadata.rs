//! What `cargo metadata` says about the workspace, reduced to what the commands ask.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Result;

#[derive(Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

/// A member of the workspace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// From the workspace root, with `/` between the parts.
    pub(crate) folder: String,
    pub(crate) rust_version: String,
    pub(crate) features: Vec<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Normal,
    Dev,
    Build,
}

impl Metadata {
    /// Reads the output of `cargo metadata --no-deps --format-version 1`.
    pub(crate) fn parse(json: &str, root: &Path) -> Result<Self> {
        let json: Value = serde_json::from_str(json)?;
        Ok(Self {
            packages: array(&json["packages"])
                .iter()
                .map(|package| Package::read(package, root))
                .collect(),
            target_directory: text(&json["target_directory"]).into(),
        })
    }

    pub(crate) fn package(&self, name: &str) -> Result<&Package> {
        let found = self.packages.iter().find(|package| package.name == name);
        found.ok_or_else(|| format!("the workspace has no package `{name}`").into())
    }
}

impl Package {
    fn read(json: &Value, root: &Path) -> Self {
        let manifest = PathBuf::from(text(&json["manifest_path"]));
        let folder = manifest.parent().and_then(|folder| folder.strip_prefix(root).ok());
        Self {
            name: text(&json["name"]),
            folder: folder.unwrap_or_else(|| Path::new("")).to_string_lossy().replace('\\', "/"),
            rust_version: text(&json["rust_version"]),
            features: json["features"]
                .as_object()
                .map_or_else(Vec::new, |all| all.keys().cloned().collect()),
            dependencies: array(&json["dependencies"]).iter().map(Dependency::read).collect(),
        }
    }

    /// What users of this package get with it: normal and build dependencies.
    pub(crate) fn shipped_dependencies(&self) -> impl Iterator<Item = &str> {
        let shipped = self.dependencies.iter().filter(|dependency| dependency.kind != Kind::Dev);
        shipped.map(|dependency| dependency.name.as_str())
    }
}

impl Dependency {
    fn read(json: &Value) -> Self {
        let kind = match (json["kind"].as_str(), json["target"].as_str()) {
            // A private flag of ours: no user's build has it.
            (Some("dev"), _) | (_, Some("cfg(loom)")) => Kind::Dev,
            (Some("build"), _) => Kind::Build,
            _ => Kind::Normal,
        };
        Self { name: text(&json["name"]), kind }
    }
}

fn array(json: &Value) -> &[Value] {
    json.as_array().map_or(&[], Vec::as_slice)
}

fn text(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_understood() {
        let json = r#"{
            "target_directory": "/p/target",
            "packages": [{
                "name": "wharf-core",
                "manifest_path": "/p/crates/core/Cargo.toml",
                "rust_version": "1.85",
                "features": { "default": [], "tcp": [] },
                "dependencies": [
                    { "name": "bytes", "kind": null },
                    { "name": "proptest", "kind": "dev" },
                    { "name": "autocfg", "kind": "build" },
                    { "name": "loom", "kind": null, "target": "cfg(loom)" },
                    { "name": "rustix", "kind": null, "target": "cfg(target_os = \"linux\")" }
                ]
            }]
        }"#;
        let metadata = Metadata::parse(json, Path::new("/p")).unwrap();
        let core = metadata.package("wharf-core").unwrap();
        assert_eq!((core.folder.as_str(), core.rust_version.as_str()), ("crates/core", "1.85"));
        assert_eq!(core.features, ["default", "tcp"]);
        assert_eq!(core.shipped_dependencies().collect::<Vec<_>>(), ["bytes", "autocfg", "rustix"]);
        assert_eq!(core.dependencies[1].kind, Kind::Dev);
        assert!(metadata.package("wharf-tea").is_err());
    }
}
