//! Physical memory through the kernel's linear map.
//!
//! Every function takes physical addresses and checks that they lie where RAM may be; that this very board has RAM at all
//! that the build has placed is checked at boot. The only place where the kernel turns a number into a pointer to memory
//! that is not its own.

use super::boot::KERNEL_OFFSET;
use abi::PAGE_SIZE;

/// Pointer to `length` bytes of RAM at `physical`.
#[inline(always)]
fn pointer(physical: usize, length: usize) -> *mut u8 {
    assert!(physical < bsp::RAM_LIMIT && length <= bsp::RAM_LIMIT - physical, "not RAM");
    (physical + KERNEL_OFFSET) as *mut u8
}

/// Reads an aligned word.
#[expect(clippy::cast_ptr_alignment, reason = "premise 2")]
#[inline(always)]
pub fn read_word(physical: usize) -> u64 {
    let pointer = pointer(physical, 8).cast::<u64>();
    // SAFETY: 1. RAM is mapped; 2. callers pass multiples of 8; 3. no Rust object lies in banks, tables or bundles.
    unsafe { pointer.read_volatile() }
}

/// Writes an aligned word into a bank.
#[expect(clippy::cast_ptr_alignment, reason = "premise 2")]
#[inline(always)]
pub fn write_word(physical: usize, value: u64) {
    let pointer = pointer(physical, 8).cast::<u64>();
    // SAFETY: 1. RAM is mapped; 2. callers pass multiples of 8; 3. no Rust object lies in banks.
    unsafe { pointer.write_volatile(value) };
}

/// Bytes that nobody writes while the slice lives: the sealed tables behind the kernel, or memory of a component that
/// does not run and that no system call is about to change.
///
/// # Safety
/// 1. Nobody writes to the range during `'a`.
pub unsafe fn bytes<'a>(physical: usize, length: usize) -> &'a [u8] {
    // SAFETY: 1. RAM is mapped; 2. nobody writes, by the caller's promise; 3. any byte is a valid u8.
    unsafe { core::slice::from_raw_parts(pointer(physical, length), length) }
}

/// Copies from RAM into an object of the kernel.
pub fn read(physical: usize, out: &mut [u8]) {
    let from = pointer(physical, out.len());
    // SAFETY: 1. RAM is mapped; 2. `out` is an object of the kernel, banks are not: they do not overlap.
    unsafe { core::ptr::copy_nonoverlapping(from, out.as_mut_ptr(), out.len()) };
}

/// Copies from an object of the kernel into a bank.
pub fn write(physical: usize, data: &[u8]) {
    let to = pointer(physical, data.len());
    // SAFETY: 1. RAM is mapped; 2. `data` is an object of the kernel, banks are not: they do not overlap.
    unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), to, data.len()) };
}

/// Copies between banks. The ranges may overlap when a component grants a window on what it receives into.
#[inline(never)]
pub fn copy(to: usize, from: usize, length: usize) {
    let (from, to) = (pointer(from, length), pointer(to, length));
    if (to as usize) < from as usize + length && (from as usize) < to as usize + length {
        // SAFETY: 1. RAM is mapped; 2. `copy` allows overlap.
        unsafe { core::ptr::copy(from, to, length) };
        return;
    }
    let blocks = if (from as usize | to as usize).is_multiple_of(16) { length / BLOCK } else { 0 };
    let done = blocks * BLOCK;
    // SAFETY: 1. RAM is mapped; 2. the ranges do not overlap; 3. the assembly moves `blocks` times BLOCK bytes.
    unsafe {
        copy_blocks(to, from, blocks);
        if done < length {
            core::ptr::copy_nonoverlapping(from.add(done), to.add(done), length - done);
        }
    }
}

/// Bytes that one round of `copy_blocks` moves.
const BLOCK: usize = 128;

