//! From a manifest to `out/<board>/<manifest>/`: builds what the manifest names and puts the boot image together.
//!
//! Rule: nothing in `out` depends on the folder or the machine, and nothing is written that has not changed.
//!
//! | file | contents |
//! |---|---|
//! | `kernel8.img` | what the board boots |
//! | `system.json` | slots, images and build ids, for the host tools |
//! | `elf/` | the ELF files, with symbols, debug data and log texts |
//! | `bin/` | program files for the card, if the system has spare slots to run them in |

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use abi::image::ImageHeader;
use anyhow::{Context, Result, anyhow, ensure};
use protocols::Service;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::image::bindings::{bind, bind_program};
use crate::image::boot::{Bundle, assemble};
use crate::image::flatten::{Flat, flatten};
use crate::image::kernel::{self, Kernel};
use crate::image::program;
use crate::manifest::board::Board;
use crate::manifest::diagnostic::suggest;
use crate::manifest::place::{Need, place};
use crate::manifest::reader::format_size;
use crate::manifest::{System, rights};
use crate::tools::{Package, TargetProgram, Toolchain};

/// The linker script of every component.
const COMPONENT_SCRIPT: &str = "userlib/component.ld";

/// What the board boots.
const IMAGE: &str = "kernel8.img";

/// How long root may be silent on a real board until the watchdog resets it; root speaks twice a second.
const WATCHDOG_NS: u64 = 10_000_000_000;

/// The package of the kernel.
const KERNEL: &str = "kernel";

/// What `x build` is told.
#[derive(clap::Args)]
pub struct Options {
    /// The manifest.
    #[arg(default_value = "system/demo.toml")]
    manifest: PathBuf,
    /// The board; the default is the one whose file in qemu/ says so.
    #[arg(long)]
    board: Option<String>,
}

/// Builds a system and says how full its banks are.
///
/// # Errors
/// As [`build_system`].
pub fn run(tools: &Toolchain, options: &Options) -> Result<()> {
    let machine = crate::run::machine(tools, options.board.as_deref())?;
    let built = build_system(tools, &options.manifest, &machine.name)?;
    let bytes = fs::metadata(built.folder.join(IMAGE))?.len();
    println!("{}: {IMAGE} of {bytes} bytes", built.folder.display());
    println!(
        "{:<16} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}",
        "component", "image", "stack", "heap", "tables", "needed", "bank"
    );
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
    /// `out/<board>/<manifest>`.
    pub folder: PathBuf,
    /// For each slot: name, what it needs of its bank, size of the bank in bytes.
    pub banks: Vec<(String, Need, u64)>,
}

/// Builds the system of a manifest, whose path is taken from the workspace's root, for the board of this name.
///
/// # Errors
/// A defect of the manifest (file, line, remedy), of the sources or of an image.
pub fn build_system(tools: &Toolchain, manifest: &Path, board: &str) -> Result<Built> {
    let system = read(tools.root(), manifest, protocols::SERVICES, board)?;
    let packages = tools.packages()?;
    let programs: Vec<&str> =
        packages.iter().filter(|package| !package.for_host).map(|package| package.name.as_str()).collect();
    check_images(&system, &programs)?;
    let images: Vec<&str> = system.images().into_iter().collect();
    let elfs = compile(tools, &system, &images)?;
    let kernel_elf = elfs.last().context("the kernel was not built")?;
    let flats = elfs[..images.len()].iter().zip(&images).map(|(elf, name)| Ok((*name, flatten(name, elf)?)));
    let assembled = assemble_system(&system, &flats.collect::<Result<_>>()?, kernel_elf)?;
    let folder = output_folder(tools.root(), board).join(&system.name);
    let named: Vec<(&str, &[u8])> =
        images.iter().copied().chain([KERNEL]).zip(elfs.iter().map(Vec::as_slice)).collect();
    write(&folder, &assembled, &named)?;
    build_programs(tools, &system, &packages, &folder)?;
    Ok(Built { folder, banks: assembled.banks })
}

/// Where the systems of a board are put.
pub fn output_folder(root: &Path, board: &str) -> PathBuf {
    root.join("out").join(board)
}

