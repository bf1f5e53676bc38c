//! What a driver process has beyond a server: a device window, interrupts, and a clock that answers heartbeats.
//!
//! *Rule.* A driver that waits for its device answers heartbeats and takes no request; an access that the manifest does not
//! allow ends it.

use crate::device::{Clock, Registers};
use crate::server::recv_notifications;
use crate::sys;
use crate::time::{Instant, now};
use abi::layout::{DEVICE_BASE, DEVICE_STRIDE};
use abi::message::bits;
use abi::syscall::reg;
use core::cell::Cell;
use core::ptr;

/// Most words that one `reg` call moves.
const REG_WORDS_MAX: usize = 512;

/// An interrupt line of the manifest entry. It arrives as a notification bit and stays masked until acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Irq(u32);

impl Irq {
    pub(crate) const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The line's bit in the notification word.
    pub const fn bit(self) -> u64 {
        1 << (bits::IRQ_FIRST + self.0)
    }

    /// Unmasks the line, after the device's own cause has been cleared.
    pub fn acknowledge(self) {
        sys::irq_ack(self.0).expect("irq_ack of a bound line");
    }
}

/// A device window of the manifest entry: mapped pages, or registers behind the checked call.
///
/// An access that the manifest does not allow ends the component: by the MMU, or by a panic that names the register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    handle: u32,
    mapped: bool,
}

impl Window {
    pub(crate) const fn new(handle: u32, mapped: bool) -> Self {
        Self { handle, mapped }
    }

    /// The register at `offset` bytes of a mapped window.
    fn register(self, offset: usize) -> *mut u32 {
        assert!((offset as u64) < DEVICE_STRIDE && offset.is_multiple_of(4), "register offset {offset:#x}");
        let base = DEVICE_BASE + u64::from(self.handle) * DEVICE_STRIDE;
        ptr::with_exposed_provenance_mut(base as usize + offset)
    }
}

impl Registers for Window {
    fn read(&self, offset: usize) -> u32 {
        if self.mapped {
            // SAFETY: 1. The address is aligned and in the range that the kernel keeps for this window, where no Rust
            //    object lies. 2. Beyond the device's pages the MMU ends the component. 3. Volatile: one access, as written.
            return unsafe { self.register(offset).read_volatile() };
        }
        sys::reg(self.handle, reg::READ, offset, 0, u32::MAX)
            .unwrap_or_else(|status| panic!("register {offset:#x} cannot be read: {status:?}"))
    }

    fn write(&self, offset: usize, value: u32) {
        if self.mapped {
            // SAFETY: 1. to 3. as for reading. 4. The manifest maps a page only if no register there can start DMA: the
            //    write cannot change memory.
            return unsafe { self.register(offset).write_volatile(value) };
        }
        if let Err(status) = sys::reg(self.handle, reg::WRITE, offset, value, u32::MAX) {
            panic!("register {offset:#x} cannot be written: {status:?}");
        }
    }

    fn update(&self, offset: usize, mask: u32, value: u32) {
        if self.mapped {
            return self.write(offset, self.read(offset) & !mask | value & mask);
        }
        if let Err(status) = sys::reg(self.handle, reg::WRITE, offset, value, mask) {
            panic!("the bits {mask:#x} of register {offset:#x} cannot be written: {status:?}");
        }
    }

    fn read_words(&self, offset: usize, words: &mut [u32]) {
        if self.mapped {
            for word in words {
                *word = self.read(offset);
            }
            return;
        }
        for part in words.chunks_mut(REG_WORDS_MAX) {
            // SAFETY: 1. `part` is borrowed exclusively, and the kernel writes exactly its words.
            let moved = unsafe {
                sys::reg_words(self.handle, reg::READ_WORDS, offset, part.as_mut_ptr(), part.len())
            };
            if let Err(status) = moved {
                panic!("register {offset:#x} cannot be read: {status:?}");
            }
        }
    }

    fn write_words(&self, offset: usize, words: &[u32]) {
        if self.mapped {
            for &word in words {
                self.write(offset, word);
            }
            return;
        }
        for part in words.chunks(REG_WORDS_MAX) {
            // SAFETY: 1. `part` is borrowed, and the kernel only reads it in this operation.
            let moved = unsafe {
                sys::reg_words(self.handle, reg::WRITE_WORDS, offset, part.as_ptr().cast_mut(), part.len())
            };
            if let Err(status) = moved {
                panic!("register {offset:#x} cannot be written: {status:?}");
            }
        }
    }
}

/// The system's clock for a device layer. While it waits, heartbeats are answered and requests stay queued; other
/// notifications that come meanwhile are kept for [`DriverClock::take_notifications`].
#[derive(Debug, Default)]
pub struct DriverClock {
    kept: Cell<u64>,
}

impl DriverClock {
    /// Nothing kept.
    pub const fn new() -> Self {
        Self { kept: Cell::new(0) }
    }

    /// Notifications that came during [`Clock::wait`], once.
    pub fn take_notifications(&self) -> u64 {
        self.kept.take()
    }
}

impl Clock for DriverClock {
    fn now_ns(&self) -> u64 {
        now().ns()
    }

    fn wait(&self, limit_ns: u64) {
        if let Some(more) = recv_notifications(Instant::now().plus_ns(limit_ns)) {
            self.kept.set(self.kept.get() | (more & !bits::HEARTBEAT));
        }
    }
}
