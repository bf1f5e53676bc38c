//! From a manifest to `out/<manifest>/`: builds what the manifest names and puts the boot image together.
//!
//! Rule: nothing in `out` depends on the folder or the machine, and nothing is written that has not changed.
//!
//! | file | contents |
//! |---|---|
//! | `kernel8.img` | what the board boots |
//! | `system.json` | slots, images and build ids, for the host tools |
//! | `elf/` | the ELF files, with symbols, debug data and log texts |

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use abi::image::ImageHeader;
use anyhow::{Context, Result, anyhow};
use protocols::Service;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::image::bindings::bind;
use crate::image::boot::{Bundle, assemble};
use crate::image::flatten::{Flat, flatten};
use crate::image::kernel;
use crate::manifest::board::Board;
use crate::manifest::place::{Need, place};
use crate::manifest::reader::format_size;
use crate::manifest::{BoardError, System, rights};
use crate::tools::{TargetProgram, Toolchain};

/// The linker script of every component.
const COMPONENT_SCRIPT: &str = "userlib/component.ld";

/// The package of the kernel.
const KERNEL: &str = "kernel";

/// What `x build` is told.
#[derive(clap::Args)]
pub struct Options {
    /// The manifest.
    #[arg(default_value = "system/demo.toml")]
    manifest: PathBuf,
}

/// Builds a system and says how full its banks are.
///
/// # Errors
/// As [`build_system`].
pub fn run(tools: &Toolchain, options: &Options) -> Result<()> {
    let built = build_system(tools, &options.manifest)?;
    println!("{}: {} bytes", built.image.display(), fs::metadata(&built.image)?.len());
    println!("{:<16} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}", "component", "image", "stack", "heap", "tables", "needed", "bank");
    for (name, need, bank) in &built.banks {
        let sizes = [need.image, need.stack, need.heap, need.tables, need.total(), *bank].map(format_size);
        let [image, stack, heap, tables, total, bank] = sizes;
        println!("{name:<16} {image:>7} {stack:>7} {heap:>7} {tables:>7} {total:>7} {bank:>7}");
    }
    Ok(())
}

/// A built system.
#[derive(Debug)]
pub struct Built {
    /// `out/<manifest>`.
    pub folder: PathBuf,
    /// `kernel8.img`.
    pub image: PathBuf,
    /// `system.json`.
    pub description: PathBuf,
    /// For each slot: name, what it needs of its bank, size of the bank in bytes.
    pub banks: Vec<(String, Need, u64)>,
}

/// Builds the system of a manifest, whose path is taken from the workspace's root.
///
/// # Errors
/// A defect of the manifest (file, line, remedy), of the sources or of an image.
pub fn build_system(tools: &Toolchain, manifest: &Path) -> Result<Built> {
    let system = read(tools.root(), manifest, protocols::SERVICES)?;
    let images: Vec<&str> = system.images().into_iter().collect();
    let elfs = compile(tools, &system, &images)?;
    let kernel_elf = elfs.last().context("the kernel was not built")?;
    let flats = elfs[..images.len()].iter().zip(&images).map(|(elf, name)| Ok((*name, flatten(name, elf)?)));
    let assembled = assemble_system(&system, &flats.collect::<Result<_>>()?, kernel_elf)?;
    let folder = tools.root().join("out").join(&system.name);
    let named: Vec<(&str, &[u8])> =
        images.iter().copied().chain([KERNEL]).zip(elfs.iter().map(Vec::as_slice)).collect();
    let (image, description) = write(&folder, &assembled, &named)?;
    Ok(Built { folder, image, description, banks: assembled.banks })
}

/// Reads a manifest and the data of its board.
///
/// # Errors
/// The file cannot be read or has defects.
pub fn read(root: &Path, manifest: &Path, services: &[Service]) -> Result<System> {
    let path = root.join(manifest);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let file = path.strip_prefix(root).unwrap_or(&path).display().to_string();
    System::read(&file, &text, services, |name| board(root, name)).map_err(anyhow::Error::from)
}

fn board(root: &Path, name: &str) -> Result<Board, BoardError> {
    let file = format!("bsp/{name}/board.toml");
    match fs::read_to_string(root.join(&file)) {
        Ok(text) => Board::read(&file, &text).map_err(BoardError::Defects),
        Err(_) => Err(BoardError::Unknown(boards(root))),
    }
}

