//! Translation tables: descriptors, a component's address space, and walks on behalf of the kernel.
//!
//! Address spaces have 1 GiB and two levels. Table pages come from the component's bank, so that no map operation can
//! fail for want of kernel memory, and death gives everything back by forgetting the root.
//!
//! # Resources
//! DDI 0487, D8.3 (descriptor formats), D8.4 (access permissions).

use super::memory;
use abi::PAGE_SIZE;
use abi::layout::USER_END;

/// Bytes that a level 2 block maps.
pub const BLOCK_SIZE: usize = 1 << 21;

const VALID: u64 = 1;
const TABLE_OR_PAGE: u64 = 1 << 1;
const USER: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const NOT_GLOBAL: u64 = 1 << 11;
const PRIVILEGED_NO_EXECUTE: u64 = 1 << 53;
const USER_NO_EXECUTE: u64 = 1 << 54;
const ADDRESS: u64 = 0x0000_FFFF_FFFF_F000;

const DEVICE: u64 = 0;
const NORMAL: u64 = 1 << 2 | INNER_SHAREABLE;
const NOT_CACHED: u64 = 2 << 2 | INNER_SHAREABLE;
const NO_EXECUTE: u64 = PRIVILEGED_NO_EXECUTE | USER_NO_EXECUTE;

/// Memory type and permissions of a mapping.
#[derive(Clone, Copy)]
pub struct Attributes(u64);

impl Attributes {
    /// Everything allowed, for the first instructions only.
    pub const BOOT: Self = Self(NORMAL | ACCESSED);
    /// Registers that the kernel drives.
    pub const DEVICE_KERNEL: Self = Self(DEVICE | ACCESSED | NO_EXECUTE);
    /// The kernel's code.
    pub const TEXT_KERNEL: Self = Self(NORMAL | ACCESSED | READ_ONLY | USER_NO_EXECUTE);
    /// The kernel's constants, the bundle.
    pub const READ_ONLY_KERNEL: Self = Self(NORMAL | ACCESSED | READ_ONLY | NO_EXECUTE);
    /// The kernel's data, all banks.
    pub const DATA_KERNEL: Self = Self(NORMAL | ACCESSED | NO_EXECUTE);
    /// A component's code.
    pub const TEXT: Self = Self(NORMAL | ACCESSED | NOT_GLOBAL | USER | READ_ONLY | PRIVILEGED_NO_EXECUTE);
    /// A component's constants.
    pub const READ_ONLY: Self = Self(NORMAL | ACCESSED | NOT_GLOBAL | USER | READ_ONLY | NO_EXECUTE);
    /// A component's data, stack and heap.
    pub const DATA: Self = Self(NORMAL | ACCESSED | NOT_GLOBAL | USER | NO_EXECUTE);
    /// Memory that a device accesses, too.
    pub const ARENA: Self = Self(NOT_CACHED | ACCESSED | NOT_GLOBAL | USER | NO_EXECUTE);
    /// Registers that a component drives.
    pub const DEVICE: Self = Self(DEVICE | ACCESSED | NOT_GLOBAL | USER | NO_EXECUTE);
}

/// One entry of a table.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Descriptor(pub u64);

impl Descriptor {
    /// Maps a block of the level at which the entry stands.
    pub const fn block(physical: usize, attributes: Attributes) -> Self {
        Self(physical as u64 | attributes.0 | VALID)
    }

    /// Maps a page; level 3 only.
    pub const fn page(physical: usize, attributes: Attributes) -> Self {
        Self(physical as u64 | attributes.0 | VALID | TABLE_OR_PAGE)
    }

    /// Leads to a table of the next level.
    pub const fn table(physical: usize) -> Self {
        Self(physical as u64 | VALID | TABLE_OR_PAGE)
    }

    const fn is_valid(self) -> bool {
        self.0 & VALID != 0
    }

    const fn address(self) -> usize {
        (self.0 & ADDRESS) as usize
    }

    const fn allows(self, access: Access) -> bool {
        let wanted = VALID | USER;
        self.0 & wanted == wanted && (matches!(access, Access::Read) || self.0 & READ_ONLY == 0)
    }

    /// Device registers must not be reached through the linear map, which is cacheable.
    const fn is_memory(self) -> bool {
        self.0 & (0b111 << 2) != DEVICE
    }
}

/// A table of 512 entries.
#[repr(C, align(4096))]
pub struct Table(pub [Descriptor; 512]);

impl Table {
    /// Maps nothing.
    pub const EMPTY: Self = Self([Descriptor(0); 512]);
}

/// What the kernel wants to do in a component's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Read it.
    Read,
    /// Write it.
    Write,
}

/// The bank is used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BankFull;

/// A component's bank and the address space built in it.
#[derive(Clone, Copy)]
pub struct Space {
    base: usize,
    end: usize,
    next: usize,
}

impl Space {
    /// A space in the physical range `base..end`, which nothing else uses. [`Space::reset`] makes it usable.
    pub const fn new(base: usize, end: usize) -> Self {
        Self { base, end, next: base }
    }

    /// Physical address of the root table.
    #[inline(always)]
    pub const fn root(&self) -> usize {
        self.base
    }

    /// Bytes of the bank in use.
    pub const fn used(&self) -> usize {
        self.next - self.base
    }

    /// Gives back the whole bank: the incarnation is dead, and nothing is mapped until [`Space::reset`].
    pub fn release(&mut self) {
        self.next = self.base;
    }

    /// Forgets everything: an empty root table remains.
    pub fn reset(&mut self) {
        self.next = self.base + PAGE_SIZE;
        memory::zero_page(self.base);
    }

    /// Takes the next page of the bank; its contents are undefined.
    pub fn allocate(&mut self) -> Result<usize, BankFull> {
        if self.end - self.next < PAGE_SIZE {
            return Err(BankFull);
        }
        let page = self.next;
        self.next += PAGE_SIZE;
        Ok(page)
    }

    /// Maps one page, replacing nothing: `address` was not mapped before.
    pub fn map(&mut self, address: u64, physical: usize, attributes: Attributes) -> Result<(), BankFull> {
        debug_assert!(address < USER_END);
        let slot = self.base + 8 * (address as usize / BLOCK_SIZE);
        let mut entry = Descriptor(memory::read_word(slot));
        if !entry.is_valid() {
            let table = self.allocate()?;
            memory::zero_page(table);
            entry = Descriptor::table(table);
            memory::write_word(slot, entry.0);
        }
        let leaf = entry.address() + 8 * (address as usize / PAGE_SIZE % 512);
        memory::write_word(leaf, Descriptor::page(physical, attributes).0);
        Ok(())
    }

    /// Physical address behind `address`, if the component itself may access it in this way.
    #[inline]
    pub fn translate(&self, address: u64, access: Access) -> Option<usize> {
        if address >= USER_END {
            return None;
        }
        let entry = Descriptor(memory::read_word(self.base + 8 * (address as usize / BLOCK_SIZE)));
        if !entry.is_valid() {
            return None;
        }
        let leaf = Descriptor(memory::read_word(entry.address() + 8 * (address as usize / PAGE_SIZE % 512)));
        let reachable = leaf.allows(access) && leaf.is_memory();
        reachable.then(|| leaf.address() + address as usize % PAGE_SIZE)
    }
}
