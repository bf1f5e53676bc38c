//! Images of the build by their ids: log tables and symbols.
//!
//! *Rule.* An image is used only if its ELF file has the very build id that the frame carries. *Why.* A log frame that is
//! decoded with another image's table, and an address that is looked up in another image, give plausible lies.

use super::{ID_BYTES, build_id};
use crate::system::System;
use addr2line::Loader;
use anyhow::{Context, Result, anyhow, bail};
use defmt_decoder::{Locations, Table};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What the build calls the workspace's folder: images do not depend on where it is.
const WORKSPACE: &str = "/samsara/";

/// Bytes of an instruction: a return address lies this far behind its call.
const INSTRUCTION: u64 = 4;

/// One image.
pub struct Image {
    /// Name of the component's image.
    pub name: String,
    table: Option<Table>,
    locations: Option<Locations>,
    symbols: Loader,
}

impl Image {
    /// Reads an ELF file that must have this build id.
    ///
    /// # Errors
    /// Fails when the file is gone, was built again since, or is no ELF file.
    pub fn read(name: &str, path: &Path, build: [u8; ID_BYTES]) -> Result<Self> {
        let elf = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        if build_id(&elf)? != build {
            bail!("{} was built again since", path.display());
        }
        let table =
            Table::parse(&elf).with_context(|| format!("reading the log table of {}", path.display()))?;
        let locations = match &table {
            Some(table) => Some(table.get_locations(&elf)?)
                .filter(|found| table.indices().all(|i| found.contains_key(&(i as u64)))),
            None => None,
        };
        let symbols = Loader::new(path).map_err(|error| anyhow!("symbols of {}: {error}", path.display()))?;
        Ok(Self { name: name.to_owned(), table, locations, symbols })
    }

    /// Decodes one log frame: level, message, and where in the source the log statement is.
    ///
    /// # Errors
    /// Fails when the bytes are no frame of this image.
    pub fn log_line(&self, frame: &[u8]) -> Result<LogLine> {
        let table = self.table.as_ref().with_context(|| format!("image {} has no log table", self.name))?;
        let (frame, used) =
            table.decode(frame).map_err(|error| anyhow!("log frame of {}: {error}", self.name))?;
        let location = self.locations.as_ref().and_then(|locations| locations.get(&frame.index()));
        let _ = used;
        Ok(LogLine {
            level: frame.level().map_or("", |level| level.as_str()).to_owned(),
            message: frame.display_message().to_string(),
            place: location.map(|location| place(&location.file.display().to_string(), location.line)),
        })
    }

    /// The functions at an address, innermost first (more than one where calls were inlined), each with its place.
    /// `is_return`: the address is behind a call.
    pub fn functions(&self, address: u64, is_return: bool) -> Vec<String> {
        let address = if is_return { address.saturating_sub(INSTRUCTION) } else { address };
        let mut functions = Vec::new();
        if let Ok(mut frames) = self.symbols.find_frames(address) {
            while let Ok(Some(frame)) = frames.next() {
                let name =
                    frame.function.as_ref().and_then(|function| Some(function.demangle().ok()?.into_owned()));
                let place = frame.location.and_then(|found| Some(place(found.file?, found.line?.into())));
                functions.push(match (name, place) {
                    (Some(name), Some(place)) => format!("{name} at {place}"),
                    (Some(name), None) => name,
                    (None, Some(place)) => place,
                    (None, None) => continue,
                });
            }
        }
        if functions.is_empty() {
            functions.extend(self.symbols.find_symbol(address).map(str::to_owned));
        }
        functions
    }

    /// The lines of the sources that the instruction at an address belongs to, with their files: its own, and those of the calls
    /// through which it was inlined.
    pub fn lines(&self, address: u64) -> Vec<(String, u64)> {
        let mut lines = Vec::new();
        if let Ok(mut frames) = self.symbols.find_frames(address) {
            while let Ok(Some(frame)) = frames.next() {
                let place = frame.location.and_then(|found| Some((found.file?, found.line?)));
                lines.extend(place.map(|(file, line)| (from_workspace(file).to_owned(), line.into())));
            }
        }
        lines
    }
}

/// File and line, from the workspace's folder if it is in it.
fn place(file: &str, line: u64) -> String {
    format!("{}:{line}", from_workspace(file))
}

fn from_workspace(file: &str) -> &str {
    file.strip_prefix(WORKSPACE).unwrap_or(file)
}

/// A decoded log statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// Level, in lower case; empty for a plain print.
    pub level: String,
    /// Message.
    pub message: String,
    /// File and line.
    pub place: Option<String>,
}