/// Moves blocks of [`BLOCK`] bytes by pairs of registers.
///
/// # Safety
/// 1. Both ranges are mapped and do not overlap.
unsafe fn copy_blocks(to: *mut u8, from: *const u8, blocks: usize) {
    if blocks == 0 {
        return;
    }
    // SAFETY: 1. the ranges are mapped and disjoint by the caller's promise; 2. clobbers are declared.
    unsafe {
        core::arch::asm!(
            "2:",
            "ldp {a}, {b}, [{from}], #16",
            "ldp {c}, {d}, [{from}], #16",
            "stp {a}, {b}, [{to}], #16",
            "stp {c}, {d}, [{to}], #16",
            "ldp {a}, {b}, [{from}], #16",
            "ldp {c}, {d}, [{from}], #16",
            "stp {a}, {b}, [{to}], #16",
            "stp {c}, {d}, [{to}], #16",
            "ldp {a}, {b}, [{from}], #16",
            "ldp {c}, {d}, [{from}], #16",
            "stp {a}, {b}, [{to}], #16",
            "stp {c}, {d}, [{to}], #16",
            "ldp {a}, {b}, [{from}], #16",
            "ldp {c}, {d}, [{from}], #16",
            "stp {a}, {b}, [{to}], #16",
            "stp {c}, {d}, [{to}], #16",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            from = inout(reg) from => _, to = inout(reg) to => _, n = inout(reg) blocks => _,
            a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
            options(nostack),
        );
    }
}

/// Zeroes a page.
pub fn zero_page(physical: usize) {
    zero(physical, PAGE_SIZE);
}

/// Zeroes a range of whole cache lines (64 bytes on the Cortex-A53 and A72; DCZID_EL0 says so).
pub fn zero(physical: usize, length: usize) {
    debug_assert!(physical.is_multiple_of(64) && length.is_multiple_of(64));
    let start = pointer(physical, length);
    // SAFETY: 1. RAM is mapped as normal memory; 2. the range consists of whole lines; 3. no Rust object lies there.
    unsafe {
        core::arch::asm!(
            "2:",
            "cmp {at}, {end}",
            "b.hs 3f",
            "dc zva, {at}",
            "add {at}, {at}, #64",
            "b 2b",
            "3:",
            at = inout(reg) start => _, end = in(reg) start as usize + length,
            options(nostack),
        );
    }
}

/// Copies a page and returns the CRC-32 (ISO-HDLC) of what was copied.
pub fn copy_page(to: usize, from: usize) -> u32 {
    let (from, to) = (pointer(from, PAGE_SIZE), pointer(to, PAGE_SIZE));
    let mut crc = u32::MAX;
    // SAFETY: 1. RAM is mapped; 2. a bundle and a bank do not overlap; 3. Cortex-A53 and A72 have the CRC instructions.
    unsafe {
        core::arch::asm!(
            ".arch_extension crc",
            "2:",
            "ldp {a}, {b}, [{from}], #16",
            "ldp {c}, {d}, [{from}], #16",
            "crc32x {crc:w}, {crc:w}, {a}",
            "crc32x {crc:w}, {crc:w}, {b}",
            "crc32x {crc:w}, {crc:w}, {c}",
            "crc32x {crc:w}, {crc:w}, {d}",
            "stp {a}, {b}, [{to}], #16",
            "stp {c}, {d}, [{to}], #16",
            "subs {n}, {n}, #1",
            "b.ne 2b",
            ".arch_extension nocrc",
            from = inout(reg) from => _, to = inout(reg) to => _, n = inout(reg) PAGE_SIZE / 32 => _,
            crc = inout(reg) crc,
            a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
            options(nostack),
        );
    }
    !crc
}

/// State of a CRC-32 of which no byte has been seen.
pub const NO_BYTES: u32 = u32::MAX;

/// CRC-32 (ISO-HDLC) of bytes.
pub fn checksum(data: &[u8]) -> u32 {
    !extend(NO_BYTES, data)
}

