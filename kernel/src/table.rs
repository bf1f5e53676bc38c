//! The system's tables behind the kernel: rights, image headers, page checksums.
//!
//! They were compiled by the build and are read in place. One CRC covers them; a damaged or wrong table stops the boot,
//! since without it nobody has any right.

use crate::arch::memory;
use abi::image::{ImageHeader, MAGIC, SystemHeader};
use abi::rights::{CallRight, SlotRights};
use abi::{SLOTS_MAX, SlotId, name_text};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// The tables.
#[derive(Clone, Copy)]
pub struct Table {
    /// What describes the rest.
    pub header: &'static SystemHeader,
    /// Rights, by slot.
    pub slots: &'static [SlotRights],
    /// Images.
    pub images: &'static [ImageHeader],
    /// CRC-32 of each page of a bundle.
    pub page_crcs: &'static [u32],
    /// Physical address of the header.
    base: usize,
}

impl Table {
    /// Reads the tables at the physical address `base`.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(base: usize) -> Result<Self, &'static str> {
        let header: &SystemHeader = items(base, 1)?.first().ok_or("no header")?;
        if header.magic != MAGIC {
            return Err("no system behind the kernel: build the image with `./x build`");
        }
        let start = size_of::<SystemHeader>();
        let tables = sealed(base + start, header.tables_end as usize - start);
        if memory::checksum(tables) != header.tables_crc {
            return Err("the system's tables are damaged: write the image again");
        }
        if name_text(&header.board) != bsp::NAME {
            return Err("the image is for another board: name this one in its manifest");
        }
        if header.slot_count as usize > SLOTS_MAX {
            return Err("more slots than the kernel has");
        }
        let table = Self {
            header,
            slots: items(base + header.slots as usize, header.slot_count as usize)?,
            images: items(base + header.images as usize, header.image_count as usize)?,
            page_crcs: items(base + header.page_crcs as usize, header.page_count as usize)?,
            base,
        };
        table.check_uphill()?;
        Ok(table)
    }

    /// Every call leads to a strictly higher priority: what the direct switch and the absence of deadlock rest on.
    fn check_uphill(&self) -> Result<(), &'static str> {
        for slot in self.slots {
            for right in slot.calls.iter().filter(|right| right.used != 0) {
                let server = self.slots.get(right.server as usize).ok_or("a call leads nowhere")?;
                if server.priority <= slot.priority || server.serves == 0 {
                    return Err("a call does not lead uphill to a service");
                }
            }
        }
        Ok(())
    }

    /// The right behind a call handle.
    #[inline(always)]
    pub fn call_right(&self, slot: SlotId, handle: u64) -> Option<&'static CallRight> {
        let right = self.slots[usize::from(slot)].calls.get(handle as usize)?;
        (right.used != 0).then_some(right)
    }

    /// Physical address of a page in bundle A (`copy` 0) or B.
    pub fn page(&self, copy: usize, page: u32) -> usize {
        let bundle = if copy == 0 { self.header.bundle_a } else { self.header.bundle_b };
        self.base + bundle as usize + page as usize * abi::PAGE_SIZE
    }

    /// Physical end of what the build appended to the kernel.
    pub fn end(&self) -> usize {
        self.page(1, self.header.page_count)
    }
}

fn sealed(base: usize, length: usize) -> &'static [u8] {
    // SAFETY: 1. what lies behind the kernel is mapped read-only for ever and no bank overlaps it.
    unsafe { memory::bytes(base, length) }
}

fn items<T: FromBytes + Immutable + KnownLayout>(
    base: usize,
    count: usize,
) -> Result<&'static [T], &'static str> {
    <[T]>::ref_from_bytes_with_elems(sealed(base, count * size_of::<T>()), count)
        .map_err(|_| "misaligned tables")
}
