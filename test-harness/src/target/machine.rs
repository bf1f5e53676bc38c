//! Machine descriptions: what the launcher must know about an emulated board, as data in `qemu/*.toml`.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

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
    /// The oldest version of the emulator that has the machine, as `major.minor`; none: any.
    #[serde(default)]
    pub minimum_version: Option<String>,
    /// Arguments that choose the machine.
    pub arguments: Vec<String>,
    /// What the serial lines carry, in the emulator's order.
    pub serial: Vec<SerialLine>,
    /// Options of `-drive` for the card, but for the file.
    pub card: String,
    /// Physical address of the fault plan.
    pub plan_address: u64,
    /// Physical address of a register that counts microseconds, of 32 bits, and of which reading changes nothing.
    pub clock_address: u64,
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
        let mut arguments = machine.arguments;
        arguments.extend(further_arguments());
        Ok(Self { name: name.to_owned(), arguments, ..machine })
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

    /// The board that tests are about: that which `SAMSARA_BOARD` names, else the repository's default.
    ///
    /// # Errors
    /// As [`Self::named`] and [`Self::default_in`].
    pub fn under_test() -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../qemu");
        match std::env::var("SAMSARA_BOARD") {
            Ok(name) => Self::named(&folder, &name),
            Err(_) => Self::default_in(&folder),
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

impl Machine {
    /// Whether the emulator that is installed has this machine.
    ///
    /// # Errors
    /// Says which version there is, which is needed, and where to get it.
    pub fn check_emulator(&self) -> Result<()> {
        self.check_version(&self.program())
    }

    /// The emulator's version, as it says itself.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn emulator_version(&self) -> Result<String> {
        let program = self.program();
        let output = Command::new(&program)
            .arg("--version")
            .output()
            .with_context(|| format!("starting {}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().next().unwrap_or("unknown").to_owned())
    }

    fn check_version(&self, program: &Path) -> Result<()> {
        let Some(minimum) = &self.minimum_version else { return Ok(()) };
        let output = Command::new(program)
            .arg("--version")
            .output()
            .with_context(|| format!("starting {}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.split_whitespace().skip_while(|word| *word != "version").nth(1).unwrap_or("?");
        if numbers(version) < numbers(minimum) {
            bail!(
                "{} is QEMU {version}; the board {} takes {minimum} or newer. Debian 12 has it in bookworm-backports: with that \
                 package source, apt-get install -t bookworm-backports qemu-system-arm. Other boards work as they are.",
                program.display(),
                self.name
            );
        }
        Ok(())
    }
}

/// What `SAMSARA_QEMU_ARGUMENTS` adds to the arguments of every machine, separated by blanks: another clock rate, say.
fn further_arguments() -> Vec<String> {
    let given = std::env::var("SAMSARA_QEMU_ARGUMENTS").unwrap_or_default();
    given.split_whitespace().map(str::to_owned).collect()
}

/// Major and minor number of a version; zeros for what is none.
fn numbers(version: &str) -> [u32; 2] {
    let mut parts = version.split(['.', ' ']).map(|part| part.parse().unwrap_or(0));
    [parts.next().unwrap_or(0), parts.next().unwrap_or(0)]
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
    fn an_emulator_that_is_too_old_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("old-qemu");
        std::fs::write(&old, "#!/bin/sh\necho 'QEMU emulator version 7.2.22 (Debian)'\n").unwrap();
        std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let machine = Machine::named(&self::folder(), "raspi4b").unwrap();
        let message = machine.check_version(&old).unwrap_err().to_string();
        assert!(message.contains("is QEMU 7.2.22") && message.contains("9.0 or newer"), "{message}");
        assert!(
            Machine { minimum_version: Some("7.2".to_owned()), ..machine.clone() }
                .check_version(&old)
                .is_ok()
        );
        assert!(Machine { minimum_version: None, ..machine }.check_version(&old).is_ok());
        assert!(numbers("10.0.2") > numbers("9.0"));
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
