//! Peripherals that the BCM2835 brought and its successors on the Raspberry Pi still have: power management block, UARTs,
//! pins. Where they are is the board's knowledge.
//!
//! Rule: a register block is found through an address that the board gives; nothing here knows which board it is. Tests
//! give the address of memory.
//!
//! # Resources
//! BCM2835 ARM Peripherals (Broadcom, 2012); BCM2711 ARM Peripherals (Raspberry Pi, 2022) for what became of them.

#![cfg_attr(not(test), no_std)]

pub mod pins;
pub mod power;
pub mod refusal;
pub mod uart;

/// A register block of type `T` at an address.
///
/// # Safety
/// 1. The registers are mapped there as device memory, for ever.
unsafe fn block<T>(address: usize) -> &'static T {
    // SAFETY: 1. mapped by the caller's promise; 2. every field of a register block tolerates concurrent access.
    unsafe { &*core::ptr::with_exposed_provenance(address) }
}

#[cfg(test)]
mod testing {
    use core::cell::UnsafeCell;

    /// Memory that stands for a register block: what is written stays, and nothing else happens.
    pub struct Fake(&'static UnsafeCell<[u32; 1024]>);

    impl Fake {
        pub fn new() -> Self {
            Self(Box::leak(Box::new(UnsafeCell::new([0; 1024]))))
        }

        pub fn address(&self) -> usize {
            self.0.get().expose_provenance()
        }

        pub fn get(&self, offset: usize) -> u32 {
            // SAFETY: 1. the memory lives for ever; 2. a test has one thread.
            unsafe { (*self.0.get())[offset / 4] }
        }

        pub fn set(&self, offset: usize, value: u32) {
            // SAFETY: 1. the memory lives for ever; 2. a test has one thread.
            unsafe { (*self.0.get())[offset / 4] = value };
        }
    }
}
