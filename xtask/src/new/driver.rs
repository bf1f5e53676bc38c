//! `./x new driver`: a driver from one of the templates, which are drivers themselves, compiled and tested in the tree.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use protocols::Service;

use super::package::Package;
use super::tree::{self, Change, read};
use super::{edit, name};
use crate::build::boards;
use crate::manifest::System;
use crate::manifest::board::Board;

/// The manifest that gets the driver.
const MANIFEST: &str = "system/shell.toml";
/// Where the services are.
const SERVICES: &str = "protocols/src/lib.rs";
/// Where the shell's `ask` has its drivers.
const SHELL: &str = "apps/shell/src/drivers.rs";
/// Files of a driver.
const FILES: &[&str] = &["Cargo.toml", "src/device.rs", "src/lib.rs", "src/main.rs"];
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
    /// Blocks of 512 bytes, by `protocols::block`.
    Block,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Bus, Self::Char, Self::Block];

    const fn template(self) -> &'static str {
        match self {
            Self::Bus => "template-bus",
            Self::Char => "template-char",
            Self::Block => "template-block",
        }
    }

    /// The line of Cargo.toml that says the kind.
    const fn mark(self) -> &'static str {
        match self {
            Self::Bus => "kind = \"bus\"",
            Self::Char => "kind = \"char\"",
            Self::Block => "kind = \"block\"",
        }
    }

    /// What the template can be asked, to see that it works.
    const fn question(self) -> &'static str {
        match self {
            Self::Bus => " 4",
            Self::Char => "",
            Self::Block => " 1 0x77",
        }
    }

    const fn protocol(self) -> (&'static str, Service) {
        match self {
            Self::Bus => ("registers", protocols::registers::SERVICE),
            Self::Char => ("bytes", protocols::bytes::SERVICE),
            Self::Block => ("block", protocols::block::SERVICE),
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
    fn package(&self) -> Package<'_> {
        Package { place: "drivers", name: self.name, template: self.kind.template(), files: FILES }
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
        let checkpoint = if self.kind == Kind::Block { "checkpoint = \"4K\"\n" } else { "" };
        format!(
            "\n{}\nimage = \"{name}\"\npriority = 12\nmemory = \"128K\"\nstack = \"16K\"\n{checkpoint}serves = \"{name}\"\n\
             devices = {{ {device} = {{ mapped = true }} }}\n\
             policy = {{ heartbeat_ms = 500, hang_ms = 2000, max_service_ms = 2000, restart_bound_ms = 1000 }}\n",
            self.header()
        )
    }

    /// All changes that make it.
    fn making(&self, root: &Path) -> Result<Vec<Change>> {
        let mut changes = self.package().making(root)?;
        let main = changes.iter_mut().find(|(path, _)| path.ends_with("/src/main.rs"));
        let (_, text) = main.context("a driver has a src/main.rs")?;
        *text = text.replace(&format!("window \"{DEVICE}\""), &format!("window \"{}\"", self.device));
        let manifest = read(root, MANIFEST)?;
        let manifest = edit::insert_item(&manifest, "[component.rs]", "controls = [", "]", &self.controls())
            .and_then(|text| edit::insert_item(&text, "[component.shell]", "calls = {", " }", &self.call()))
            .with_context(|| format!("changing {MANIFEST}"))?;
        changes.push((MANIFEST.into(), format!("{manifest}{}", self.entry())));
        for (file, start, anchor, line) in [
            (SERVICES, "pub const SERVICES: &[Service] = &[", "];", self.service()),
            (SHELL, "drivers! {", "}", self.shell_line()),
        ] {
            let text = edit::insert_before(&read(root, file)?, start, anchor, &line);
            changes.push((file.into(), text.with_context(|| format!("changing {file}"))?));
        }
        Ok(changes)
    }

    /// Nobody has written in its entry: the device apart, which is a word of the command line.
    fn check_entry(&self, root: &Path) -> Result<()> {
        let manifest = read(root, MANIFEST)?;
        let (entry, made) = (edit::section(&manifest, &self.header()), self.entry());
        let work = |lines: Vec<&str>| {
            let kept = lines.into_iter().filter(|line| !line.starts_with("devices = "));
            kept.map(String::from).collect::<Vec<_>>()
        };
        ensure!(
            work(entry) == work(edit::section(&made, &self.header())),
            "{} in {MANIFEST} was changed by hand: keep what you need, and add --force",
            self.header()
        );
        Ok(())
    }

    /// All changes outside its folder that remove it.
    fn unmaking(&self, root: &Path) -> Result<Vec<Change>> {
        let manifest = read(root, MANIFEST)?;
        let manifest = edit::remove_section(&manifest, &self.header())
            .and_then(|text| edit::remove_item(&text, "[component.rs]", "controls = [", &self.controls()))
            .and_then(|text| edit::remove_item(&text, "[component.shell]", "calls = {", &self.call()))
            .with_context(|| format!("changing {MANIFEST}"))?;
        let mut changes = self.package().unmaking(root)?;
        changes.push((MANIFEST.into(), manifest));
        for (file, line) in [(SERVICES, self.service()), (SHELL, self.shell_line())] {
            let text = edit::remove_line(&read(root, file)?, &line);
            changes.push((file.into(), text.with_context(|| format!("changing {file}"))?));
        }
        Ok(changes)
    }
}

