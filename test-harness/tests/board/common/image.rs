//! The boot image from outside: where its tables and the two copies of each page lie.

use super::Board;
use abi::PAGE_SIZE;
use abi::image::ImageHeader;
use abi::rights::SlotRights;
use std::path::{Path, PathBuf};
use test_harness::boot_image;

/// A boot image that is one.
pub struct BootImage(boot_image::BootImage);

impl BootImage {
    /// Reads a boot image.
    pub fn read(path: &Path) -> Self {
        Self(boot_image::BootImage::read(path).unwrap())
    }

    /// What the manifest gives to a slot.
    pub fn rights(&self, slot: u8) -> SlotRights {
        self.0.rights(slot).unwrap()
    }

    /// The image of a slot.
    pub fn image(&self, slot: u8) -> ImageHeader {
        self.0.image(slot).unwrap()
    }

    /// Physical address of a page of a slot's image in one of the two copies.
    pub fn address(&self, slot: u8, copy: usize, page: u32) -> u64 {
        self.0.address(slot, copy, page).unwrap()
    }

    /// A page of a slot's image as the build made it.
    pub fn page(&self, slot: u8, page: u32) -> &[u8] {
        let [one, other] = [0, 1].map(|copy| &self.0.bytes()[self.0.place(slot, copy, page).unwrap()]);
        assert_eq!(one, other);
        one
    }

    /// What never changes while the board runs.
    pub fn constants(&self, constant: usize) -> [(u64, &[u8]); 2] {
        self.0.constants(constant)
    }

    /// Flips one bit of a page of a slot's image in one copy.
    pub fn damage(&mut self, slot: u8, copy: usize, page: u32) {
        let at = self.0.place(slot, copy, page).unwrap().start + 1234;
        self.0.bytes_mut()[at] ^= 0x10;
    }

    /// Writes the image as it is now.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("kernel8.img");
        std::fs::write(&path, self.0.bytes()).unwrap();
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
