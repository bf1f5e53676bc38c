//! The system's tables behind the kernel: rights, image headers, page checksums.
//!
//! They were compiled by the build and are read in place. One CRC covers them; a damaged or wrong table stops the boot,
//! since without it nobody has any right. So does an image of which root or RS could not be started: nobody could say so
//! later. What else is damaged in both copies is RS's to deal with.

use crate::arch::memory;
use abi::image::{ImageHeader, MAGIC, SystemHeader};
use abi::rights::{CallRight, SlotRights, slot_bit};
use abi::{ROOT, SLOTS_MAX, SlotId, name_text};
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Longest tables in bytes: keeps a damaged length within memory.
const TABLES_MAX: usize = 1 << 20;

const FOREIGN: &str = "the image was made for another kernel";

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
        let header: &SystemHeader = items(base, 1)?.first().ok_or(FOREIGN)?;
        if header.magic != MAGIC {
            return Err("no system lies behind the kernel");
        }
        let end = (header.tables_end as usize).min(TABLES_MAX);
        let tables = sealed(base + SystemHeader::SEALED, end.saturating_sub(SystemHeader::SEALED));
        if memory::checksum(tables) != header.tables_crc {
            return Err("the system's tables are damaged");
        }
        if name_text(&header.board) != bsp::NAME {
            return Err("the image was made for another board");
        }
        if header.slot_count as usize > SLOTS_MAX {
            return Err(FOREIGN);
        }
        let table = Self {
            header,
            slots: items(base + header.slots as usize, header.slot_count as usize)?,
            images: items(base + header.images as usize, header.image_count as usize)?,
            page_crcs: items(base + header.page_crcs as usize, header.page_count as usize)?,
            base,
        };
        table.check_uphill()?;
        table.check_pages()?;
        Ok(table)
    }

    /// Root and what root starts must be whole in one of the two copies, and so must the last page, without which the
    /// image was cut short.
    fn check_pages(&self) -> Result<(), &'static str> {
        let root = self.slots.first().ok_or(FOREIGN)?;
        let needed = root.controls | slot_bit(ROOT);
        for (slot, rights) in (0..).zip(self.slots) {
            if needed & slot_bit(slot) != 0 {
                let image = self.images.get(rights.image as usize).ok_or(FOREIGN)?;
                for page in 0..image.stored_pages() {
                    self.check_page(root, image.first_page + page)?;
                }
            }
        }
        self.check_page(root, self.header.page_count.wrapping_sub(1))
    }

    #[cold]
    #[inline(never)]
    fn check_page(&self, root: &SlotRights, page: u32) -> Result<(), &'static str> {
        let expected = *self.page_crcs.get(page as usize).ok_or(FOREIGN)?;
        // A copy is the quickest way to a checksum, and root's bank is nobody's yet.
        let is_whole = |copy| memory::copy_page(root.bank_base as usize, self.page(copy, page)) == expected;
        let mut copies = 0..2;
        copies
            .any(is_whole)
            .then_some(())
            .ok_or("the image is cut short, or a page is damaged in both copies")
    }

    /// Every call leads to a strictly higher priority: what the direct switch and the absence of deadlock rest on.
    fn check_uphill(&self) -> Result<(), &'static str> {
        for slot in self.slots {
            for right in slot.calls.iter().filter(|right| right.used != 0) {
                let server = self.slots.get(right.server as usize).ok_or(FOREIGN)?;
                if server.priority <= slot.priority || server.serves == 0 {
                    return Err(FOREIGN);
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

/// Build id of the kernel, as it is written at the physical address `base`: unproved, for a panic.
pub fn kernel_build(base: usize) -> [u8; 16] {
    items::<SystemHeader>(base, 1).ok().and_then(<[_]>::first).map_or([0; 16], |header| header.kernel)
}

fn sealed(base: usize, length: usize) -> &'static [u8] {
    // SAFETY: 1. RAM is mapped there, of at most TABLES_MAX bytes before the CRC has proved the length; 2. nothing is written
    //    there until then, and afterwards no bank overlaps it and it is mapped read-only.
    unsafe { memory::bytes(base, length) }
}

fn items<T: FromBytes + Immutable + KnownLayout>(
    base: usize,
    count: usize,
) -> Result<&'static [T], &'static str> {
    <[T]>::ref_from_bytes_with_elems(sealed(base, count * size_of::<T>()), count).map_err(|_| FOREIGN)
}