/// The state of a CRC-32 with more bytes; its complement is the checksum.
fn extend(mut crc: u32, data: &[u8]) -> u32 {
    let (words, rest) = data.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        // SAFETY: 1. Cortex-A53 and A72 have the CRC instructions; 2. they touch no memory.
        unsafe {
            core::arch::asm!(".arch_extension crc", "crc32x {0:w}, {0:w}, {1}", ".arch_extension nocrc",
                inout(reg) crc, in(reg) word, options(nostack, nomem, pure));
        }
    }
    for &byte in rest {
        // SAFETY: 1. Cortex-A53 and A72 have the CRC instructions; 2. they touch no memory.
        unsafe {
            core::arch::asm!(".arch_extension crc", "crc32b {0:w}, {0:w}, {1:w}", ".arch_extension nocrc",
                inout(reg) crc, in(reg) u32::from(byte), options(nostack, nomem, pure));
        }
    }
    crc
}

/// CRC-32 (ISO-HDLC) of a range that no system call is changing.
pub fn checksum_range(physical: usize, length: usize) -> u32 {
    // SAFETY: 1. the slice ends with this function; 2. the kernel runs to completion, so nobody writes meanwhile.
    checksum(unsafe { bytes(physical, length) })
}

/// The state of a CRC-32, [`NO_BYTES`] at first, with the bytes of a range that no system call is changing; its complement is
/// the checksum.
pub fn checksum_on(crc: u32, physical: usize, length: usize) -> u32 {
    // SAFETY: 1. the slice ends with this function; 2. the kernel runs to completion, so nobody writes meanwhile.
    extend(crc, unsafe { bytes(physical, length) })
}

/// Writes back the data cache for a page that holds code, so that instruction fetch finds it.
pub fn clean_code_page(physical: usize) {
    let start = pointer(physical, PAGE_SIZE) as usize;
    for line in (start..start + PAGE_SIZE).step_by(64) {
        // SAFETY: 1. cache maintenance by address changes no memory; 2. the page is mapped.
        unsafe { core::arch::asm!("dc cvau, {0}", in(reg) line, options(nostack, preserves_flags)) };
    }
}

/// The bus refused an access: no device answers there.
///
/// QEMU's raspi boards refuse nothing (`ignore_memory_transaction_failures`), so no test in the emulator gets here by
/// itself; with a debugger it can, by changing the address in `device_read` to one that is not mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "the value read means nothing"]
pub struct BusError;

/// What the routines of exceptions.s return.
#[repr(C)]
struct Access {
    value: u64,
    refused: u64,
}

unsafe extern "C" {
    // Both in exceptions.s, where the exception of a refused access is expected.
    fn device_read(register: *const u32) -> Access;
    fn device_write(register: *mut u32, value: u32) -> Access;
}

/// Reads a device register that the manifest gives to the caller.
///
/// # Errors
/// The bus refused.
pub fn read_register(physical: usize) -> Result<u32, BusError> {
    let pointer = register(physical);
    // SAFETY: 1. `register` has checked that devices are mapped there; 2. reading may have effects in the device only.
    let access = unsafe { device_read(pointer) };
    if access.refused == 0 { Ok(access.value as u32) } else { Err(BusError) }
}

/// Writes a device register that the manifest gives to the caller.
///
/// # Errors
/// The bus refused. A bus may also refuse later, and then the component that runs is to blame.
pub fn write_register(physical: usize, value: u32) -> Result<(), BusError> {
    let pointer = register(physical);
    // SAFETY: 1. `register` has checked that devices are mapped there; 2. the build has refused registers that start DMA.
    let access = unsafe { device_write(pointer, value) };
    if access.refused == 0 { Ok(()) } else { Err(BusError) }
}

fn register(physical: usize) -> *mut u32 {
    let in_range = |&(from, to): &(usize, usize)| (from..to).contains(&physical);
    assert!(physical.is_multiple_of(4) && bsp::DEVICE_RANGES.iter().any(in_range), "not a register");
    (physical + KERNEL_OFFSET) as *mut u32
}
