//! A package of the workspace made from one that is there: its folder, and the lines about it in `Cargo.toml` and
//! `Cargo.lock`.
//!
//! *Rule.* A copy differs from its template by the name alone, so that what nobody has worked on can be told from what
//! somebody has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use super::edit;
use super::tree::{Change, read};

/// Where the workspace's members are.
const WORKSPACE: &str = "Cargo.toml";
/// Which versions of which packages are used. Without the new one's lines a build with `--locked`, as in CI, is refused.
const LOCK: &str = "Cargo.lock";

/// A package to be made, or one that was made.
pub struct Package<'a> {
    /// Folder of its kind: `drivers`, `apps`.
    pub place: &'static str,
    /// Name of folder and package.
    pub name: &'a str,
    /// Name of the package that it is a copy of.
    pub template: &'static str,
    /// Files of the template.
    pub files: &'static [&'static str],
}

impl Package<'_> {
    /// Its folder, from the root.
    pub fn folder(&self) -> String {
        format!("{}/{}", self.place, self.name)
    }

    fn member(&self) -> String {
        format!("    \"{}\",", self.folder())
    }

    /// A file of the template as this package's.
    pub fn of_template(&self, root: &Path, file: &str) -> Result<String> {
        let text = read(root, &format!("{}/{}/{file}", self.place, self.template))?;
        let text = text.replace(self.template, self.name);
        Ok(text.replace(&self.template.replace('-', "_"), &self.name.replace('-', "_")))
    }

    /// The changes that make it.
    pub fn making(&self, root: &Path) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        for file in self.files {
            changes.push((format!("{}/{file}", self.folder()), self.of_template(root, file)?));
        }
        let members = edit::insert_before(&read(root, WORKSPACE)?, "members = [", "]", &self.member());
        changes.push((WORKSPACE.into(), members.with_context(|| format!("changing {WORKSPACE}"))?));
        let lock = edit::copy_locked(&read(root, LOCK)?, self.template, self.name);
        changes.push((LOCK.into(), lock.with_context(|| format!("changing {LOCK}"))?));
        Ok(changes)
    }

    /// The changes outside its folder that remove it.
    pub fn unmaking(&self, root: &Path) -> Result<Vec<Change>> {
        let members = edit::remove_line(&read(root, WORKSPACE)?, &self.member());
        let members = members.with_context(|| format!("changing {WORKSPACE}"))?;
        // Cargo writes this file anew when it likes: if it has forgotten the package already, that is well.
        let lock = edit::remove_locked(&read(root, LOCK)?, self.name);
        Ok(vec![(WORKSPACE.into(), members), (LOCK.into(), lock)])
    }

    /// Nobody's work is lost by removing it: it is as it was made, or version control has it.
    ///
    /// `is_work` says of a line of a file whether it counts as work if it differs from the template's.
    ///
    /// # Errors
    /// Names the folder and the remedy.
    pub fn check_kept(&self, root: &Path, is_work: fn(&str) -> bool) -> Result<()> {
        if self.is_changed(root, is_work)? && is_uncommitted(root, &self.folder())? {
            bail!("{} has changes that are not committed: commit them, or add --force", self.folder());
        }
        Ok(())
    }

    /// Whether its folder holds anything but what the template makes.
    fn is_changed(&self, root: &Path, is_work: fn(&str) -> bool) -> Result<bool> {
        let folder = root.join(self.folder());
        for file in self.files {
            let made = self.of_template(root, file)?;
            let is = fs::read_to_string(folder.join(file)).unwrap_or_default();
            let work =
                |text: &str| text.lines().filter(|line| is_work(line)).map(String::from).collect::<Vec<_>>();
            if work(&made) != work(&is) {
                return Ok(true);
            }
        }
        let mut files = Vec::new();
        walk(&folder, &mut files).with_context(|| format!("reading {}", self.folder()))?;
        Ok(files.len() != self.files.len())
    }

    /// Moves its folder to `out/removed/`; returns where it is.
    ///
    /// # Errors
    /// The folder is where it was.
    pub fn put_away(&self, root: &Path) -> Result<PathBuf> {
        let removed = root.join("out/removed");
        fs::create_dir_all(&removed).context("making out/removed")?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let mut places = (0..).map(|n| removed.join(format!("{}-{seconds}-{n}", self.name)));
        let place = places.find(|place| !place.exists()).context("no free place in out/removed")?;
        fs::rename(root.join(self.folder()), &place)
            .with_context(|| format!("moving {} away", self.folder()))?;
        Ok(place)
    }

    /// It is there, it is no template, and this command has made it: its Cargo.toml has the line `mark`.
    ///
    /// # Errors
    /// Says what it is instead.
    pub fn check_made(&self, root: &Path, mark: impl Fn(&str) -> bool) -> Result<()> {
        let (folder, place) = (self.folder(), self.place);
        ensure!(root.join(&folder).is_dir(), "there is no {folder}: look into {place}/");
        let cargo = read(root, &format!("{folder}/Cargo.toml"))?;
        ensure!(
            cargo.contains("[package.metadata.samsara]") && cargo.lines().any(mark),
            "{folder} was not made by this command, and others may need it: remove it by hand"
        );
        Ok(())
    }
}

/// All files below a folder.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { walk(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// Whether version control has not everything in the folder. Without version control nothing is committed.
fn is_uncommitted(root: &Path, folder: &str) -> Result<bool> {
    let status = Command::new("git")
        .args(["status", "--porcelain", "--ignored", "--", folder])
        .current_dir(root)
        .output();
    let status = status.context("starting git")?;
    Ok(!status.status.success() || !status.stdout.is_empty())
}
