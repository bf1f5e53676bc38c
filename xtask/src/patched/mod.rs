//! The system built from changed sources: a copy of the tree, a diff applied to it, and tools that build there.
//!
//! *Role.* What campaigns of mistakes in the source need: bugs that were planted, mutants. Everything else in xtask works on the
//! copy as on the tree itself, through the [`Toolchain`] that [`Patched::tools`] gives.
//!
//! *Rule.* The tree itself is only read. There is one copy, which becomes the next one by writing what differs: cargo builds again
//! what a diff touches, and nothing else. The host's own code stays that of the tree: a mistake in a crate that both share is in
//! the guest only.

pub mod diff;
pub mod host_tests;

use crate::tidy::repository;
use crate::tools::Toolchain;
use anyhow::{Context, Result};
use diff::FileDiff;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use test_harness::target::Lock;

/// A copy of the tree with a diff applied. While it exists, no other command has the copy.
pub struct Patched {
    tools: Toolchain,
    _lock: Lock,
}

impl Patched {
    /// Makes the copy what the tree is with this diff.
    ///
    /// # Errors
    /// The diff does not fit, the copy cannot be written, or another command has it.
    pub fn make(tools: &Toolchain, diff: &[FileDiff]) -> Result<Self> {
        let folder = tools.target_dir().join("patched");
        let (tree, target) = (folder.join("tree"), folder.join("target"));
        fs::create_dir_all(&tree).with_context(|| format!("making {}", tree.display()))?;
        let lock = Lock::folder(&folder)?;
        synchronize(tools.root(), &tree, &changes(tools.root(), diff)?)?;
        Ok(Self { tools: tools.elsewhere(tree, target), _lock: lock })
    }

    /// Tools that work in the copy, with a target folder of its own.
    pub const fn tools(&self) -> &Toolchain {
        &self.tools
    }
}

/// The texts of all files that the diff changes, by path.
///
/// # Errors
/// A file is not there, or a change does not fit.
pub fn changes(root: &Path, diff: &[FileDiff]) -> Result<BTreeMap<String, String>> {
    let mut changed: BTreeMap<String, String> = BTreeMap::new();
    for file in diff {
        let path = root.join(&file.path);
        // Several diffs may change the same file.
        let text = match changed.remove(&file.path) {
            Some(text) => text,
            None => fs::read_to_string(&path)
                .with_context(|| format!("reading {}, which the diff changes", path.display()))?,
        };
        changed.insert(file.path.clone(), file.apply(&text)?);
    }
    Ok(changed)
}

/// Makes `copy` what `root` is with these texts in place of its own. Only what differs is written, so that times tell the truth.
fn synchronize(root: &Path, copy: &Path, changed: &BTreeMap<String, String>) -> Result<()> {
    let wanted: BTreeSet<String> = repository::paths(root)?.into_iter().collect();
    for gone in repository::paths(copy)?.into_iter().filter(|path| !wanted.contains(path)) {
        let path = copy.join(&gone);
        fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    for path in &wanted {
        let bytes = match changed.get(path) {
            Some(text) => text.clone().into_bytes(),
            None => read(&root.join(path))?,
        };
        write_if_different(&copy.join(path), &bytes)?;
    }
    Ok(())
}

fn read(path: &PathBuf) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

fn write_if_different(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, bytes));
    written.with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_follows_the_tree_and_keeps_what_was_built() {
        let (root, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (root, copy) = (root.path(), copy.path());
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(root.join("target")).unwrap();
        for (path, text) in [("a/b/one.rs", "1\n2\n"), ("two.rs", "2\n"), ("target/built", "")] {
            fs::write(root.join(path), text).unwrap();
        }
        let diff = diff::parse("--- a/a/b/one.rs\n+++ b/a/b/one.rs\n@@ -1 +1 @@\n-1\n+one\n").unwrap();
        synchronize(root, copy, &changes(root, &diff).unwrap()).unwrap();
        let text = |path: &str| fs::read_to_string(copy.join(path)).ok();
        assert_eq!(text("a/b/one.rs").as_deref(), Some("one\n2\n"));
        assert_eq!(text("target/built"), None);

        fs::create_dir_all(copy.join("target")).unwrap();
        fs::write(copy.join("target/kept"), "").unwrap();
        let written = || fs::metadata(copy.join("two.rs")).unwrap().modified().unwrap();
        let before = written();
        fs::remove_file(root.join("a/b/one.rs")).unwrap();
        synchronize(root, copy, &BTreeMap::new()).unwrap();
        assert_eq!((text("a/b/one.rs"), text("target/kept").as_deref()), (None, Some("")));
        assert_eq!(written(), before, "what is the same is not written again");
        let missing = changes(root, &diff).unwrap_err().to_string();
        assert!(missing.contains("one.rs, which the diff changes"), "{missing}");
    }
}
