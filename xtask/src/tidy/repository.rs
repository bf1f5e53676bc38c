//! The repository's texts in memory, so that rules are functions and their tests need no disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Folders that hold what is built, never what is written.
const SKIPPED: [&str; 3] = [".git", "target", "out"];

/// Every file of the repository: path relative to the root with `/` between folders, and the text if it is one.
#[derive(Default)]
pub struct Repository {
    files: BTreeMap<String, Option<String>>,
}

impl Repository {
    /// Reads everything below `root`.
    ///
    /// # Errors
    /// Fails when a file or folder cannot be read.
    pub fn read(root: &Path) -> Result<Self> {
        let text = |path: String| {
            let file = root.join(&path);
            let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
            Ok((path, String::from_utf8(bytes).ok()))
        };
        Ok(Self { files: paths(root)?.into_iter().map(text).collect::<Result<_>>()? })
    }

    /// A repository of the given paths and texts.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).into(), Some((*text).into()))).collect() }
    }

    /// Paths and texts of all text files, in the order of their paths.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// Paths and texts of the Rust files.
    pub fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(|(path, _)| path.ends_with(".rs"))
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Whether `path` is a file, or a folder with a file in it.
    pub fn exists(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        path.is_empty()
            || self.files.contains_key(path)
            || self.files.keys().any(|file| file.starts_with(&folder))
    }
}

/// Paths of every file below `root`, relative to it with `/` between folders; what is built is left out.
///
/// # Errors
/// Fails when a folder cannot be read.
pub fn paths(root: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    add_folder(root, "", &mut paths)?;
    Ok(paths)
}

fn add_folder(folder: &Path, prefix: &str, paths: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if prefix.is_empty() && SKIPPED.contains(&name.as_str()) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            add_folder(&entry.path(), &format!("{prefix}{name}/"), paths)?;
        } else if kind.is_file() {
            paths.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_their_folders_exist() {
        let repository = Repository::of(&[("docs/guide.md", "")]);
        assert!(
            repository.exists("docs/guide.md") && repository.exists("docs") && repository.exists("docs/")
        );
        assert!(!repository.exists("doc") && !repository.exists("docs/guide"));
    }
}
