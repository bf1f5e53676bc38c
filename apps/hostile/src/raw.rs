//! Accesses to any address, and system calls with every register at the caller's choice.
//!
//! The assembly is in `raw.s` beside this file.

use core::ptr;

core::arch::global_asm!(include_str!("raw.s"));

/// x0 to x30, TPIDR_EL0, NZCV.
pub type Registers = [u64; 33];

unsafe extern "C" {
    fn hostile_recv(registers: *mut Registers);
    fn hostile_call(registers: *mut Registers);
    fn hostile_null(registers: *mut Registers);
    fn hostile_spin(registers: *mut Registers);
    fn hostile_die(registers: *mut Registers) -> !;
}

/// Reads a word at an address that the component may or may not have.
pub fn read(address: u64) -> u32 {
    // SAFETY: 1. Either a device register of the component's own, or the MMU ends the component.
    unsafe { ptr::with_exposed_provenance::<u32>(address as usize).read_volatile() }
}

/// Writes a word to an address that the component may or may not have.
pub fn write(address: u64, value: u32) {
    // SAFETY: 1. Either a device register of the component's own, or the MMU ends the component.
    unsafe { ptr::with_exposed_provenance_mut::<u32>(address as usize).write_volatile(value) };
}

/// `recv` with these registers; x0 and x1 are its arguments.
pub fn recv(registers: &mut Registers) {
    // SAFETY: 1. The block is borrowed exclusively and as long as raw.s says. 2. `recv` takes no address.
    unsafe { hostile_recv(registers) };
}

/// `call` with these registers, of which the lengths of the windows (x12 and x14) are 0.
pub fn call(registers: &mut Registers) {
    assert!(registers[12] == 0 && registers[14] == 0, "no windows");
    // SAFETY: 1. The block is borrowed exclusively and as long as raw.s says. 2. There is no window: no address.
    unsafe { hostile_call(registers) };
}

/// A call that does not exist.
pub fn null(registers: &mut Registers) {
    // SAFETY: 1. The block is borrowed exclusively and as long as raw.s says. 2. The call does nothing.
    unsafe { hostile_null(registers) };
}

/// 2,000 instructions that use none of these registers.
pub fn spin(registers: &mut Registers) {
    // SAFETY: 1. The block is borrowed exclusively and as long as raw.s says.
    unsafe { hostile_spin(registers) };
}

/// Dies of an undefined instruction with these registers.
pub fn die(registers: &mut Registers) -> ! {
    // SAFETY: 1. The block is borrowed exclusively and as long as raw.s says. 2. The instruction ends the component.
    unsafe { hostile_die(registers) }
}
