//! The boot image from outside: where its tables and the two copies of each page lie.

use abi::PAGE_SIZE;
use abi::image::{ImageHeader, MAGIC, SystemHeader};
use abi::rights::SlotRights;
use anyhow::{Context, Result, ensure};
use std::ops::Range;
use std::path::Path;
use zerocopy::FromBytes;

/// Where the boards put the boot image (`bsp/*/board.toml`, `kernel`).
pub const LOADED_AT: u64 = 0x8_0000;

/// A boot image.
#[derive(Clone, Debug)]
pub struct BootImage {
    bytes: Vec<u8>,
    /// Where the system's header lies in the file.
    base: usize,
    header: SystemHeader,
}

impl BootImage {
    /// Reads a boot image.
    ///
    /// # Errors
    /// The file cannot be read, or there is no system in it.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(bytes).with_context(|| format!("in {}", path.display()))
    }

    fn parse(bytes: Vec<u8>) -> Result<Self> {
        let is_header = |base: &usize| bytes[*base..].starts_with(&MAGIC.to_le_bytes());
        let base =
            (0..bytes.len()).step_by(PAGE_SIZE).find(is_header).context("no system behind the kernel")?;
        let header =
            SystemHeader::read_from_prefix(&bytes[base..]).ok().context("the system's header breaks off")?.0;
        Ok(Self { bytes, base, header })
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All of it, for whoever damages it.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Number of slots.
    pub const fn slot_count(&self) -> u8 {
        self.header.slot_count as u8
    }

    /// Physical addresses of the pages with the fault plan.
    pub const fn plan(&self) -> Range<u64> {
        self.header.plan_base..self.header.plan_base + self.header.plan_size
    }

    /// What the manifest gives to a slot.
    ///
    /// # Errors
    /// There is no such slot, or the table breaks off.
    pub fn rights(&self, slot: u8) -> Result<SlotRights> {
        ensure!(u32::from(slot) < self.header.slot_count, "there is no slot {slot}");
        self.record(self.header.slots, slot.into())
    }

    /// The image of a slot.
    ///
    /// # Errors
    /// There is no such slot, it has no image, or the table breaks off.
    pub fn image(&self, slot: u8) -> Result<ImageHeader> {
        let index = self.rights(slot)?.image;
        ensure!(index < self.header.image_count, "slot {slot} has no image");
        self.record(self.header.images, index as usize)
    }

    fn record<T: FromBytes>(&self, table: u32, index: usize) -> Result<T> {
        let bytes = self.bytes.get(self.base + table as usize + index * size_of::<T>()..).unwrap_or_default();
        Ok(T::read_from_prefix(bytes).ok().context("a table breaks off")?.0)
    }

    /// Where a page of a slot's image lies in the file: `copy` 0 or 1, `page` counted within the image.
    ///
    /// # Errors
    /// As [`BootImage::image`].
    pub fn place(&self, slot: u8, copy: usize, page: u32) -> Result<Range<usize>> {
        let bundle = if copy == 0 { self.header.bundle_a } else { self.header.bundle_b };
        let start = self.base + bundle as usize + (self.image(slot)?.first_page + page) as usize * PAGE_SIZE;
        Ok(start..start + PAGE_SIZE)
    }

    /// Physical address of a page of a slot's image in one of the two copies.
    ///
    /// # Errors
    /// As [`BootImage::image`].
    pub fn address(&self, slot: u8, copy: usize, page: u32) -> Result<u64> {
        Ok(LOADED_AT + self.place(slot, copy, page)?.start as u64)
    }

    /// What never changes while the board runs, with its physical addresses: the first `constant` bytes of the kernel, and the
    /// tables and both bundles behind it.
    pub fn constants(&self, constant: usize) -> [(u64, &[u8]); 2] {
        let system = &self.bytes[self.base..];
        [(LOADED_AT, &self.bytes[..constant]), (LOADED_AT + self.base as u64, system)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_boot_image_is_refused() {
        assert!(BootImage::parse(vec![0; 3 * PAGE_SIZE]).unwrap_err().to_string().contains("no system"));
        let mut cut = vec![0; PAGE_SIZE];
        cut.extend(MAGIC.to_le_bytes());
        assert!(BootImage::parse(cut).unwrap_err().to_string().contains("breaks off"));
    }
}