/// The boards that have data.
fn boards(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("bsp")).into_iter().flatten().flatten();
    let with_data = entries.filter(|entry| entry.path().join("board.toml").exists());
    let mut names: Vec<String> = with_data.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The ELF files of `images` and, last, of the kernel.
fn compile(tools: &Toolchain, system: &System, images: &[&str]) -> Result<Vec<Vec<u8>>> {
    let mut programs: Vec<TargetProgram<'_>> = images
        .iter()
        .map(|package| TargetProgram { package, linker_script: Path::new(COMPONENT_SCRIPT) })
        .collect();
    programs.push(TargetProgram { package: KERNEL, linker_script: Path::new(&system.board.linker_script) });
    let files = tools.build(&programs, &[]).with_context(|| format!("building the programs of {}", system.name))?;
    files.iter().map(|file| fs::read(file).with_context(|| format!("reading {}", file.display()))).collect()
}

/// Everything that is written.
pub struct Assembled {
    image: Vec<u8>,
    description: Value,
    banks: Vec<(String, Need, u64)>,
}

/// Binds, places and assembles; `flats` holds each image that the system names.
fn assemble_system(system: &System, flats: &BTreeMap<&str, Flat>, kernel_elf: &[u8]) -> Result<Assembled> {
    let mut bundle = Bundle::default();
    let mut indices: Vec<Option<u32>> = Vec::new();
    let mut headers: Vec<Option<ImageHeader>> = Vec::new();
    for (slot, component) in system.components.iter().enumerate() {
        let flat = component.image.as_ref().and_then(|image| flats.get(image.value.as_str()));
        indices.push(flat.map(|flat| bundle.add(flat.header, &bind(flat, system, slot))));
        headers.push(flat.map(|flat| flat.header));
    }
    let placements = place(system, &headers);
    system.source.finish(())?;
    let slots = rights::table(system, &placements, &indices);
    let kernel = kernel::raw(kernel_elf, system.board.kernel)?;
    let image = assemble(&kernel, &slots, &bundle, &system.board)?;
    let banks = system.components.iter().zip(&headers).map(|(component, header)| {
        (component.name.value.clone(), Need::of(component, header.as_ref()), component.memory.value)
    });
    Ok(Assembled { image, description: describe(system, &headers, &kernel.bytes), banks: banks.collect() })
}

/// `system.json`: what the host tools need in order to read logs, traces and backtraces.
fn describe(system: &System, headers: &[Option<ImageHeader>], kernel: &[u8]) -> Value {
    let slots: Vec<Value> = system
        .components
        .iter()
        .zip(headers)
        .enumerate()
        .map(|(slot, (component, header))| {
            let image = component.image.as_ref().map(|image| image.value.as_str());
            json!({
                "slot": slot,
                "name": component.name.value,
                "image": image,
                "build_id": header.map(|header| hex(&header.build_id)),
                "elf": image.map(|image| format!("elf/{image}")),
            })
        })
        .collect();
    json!({
        "board": system.board.name,
        "manifest": system.name,
        "kernel_sha256": hex(&Sha256::digest(kernel)),
        "kernel_elf": format!("elf/{KERNEL}"),
        "slots": slots,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(folder: &Path, assembled: &Assembled, elfs: &[(&str, &[u8])]) -> Result<(PathBuf, PathBuf)> {
    let elf_folder = folder.join("elf");
    fs::create_dir_all(&elf_folder).with_context(|| format!("creating {}", elf_folder.display()))?;
    for (name, bytes) in elfs {
        write_changed(&elf_folder.join(name), bytes)?;
    }
    let (image, description) = (folder.join("kernel8.img"), folder.join("system.json"));
    write_changed(&image, &assembled.image)?;
    let text = serde_json::to_string_pretty(&assembled.description).map_err(|error| anyhow!(error))?;
    write_changed(&description, format!("{text}\n").as_bytes())?;
    Ok((image, description))
}

/// Writes a file unless it has these contents already; never leaves half of one behind.
fn write_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let partial = path.with_extension("partial");
    fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path)).with_context(|| format!("writing {}", path.display()))
}
