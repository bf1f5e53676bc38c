//! The mini UART as a transmit-only, polled line for trace frames and panics, and the PL011 as the console of a boot that
//! fails: later it belongs to its driver.
//!
//! # Resources
//! - BCM2835 ARM Peripherals, 2.1.1 (AUX registers), 2.2.2 (mini UART registers) and 13.4 (PL011 registers).
//! - ARM DDI 0183 (PL011), 3.3.6: baud rate divisors.

use core::sync::atomic::{AtomicU32, Ordering};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite};
use tock_registers::{register_bitfields, register_structs};

register_bitfields! {
    u32,
    AuxEnables [MINI_UART OFFSET(0) NUMBITS(1) []],
    Iir [CLEAR_FIFOS OFFSET(1) NUMBITS(2) []],
    Lcr [DATA_SIZE OFFSET(0) NUMBITS(2) [EightBit = 0b11]],
    Lsr [TX_EMPTY OFFSET(5) NUMBITS(1) []],
    Cntl [TX_ENABLE OFFSET(1) NUMBITS(1) []],
    Flag [TX_FULL OFFSET(5) NUMBITS(1) []],
    LineControl [FIFOS OFFSET(4) NUMBITS(1) [], WORD_LENGTH OFFSET(5) NUMBITS(2) [EightBits = 0b11]],
    Control [ENABLE OFFSET(0) NUMBITS(1) [], TX_ENABLE OFFSET(8) NUMBITS(1) []],
}

register_structs! {
    Registers {
        (0x00 => _irq),
        (0x04 => enables: ReadWrite<u32, AuxEnables::Register>),
        (0x08 => _reserved0),
        (0x40 => io: ReadWrite<u32>),
        (0x44 => ier: ReadWrite<u32>),
        (0x48 => iir: ReadWrite<u32, Iir::Register>),
        (0x4C => lcr: ReadWrite<u32, Lcr::Register>),
        (0x50 => mcr: ReadWrite<u32>),
        (0x54 => lsr: ReadOnly<u32, Lsr::Register>),
        (0x58 => _reserved1),
        (0x60 => cntl: ReadWrite<u32, Cntl::Register>),
        (0x64 => _stat),
        (0x68 => baud: ReadWrite<u32>),
        (0x6C => @END),
    }
}

register_structs! {
    ConsoleRegisters {
        (0x00 => data: ReadWrite<u32>),
        (0x04 => _reserved0),
        (0x18 => flags: ReadOnly<u32, Flag::Register>),
        (0x1C => _reserved1),
        (0x24 => divisor: ReadWrite<u32>),
        (0x28 => divisor_fraction: ReadWrite<u32>),
        (0x2C => line_control: ReadWrite<u32, LineControl::Register>),
        (0x30 => control: ReadWrite<u32, Control::Register>),
        (0x34 => @END),
    }
}

/// The PL011's clock in hertz, unless the firmware tells another rate (config.txt, `init_uart_clock`).
const CONSOLE_HZ: u32 = 48_000_000;

/// Divisor of the PL011 at a clock in hertz, in 64ths, to the nearest: `64 * 48e6 / (16 * 115200)`.
const fn console_divisor(hertz: u32) -> u32 {
    let step = BAUD / 4;
    hertz / step + (hertz % step + step / 2) / step
}

/// Looks at a full queue before a line counts as dead. A byte takes 87 us at 115,200 baud, and a read of a device register
/// tens of nanoseconds.
pub const PATIENCE: u32 = 1 << 16;

/// Speed of both lines in baud.
const BAUD: u32 = 115_200;

/// Divisor of the mini UART for a speed in baud at a core clock in hertz.
const fn divisor(core_hz: u32, baud: u32) -> u32 {
    (core_hz / (8 * baud)).saturating_sub(1)
}

/// A clock's rate in hertz as the firmware has told it; 0 if it has not.
///
/// Statics, so that a panic finds them, which relies on nothing else of the kernel. They are loaded and stored only: exclusive
/// accesses would have to wait for the caches.
pub struct Rate(AtomicU32);

/// The core clock, from which the mini UART's speed derives.
pub static CORE: Rate = Rate(AtomicU32::new(0));
/// The PL011's clock.
pub static CONSOLE: Rate = Rate(AtomicU32::new(0));

impl Rate {
    /// From the next `initialise` of its line on the clock counts as this fast.
    pub fn remember(&self, hertz: u32) {
        self.0.store(hertz, Ordering::Relaxed);
    }

    fn or(&self, hertz: u32) -> u32 {
        let told = self.0.load(Ordering::Relaxed);
        if told == 0 { hertz } else { told }
    }
}

/// The mini UART.
pub struct DebugUart {
    registers: &'static Registers,
    core_hz: u32,
}

impl DebugUart {
    /// Finds the UART at `address`; its speed derives from the core clock, of `core_hz` hertz unless another rate is
    /// remembered.
    ///
    /// # Safety
    /// 1. The register page is mapped there as device memory, for ever.
    pub unsafe fn new(address: usize, core_hz: u32) -> Self {
        // SAFETY: 1. by the caller's promise.
        Self { registers: unsafe { crate::block(address) }, core_hz }
    }

