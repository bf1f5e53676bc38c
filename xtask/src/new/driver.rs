//! `./x new driver`: a driver from one of the templates, which are drivers themselves, compiled and tested in the tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail, ensure};
use protocols::Service;

use super::tree::{self, Change, read};
use super::{edit, name};
use crate::build::boards;
use crate::manifest::System;
use crate::manifest::board::Board;

/// The manifest that gets the driver.
const MANIFEST: &str = "system/shell.toml";
/// Where the workspace's members are.
const WORKSPACE: &str = "Cargo.toml";
/// Where the services are.
const SERVICES: &str = "protocols/src/lib.rs";
/// Where the shell's `ask` has its drivers.
const SHELL: &str = "apps/shell/src/drivers.rs";
/// Files of a driver.
const FILES: [&str; 4] = ["Cargo.toml", "src/device.rs", "src/lib.rs", "src/main.rs"];
/// The device of the templates: every board has it.
const DEVICE: &str = "system-timer";

/// What `x new driver` is told.
#[derive(clap::Args)]
pub struct Options {
    /// Its name: of the folder, the component and the service.
    #[arg(allow_hyphen_values = true)]
    name: String,
    /// What it gives its clients.
    #[arg(long, value_enum, default_value = "bus", conflicts_with = "remove")]
    kind: Kind,
    /// The device that it gets, by its name in the boards' data.
    #[arg(long, default_value = DEVICE, conflicts_with = "remove")]
    device: String,
    /// Removes the driver of this name instead; its folder goes to out/removed/.
    #[arg(long)]
    remove: bool,
    /// Removes it also if it was changed and not committed.
    #[arg(long, requires = "remove")]
    force: bool,
}

/// What a driver gives its clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Kind {
    /// Registers, one at a time, by `protocols::registers`.
    Bus,
    /// Bytes, by `protocols::bytes`.
    Char,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Bus, Self::Char];

    const fn word(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Char => "char",
        }
    }

    const fn protocol(self) -> (&'static str, Service) {
        match self {
            Self::Bus => ("registers", protocols::registers::SERVICE),
            Self::Char => ("bytes", protocols::bytes::SERVICE),
        }
    }
}

/// A driver to be made, or one that was made.
struct Driver<'a> {
    name: &'a str,
    kind: Kind,
    device: &'a str,
}

impl Driver<'_> {
    fn member(&self) -> String {
        format!("    \"drivers/{}\",", self.name)
    }

    fn service(&self) -> String {
        format!("    {}::SERVICE.named(\"{}\"),", self.kind.protocol().0, self.name)
    }

    fn shell_line(&self) -> String {
        format!("    {:?}: {:?},", self.name, self.kind)
    }

    fn controls(&self) -> String {
        format!(", \"{}\"", self.name)
    }

    fn call(&self) -> String {
        format!(", {} = {{ deadline_ms = 10000 }}", self.name)
    }

    fn header(&self) -> String {
        format!("[component.{}]", self.name)
    }

    fn entry(&self) -> String {
        let Self { name, device, .. } = self;
        format!(
            "\n{}\nimage = \"{name}\"\npriority = 12\nmemory = \"128K\"\nstack = \"16K\"\nserves = \"{name}\"\n\
             devices = {{ {device} = {{ mapped = true }} }}\n\
             policy = {{ heartbeat_ms = 500, hang_ms = 2000, max_service_ms = 2000, restart_bound_ms = 1000 }}\n",
            self.header()
        )
    }

    /// A file of the template as this driver's.
    fn from_template(&self, root: &Path, file: &str) -> Result<String> {
        let template = format!("template-{}", self.kind.word());
        let text = read(root, &format!("drivers/{template}/{file}"))?;
        let text = text.replace(&template, self.name);
        let text = text.replace(&template.replace('-', "_"), &self.name.replace('-', "_"));
        Ok(text.replace(&format!("window \"{DEVICE}\""), &format!("window \"{}\"", self.device)))
    }

    /// All changes that make it.
    fn making(&self, root: &Path) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        for file in FILES {
            changes.push((format!("drivers/{}/{file}", self.name), self.from_template(root, file)?));
        }
        let manifest = read(root, MANIFEST)?;
        let manifest = edit::insert_item(&manifest, "[component.rs]", "controls = [", "]", &self.controls())
            .and_then(|text| edit::insert_item(&text, "[component.shell]", "calls = {", " }", &self.call()))
            .with_context(|| format!("changing {MANIFEST}"))?;
        changes.push((MANIFEST.into(), format!("{manifest}{}", self.entry())));
        for (file, start, anchor, line) in [
            (WORKSPACE, "members = [", "]", self.member()),
            (SERVICES, "pub const SERVICES: &[Service] = &[", "];", self.service()),
            (SHELL, "drivers! {", "}", self.shell_line()),
        ] {
            let text = edit::insert_before(&read(root, file)?, start, anchor, &line);
            changes.push((file.into(), text.with_context(|| format!("changing {file}"))?));
        }
        Ok(changes)
    }

    /// All changes outside its folder that remove it.
    fn unmaking(&self, root: &Path) -> Result<Vec<Change>> {
        let manifest = read(root, MANIFEST)?;
        let manifest = edit::remove_section(&manifest, &self.header())
            .and_then(|text| edit::remove_item(&text, "[component.rs]", "controls = [", &self.controls()))
            .and_then(|text| edit::remove_item(&text, "[component.shell]", "calls = {", &self.call()))
            .with_context(|| format!("changing {MANIFEST}"))?;
        let mut changes = vec![(MANIFEST.into(), manifest)];
        for (file, line) in
            [(WORKSPACE, self.member()), (SERVICES, self.service()), (SHELL, self.shell_line())]
        {
            let text = edit::remove_line(&read(root, file)?, &line);
            changes.push((file.into(), text.with_context(|| format!("changing {file}"))?));
        }
        Ok(changes)
    }

    /// The manifest with it proves on every board.
    fn prove(&self, root: &Path, changes: &[Change]) -> Result<()> {
        let (_, text) =
            changes.iter().find(|(path, _)| path == MANIFEST).context("the manifest is changed")?;
        let service = Service { name: Box::leak(Box::from(self.name)), ..self.kind.protocol().1 };
        let services: Vec<Service> = protocols::SERVICES.iter().copied().chain([service]).collect();
        let known = boards(root);
        for board in &known {
            let file = format!("bsp/{board}/board.toml");
            let board = Board::read(&file, &read(root, &file)?)?;
            let name = board.name.clone();
            System::read(MANIFEST, text, &services, board, &known)
                .map_err(|defects| anyhow!("{defects}"))
                .with_context(|| {
                    format!(
                        "{MANIFEST} would not be right on {name}, nothing was changed: choose another device with \
                         --device, or remove a driver"
                    )
                })?;
        }
        Ok(())
    }
}

