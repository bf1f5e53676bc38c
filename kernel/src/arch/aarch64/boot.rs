//! Constants of boot.s, and the kernel's final translation tables.
//!
//! boot.s maps the first GiB and the devices for a moment with every right; [`map_kernel`] replaces this by the final
//! tables, in which nothing is both writable and executable and the page below the stack is missing.

use super::cpu;
use super::paging::{Attributes, BLOCK_SIZE, Descriptor, Table};
use aarch64_cpu::registers::{MAIR_EL1, SCTLR_EL1, TCR_EL1, TTBR0_EL1, TTBR1_EL1, Writeable};
use core::cell::UnsafeCell;

/// Distance between a physical address and its place in the kernel's half.
pub const KERNEL_OFFSET: usize = 0xFFFF_FF80_0000_0000;

/// Attribute 0: device nGnRE; 1: normal, write-back; 2: normal, not cached.
const MAIR: u64 = 0x0044_FF04;
/// Both halves 39 bits (levels 1 to 3), 4 KiB granule, write-back inner-shareable walks, 36-bit physical addresses,
/// 16-bit ASIDs.
const TCR_BOOT: u64 = 0x19 | TCR_COMMON;
/// Lower half 30 bits (levels 2 and 3): what components see.
const TCR_FINAL: u64 = 0x22 | TCR_COMMON;
const TCR_COMMON: u64 = (1 << 8)
    | (1 << 10)
    | (3 << 12)
    | (25 << 16)
    | (1 << 24)
    | (1 << 26)
    | (3 << 28)
    | (2 << 30)
    | (1 << 32)
    | (1 << 36);
/// Bits that are one on ARMv8.0, everything else off.
const SCTLR_OFF: u64 = 0x30D0_0800;
/// MMU, data and instruction caches, stack alignment checks at both levels.
const SCTLR_ON: u64 = SCTLR_OFF | 1 | (1 << 2) | (1 << 3) | (1 << 4) | (1 << 12);
/// Writable implies not executable.
const SCTLR_WXN: u64 = 1 << 19;

core::arch::global_asm!(
    include_str!("boot.s"),
    MAIR = const MAIR,
    TCR_BOOT = const TCR_BOOT,
    SCTLR_OFF = const SCTLR_OFF,
    SCTLR_ON = const SCTLR_ON,
    BLOCK_0 = const boot_block(0),
    BLOCK_1 = const boot_block(1),
    BLOCK_2 = const boot_block(2),
    BLOCK_3 = const boot_block(3),
    CPU_PART = const bsp::CPU_PART,
    OTHER_CORES = const bsp::OTHER_CORES,
    SPIN_TABLE = const bsp::SPIN_TABLE,
);

/// Bytes that a level 1 block maps.
const GIB: usize = 1 << 30;

/// What boot.s maps at a GiB of the lowest four: memory at the first, devices where the board has any, else nothing.
const fn boot_block(index: usize) -> u64 {
    let base = index * GIB;
    if index == 0 {
        return Descriptor::block(base, Attributes::BOOT).0;
    }
    let mut range = 0;
    while range < bsp::DEVICE_RANGES.len() {
        if bsp::DEVICE_RANGES[range].0 / GIB == index {
            return Descriptor::block(base, Attributes::DEVICE_KERNEL).0;
        }
        range += 1;
    }
    0
}

/// Says on the console of the board on which this image finds itself that it is for another one. boot.s calls it before
/// anything else, with the MMU off, and halts.
#[unsafe(no_mangle)]
extern "C" fn refuse_board(part: u32) {
    // SAFETY: 1. the MMU is off; 2. nothing else runs yet.
    unsafe { bsp::refusal::refuse(part, bsp::REFUSAL) };
}

/// Tables of the kernel's half, and the empty one for when no component is mapped.
#[repr(C, align(4096))]
struct Tables {
    level1: UnsafeCell<Table>,
    low: UnsafeCell<Table>,
    devices: UnsafeCell<Table>,
    image: UnsafeCell<Table>,
    empty: UnsafeCell<Table>,
}

// SAFETY: 1. only `map_kernel` writes to the tables; 2. it runs once, on the only core, before anything else does.
unsafe impl Sync for Tables {}

static TABLES: Tables = Tables {
    level1: UnsafeCell::new(Table::EMPTY),
    low: UnsafeCell::new(Table::EMPTY),
    devices: UnsafeCell::new(Table::EMPTY),
    image: UnsafeCell::new(Table::EMPTY),
    empty: UnsafeCell::new(Table::EMPTY),
};

