//! Machine descriptions: what the launcher must know about an emulated board, as data in `qemu/*.toml`.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// An emulated board.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Name: that of the file without its ending.
    #[serde(skip)]
    pub name: String,
    /// Whether commands use this board when none is named.
    #[serde(default)]
    pub default: bool,
    /// The emulator's program.
    pub binary: String,
    /// Arguments that choose the machine.
    pub arguments: Vec<String>,
    /// What the serial lines carry, in the emulator's order.
    pub serial: Vec<SerialLine>,
    /// Options of `-drive` for the card, but for the file.
    pub card: String,
    /// Physical address of the fault plan.
    pub plan_address: u64,
    /// Arguments that make time a function of the instructions executed.
    pub deterministic: Vec<String>,
}

/// What a serial line carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SerialLine {
    /// Text for people.
    Console,
    /// Frames of [`abi::trace`].
    Evidence,
}

impl Machine {
    /// Reads the description of board `name` from `folder`.
    ///
    /// # Errors
    /// Says which boards there are if this one is not among them, and what is wrong with a description.
    pub fn named(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(format!("{name}.toml"));
        if !path.is_file() {
            let names: Vec<_> = names(folder)?.into_iter().collect();
            bail!("no emulated board {name:?}: there is {}", names.join(", "));
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let machine: Self = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        for line in [SerialLine::Console, SerialLine::Evidence] {
            if machine.serial.iter().filter(|&&serial| serial == line).count() != 1 {
                bail!("{}: `serial` must name \"console\" and \"evidence\" once each", path.display());
            }
        }
        Ok(Self { name: name.to_owned(), ..machine })
    }

    /// Reads the description of the board that is the default.
    ///
    /// # Errors
    /// Fails unless exactly one description in `folder` has `default = true`.
    pub fn default_in(folder: &Path) -> Result<Self> {
        let machines: Result<Vec<_>> = names(folder)?.iter().map(|name| Self::named(folder, name)).collect();
        let mut defaults: Vec<_> = machines?.into_iter().filter(|machine| machine.default).collect();
        match (defaults.pop(), defaults.is_empty()) {
            (Some(machine), true) => Ok(machine),
            _ => bail!("{}: exactly one machine must have `default = true`", folder.display()),
        }
    }

    /// The emulator's program: `SAMSARA_QEMU` if that is set (the entry script finds a suitable version), else
    /// [`Machine::binary`].
    pub fn program(&self) -> PathBuf {
        std::env::var_os("SAMSARA_QEMU")
            .filter(|value| !value.is_empty())
            .map_or_else(|| PathBuf::from(&self.binary), PathBuf::from)
    }
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let descriptions = paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let mut names: Vec<_> =
        descriptions.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../qemu")
    }

    #[test]
    fn the_descriptions_of_the_repository_can_be_read() {
        for name in names(&folder()).unwrap() {
            Machine::named(&folder(), &name).unwrap();
        }
        assert!(Machine::default_in(&folder()).is_ok());
    }

    #[test]
    fn an_unknown_board_is_answered_with_those_that_there_are() {
        let message = Machine::named(&folder(), "toaster").unwrap_err().to_string();
        assert!(message.contains("raspi3b"), "{message}");
    }

    #[test]
    fn a_machine_without_an_evidence_line_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let text =
            "binary='q'\narguments=[]\nserial=['console']\ncard=''\nplan_address=0\ndeterministic=[]\n";
        std::fs::write(folder.path().join("m.toml"), text).unwrap();
        assert!(Machine::named(folder.path(), "m").is_err());
    }
}
