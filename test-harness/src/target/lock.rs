//! What two runs must not have at the same time: a card, a folder of evidence.
//!
//! *Rule.* The lock is the operating system's: it ends with the process that has it, however that ends, and a run that was
//! killed leaves none behind.

use anyhow::{Context, Result, bail};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::Path;

/// Nobody else has it until this is dropped.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes the image of a card, which exists.
    ///
    /// # Errors
    /// It is no file that can be written, or somebody has it.
    pub fn card(path: &Path) -> Result<Self> {
        let name = path.display();
        let data = fs::metadata(path).with_context(|| format!("reading {name}"))?;
        if !data.is_file() {
            bail!("{name} is no file: the card is the image of a card, so name a file");
        }
        // Not only for reading: over a network, an exclusive lock takes the right to write.
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.with_context(|| format!("opening {name} for writing"))?;
        Self::take(
            file,
            &format!("the card {name}"),
            "end that run (Ctrl-A, then x), or name another card by --card FILE",
        )
    }

    /// Takes the folder that a run writes into; it is made if it does not exist.
    ///
    /// # Errors
    /// It cannot be written to, or somebody has it.
    pub fn folder(path: &Path) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
        let file = path.join("lock");
        let file = File::create(&file).with_context(|| format!("making {}", file.display()))?;
        Self::take(
            file,
            &format!("the folder {}", path.display()),
            "end that run, or wait until it has ended",
        )
    }

    fn take(file: File, what: &str, remedy: &str) -> Result<Self> {
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => bail!("{what} is in use by another run: {remedy}"),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {what}")),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would not do while a child between fork and exec has the file, too. Failure: it closes at once.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_had_by_one_until_it_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("card.img");
        File::create(&card).unwrap();
        let lock = Lock::card(&card).unwrap();
        let refusal = Lock::card(&card).unwrap_err().to_string();
        assert!(refusal.contains("card.img is in use by another run: end that run"), "{refusal}");
        drop(lock);
        assert!(Lock::card(&card).is_ok());
    }

    #[test]
    fn a_folder_is_had_by_one_and_others_are_free() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::folder(&folder.path().join("run")).unwrap();
        assert!(Lock::folder(&folder.path().join("run")).unwrap_err().to_string().contains("run is in use"));
        assert!(Lock::folder(&folder.path().join("other")).is_ok());
        drop(lock);
        assert!(Lock::folder(&folder.path().join("run")).is_ok());
    }

    #[test]
    fn a_folder_is_no_card() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = Lock::card(folder.path()).unwrap_err().to_string();
        assert!(
            refusal.ends_with("is no file: the card is the image of a card, so name a file"),
            "{refusal}"
        );
    }
}