unsafe extern "C" {
    // Provided by the linker script; only their addresses mean anything.
    static __kernel_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __kernel_end: u8;
    static __guard_page: u8;
    static __stack_top: u8;
}

fn physical(symbol: *const u8) -> usize {
    symbol as usize - KERNEL_OFFSET
}

/// Physical address right behind the kernel: where the build has put the system's tables.
pub fn kernel_end() -> usize {
    physical(&raw const __kernel_end)
}

/// Address of the page that is missing below the kernel's stack.
pub fn guard_page() -> usize {
    &raw const __guard_page as usize
}

/// Address behind the kernel's stack.
pub fn stack_top() -> usize {
    &raw const __stack_top as usize
}

/// Physical address of the table that maps nothing.
pub fn empty_table() -> usize {
    physical(TABLES.empty.get().cast())
}

/// Attributes of a page of the first block, in which the kernel lies. `None` for the guard page.
fn page_attributes(page: usize) -> Option<Attributes> {
    let within = |from: usize, to: *const u8| (from..physical(to)).contains(&page);
    let start = physical(&raw const __kernel_start);
    if page == physical(&raw const __guard_page) {
        None
    } else if within(start, &raw const __text_end) {
        Some(Attributes::TEXT_KERNEL)
    } else if within(start, &raw const __rodata_end) || page >= kernel_end() {
        Some(Attributes::READ_ONLY_KERNEL)
    } else {
        Some(Attributes::DATA_KERNEL)
    }
}

/// Installs the final tables. What lies behind the kernel in the same block is read-only from here on; [`seal`] does the rest.
///
/// # Safety
/// 1. Called once, by the only running core, at EL1 in the kernel's half, before any component exists.
pub unsafe fn map_kernel() {
    // SAFETY: 1. by the caller's promise nobody else has a reference to the tables.
    let (level1, low, devices, image) = unsafe {
        (
            &mut *TABLES.level1.get(),
            &mut *TABLES.low.get(),
            &mut *TABLES.devices.get(),
            &mut *TABLES.image.get(),
        )
    };
    for (index, entry) in image.0.iter_mut().enumerate() {
        let page = index * abi::PAGE_SIZE;
        if let Some(attributes) = page_attributes(page) {
            *entry = Descriptor::page(page, attributes);
        }
    }
    low.0[0] = Descriptor::table(physical(core::ptr::from_ref(image).cast()));
    for (index, entry) in low.0.iter_mut().enumerate().skip(1) {
        let block = index * BLOCK_SIZE;
        if block < bsp::RAM_END {
            *entry = Descriptor::block(block, Attributes::DATA_KERNEL);
        }
    }
    for (from, to) in bsp::DEVICE_RANGES {
        for block in (from..to).step_by(BLOCK_SIZE) {
            let table = if block < GIB { &mut *low } else { &mut *devices };
            table.0[block / BLOCK_SIZE % 512] = Descriptor::block(block, Attributes::DEVICE_KERNEL);
        }
        if from >= GIB {
            level1.0[from / GIB] = Descriptor::table(physical(core::ptr::from_ref(devices).cast()));
        }
    }
    level1.0[0] = Descriptor::table(physical(core::ptr::from_ref(low).cast()));
    cpu::data_barrier();
    TTBR0_EL1.set(empty_table() as u64);
    TTBR1_EL1.set(physical(core::ptr::from_ref(level1).cast()) as u64);
    MAIR_EL1.set(MAIR);
    TCR_EL1.set(TCR_FINAL);
    cpu::invalidate_tlb();
    SCTLR_EL1.set(SCTLR_ON | SCTLR_WXN);
    cpu::instruction_barrier();
}

/// Makes read-only what the build put behind the kernel, up to the physical address `end`.
///
/// # Safety
/// 1. Called once, after [`map_kernel`], by the only running core.
/// 2. Nothing below `end` and behind the kernel's first block is ever written.
pub unsafe fn seal(end: usize) {
    // SAFETY: 1. by the caller's promise nobody else has a reference to the table.
    let low = unsafe { &mut *TABLES.low.get() };
    for (index, entry) in
        low.0.iter_mut().enumerate().skip(1).take_while(|(index, _)| index * BLOCK_SIZE < end)
    {
        *entry = Descriptor::block(index * BLOCK_SIZE, Attributes::READ_ONLY_KERNEL);
    }
    // Only permissions change, so that an old entry does no harm until it is invalidated (DDI 0487, D8.14.1).
    cpu::data_barrier();
    cpu::invalidate_tlb();
}
