//! Accesses to any address, and system calls with every register at the caller's choice.
//!
//! The assembly is in `raw.s` beside this file.

use core::ptr;
use userlib::{Start, Status, sys};

core::arch::global_asm!(include_str!("raw.s"));

/// x0 to x30, TPIDR_EL0, NZCV.
pub type Registers = [u64; 33];

unsafe extern "C" {
    fn hostile_recv(registers: *mut Registers);
    fn hostile_call(registers: *mut Registers);
    fn hostile_null(registers: *mut Registers);
    fn hostile_spin(registers: *mut Registers);
    fn hostile_die(registers: *mut Registers) -> !;
    fn hostile_peek(number: u64) -> u64;
    fn hostile_burn();
}

/// How many registers there are to [`peek`] at.
pub const PEEKS: u64 = 35;

// SAFETY: 1. raw.s calls it once, in place of `samsara_main`, with what the kernel gives to an incarnation; `registers` stays
//    on the stack below which everything happens.
#[unsafe(no_mangle)]
extern "C" fn hostile_main(slot: u64, incarnation: u64, flags: u64, registers: &Registers) -> ! {
    crate::main(Start::from_registers(slot, incarnation, flags), registers)
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

/// 1,000 instructions without a branch, which an emulator executes quickly.
pub fn burn() {
    // SAFETY: 1. They do nothing.
    unsafe { hostile_burn() };
}

/// Dies of an undefined instruction with these registers.
pub fn die(registers: &mut Registers) -> ! {
    // SAFETY: 1. The block is borrowed exclusively and as long as raw.s says. 2. The instruction ends the component.
    unsafe { hostile_die(registers) }
}

/// Reads a register that no component has, by its number in the table of raw.s; comes back only if the CPU lets it.
pub fn peek(number: u64) -> u64 {
    assert!(number < PEEKS, "there are {PEEKS} registers to look at");
    // SAFETY: 1. The number is one of the table's. 2. Reads that are refused end the component. 3. Those that are not change
    //    nothing but registers that the compiler expects a call to change: the floating-point ones are never used.
    unsafe { hostile_peek(number) }
}

/// `reg` with a buffer of one word; `operation` is that of one register.
pub fn reg_words(window: u32, operation: u64, offset: usize, word: &mut [u32; 1]) -> Result<(), Status> {
    // SAFETY: 1. The buffer is borrowed exclusively and has one word.
    unsafe { sys::reg_words(window, operation + 2, offset, word.as_mut_ptr(), 1) }
}
