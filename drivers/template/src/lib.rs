//! A complete driver in its smallest form, to be copied: the BCM2835 random number generator.
//!
//! *Role.* A driver has three layers. `device.rs` says what the registers are. This file says what to do with them: it
//! is generic over [`Registers`] and [`Clock`], so the tests below run it on fake registers. `main.rs` is the process:
//! it fetches requests, calls this file, and replies.
//!
//! *Rule.* Nothing here waits without a limit, and nothing here relies on how the last incarnation left the device.
//!
//! *Why.* A driver may be killed between any two instructions and be started again at once; and a device that is broken
//! must cost its clients an error, never the system a hang.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod device;

use device::{Block, Control, Status};
use protocols::bytes::Error;
use tock_registers::interfaces::{Readable, Writeable};
use userlib::device::{Clock, Registers};
use userlib::register;

/// Longest time in nanoseconds to wait for one number. The warm-up, the longest, takes some 20 ms.
pub const NUMBER_LIMIT_NS: u64 = 100_000_000;

/// Numbers to throw away after the start.
const WARM_UP: u32 = 0x4_0000;

/// The generator, running.
pub struct Generator<D, C> {
    device: D,
    clock: C,
}

impl<D: Registers, C: Clock> Generator<D, C> {
    /// Resets the device and starts it. The warm-up goes on in the background.
    pub fn start(device: D, clock: C) -> Self {
        register!(&device, Block, control).write(Control::ENABLE::CLEAR);
        register!(&device, Block, status).write(Status::WARM_UP.val(WARM_UP));
        register!(&device, Block, control).write(Control::ENABLE::SET);
        Self { device, clock }
    }

    /// Fills `bytes` with random bytes.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the device makes no number within [`NUMBER_LIMIT_NS`]; the contents of `bytes` are then
    /// unspecified.
    pub fn fill(&self, bytes: &mut [u8]) -> Result<(), Error> {
        for part in bytes.chunks_mut(4) {
            let number = self.number()?.to_le_bytes();
            part.copy_from_slice(&number[..part.len()]);
        }
        Ok(())
    }

    fn number(&self) -> Result<u32, Error> {
        let limit_ns = self.clock.now_ns() + NUMBER_LIMIT_NS;
        while register!(&self.device, Block, status).read(Status::READY) == 0 {
            if self.clock.now_ns() >= limit_ns {
                return Err(Error::Timeout);
            }
            self.clock.wait(NUMBER_LIMIT_NS / 100);
        }
        Ok(register!(&self.device, Block, data).get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    /// The device as its users see it: it counts up to zero, then has a number now and then.
    #[derive(Default)]
    struct Fake {
        enabled: Cell<bool>,
        warm_up: Cell<u32>,
        broken: bool,
        now_ns: Cell<u64>,
        next: Cell<u32>,
    }

    impl Fake {
        fn ready(&self) -> bool {
            self.enabled.get() && self.warm_up.get() == 0 && !self.broken
        }
    }

    impl Registers for Fake {
        fn read(&self, offset: usize) -> u32 {
            match offset {
                0x4 => u32::from(self.ready()) << 24 | self.warm_up.get(),
                0x8 => {
                    assert!(self.ready(), "data read while none is ready");
                    self.next.set(self.next.get().wrapping_add(0x0101_0101));
                    self.next.get()
                }
                _ => panic!("read of offset {offset:#x}"),
            }
        }

        fn write(&self, offset: usize, value: u32) {
            match offset {
                0x0 => self.enabled.set(value & 1 != 0),
                0x4 => {
                    assert!(!self.enabled.get(), "warm-up set while the generator runs");
                    self.warm_up.set(value & 0xF_FFFF);
                }
                _ => panic!("write of offset {offset:#x}"),
            }
        }
    }

    impl Clock for Fake {
        fn now_ns(&self) -> u64 {
            self.now_ns.get()
        }
        fn wait(&self, limit_ns: u64) {
            self.now_ns.set(self.now_ns.get() + limit_ns);
            self.warm_up.set(self.warm_up.get().saturating_sub(0x1_0000));
        }
    }

    proptest! {
        #[test]
        fn every_byte_comes_from_the_device(length in 0..100_usize) {
            let fake = Fake::default();
            let mut bytes = vec![0; length];
            prop_assert_eq!(Generator::start(&fake, &fake).fill(&mut bytes), Ok(()));
            let expected: Vec<u8> = (0..length).map(|i| (i / 4 + 1) as u8).collect();
            prop_assert_eq!(bytes, expected);
        }
    }

    #[test]
    fn a_running_device_is_reset_before_it_is_trusted() {
        let fake = Fake { enabled: Cell::new(true), ..Fake::default() };
        let generator = Generator::start(&fake, &fake);
        assert_eq!(fake.warm_up.get(), WARM_UP);
        assert_eq!(generator.fill(&mut [0; 4]), Ok(()));
        assert!(fake.now_ns.get() > 0, "numbers of the warm-up were used");
    }

    #[test]
    fn a_silent_device_costs_an_error_in_time() {
        let fake = Fake { broken: true, ..Fake::default() };
        assert_eq!(Generator::start(&fake, &fake).fill(&mut [0; 8]), Err(Error::Timeout));
        assert!((NUMBER_LIMIT_NS..NUMBER_LIMIT_NS * 2).contains(&fake.now_ns.get()));
    }
}
