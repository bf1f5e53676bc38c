//! Devices that lie to their driver: registers that read wrong, writes that get lost.
//!
//! *Role.* What a device, a bus or a loose contact does. It is done where the driver reaches the device: a load of a mapped
//! register gets another value, a store is left out. The device itself goes on as ever.
//!
//! *Rule.* A fault lasts for a number of accesses by one instruction of the driver: 1 for a transient one, [`FOR_EVER`] for a
//! register that stays wrong until the driver is replaced.

use super::carrier::Stop;
use super::state::{Region, address};
use super::text::decode;
use anyhow::Result;
use yaxpeax_arm::armv8::a64::Operand;

/// Number of the program counter among a component's registers.
pub(super) const PROGRAM_COUNTER: usize = 32;

/// As many accesses as there will be.
pub const FOR_EVER: u32 = u32::MAX;

/// What the device does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceFault {
    /// What is read has these bits the other way round.
    ReadWrong {
        /// The bits.
        mask: u32,
        /// For so many accesses.
        count: u32,
    },
    /// What is written does not arrive.
    WriteLost {
        /// For so many accesses.
        count: u32,
    },
}

impl DeviceFault {
    /// How many accesses it lasts.
    pub const fn count(self) -> u32 {
        match self {
            Self::ReadWrong { count, .. } | Self::WriteLost { count } => count,
        }
    }
}

/// What follows from a stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The access does not go to a device: nothing was done.
    NoDevice,
    /// The access takes place; its result is to be changed behind it.
    Behind,
    /// The fault took effect.
    Done,
}

/// The target is about to execute the access `word` at `home`.
pub(super) fn access_reached(stop: &mut Stop, home: u64, word: u32, fault: DeviceFault) -> Result<Step> {
    let place = decode(word).and_then(|instruction| address(&instruction, &stop.registers));
    if place.map(Region::of) != Some(Region::Device) {
        return Ok(Step::NoDevice);
    }
    match fault {
        DeviceFault::ReadWrong { .. } => Ok(Step::Behind),
        DeviceFault::WriteLost { .. } => {
            stop.set_register(PROGRAM_COUNTER, home + 4)?;
            Ok(Step::Done)
        }
    }
}

/// The load `word` has taken place.
pub(super) fn load_done(stop: &mut Stop, word: u32, fault: DeviceFault) -> Result<()> {
    let DeviceFault::ReadWrong { mask, .. } = fault else { return Ok(()) };
    match destination(word) {
        Some(register) => {
            let value = stop.registers.x[usize::from(register)];
            stop.set_register(register.into(), value ^ u64::from(mask))
        }
        None => Ok(()),
    }
}

/// The register that a load puts its value into; `None`: into none, or into two.
pub fn destination(word: u32) -> Option<u8> {
    match decode(word)?.operands[0] {
        Operand::Register(_, register @ 0..31) => Some(register as u8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_has_one_destination() {
        assert_eq!(destination(0xB940_0428), Some(8), "ldr w8, [x1, #4]");
        assert_eq!(destination(0xB940_043F), None, "ldr wzr, [x1, #4]");
    }
}
