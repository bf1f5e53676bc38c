//! Peripherals that the BCM2835 brought and its successors on the Raspberry Pi still have: power management block, UARTs,
//! pins. Where they are is the board's knowledge.
//!
//! Rule: a register block is found through an address that the board gives; nothing here but [`refusal`], which must guess,
//! knows boards. Tests give the address of memory.
//!
//! # Resources
//! BCM2835 ARM Peripherals (Broadcom, 2012); BCM2711 ARM Peripherals (Raspberry Pi, 2022) for what became of them.

#![cfg_attr(not(test), no_std)]

pub mod pins;
pub mod power;
pub mod refusal;
pub mod uart;

/// The devices that the kernel drives, after the kernel has mapped them. `I` is the board's interrupt controller.
pub struct Board<I> {
    /// Interrupt controllers.
    pub interrupts: I,
    /// Reset and power.
    pub power: power::Power,
    /// Transmit-only UART for trace frames and panics.
    pub uart: uart::DebugUart,
    /// The console, for a boot that fails before any driver runs.
    pub console: uart::BootConsole,
}

// SAFETY: 1. the registers are memory-mapped for every core alike; 2. `&mut self` guards every sequence of accesses.
unsafe impl<I> Send for Board<I> {}

/// Where the devices of a board are.
#[derive(Clone, Copy)]
pub struct Places {
    /// Physical address of the power management block.
    pub power: usize,
    /// Physical address of the GPIO block.
    pub gpio: usize,
    /// Physical address of the PL011.
    pub console: usize,
    /// Physical address of the auxiliary block with the mini UART.
    pub mini_uart: usize,
    /// Core clock that the firmware keeps while the mini UART is in use, in hertz (config.txt, `enable_uart`).
    pub core_hz: u32,
}

impl<I> Board<I> {
    /// Takes possession of the board's devices, and gives the console its pins.
    ///
    /// # Safety
    /// 1. The register pages of `places` are mapped as device memory at `offset` plus their physical addresses, for ever.
    /// 2. Nobody else writes to the registers of the power block, the mini UART and the pins' functions while the value
    ///    lives, except through another value made for a panic.
    /// 3. `console` is used only while no component has run.
    pub unsafe fn at(offset: usize, places: &Places, interrupts: I) -> Self {
        // SAFETY: 1. and 2. are this function's own conditions.
        unsafe {
            pins::give_console_to_pl011(places.gpio + offset);
            Self {
                interrupts,
                power: power::Power::new(places.power + offset),
                uart: uart::DebugUart::new(places.mini_uart + offset, places.core_hz),
                console: uart::BootConsole::new(places.console + offset),
            }
        }
    }
}

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