/// The changed manifest proves on every board. `remedy` is for whoever reads why not.
fn prove(root: &Path, changes: &[Change], remedy: &str) -> Result<()> {
    let changed = |wanted: &str| changes.iter().find(|(path, _)| path == wanted).map(|(_, text)| text);
    let text = changed(MANIFEST).context("the manifest is changed")?;
    let services = named(changed(SERVICES).context("the services are changed")?);
    // This program was built with drivers that may be gone by now.
    let was_made = named(&read(root, SERVICES)?);
    let built_in = protocols::SERVICES
        .iter()
        .filter(|service| !was_made.iter().any(|made| made.name == service.name))
        .copied();
    let services: Vec<Service> = built_in.chain(services).collect();
    let known = boards(root);
    for board in &known {
        let file = format!("bsp/{board}/board.toml");
        let board = Board::read(&file, &read(root, &file)?)?;
        let name = board.name.clone();
        System::read(MANIFEST, text, &services, board, &known)
            .map_err(|defects| anyhow!("{defects}"))
            .with_context(|| {
                format!("{MANIFEST} would not be right on {name}, nothing was changed: {remedy}")
            })?;
    }
    Ok(())
}

/// The services of drivers that a text of [`SERVICES`] has, which may be more than this program was built with.
fn named(text: &str) -> Vec<Service> {
    let service = |line: &str| {
        let (protocol, name) = line.trim().strip_suffix("\"),")?.split_once("::SERVICE.named(\"")?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.protocol().0 == protocol)?;
        Some(kind.protocol().1.named(Box::leak(Box::from(name))))
    };
    text.lines().filter_map(service).collect()
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
         also changed: Cargo.toml, Cargo.lock, {SERVICES}, {SHELL}, {MANIFEST}\n\
         its tests on the host: ./x test --package {name}\n\
         {}try it: ./x run, and there: ps; ask {name}{}; fault {name} panic; log {name}\n\
         remove it: ./x new driver {name} --remove",
        driver.device,
        if driver.device == DEVICE {
            ""
        } else {
            "what is there is for the system timer, and starts by writing to it: first write src/device.rs and src/lib.rs, then\n"
        },
        driver.kind.question(),
    );
    Ok(())
}

fn make(root: &Path, driver: &Driver) -> Result<()> {
    name::check_free(root, driver.name)?;
    let changes = driver.making(root)?;
    prove(root, &changes, "choose another device with --device, or remove a driver")?;
    tree::write(root, &changes)
}

/// Takes the driver out of everything and moves its folder away; returns where to.
fn remove(root: &Path, name: &str, force: bool) -> Result<PathBuf> {
    ensure!(!name.starts_with("template"), "drivers/{name} is a template: without it no driver can be made");
    let driver = |kind| Driver { name, kind, device: DEVICE };
    let of_kind = |kind: &Kind| driver(*kind).package().check_made(root, |line| line == kind.mark()).is_ok();
    let kind = Kind::ALL.into_iter().find(of_kind);
    let driver = driver(kind.unwrap_or(Kind::Bus));
    let package = driver.package();
    package.check_made(root, |line| line == driver.kind.mark())?;
    if !force {
        // The device is not known any more, and it is a word of the command line, no work of anybody's.
        package.check_kept(root, |line| !line.contains("binding!(window "))?;
        driver.check_entry(root)?;
    }
    let changes = driver.unmaking(root)?;
    prove(root, &changes, &format!("take {name} out of what is named"))?;
    tree::write(root, &changes)?;
    package.put_away(root)
}

#[cfg(test)]
mod tests;
