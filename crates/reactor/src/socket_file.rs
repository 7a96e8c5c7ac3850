//! [`SocketFile`]: the file of a bound Unix socket, to be removed when the socket is closed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file of a Unix socket, known by more than its name: somebody else may have put another in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// The file that was just bound at `path`; `None` when it is gone already.
    #[must_use]
    pub fn at(path: PathBuf) -> Option<Self> {
        let (device, inode) = identity(&path)?;
        Some(Self { path, device, inode })
    }

    /// Removes it, if it is still the one that was bound.
    pub fn remove_if_ours(&self) {
        if identity(&self.path) == Some((self.device, self.inode)) {
            // Somebody may be quicker; then it is gone, which is what we want.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}
