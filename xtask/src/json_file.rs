//! The file of `--json`: tried before a run that takes minutes, written after what the run has shown on the terminal.

use anyhow::{Context, Result};
use std::fs::{self, OpenOptions};
use std::path::Path;

/// Finds out whether the file can be written; its contents stay, and what did not exist does not exist afterwards.
///
/// # Errors
/// It cannot be written.
pub fn check(path: Option<&Path>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let there = fs::metadata(path).ok();
    // Opening a pipe would wait for its reader, and closing it would tell the reader that all has been written.
    if there.as_ref().is_some_and(|data| !data.is_file() && !data.is_dir()) {
        return Ok(());
    }
    OpenOptions::new().append(true).create(true).open(path).with_context(|| {
        format!("--json {} cannot be written: name a file in a folder that exists", path.display())
    })?;
    if there.is_none() {
        fs::remove_file(path).with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

/// Writes the result, if a file was named.
///
/// # Errors
/// It cannot be written.
pub fn write(path: Option<&Path>, text: &str) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    fs::write(path, format!("{text}\n"))
        .with_context(|| format!("writing {}: the run itself took place", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_found_before_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let lost = folder.path().join("no-such-folder/result.json");
        let refusal = check(Some(&lost)).unwrap_err().to_string();
        assert!(refusal.ends_with("cannot be written: name a file in a folder that exists"), "{refusal}");
        assert!(check(Some(folder.path())).is_err(), "a folder is no file");
        assert!(check(None).is_ok());
    }

    #[test]
    fn trying_a_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("result.json");
        check(Some(&file)).unwrap();
        assert!(!file.exists());
        write(Some(&file), "{}").unwrap();
        check(Some(&file)).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"{}\n");
    }
}