/// Makes the driver or removes it, and says what to do next.
///
/// # Errors
/// Nothing was changed.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    name::check(&options.name)?;
    if options.remove {
        let place = remove(root, &options.name, options.force)?;
        println!("removed drivers/{}; its folder is {}", options.name, place.display());
        return Ok(());
    }
    let driver = Driver { name: &options.name, kind: options.kind, device: &options.device };
    make(root, &driver)?;
    let (name, protocol) = (driver.name, driver.kind.protocol().0);
    println!(
        "made drivers/{name}, which speaks protocols::{protocol} for the device `{}`\n\
         yours to write, in this order: src/device.rs, src/lib.rs (and its tests), src/main.rs, Cargo.toml\n\
         also changed: {WORKSPACE}, {SERVICES}, {SHELL}, {MANIFEST}\n\
         try it: ./x run, and there: ps; ask {name}{}; fault {name} panic; log {name}\n\
         remove it: ./x new driver {name} --remove",
        driver.device,
        if driver.kind == Kind::Bus { " 4" } else { "" },
    );
    Ok(())
}

fn make(root: &Path, driver: &Driver) -> Result<()> {
    name::check_free(root, driver.name)?;
    let changes = driver.making(root)?;
    driver.prove(root, &changes)?;
    tree::write(root, &changes)
}

/// Takes the driver out of everything and moves its folder away; returns where to.
fn remove(root: &Path, name: &str, force: bool) -> Result<PathBuf> {
    let folder = format!("drivers/{name}");
    ensure!(root.join(&folder).is_dir(), "there is no {folder}: look into drivers/");
    ensure!(!name.starts_with("template"), "{folder} is a template: without it no driver can be made");
    let cargo = read(root, &format!("{folder}/Cargo.toml"))?;
    let kind = Kind::ALL.into_iter().find(|kind| cargo.contains(&format!("kind = \"{}\"", kind.word())));
    let Some(kind) = kind.filter(|_| cargo.contains("[package.metadata.samsara]")) else {
        bail!("{folder} was not made by this command, and others may need it: remove it by hand");
    };
    let driver = Driver { name, kind, device: DEVICE };
    if !force && (is_changed(root, &driver)? && is_uncommitted(root, &folder)?) {
        bail!("{folder} has changes that are not committed: commit them, or add --force");
    }
    let changes = driver.unmaking(root)?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let place =
        (0..).map(|n| root.join(format!("out/removed/{name}-{seconds}-{n}"))).find(|place| !place.exists());
    let place = place.context("no free place in out/removed")?;
    fs::create_dir_all(root.join("out/removed")).context("making out/removed")?;
    tree::write(root, &changes)?;
    fs::rename(root.join(&folder), &place).with_context(|| format!("moving {folder} away"))?;
    Ok(place)
}

/// Whether its folder holds anything but what the template makes.
fn is_changed(root: &Path, driver: &Driver) -> Result<bool> {
    let folder = root.join("drivers").join(driver.name);
    for file in FILES {
        let made = driver.from_template(root, file)?;
        let is = fs::read_to_string(folder.join(file)).unwrap_or_default();
        // The device is not known any more, and it is a word of the command line, no work of anybody's.
        let without_device = |text: &str| {
            text.lines()
                .filter(|line| !line.contains("binding!(window "))
                .map(String::from)
                .collect::<Vec<_>>()
        };
        if without_device(&made) != without_device(&is) {
            return Ok(true);
        }
    }
    let count = |path: PathBuf| fs::read_dir(path).map(Iterator::count).unwrap_or_default();
    Ok(count(folder.clone()) != 2 || count(folder.join("src")) != 3)
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

#[cfg(test)]
mod tests;
