//! A driver that gives clients blocks: here four, kept in the checkpoint, as slow as the system timer says.
//!
//! *Role.* The logic between `device.rs` and the process, generic over [`Registers`], [`Clock`] and [`Store`], so that the
//! tests run it on fakes. To be changed second: how a block comes from the device and goes there, in `access`.
//!
//! *Rule.* A write is stored before it is answered. A wait has a limit, and a device that misses it costs an error.
//!
//! *Why.* The client takes an answer for a promise; and a driver that waits for ever for a dead device is itself dead.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod device;

use core::ops::Range;
use device::Block;
use protocols::block::{BLOCK_SIZE, Error, Info};
use tock_registers::interfaces::{Readable, Writeable};
use userlib::device::{Clock, Registers};
use userlib::register;

/// Blocks of the medium.
pub const BLOCKS: usize = 4;

/// Bytes of the medium.
pub const MEDIUM_BYTES: usize = BLOCKS * BLOCK_SIZE;

/// Time that the device takes for each block, by its own counter, in microseconds.
const ACCESS_US: u32 = 20;

/// Longest time in nanoseconds to wait for one block.
pub const ACCESS_LIMIT_NS: u64 = 10_000_000;

/// Tells this medium from others, and is not zero.
const IDENTITY: u128 = 0x5445_4D50_4C41_5445;

/// Where what is written outlives this incarnation.
pub trait Store {
    /// Keeps the whole medium. When this returns, the next incarnation finds it.
    fn keep(&self, medium: &[u8; MEDIUM_BYTES]);
}

/// The device.
pub struct Device<D, C, S> {
    registers: D,
    clock: C,
    store: S,
    medium: [u8; MEDIUM_BYTES],
}

impl<D: Registers, C: Clock, S: Store> Device<D, C, S> {
    /// Takes the device over. `medium` is what the last incarnation has kept, or zeros.
    pub fn start(registers: D, clock: C, store: S, medium: [u8; MEDIUM_BYTES]) -> Self {
        // A 1 clears a match; those of 0 and 2 belong to the firmware.
        register!(&registers, Block, control).set(1 << 1 | 1 << 3);
        Self { registers, clock, store, medium }
    }

    /// The medium.
    pub const fn info(&self) -> Info {
        Info { blocks: BLOCKS as u64, write_protected: false, identity: IDENTITY }
    }

    /// The bytes of `count` blocks from number `lba` on.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] beyond the end, [`Error::Timeout`] if the device takes longer than [`ACCESS_LIMIT_NS`].
    pub fn read(&self, lba: u64, count: u32) -> Result<&[u8], Error> {
        let place = range(lba, count)?;
        self.access(count)?;
        Ok(&self.medium[place])
    }

    /// Puts `data`, whole blocks, from block `lba` on.
    ///
    /// # Errors
    /// As [`Device::read`]; nothing is written then. [`Error::BadRequest`] for data of another length.
    pub fn write(&mut self, lba: u64, count: u32, data: &[u8]) -> Result<(), Error> {
        let place = range(lba, count)?;
        if data.len() != place.len() {
            return Err(Error::BadRequest);
        }
        self.access(count)?;
        self.medium[place].copy_from_slice(data);
        self.store.keep(&self.medium);
        Ok(())
    }

    /// Waits as long as the device takes for `count` blocks.
    fn access(&self, count: u32) -> Result<(), Error> {
        let counter = || register!(&self.registers, Block, counter_low).get();
        for _ in 0..count {
            let (begin, limit_ns) = (counter(), self.clock.now_ns() + ACCESS_LIMIT_NS);
            while counter().wrapping_sub(begin) < ACCESS_US {
                if self.clock.now_ns() >= limit_ns {
                    return Err(Error::Timeout);
                }
                self.clock.wait(u64::from(ACCESS_US) * 1000);
            }
        }
        Ok(())
    }
}

/// Where the blocks are on the medium.
fn range(lba: u64, count: u32) -> Result<Range<usize>, Error> {
    let end = lba.checked_add(count.into()).filter(|end| *end <= BLOCKS as u64).ok_or(Error::OutOfRange)?;
    Ok(lba as usize * BLOCK_SIZE..end as usize * BLOCK_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// Counter, clock and store in one: waiting moves the counter on, unless the device is dead.
    #[derive(Default)]
    struct Fake {
        now_ns: Cell<u64>,
        is_dead: bool,
        kept: RefCell<Vec<[u8; MEDIUM_BYTES]>>,
    }

    /// Near the counter's end, so that every test sees it wrap.
    const FIRST: u32 = u32::MAX - 5;

    impl Registers for Fake {
        fn read(&self, offset: usize) -> u32 {
            assert_eq!(offset, 0x04);
            if self.is_dead { FIRST } else { FIRST.wrapping_add((self.now_ns.get() / 1000) as u32) }
        }
        fn write(&self, offset: usize, value: u32) {
            assert_eq!((offset, value), (0x00, 0b1010));
        }
    }

    impl Clock for Fake {
        fn now_ns(&self) -> u64 {
            self.now_ns.get()
        }
        fn wait(&self, limit_ns: u64) {
            self.now_ns.set(self.now_ns.get() + limit_ns.min(7_000));
        }
    }

    impl Store for &Fake {
        fn keep(&self, medium: &[u8; MEDIUM_BYTES]) {
            self.kept.borrow_mut().push(*medium);
        }
    }

    fn start(fake: &Fake) -> Device<&Fake, &Fake, &Fake> {
        let medium = fake.kept.borrow().last().copied().unwrap_or([0; MEDIUM_BYTES]);
        Device::start(fake, fake, fake, medium)
    }

    #[test]
    fn what_was_answered_is_there_for_the_next_incarnation() {
        let fake = Fake::default();
        let mut device = start(&fake);
        device.write(1, 2, &[7; 2 * BLOCK_SIZE]).unwrap();
        assert!(fake.now_ns() >= 2 * u64::from(ACCESS_US) * 1000, "it took the device's time");
        let device = start(&fake);
        assert_eq!(device.read(1, 2), Ok(&[7; 2 * BLOCK_SIZE][..]));
        assert_eq!(device.read(0, 1), Ok(&[0; BLOCK_SIZE][..]));
        assert_eq!(device.read(3, 1), Ok(&[0; BLOCK_SIZE][..]));
    }

    #[test]
    fn nothing_is_written_beyond_the_end_or_by_half() {
        let fake = Fake::default();
        let mut device = start(&fake);
        for (lba, count) in [(4, 1), (3, 2), (0, 5), (u64::MAX, 1)] {
            let data = vec![1; count as usize * BLOCK_SIZE];
            assert_eq!(device.write(lba, count, &data), Err(Error::OutOfRange));
            assert_eq!(device.read(lba, count), Err(Error::OutOfRange));
        }
        assert_eq!(device.write(0, 1, &[1; BLOCK_SIZE - 1]), Err(Error::BadRequest));
        assert!(fake.kept.borrow().is_empty() && device.medium == [0; MEDIUM_BYTES]);
    }

    #[test]
    fn a_dead_device_costs_an_error_in_time() {
        let fake = Fake { is_dead: true, ..Fake::default() };
        let mut device = start(&fake);
        assert_eq!(device.write(0, 1, &[1; BLOCK_SIZE]), Err(Error::Timeout));
        assert!(fake.now_ns() < ACCESS_LIMIT_NS + 100_000, "{} ns", fake.now_ns());
        assert!(fake.kept.borrow().is_empty());
    }
}
