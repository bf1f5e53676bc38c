//! The longest sections of the kernel in which no interrupt can be taken, as a plugin of the emulator sees them
//! (`test-harness/plugin`).

use super::Machine;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// File name of the plugin.
const PLUGIN: &str = "libsections.so";

/// A section: where it begins and ends, and how often each of its instructions was executed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Section {
    /// Address of the first instruction.
    pub first: u64,
    /// Address of the last.
    pub last: u64,
    /// Executions by address.
    pub counts: BTreeMap<u64, u64>,
}

impl Section {
    /// Instructions.
    pub fn length(&self) -> u64 {
        self.counts.values().sum()
    }
}

/// One run that is watched.
#[derive(Clone, Debug)]
pub struct Watch {
    plugin: PathBuf,
    out: PathBuf,
}

impl Watch {
    /// Lets `plugin` write into `folder`.
    pub fn new(plugin: &Path, folder: &Path) -> Self {
        Self { plugin: plugin.to_owned(), out: folder.join("sections.txt") }
    }

    /// What the emulator is told besides.
    pub fn arguments(&self) -> [String; 2] {
        // In an option, a comma in a name is written twice.
        let name = |path: &Path| path.display().to_string().replace(',', ",,");
        ["-plugin".to_owned(), format!("file={},out={}", name(&self.plugin), name(&self.out))]
    }

    /// The longest section of each kind, the longest first, when the emulator has ended.
    ///
    /// # Errors
    /// The plugin has written nothing, or what nobody understands.
    pub fn sections(&self) -> Result<Vec<Section>> {
        let text =
            fs::read_to_string(&self.out).with_context(|| format!("reading {}", self.out.display()))?;
        read(&text).with_context(|| format!("in {}", self.out.display()))
    }
}

/// Where the build puts the plugin: beside the program that runs.
///
/// # Errors
/// It is not built.
pub fn plugin() -> Result<PathBuf> {
    let program = std::env::current_exe().context("asking for the running program")?;
    let folders = program.ancestors().skip(1).take(2);
    let mut found = folders.map(|folder| folder.join(PLUGIN)).filter(|path| path.is_file());
    found
        .next()
        .with_context(|| format!("{PLUGIN} is not built: cargo build --profile host --package sections"))
}

/// Whether the emulator of `machine` takes plugins at all.
pub fn are_possible(machine: &Machine) -> bool {
    let mut command = Command::new(machine.program());
    command.args(["-plugin", "help"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn read(text: &str) -> Result<Vec<Section>> {
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match (words.as_slice(), sections.last_mut()) {
            (["section", first, last], _) => {
                sections.push(Section { first: hex(first)?, last: hex(last)?, ..Section::default() });
            }
            (["sections", _], _) => {}
            ([address, count], Some(section)) => {
                section.counts.insert(hex(address)?, count.parse()?);
            }
            _ => anyhow::bail!("a line that is none: {line:?}"),
        }
    }
    Ok(sections)
}

fn hex(word: &str) -> Result<u64> {
    let digits = word.strip_prefix("0x").with_context(|| format!("no address: {word:?}"))?;
    Ok(u64::from_str_radix(digits, 16)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read_with_their_counts() {
        let text = "section 0x10 0x18\n0x10 1\n0x14 40\n0x18 1\nsection 0x20 0x20\n0x20 7\nsections 9\n";
        let sections = read(text).unwrap();
        assert_eq!(sections.iter().map(Section::length).collect::<Vec<_>>(), [42, 7]);
        assert_eq!((sections[0].first, sections[0].last), (0x10, 0x18));
        assert!(read("0x10 1\n").is_err() && read("section 10 11\n").is_err());
    }
}
