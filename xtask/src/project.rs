//! The project on disk: a shell at its root, and what cargo knows about it.

use std::path::PathBuf;

use xshell::{Shell, cmd};

use crate::Result;
use crate::metadata::Metadata;

/// Where commands run.
pub(crate) struct Project {
    /// A shell that stands at the workspace root.
    pub(crate) sh: Shell,
    pub(crate) root: PathBuf,
    pub(crate) metadata: Metadata,
}

impl Project {
    pub(crate) fn open() -> Result<Self> {
        // Cargo says where xtask stands now; where it stood when it was built is the second-best answer.
        let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
            .unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = PathBuf::from(xtask)
            .parent()
            .ok_or("xtask stands at the file system's root")?
            .to_owned();
        let sh = Shell::new()?;
        sh.change_dir(&root);
        let metadata =
            cmd!(sh, "cargo metadata --locked --no-deps --format-version 1").quiet().read()?;
        let metadata = Metadata::parse(&metadata, &root)?;
        Ok(Self { sh, root, metadata })
    }

    /// A target directory of its own, for builds whose flags would throw away everyone else's work.
    pub(crate) fn target_for(&self, purpose: &str) -> PathBuf {
        self.metadata.target_directory.join(purpose)
    }

    /// Whether a nightly tool chain can be asked for by name.
    pub(crate) fn has_nightly(&self) -> bool {
        cmd!(self.sh, "cargo +nightly --version").quiet().ignore_stderr().read().is_ok()
    }
}