/// The images of a build, read when they are first needed.
pub struct Images {
    known: BTreeMap<[u8; ID_BYTES], (String, PathBuf)>,
    read: BTreeMap<[u8; ID_BYTES], Result<Image, String>>,
}

impl Images {
    /// The images of a system, and its kernel.
    pub fn of(system: &System) -> Self {
        let known = system.slots.iter().filter_map(|slot| {
            let build = parse_id(slot.build_id.as_deref()?)?;
            Some((build, (slot.image.clone().unwrap_or_else(|| slot.name.clone()), system.elf(slot.slot)?)))
        });
        let kernel = || {
            let build = parse_id(system.kernel_build_id.as_deref()?)?;
            Some((build, ("kernel".to_owned(), system.kernel_elf()?)))
        };
        Self { known: known.chain(kernel()).collect(), read: BTreeMap::new() }
    }

    /// No images: every frame will be refused.
    pub fn none() -> Self {
        Self { known: BTreeMap::new(), read: BTreeMap::new() }
    }

    /// The image with this build id.
    ///
    /// # Errors
    /// Says why there is none that can be trusted.
    pub fn by_id(&mut self, build: [u8; ID_BYTES]) -> Result<&Image, String> {
        let known = &self.known;
        let read = self.read.entry(build).or_insert_with(|| match known.get(&build) {
            Some((name, path)) => Image::read(name, path, build).map_err(|error| format!("{error:#}")),
            None => Err("this build does not have it (`--system` names another build's folder)".to_owned()),
        });
        read.as_ref().map_err(Clone::clone)
    }

    /// The image of a slot, if the build has it.
    pub fn of_slot(&mut self, system: &System, slot: u8) -> Option<&Image> {
        let entry = system.slots.iter().find(|entry| entry.slot == slot)?;
        self.by_id(parse_id(entry.build_id.as_deref()?)?).ok()
    }

    /// The kernel's image, if the build has it.
    pub fn of_kernel(&mut self, system: &System) -> Option<&Image> {
        self.by_id(parse_id(system.kernel_build_id.as_deref()?)?).ok()
    }

    /// The image whose build id begins with these bytes.
    ///
    /// # Errors
    /// Says why there is none that can be trusted.
    pub fn by_start(&mut self, start: u32) -> Result<&Image, String> {
        let build = self.known.keys().find(|build| build[..4] == start.to_le_bytes()).copied();
        self.by_id(build.unwrap_or([0; ID_BYTES]))
    }
}

/// A build id from its hexadecimal digits.
pub fn parse_id(digits: &str) -> Option<[u8; ID_BYTES]> {
    let mut id = [0; ID_BYTES];
    for (index, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_program() -> (PathBuf, [u8; ID_BYTES]) {
        let path = std::env::current_exe().unwrap();
        let build = build_id(&fs::read(&path).unwrap()).unwrap();
        (path, build)
    }

    #[test]
    fn an_address_becomes_a_function_and_its_place() {
        use object::{Object, ObjectSymbol};
        let (path, build) = own_program();
        let image = Image::read("test", &path, build).unwrap();
        let here = image.symbols.find_symbol_info(0).map_or(0, |symbol| symbol.address());
        let elf = fs::read(&path).unwrap();
        let file = object::File::parse(&*elf).unwrap();
        let symbol = file.symbols().find(|s| s.name().is_ok_and(|n| n.contains("own_program"))).unwrap();
        assert!(here < symbol.address());
        let functions = image.functions(symbol.address() + 4, true).join(" ");
        assert!(functions.contains("own_program") && functions.contains("symbols.rs:"), "{functions}");
        let lines = image.lines(symbol.address());
        assert!(lines.iter().any(|(file, line)| file.ends_with("symbols.rs") && *line > 0), "{lines:?}");
    }

    #[test]
    fn an_image_that_was_built_again_is_refused() {
        let (path, mut build) = own_program();
        build[3] ^= 1;
        let message = Image::read("test", &path, build).err().unwrap().to_string();
        assert!(message.contains("built again"), "{message}");
        assert!(Images::none().by_start(7).is_err());
    }

    #[test]
    fn places_are_as_an_editor_in_the_workspace_opens_them() {
        assert_eq!(place("/samsara/root/src/main.rs", 7), "root/src/main.rs:7");
        assert_eq!(place("/rust/library/core/src/lib.rs", 7), "/rust/library/core/src/lib.rs:7");
    }

    #[test]
    fn build_ids_are_hexadecimal() {
        assert_eq!(parse_id("000102030405060708090a0b0c0d0e0f").unwrap()[15], 15);
        assert_eq!(parse_id("00"), None);
    }
}
