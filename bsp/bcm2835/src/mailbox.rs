//! One question to the firmware at a time, at boot, through the mailbox's property channel.
//!
//! Rule: at boot only, before any component runs, to which the mailbox may belong then. Bounded: a firmware that does not answer within [`PATIENCE`] looks is one that says nothing.
//!
//! The buffer is cacheable to the core and is not looked at by the cache when the video core reads and writes memory: it is
//! written back before the question and dropped after the answer, and it is a cache line of its own.
//!
//! # Resources
//! - Raspberry Pi firmware, "Accessing mailboxes" and "Mailbox property interface": box 0 read at +0x00, status at +0x18 (bit 30
//!   empty); box 1 write at +0x20, status at +0x38 (bit 31 full); channel 8; addresses as the VideoCore sees them.
//! - BCM2835 ARM Peripherals (2012), 1.2.4: RAM at bus address 0xC000_0000 is not cached by the VideoCore.

use core::cell::UnsafeCell;
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite};

register_structs! {
    /// Both mailboxes.
    Registers {
        (0x00 => read: ReadOnly<u32>),
        (0x04 => _reserved0),
        (0x18 => read_status: ReadOnly<u32>),
        (0x1C => _reserved1),
        (0x20 => write: ReadWrite<u32>),
        (0x24 => _reserved2),
        (0x38 => write_status: ReadOnly<u32>),
        (0x3C => @END),
    }
}

const EMPTY: u32 = 1 << 30;
const FULL: u32 = 1 << 31;
const CHANNEL: u32 = 8;
/// RAM in the VideoCore's address space, past its caches.
const BUS_ALIAS: u32 = 0xC000_0000;
const ANSWERED: u32 = 0x8000_0000;
/// Looks at a status register: some tenths of a second.
const PATIENCE: u32 = 1_000_000;

/// What the firmware knows.
pub trait Properties {
    /// The first two words of a tag's value, asked with `word` as the first one; `None` if there is no answer.
    fn get(&mut self, tag: u32, word: u32) -> Option<[u32; 2]>;
}

/// Tag: the rate of a clock in hertz, as it is; asked with the clock's number.
const CLOCK_RATE: u32 = 0x0003_0002;
/// Number of the PL011's clock.
pub const UART_CLOCK: u32 = 2;
/// Number of the core clock.
pub const CORE_CLOCK: u32 = 4;

/// The rate of a clock in hertz, if the firmware tells it.
#[inline(never)]
pub fn clock_hz(properties: &mut impl Properties, clock: u32) -> Option<u32> {
    properties.get(CLOCK_RATE, clock).map(|[_, hertz]| hertz).filter(|hertz| *hertz != 0)
}

/// The mailbox.
pub struct Mailbox {
    registers: &'static Registers,
    /// What is subtracted from an address of this program in order to get a physical one.
    offset: usize,
}

/// Size, code, tag, bytes of the value, bytes of the answer, value, end; and the rest of the cache line.
#[repr(C, align(64))]
struct Buffer(UnsafeCell<[u32; 16]>);

// SAFETY: 1. only `Mailbox::get` touches it, whose `&mut self` there is one of ([`Mailbox::new`]).
unsafe impl Sync for Buffer {}

static BUFFER: Buffer = Buffer(UnsafeCell::new([0; 16]));

impl Mailbox {
    /// Finds the mailbox at `address`. This program lies in memory at its physical address plus `offset`.
    ///
    /// # Safety
    /// 1. The registers are mapped at `address` as device memory, for ever.
    /// 2. There is one value of this type at a time, and nobody else uses the mailbox meanwhile.
    pub unsafe fn new(address: usize, offset: usize) -> Self {
        // SAFETY: 1. by the caller's promise.
        Self { registers: unsafe { crate::block(address) }, offset }
    }

    /// Hands the buffer over and waits until it comes back.
    fn exchange(&mut self, physical: u32) -> Option<()> {
        let message = BUS_ALIAS | physical | CHANNEL;
        (0..PATIENCE).find(|_| self.registers.write_status.get() & FULL == 0)?;
        self.registers.write.set(message);
        for _ in 0..PATIENCE {
            if self.registers.read_status.get() & EMPTY == 0 && self.registers.read.get() == message {
                return Some(());
            }
        }
        None
    }
}

impl Properties for Mailbox {
    #[inline(never)]
    fn get(&mut self, tag: u32, word: u32) -> Option<[u32; 2]> {
        let buffer = BUFFER.0.get();
        let physical = u32::try_from((buffer as usize).wrapping_sub(self.offset)).ok()?;
        let mut words = [0; 16];
        words[..6].copy_from_slice(&[32, 0, tag, 8, 0, word]);
        // SAFETY: 1. the buffer is this value's alone by `new`'s conditions; 2. the firmware has not been asked yet.
        unsafe { buffer.write_volatile(words) };
        write_back_and_drop(buffer.cast());
        let answered = self.exchange(physical);
        write_back_and_drop(buffer.cast());
        answered?;
        // SAFETY: 1. the firmware has given the buffer back; 2. any bits are words.
        let words = unsafe { buffer.read_volatile() };
        // An unknown tag leaves its length of the answer as it was.
        (words[1] == ANSWERED && words[4] & ANSWERED != 0 && words[4] & !ANSWERED >= 4)
            .then_some([words[5], words[6]])
    }
}

/// The line at `address` is in memory, and in no cache of this core.
fn write_back_and_drop(address: *const u8) {
    // SAFETY: 1. cache maintenance by address changes no memory; 2. the address is that of an object.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        core::arch::asm!("dsb sy", "dc civac, {0}", "dsb sy", in(reg) address, options(nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "aarch64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firmware_that_does_not_answer_says_nothing() {
        for (read_status, write_status) in [(EMPTY, 0), (0, FULL), (0, 0)] {
            let fake = crate::testing::Fake::new();
            fake.set(0x18, read_status);
            fake.set(0x38, write_status);
            // SAFETY: 1. the address is that of memory which lives for ever; 2. the buffer is not asked for.
            let mut mailbox = unsafe { Mailbox::new(fake.address(), 0) };
            assert_eq!(mailbox.exchange(0x8_0000), None);
            let sent = if write_status == FULL { 0 } else { 0xC008_0008 };
            assert_eq!(fake.get(0x20), sent, "the bus address and the channel");
        }
    }

    struct Told(Option<[u32; 2]>);

    impl Properties for Told {
        fn get(&mut self, tag: u32, word: u32) -> Option<[u32; 2]> {
            assert_eq!((tag, word), (0x0003_0002, 4));
            self.0
        }
    }

    #[test]
    fn a_clock_that_is_not_known_or_stands_still_has_no_rate() {
        assert_eq!(clock_hz(&mut Told(Some([4, 500_000_000])), CORE_CLOCK), Some(500_000_000));
        assert_eq!(clock_hz(&mut Told(Some([4, 0])), CORE_CLOCK), None);
        assert_eq!(clock_hz(&mut Told(None), CORE_CLOCK), None);
    }

    #[test]
    fn the_buffer_is_a_cache_line() {
        assert_eq!((size_of::<Buffer>(), align_of::<Buffer>()), (64, 64));
    }
}
