//! The image of a target: its code, from the ELF file that the build has kept.

use super::interrupt;
use super::slot_memory::SlotMemory;
use crate::boot_image::BootImage;
use crate::system::System;
use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol};
use std::path::Path;

/// Code of a component or of the kernel.
#[derive(Clone, Debug)]
pub struct TargetImage {
    /// Name of the component.
    pub name: String,
    /// Its slot.
    pub slot: u8,
    /// Address of the first instruction.
    pub start: u64,
    /// The instructions.
    pub words: Vec<u32>,
    /// It is the kernel's.
    pub is_kernel: bool,
    /// What outlives its incarnations.
    pub slot_memory: SlotMemory,
    /// Notification bits of its interrupt lines.
    pub interrupts: u64,
}

/// Name of the kernel as a target.
pub const KERNEL: &str = "kernel";

impl TargetImage {
    /// Reads the code of a component.
    ///
    /// # Errors
    /// The system has no such component, or its ELF file cannot be read.
    pub fn read(system: &System, name: &str) -> Result<Self> {
        let slot = system.slot(name)?;
        let path = system.elf(slot).with_context(|| format!("{name} has no image to put faults into"))?;
        let boot_image = BootImage::read(&system.kernel())?;
        let interrupts = interrupt::lines(&boot_image.rights(slot)?);
        let slot_memory = SlotMemory::read(&boot_image, slot)?;
        Ok(Self { slot_memory, interrupts, ..Self::from_elf(&path, name, slot)? })
    }

    /// Reads the code of the kernel. `slot` is that of somebody at whose work the fault's time is waited for.
    ///
    /// # Errors
    /// The build has kept no ELF file of the kernel, or it cannot be read.
    pub fn of_kernel(system: &System, slot: u8) -> Result<Self> {
        let path =
            system.kernel_elf().context("the build has kept no ELF file of the kernel; build again")?;
        Ok(Self { is_kernel: true, ..Self::from_elf(&path, KERNEL, slot)? })
    }

    fn from_elf(path: &Path, name: &str, slot: u8) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let file = object::File::parse(&*bytes).with_context(|| format!("in {}", path.display()))?;
        let text = file.section_by_name(".text").with_context(|| format!("{}: no code", path.display()))?;
        let data = text.data().with_context(|| format!("in {}", path.display()))?;
        let words = data.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap_or_default()));
        ensure!(text.address().is_multiple_of(4), "{}: code at an odd address", path.display());
        let words = words.collect();
        let (name, start, slot_memory) = (name.to_owned(), text.address(), SlotMemory::default());
        Ok(Self { name, slot, start, words, is_kernel: false, slot_memory, interrupts: 0 })
    }

    /// The instruction at an address.
    pub fn word(&self, address: u64) -> Option<u32> {
        let index = address.checked_sub(self.start)? / 4;
        self.words.get(usize::try_from(index).ok()?).copied()
    }

    /// All addresses of instructions.
    pub fn addresses(&self) -> impl Iterator<Item = u64> {
        (0..self.words.len() as u64).map(|index| self.start + 4 * index)
    }
}

/// Address of a symbol of the kernel.
///
/// # Errors
/// The build kept no ELF file of the kernel, or it has no such symbol.
pub fn kernel_symbol(system: &System, name: &str) -> Result<u64> {
    let path = system.kernel_elf().context("the build has kept no ELF file of the kernel; build again")?;
    let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let file = object::File::parse(&*bytes).with_context(|| format!("in {}", path.display()))?;
    let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name));
    Ok(symbol.with_context(|| format!("{}: no symbol {name}", path.display()))?.address())
}
