//! Bugs that were planted, to test what is to find them: `planted/*.toml`.
//!
//! *Role.* A file is a small mistake in the real sources, as a diff, and the stock scenario that must catch it. One is no mistake of
//! the system: a card that is altered when the machine is off.
//!
//! *Rule.* A bug counts as caught only if what is said about it is what its file expects: an oracle that complains of something
//! else has not understood it.

use super::ledger::Line;
use super::scenario::STOCK;
use crate::oracle::card;
use crate::oracle::tree::Node;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A bug that was planted.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planted {
    /// What it is, in one line.
    pub about: String,
    /// The mistake, as a unified diff against the tree.
    #[serde(default)]
    pub patch: Option<String>,
    /// Instead of a diff: a file on the card is altered behind everybody's back, before the card is judged.
    #[serde(default)]
    pub alters_card: bool,
    /// The stock scenario that catches it.
    pub scenario: String,
    /// Trials that may take place until it is caught.
    pub trials: u64,
    /// Seed of the campaign.
    pub seed: u64,
    /// A part of what is said when it is caught, see [`said_of_trial`] and [`said_of_golden_run`].
    pub caught_by: String,
}

impl Planted {
    /// Reads the file of a bug.
    ///
    /// # Errors
    /// Says what is wrong, with its line where the syntax is wrong or a key unknown.
    pub fn parse(text: &str) -> Result<Self> {
        let planted: Self = toml::from_str(text)?;
        ensure!(
            planted.patch.is_some() != planted.alters_card,
            "a planted bug has a `patch`, or `alters_card = true`: one of the two"
        );
        let stock = STOCK.map(|(name, _)| name);
        ensure!(
            stock.contains(&planted.scenario.as_str()),
            "`scenario` is {:?}, and must be one of the stock: {}",
            planted.scenario,
            stock.join(", ")
        );
        ensure!(planted.trials > 0, "`trials` must be above 0");
        ensure!(!planted.caught_by.is_empty(), "`caught_by` must say what is expected to be said");
        Ok(planted)
    }

    /// All bugs in `folder`, with the names of their files, in the order of these.
    ///
    /// # Errors
    /// The folder cannot be read, or a file of it is wrong: names it.
    pub fn all(folder: &Path) -> Result<Vec<(String, Self)>> {
        let reading = || format!("reading {}", folder.display());
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).with_context(reading)? {
            let path = entry.with_context(reading)?.path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            all.push((name, Self::parse(&text).with_context(|| format!("in {}", path.display()))?));
        }
        all.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(all)
    }

    /// Whether this is what was to be said.
    pub fn is_understood(&self, said: &str) -> bool {
        said.contains(&self.caught_by)
    }
}

/// What is said of a trial that the system did not stand; `None`: it stood it.
pub fn said_of_trial(line: &Line) -> Option<String> {
    let failed = !line.outcome.is_success();
    failed.then(|| format!("{}: {}", line.outcome.name(), line.findings.join("; ")))
}

/// What is said of a golden run that is not clean.
pub fn said_of_golden_run(findings: &str) -> String {
    format!("golden run: {findings}")
}

/// Alters one byte of the largest file of the workload on a card that nobody uses; returns its path. No tool of the file system
/// can find that: only who knows what was acknowledged.
///
/// # Errors
/// The card cannot be read or written, or there is no file on it.
pub fn alter(image: &Path) -> Result<String> {
    let contents = card::read(image)?;
    let bytes = |node: &Node| if let Node::File(bytes) = node { bytes.len() } else { 0 };
    let largest = contents.tree.iter().max_by_key(|(_, node)| bytes(node));
    let (path, _) =
        largest.filter(|(_, node)| bytes(node) > 0).context("no file on the card has contents")?;
    let at = card::place_of(image, path)?;
    let altering = || format!("altering {}", image.display());
    let file = File::options().read(true).write(true).open(image).with_context(altering)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).with_context(altering)?;
    file.write_all_at(&[byte[0] ^ 1], at).with_context(altering)?;
    Ok(path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "about = \"a\"\npatch = \"p\"\nscenario = \"text\"\ntrials = 3\nseed = 1\ncaught_by = \"hang\"\n";

    fn message(text: &str) -> String {
        format!("{:#}", Planted::parse(text).unwrap_err())
    }

    #[test]
    fn a_file_says_what_is_planted_and_what_catches_it() {
        let planted = Planted::parse(TEXT).unwrap();
        assert_eq!((planted.patch.as_deref(), planted.trials, planted.seed), (Some("p"), 3, 1));
        assert!(planted.is_understood("hang: fs was given up") && !planted.is_understood("benign: "));
        assert!(planted.is_understood(&said_of_golden_run("it ended in a hang")));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(message(&TEXT.replace("patch = \"p\"", "")).contains("one of the two"));
        assert!(message(&TEXT.replace("seed", "alters_card = true\nseed")).contains("one of the two"));
        assert!(
            message(&TEXT.replace("\"text\"", "\"mine\"")).contains("one of the stock: batch, behaviour")
        );
        assert!(message(&TEXT.replace('3', "0")).contains("above 0"));
        assert!(message(&format!("{TEXT}more = 1\n")).contains("unknown field `more`"));
    }

    #[test]
    fn one_byte_of_a_file_can_be_altered_and_only_the_comparison_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("card.img");
        let (source, script) = (folder.path().join("file"), folder.path().join("script"));
        crate::target::card::make(&image, crate::target::card::CARD_BYTES).unwrap();
        assert!(alter(&image).unwrap_err().to_string().contains("no file on the card"));
        fs::write(&source, vec![7; 3000]).unwrap();
        fs::write(&script, format!("mkdir /work\nwrite {} /work/f\n", source.display())).unwrap();
        let mut debugfs = std::process::Command::new(crate::target::card::tool("debugfs"));
        assert!(debugfs.arg("-w").arg("-f").arg(&script).arg(&image).output().unwrap().status.success());
        let before = card::read(&image).unwrap();
        assert_eq!(alter(&image).unwrap(), "/work/f");
        let after = card::read(&image).unwrap();
        assert!(card::check(&image).unwrap().clean);
        assert!(!card::compare(&after, &[before.tree]).is_empty());
    }
}
