//! What the rows of `./x bench` were when they were last accepted: one table for each compiler and board, in
//! `xtask/baselines.toml`.
//!
//! *Rule.* Figures are exact, so any difference is a change of the program or of its compiler. A row may grow by
//! [`GROWTH_PERCENT`]; beyond that somebody decides, by recording a new baseline in a commit that says why. Another compiler
//! makes other code: without a baseline of its own nothing is compared, and that is said.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Where the baselines are, relative to the workspace's root.
const FILE: &str = "xtask/baselines.toml";

const HEAD: &str = "# What `./x bench` measured when it was last accepted, by compiler and board; a row that grows by more than 5 % fails
# `./x test`. Written by `./x bench --record [--board B]`.
";

/// Percent by which a row may grow.
const GROWTH_PERCENT: u64 = 5;

/// Values by the name of their row.
type Rows = BTreeMap<String, u64>;

/// All baselines: by compiler, then by board.
pub struct Baselines {
    path: PathBuf,
    tables: BTreeMap<String, BTreeMap<String, Rows>>,
}

impl Baselines {
    /// Reads the file of the workspace at `root`.
    ///
    /// # Errors
    /// It cannot be read or understood.
    pub fn read(root: &Path) -> Result<Self> {
        let path = root.join(FILE);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let tables = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        Ok(Self { path, tables })
    }

    /// Rows of `figures` that have grown too much since their baseline, or that only one of the two has, in words. `None`:
    /// there is no baseline of this compiler and board.
    pub fn compare(
        &self,
        compiler: &str,
        board: &str,
        figures: &BTreeMap<&'static str, u64>,
    ) -> Option<Vec<String>> {
        let rows = self.tables.get(compiler)?.get(board)?;
        let mut findings = Vec::new();
        for (name, &value) in figures {
            match rows.get(*name) {
                None => findings.push(format!("{name} has no baseline")),
                Some(&before) if value * 100 > before * (100 + GROWTH_PERCENT) => {
                    findings.push(format!("{name} has grown from {before} to {value}"));
                }
                Some(_) => {}
            }
        }
        let gone = rows.keys().filter(|name| !figures.contains_key(name.as_str()));
        findings.extend(gone.map(|name| format!("{name} was not measured, and has a baseline")));
        Some(findings)
    }

    /// Takes `figures` as the baseline of this compiler and board, and writes the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn record(
        &mut self,
        compiler: &str,
        board: &str,
        figures: &BTreeMap<&'static str, u64>,
    ) -> Result<()> {
        let rows = figures.iter().map(|(name, value)| ((*name).into(), *value)).collect();
        self.tables.entry(compiler.into()).or_default().insert(board.into(), rows);
        fs::write(&self.path, self.text()).with_context(|| format!("writing {}", self.path.display()))
    }

    fn text(&self) -> String {
        let mut text = String::from(HEAD);
        for (compiler, boards) in &self.tables {
            for (board, rows) in boards {
                let _ = writeln!(text, "\n[\"{compiler}\".{board}]");
                for (name, value) in rows {
                    let _ = writeln!(text, "{name} = {value}");
                }
            }
        }
        text
    }
}

/// How to make a baseline, for messages.
pub fn remedy(board: &str) -> String {
    format!(
        "`./x bench --record --board {board}` makes today's figures the baseline; commit {FILE} with the reason"
    )
}

/// Version of the compiler that `./x` has chosen, or of the one on the PATH.
///
/// # Errors
/// It cannot be started, or does not say.
pub fn compiler() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .arg("--version")
        .output()
        .with_context(|| format!("starting {}", rustc.display()))?;
    ensure!(output.status.success(), "{} --version failed", rustc.display());
    let text = String::from_utf8_lossy(&output.stdout);
    let version =
        text.split_whitespace().nth(1).with_context(|| format!("a compiler without a version: {text:?}"))?;
    Ok(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baselines(folder: &Path) -> Baselines {
        fs::create_dir(folder.join("xtask")).unwrap();
        fs::write(folder.join(FILE), "[\"1.2.3\".board]\ncall = 100\nreply = 200\n").unwrap();
        Baselines::read(folder).unwrap()
    }

    #[test]
    fn five_percent_more_is_accepted_and_one_instruction_beyond_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let baselines = baselines(folder.path());
        let compare = |call, reply| {
            baselines.compare("1.2.3", "board", &BTreeMap::from([("call", call), ("reply", reply)])).unwrap()
        };
        assert!(compare(105, 10).is_empty());
        assert_eq!(compare(106, 211), ["call has grown from 100 to 106", "reply has grown from 200 to 211"]);
    }

    #[test]
    fn a_row_that_only_one_side_has_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let findings =
            baselines(folder.path()).compare("1.2.3", "board", &BTreeMap::from([("call", 1), ("copy", 1)]));
        assert_eq!(findings.unwrap(), ["copy has no baseline", "reply was not measured, and has a baseline"]);
    }

    #[test]
    fn another_compiler_or_board_has_no_baseline_until_one_is_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let mut baselines = baselines(folder.path());
        let figures = BTreeMap::from([("call", 7)]);
        assert_eq!(baselines.compare("1.2.4", "board", &figures), None);
        assert_eq!(baselines.compare("1.2.3", "other", &figures), None);
        baselines.record("1.2.4", "other", &figures).unwrap();
        let read = Baselines::read(folder.path()).unwrap();
        assert_eq!(read.compare("1.2.4", "other", &figures), Some(Vec::new()));
        assert_eq!(read.tables["1.2.3"]["board"]["reply"], 200);
    }

    #[test]
    fn the_compiler_says_its_version() {
        assert!(compiler().unwrap().starts_with("1."));
    }
}
