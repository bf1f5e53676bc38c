//! Changes files, all of them or none.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A file and what is to be in it; the path is relative to the root.
pub type Change = (String, String);

/// The text of a file.
///
/// # Errors
/// Names the file.
pub fn read(root: &Path, path: &str) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"))
}

/// Writes all files. If one cannot be written, those before it get their old contents back, and new ones go.
///
/// # Errors
/// Names the file that could not be written.
pub fn write(root: &Path, changes: &[Change]) -> Result<()> {
    let mut done: Vec<(&str, Option<Vec<u8>>)> = Vec::new();
    for (path, text) in changes {
        let target = root.join(path);
        let old = fs::read(&target).ok();
        let partial = target.with_extension("partial");
        let written = target.parent().map_or(Ok(()), fs::create_dir_all);
        let written =
            written.and_then(|()| fs::write(&partial, text)).and_then(|()| fs::rename(&partial, &target));
        done.push((path, old));
        if let Err(error) = written {
            let _ = fs::remove_file(&partial);
            take_back(root, &done);
            return Err(error).with_context(|| format!("writing {path}: nothing was changed"));
        }
    }
    Ok(())
}

fn take_back(root: &Path, done: &[(&str, Option<Vec<u8>>)]) {
    for (path, old) in done.iter().rev() {
        let target = root.join(path);
        match old {
            // What cannot be put back is in the version control, and the error that led here is told.
            Some(bytes) => drop(fs::write(&target, bytes)),
            None => drop(fs::remove_file(&target)),
        }
        // Folders that this has made are empty now; others are not, and stay.
        for folder in target.ancestors().skip(1).take_while(|folder| *folder != root) {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_takes_everything_back() {
        let root = std::env::temp_dir().join(format!("samsara-new-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("old"), "before").unwrap();
        let change = |path: &str| (path.to_owned(), "after".to_owned());
        // A file cannot be a folder: the third cannot be written.
        let changes = [change("old"), change("a/b/new"), change("old/impossible")];
        let text = format!("{:#}", write(&root, &changes).unwrap_err());
        assert!(text.contains("old/impossible: nothing was changed"), "{text}");
        assert_eq!(fs::read_to_string(root.join("old")).unwrap(), "before");
        assert!(!root.join("a").exists());
        write(&root, &changes[..2]).unwrap();
        assert_eq!(read(&root, "a/b/new").unwrap(), "after");
        fs::remove_dir_all(&root).unwrap();
    }
}
