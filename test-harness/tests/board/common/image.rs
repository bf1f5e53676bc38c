//! The boot image from outside: where its tables and the two copies of each page lie.

use super::Board;
use abi::PAGE_SIZE;
use abi::image::{ImageHeader, MAGIC, SystemHeader};
use abi::rights::SlotRights;
use std::ops::Range;
use std::path::{Path, PathBuf};
use zerocopy::FromBytes;

/// Where the board puts the boot image (`bsp/raspi3b/board.toml`, `kernel`).
const LOADED_AT: u64 = 0x8_0000;

/// A boot image.
pub struct BootImage {
    bytes: Vec<u8>,
    /// Where the system's header lies in the file.
    base: usize,
    header: SystemHeader,
}

impl BootImage {
    /// Reads a boot image.
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let is_header = |base: &usize| bytes[*base..].starts_with(&MAGIC.to_le_bytes());
        let base = (0..bytes.len()).step_by(PAGE_SIZE).find(is_header).expect("a system behind the kernel");
        let header = SystemHeader::read_from_prefix(&bytes[base..]).unwrap().0;
        Self { bytes, base, header }
    }

    /// What the manifest gives to a slot.
    pub fn rights(&self, slot: u8) -> SlotRights {
        assert!(u32::from(slot) < self.header.slot_count);
        let at = self.base + self.header.slots as usize + usize::from(slot) * size_of::<SlotRights>();
        SlotRights::read_from_prefix(&self.bytes[at..]).unwrap().0
    }

    /// The image of a slot.
    pub fn image(&self, slot: u8) -> ImageHeader {
        let index = self.rights(slot).image as usize;
        assert!(index < self.header.image_count as usize);
        let at = self.base + self.header.images as usize + index * size_of::<ImageHeader>();
        ImageHeader::read_from_prefix(&self.bytes[at..]).unwrap().0
    }

    /// Where a page of a slot's image lies in the file: `copy` 0 or 1, `page` counted within the image.
    fn place(&self, slot: u8, copy: usize, page: u32) -> Range<usize> {
        let bundle = [self.header.bundle_a, self.header.bundle_b][copy] as usize;
        let start = self.base + bundle + (self.image(slot).first_page + page) as usize * PAGE_SIZE;
        start..start + PAGE_SIZE
    }

    /// Physical address of a page of a slot's image in one of the two copies.
    pub fn address(&self, slot: u8, copy: usize, page: u32) -> u64 {
        LOADED_AT + self.place(slot, copy, page).start as u64
    }

    /// A page of a slot's image as the build made it.
    pub fn page(&self, slot: u8, page: u32) -> &[u8] {
        assert_eq!(self.bytes[self.place(slot, 0, page)], self.bytes[self.place(slot, 1, page)]);
        &self.bytes[self.place(slot, 0, page)]
    }

    /// What never changes while the board runs, with its physical addresses: the first `constant` bytes of the kernel, and the
    /// tables and both bundles behind it.
    pub fn constants(&self, constant: usize) -> [(u64, &[u8]); 2] {
        let system = &self.bytes[self.base..];
        [(LOADED_AT, &self.bytes[..constant]), (LOADED_AT + self.base as u64, system)]
    }

    /// Flips one bit of a page of a slot's image in one copy.
    pub fn damage(&mut self, slot: u8, copy: usize, page: u32) {
        let at = self.place(slot, copy, page).start + 1234;
        self.bytes[at] ^= 0x10;
    }

    /// Writes the image as it is now.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("kernel8.img");
        std::fs::write(&path, &self.bytes).unwrap();
        path
    }
}

/// The bank of a slot, copied from outside.
pub struct Bank {
    base: u64,
    bytes: Vec<u8>,
}

/// Where a page of a component lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// Physical address.
    pub physical: u64,
    /// The component may write to it.
    pub writable: bool,
    /// The component may execute it.
    pub executable: bool,
}

/// Bits of a descriptor (DDI 0487, D8.3): valid, access from EL0, read-only, no execution at EL0, output address.
const VALID: u64 = 1;
const USER: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 54;
const ADDRESS: u64 = 0x0000_FFFF_FFFF_F000;
/// Bytes that an entry of the first table covers.
const BLOCK: u64 = 1 << 21;

impl Bank {
    /// Copies the bank of a slot out of a board.
    pub fn dump(board: &mut Board, rights: &SlotRights) -> Self {
        let bytes = board.memory(rights.bank_base, rights.bank_size);
        Self { base: rights.bank_base, bytes }
    }

    fn word(&self, physical: u64) -> u64 {
        let at = (physical - self.base) as usize;
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    /// Where a virtual address leads. The root table is the bank's first page.
    pub fn translate(&self, address: u64) -> Option<Mapping> {
        let table = self.word(self.base + 8 * (address / BLOCK));
        if table & VALID == 0 {
            return None;
        }
        let leaf = self.word((table & ADDRESS) + 8 * (address / PAGE_SIZE as u64 % 512));
        if leaf & (VALID | USER) != VALID | USER {
            return None;
        }
        let (writable, executable) = (leaf & READ_ONLY == 0, leaf & NO_EXECUTE == 0);
        Some(Mapping { physical: leaf & ADDRESS, writable, executable })
    }

    /// A page of the bank.
    pub fn page(&self, physical: u64) -> &[u8] {
        let at = (physical - self.base) as usize;
        &self.bytes[at..at + PAGE_SIZE]
    }
}