/// The program files for the spare slots of a system, into `bin/`; files of programs that are gone go, too.
fn build_programs(tools: &Toolchain, system: &System, packages: &[Package], folder: &Path) -> Result<()> {
    let spare: Vec<usize> =
        (0..system.components.len()).filter(|&slot| system.components[slot].store.value > 0).collect();
    if spare.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> =
        packages.iter().filter(|package| package.program).map(|package| package.name.as_str()).collect();
    let programs: Vec<TargetProgram<'_>> = names.iter().map(|package| component(package)).collect();
    let files = tools.build_components(&programs).context("building the programs for spare slots")?;
    let bin = folder.join("bin");
    fs::create_dir_all(&bin).with_context(|| format!("creating {}", bin.display()))?;
    for (name, path) in names.iter().zip(&files) {
        let elf = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        write_changed(&bin.join(name), &program_file(system, &spare, name, &elf)?)?;
    }
    for entry in fs::read_dir(&bin)? {
        let entry = entry?;
        if !names.iter().any(|name| entry.file_name() == *name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The file of a program that runs in any of the `spare` slots.
fn program_file(system: &System, spare: &[usize], name: &str, elf: &[u8]) -> Result<Vec<u8>> {
    let flat = flatten(name, elf)?;
    let pages = bind_program(&flat, system, spare[0]);
    let component = |slot: usize| &system.components[slot];
    for &slot in spare {
        ensure!(
            bind_program(&flat, system, slot) == pages,
            "{}: the spare slots \"{}\" and \"{}\" differ in calls or deadlines, and a program runs in either: give them \
             the same",
            system.name,
            component(spare[0]).name.value,
            component(slot).name.value
        );
    }
    system.source.finish(())?;
    let file =
        program::file(&flat, &pages).map_err(|defect| anyhow!("program \"{name}\" {}", defect.text()))?;
    let least = spare.iter().map(|&slot| component(slot).store.value).min().unwrap_or(0);
    ensure!(
        file.len() as u64 <= least,
        "program \"{name}\" has {} bytes, and a store of {} only {least}: make it smaller, or write a larger `store`",
        file.len(),
        system.name,
    );
    Ok(file)
}

fn component(package: &str) -> TargetProgram<'_> {
    TargetProgram { package, linker_script: Path::new(COMPONENT_SCRIPT), features: None }
}

/// Every image is a package of the board; cargo's own message would name neither file nor line.
fn check_images(system: &System, programs: &[&str]) -> Result<()> {
    for image in system.components.iter().filter_map(|component| component.image.as_ref()) {
        if image.value == KERNEL || !programs.contains(&image.value.as_str()) {
            let known: Vec<&str> = programs.iter().copied().filter(|name| *name != KERNEL).collect();
            let message = format!("there is no program `{}`", image.value);
            system.source.report(
                image.line,
                message,
                suggest(&image.value, &known, "packages for the board"),
            );
        }
    }
    Ok(system.source.finish(())?)
}

/// Reads a manifest and the data of its board.
///
/// # Errors
/// The file cannot be read or has defects.
pub fn read(root: &Path, manifest: &Path, services: &[Service], board: &str) -> Result<System> {
    let path = root.join(manifest);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let file = path.strip_prefix(root).unwrap_or(&path).display().to_string();
    let known = boards(root);
    ensure!(
        known.iter().any(|name| name == board),
        "there is no board {board:?} in bsp/: there is {}",
        known.join(", ")
    );
    let data = format!("bsp/{board}/board.toml");
    let described = fs::read_to_string(root.join(&data)).with_context(|| format!("reading {data}"))?;
    System::read(&file, &text, services, Board::read(&data, &described)?, &known).map_err(anyhow::Error::from)
}

/// The boards that have data.
pub fn boards(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("bsp")).into_iter().flatten().flatten();
    let with_data = entries.filter(|entry| entry.path().join("board.toml").exists());
    let mut names: Vec<String> =
        with_data.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The ELF files of `images` and, last, of the kernel.
fn compile(tools: &Toolchain, system: &System, images: &[&str]) -> Result<Vec<Vec<u8>>> {
    let mut programs: Vec<TargetProgram<'_>> = images.iter().map(|package| component(package)).collect();
    programs.push(TargetProgram {
        package: KERNEL,
        linker_script: Path::new(&system.board.linker_script),
        features: Some(kernel_features(&system.board.name)),
    });
    // The kernels of all boards have one path there: nobody else builds until this one's files are read.
    let _turn = take_turn(tools.target_dir())?;
    let files =
        tools.build(&programs, &[]).with_context(|| format!("building the programs of {}", system.name))?;
    files.iter().map(|file| fs::read(file).with_context(|| format!("reading {}", file.display()))).collect()
}

/// Waits until nobody else builds in `folder`; the next one's turn comes when the file is closed.
fn take_turn(folder: &Path) -> Result<File> {
    let path = folder.join(".x-build");
    let turn = fs::create_dir_all(folder).and_then(|()| File::create(&path));
    let turn = turn.with_context(|| format!("making {}", path.display()))?;
    turn.lock().with_context(|| format!("locking {}", path.display()))?;
    Ok(turn)
}

/// The features with which the kernel is a board's.
pub fn kernel_features(board: &str) -> String {
    format!("bsp/{board}")
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
    let watchdog_ns = if system.real_card { WATCHDOG_NS } else { 0 };
    let image = assemble(&kernel, &slots, &bundle, &system.board, watchdog_ns)?;
    let banks = system.components.iter().zip(&headers).map(|(component, header)| {
        (component.name.value.clone(), Need::of(component, header.as_ref()), component.memory.value)
    });
    Ok(Assembled { image, description: describe(system, &headers, &kernel), banks: banks.collect() })
}

/// `system.json`: what the host tools need in order to read logs, traces and backtraces.
fn describe(system: &System, headers: &[Option<ImageHeader>], kernel: &Kernel) -> Value {
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
                "memory": header.as_ref().map(|header| {
                    let need = Need::of(component, Some(header));
                    json!({ "needed": need.total(), "heap": need.heap })
                }),
            })
        })
        .collect();
    json!({
        "board": system.board.name,
        "manifest": system.name,
        "kernel_sha256": hex(&Sha256::digest(&kernel.bytes)),
        "kernel_build_id": hex(&kernel.build_id),
        "kernel_elf": format!("elf/{KERNEL}"),
        "slots": slots,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn write(folder: &Path, assembled: &Assembled, elfs: &[(&str, &[u8])]) -> Result<()> {
    let elf_folder = folder.join("elf");
    fs::create_dir_all(&elf_folder).with_context(|| format!("creating {}", elf_folder.display()))?;
    for (name, bytes) in elfs {
        write_changed(&elf_folder.join(name), bytes)?;
    }
    write_changed(&folder.join(IMAGE), &assembled.image)?;
    let text = serde_json::to_string_pretty(&assembled.description).map_err(|error| anyhow!(error))?;
    write_changed(&folder.join("system.json"), format!("{text}\n").as_bytes())
}

/// Writes a file unless it has these contents already; never leaves half of one behind.
fn write_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let partial = path.with_extension("partial");
    fs::write(&partial, bytes)
        .and_then(|()| fs::rename(&partial, path))
        .with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::PAGE;
    use crate::image::bindings::record_bytes;
    use crate::image::fake_elf::{FakeElf, FakeSegment};
    use crate::manifest::tests;
    use abi::image::SystemHeader;
    use abi::layout::IMAGE_BASE;
    use abi::rights::SlotRights;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use zerocopy::FromBytes;

    #[test]
    fn two_that_build_take_turns() {
        let folder = tempfile::tempdir().unwrap();
        let inside = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let _turn = take_turn(folder.path()).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "somebody else builds");
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::Relaxed);
                    }
                });
            }
        });
    }

    /// A program with these records in its read-only data.
    fn program(mark: u8, records: &[(u32, &str)]) -> Vec<u8> {
        let bytes: Vec<u8> = records.iter().flat_map(|(kind, name)| record_bytes(*kind, name)).collect();
        let rodata =
            FakeSegment { base: IMAGE_BASE + 0x1000, size: bytes.len() as u64, data: bytes, flags: 4 };
        let mut elf = FakeElf::new(IMAGE_BASE)
            .segment(FakeSegment { base: IMAGE_BASE, data: vec![mark; 64], size: 64, flags: 5 })
            .symbol("samsara_fault_stub", IMAGE_BASE + 8, None);
        if rodata.size > 0 {
            elf.add_section(".samsara.bindings", 1, 2, rodata.base, rodata.size);
            elf = elf.segment(rodata);
        }
        elf.bytes()
    }

    fn kernel_elf() -> Vec<u8> {
        FakeElf::new(0x8_0000)
            .segment(FakeSegment { base: 0x8_0000, data: vec![9; 5000], size: 5000, flags: 5 })
            .bytes()
    }

    fn assembled(text: &str) -> Result<Assembled> {
        let system = tests::read(text).unwrap_or_else(|defects| panic!("{defects}"));
        let workload = program(5, &[(1, "files"), (5, "?files"), (4, "?rs")]);
        let elfs = [
            ("root", program(1, &[(6, "rs")])),
            ("reincarnation-server", program(2, &[])),
            ("sdcard", program(3, &[(3, "emmc"), (3, "gpio"), (2, "emmc")])),
            ("fs-server", program(4, &[(1, "block")])),
            ("workload", workload),
        ];
        let flats = elfs.iter().map(|(name, elf)| Ok((*name, flatten(name, elf)?)));
        assemble_system(&system, &flats.collect::<Result<_>>()?, &kernel_elf())
    }

    /// The slots and the number of images of a boot image.
    fn decoded(image: &[u8]) -> (Vec<SlotRights>, u32) {
        let system = &image[8192..];
        let (header, _) = SystemHeader::read_from_prefix(system).unwrap();
        let slots = (0..header.slot_count as usize).map(|slot| {
            let at = header.slots as usize + slot * size_of::<SlotRights>();
            SlotRights::read_from_prefix(&system[at..]).unwrap().0
        });
        (slots.collect(), header.image_count)
    }

    /// A second client: a component with the image and the rights of the first.
    fn second_client(parameter: u32) -> String {
        let start = tests::GOOD.find("[component.client]").unwrap();
        let second = tests::GOOD[start..]
            .replace("component.client", "component.second")
            .replace("files = 3", &format!("files = {parameter}"));
        tests::changed(&[(", \"client\"]", ", \"client\", \"second\"]")]) + "\n" + &second
    }

    #[test]
    fn every_slot_has_its_image() {
        let built = assembled(tests::GOOD).unwrap();
        let (slots, images) = decoded(&built.image);
        assert_eq!(images, 5);
        assert_eq!(slots.iter().map(|slot| slot.image).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let json = &built.description;
        assert_eq!((&json["board"], &json["manifest"]), (&json!("raspi3b"), &json!("demo")));
        assert_eq!(json["kernel_sha256"].as_str().unwrap(), hex(&Sha256::digest(vec![9u8; 5000])));
        let (header, _) = SystemHeader::read_from_prefix(&built.image[8192..]).unwrap();
        assert_eq!(json["kernel_build_id"].as_str().unwrap(), hex(&header.kernel));
        assert_eq!(json["slots"][3]["name"], "fs");
        assert_eq!(json["slots"][3]["elf"], "elf/fs-server");
        assert_eq!(json["slots"][3]["build_id"].as_str().unwrap().len(), 32);
        assert_eq!(built.banks[3].1.image, 2 * PAGE as u64);
    }

    #[test]
    fn two_slots_share_an_image_if_their_bindings_are_equal_and_the_log_finds_both() {
        let built = assembled(&second_client(3)).unwrap();
        let (slots, images) = decoded(&built.image);
        assert_eq!((slots[4].image, slots[5].image, images), (4, 4, 5));
        let built = assembled(&second_client(4)).unwrap();
        let (slots, images) = decoded(&built.image);
        assert_eq!((slots[4].image, slots[5].image, images), (4, 5, 6));
        // The build id is of the ELF file, which is one: bindings do not change what log frames refer to.
        assert_eq!(built.description["slots"][4]["build_id"], built.description["slots"][5]["build_id"]);
    }

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        assert!(assembled(tests::GOOD).unwrap().image == assembled(tests::GOOD).unwrap().image);
    }

    #[test]
    fn a_bank_that_is_too_small_stops_the_build() {
        let text = tests::changed(&[("memory = \"1M\"", "memory = \"64K\"")]);
        let message = assembled(&text).err().unwrap().to_string();
        assert!(message.contains("35: `memory` of \"fs\" is 64K, but it needs 80K"), "{message}");
    }

    #[test]
    fn an_image_that_is_no_program_is_named() {
        let known = ["kernel", "root", "reincarnation-server", "sdcard", "fs-server", "workload"];
        let message = |text: &str, known: &[&str]| {
            check_images(&tests::read(text).ok().unwrap(), known).err().map(|defects| defects.to_string())
        };
        assert_eq!(message(tests::GOOD, &known), None);
        let text = tests::changed(&[("image = \"fs-server\"", "image = \"fs_server\"")]);
        assert_eq!(
            message(&text, &known).unwrap(),
            "system/demo.toml:33: there is no program `fs_server`\n  remedy: write `fs-server`, or another of the packages \
             for the board: `root`, `reincarnation-server`, `sdcard`, `fs-server`, `workload`"
        );
        let text = tests::changed(&[("image = \"fs-server\"", "image = \"kernel\"")]);
        assert!(
            message(&text, &known).unwrap().starts_with("system/demo.toml:33: there is no program `kernel`")
        );
    }

    /// Every manifest in the tree is right as far as it can be known without the images.
    #[test]
    fn the_manifests_in_the_tree_have_no_defect() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut count = 0;
        for entry in fs::read_dir(root.join("system")).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let manifest = Path::new("system").join(path.file_name().unwrap());
            for board in boards(root) {
                let system = read(root, &manifest, protocols::SERVICES, &board)
                    .unwrap_or_else(|defects| panic!("{board}: {defects}"));
                assert_eq!(system.components[0].name.value, "root");
            }
            assert!(text.starts_with("# "), "{}: say what the system is for", path.display());
            count += 1;
        }
        assert!(count >= 4);
    }

    #[test]
    fn an_unchanged_file_is_not_written() {
        let folder = std::env::temp_dir().join(format!("samsara-build-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file.img");
        let modified = || fs::metadata(&path).unwrap().modified().unwrap();
        write_changed(&path, b"one").unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        write_changed(&path, b"one").unwrap();
        assert_eq!(modified(), std::time::UNIX_EPOCH);
        write_changed(&path, b"two").unwrap();
        assert_ne!(modified(), std::time::UNIX_EPOCH);
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }
}