    /// Enables the transmitter.
    pub fn initialise(&mut self) {
        let registers = self.registers;
        registers.enables.write(AuxEnables::MINI_UART::SET);
        registers.cntl.set(0);
        registers.ier.set(0);
        registers.iir.write(Iir::CLEAR_FIFOS.val(0b11));
        registers.lcr.write(Lcr::DATA_SIZE::EightBit);
        registers.mcr.set(0);
        registers.baud.set(divisor(CORE.or(self.core_hz), BAUD));
        registers.cntl.write(Cntl::TX_ENABLE::SET);
    }

    /// Sends what there is room for now; returns how many bytes that was.
    #[inline(never)]
    pub fn offer(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        for &byte in bytes {
            if !self.registers.lsr.is_set(Lsr::TX_EMPTY) {
                break;
            }
            self.registers.io.set(u32::from(byte));
            sent += 1;
        }
        sent
    }

    /// Sends bytes, waiting for room; a line that does not go on loses the rest.
    #[inline(never)]
    pub fn send(&mut self, mut bytes: &[u8]) {
        let mut patience = PATIENCE;
        while !bytes.is_empty() && patience > 0 {
            let sent = self.offer(bytes);
            patience = if sent > 0 { PATIENCE } else { patience - 1 };
            bytes = &bytes[sent..];
        }
    }
}

/// The PL011, transmit-only and polled.
pub struct BootConsole {
    registers: &'static ConsoleRegisters,
}

impl BootConsole {
    /// Finds the UART at `address`.
    ///
    /// # Safety
    /// 1. The register page is mapped there as device memory, for ever.
    pub unsafe fn new(address: usize) -> Self {
        // SAFETY: 1. by the caller's promise.
        Self { registers: unsafe { crate::block(address) } }
    }

    /// Sets speed and format and enables the transmitter; the PL011 must not be enabled while they change.
    pub fn initialise(&mut self) {
        let registers = self.registers;
        registers.control.set(0);
        let divisor = console_divisor(CONSOLE.or(CONSOLE_HZ));
        registers.divisor.set(divisor / 64);
        registers.divisor_fraction.set(divisor % 64);
        registers.line_control.write(LineControl::FIFOS::SET + LineControl::WORD_LENGTH::EightBits);
        registers.control.write(Control::ENABLE::SET + Control::TX_ENABLE::SET);
    }

    /// Sends bytes, waiting for room; a line that does not go on loses the rest.
    pub fn send(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if !self.has_room() {
                return;
            }
            self.registers.data.set(u32::from(byte));
        }
    }

    #[inline(never)]
    fn has_room(&self) -> bool {
        (0..PATIENCE).any(|_| !self.registers.flags.is_set(Flag::TX_FULL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    const LSR: usize = 0x54;

    #[test]
    fn the_mini_uart_transmits_and_does_not_receive() {
        let fake = Fake::new();
        fake.set(LSR, 1 << 5);
        // SAFETY: 1. the address is that of memory which lives for ever.
        let mut uart = unsafe { DebugUart::new(fake.address(), 250_000_000) };
        uart.initialise();
        uart.send(b"ab");
        assert_eq!((fake.get(0x04), fake.get(0x60), fake.get(0x4C)), (1, 0b10, 0b11));
        // BCM2835 ARM Peripherals, 2.2.1: 250 MHz / (8 * (270 + 1)) = 115,314 baud.
        assert_eq!((fake.get(0x68), fake.get(0x40)), (270, u32::from(b'b')));
        assert_eq!(divisor(500_000_000, 115_200), 541);
        CORE.remember(500_000_000);
        uart.initialise();
        CORE.remember(0);
        assert_eq!((fake.get(0x68), divisor(0, 115_200)), (541, 0));
    }

    #[test]
    fn a_line_that_does_not_go_on_stops_nobody() {
        let fake = Fake::new();
        // SAFETY: 1. the address is that of memory which lives for ever.
        let (mut uart, mut console) =
            unsafe { (DebugUart::new(fake.address(), 250_000_000), BootConsole::new(fake.address())) };
        fake.set(0x18, 1 << 5);
        uart.send(b"a");
        console.send(b"b");
        assert_eq!((uart.offer(b"a"), fake.get(0x40), fake.get(0x00)), (0, 0, 0));
    }

    #[test]
    fn the_console_has_115200_baud_eight_bits_and_fifos() {
        let fake = Fake::new();
        // SAFETY: 1. the address is that of memory which lives for ever.
        let mut console = unsafe { BootConsole::new(fake.address()) };
        console.initialise();
        console.send(b"x");
        // DDI 0183, 3.3.6: 48 MHz / 16 / (26 + 3/64) = 115,177 baud.
        assert_eq!((fake.get(0x24), fake.get(0x28)), (26, 3));
        assert_eq!((fake.get(0x2C), fake.get(0x30), fake.get(0x00)), (0x70, 0x101, u32::from(b'x')));
        // 3 MHz, the rate before 2016: 1 + 40/64 is 115,385 baud.
        CONSOLE.remember(3_000_000);
        console.initialise();
        CONSOLE.remember(0);
        assert_eq!((fake.get(0x24), fake.get(0x28)), (1, 40));
    }
}
