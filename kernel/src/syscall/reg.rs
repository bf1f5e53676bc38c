//! `reg`: checked access to device registers, one at a time or n words between one register and a buffer.
//!
//! A rule of the manifest must name the register, the operation and the bits. A mapped window may be used, too.

use super::Done;
use crate::Kernel;
use crate::arch::cpu;
use crate::arch::memory::{self, BusError};
use abi::rights::{RegisterRule, SlotRights, Window};
use abi::syscall::reg::{READ, READ_WORDS, WRITE, WRITE_WORDS};
use abi::{SlotId, Status};

/// Most words in one call.
const WORDS_MAX: u64 = 512;
/// Words that pass through the kernel's stack at a time.
const CHUNK: usize = 32;

const READS: u32 = 1;
const WRITES: u32 = 2;

/// The bits that `rights` allow for an operation on a register, and those that may be written as zeros.
fn allowed(rights: &SlotRights, window: &Window, offset: u64, operation: u32) -> Option<(u32, u32)> {
    if !offset.is_multiple_of(4) || offset + 4 > window.size {
        return None;
    }
    if window.mapped != 0 {
        return Some((u32::MAX, 0));
    }
    let first = window.first_rule as usize;
    let rules = rights.rules.get(first..first + window.rule_count as usize)?;
    let fits = |rule: &&RegisterRule| u64::from(rule.offset) == offset && rule.operations & operation != 0;
    rules.iter().find(fits).map(|rule| (rule.mask, rule.zero))
}

impl From<BusError> for Status {
    fn from(_: BusError) -> Self {
        Self::NoAnswer
    }
}

impl Kernel {
    pub(super) fn sys_reg(&mut self, slot: SlotId) -> Result<Done, Status> {
        let x = &self.shell.frames.get(slot).x;
        let (handle, operation, offset, argument, extent) = (x[0], x[1], x[2], x[3], x[4]);
        let rights = self.shell.rights(slot);
        let window =
            rights.windows.get(handle as usize).filter(|window| window.size != 0).ok_or(Status::BadHandle)?;
        let kind = match operation {
            READ | READ_WORDS => READS,
            WRITE | WRITE_WORDS => WRITES,
            _ => return Err(Status::BadArgument),
        };
        let offset = if offset < window.size { offset } else { return Err(Status::BadArgument) };
        let (mask, zero) = allowed(rights, window, offset, kind).ok_or(Status::Denied)?;
        let register = (window.base + offset) as usize;
        match operation {
            READ => return Ok(Done::Value(Status::Ok, u64::from(memory::read_register(register)? & mask))),
            WRITE => write_masked(register, word(argument)?, word(extent)?, mask, zero)?,
            _ if mask != u32::MAX => return Err(Status::Denied),
            _ if extent > WORDS_MAX => return Err(Status::BadArgument),
            _ if !self.move_words(slot, kind == READS, register)? => return Ok(Done::Again),
            _ => {}
        }
        Ok(Done::Status(Status::Ok))
    }

    /// Moves words between a register and the caller's buffer. An interrupt that comes between is served: the call is then
    /// made again with the rest. Whether all are moved.
    #[inline(never)]
    fn move_words(&mut self, slot: SlotId, reads: bool, register: usize) -> Result<bool, Status> {
        let mut bytes = [0; 4 * CHUNK];
        loop {
            let x = &self.shell.frames.get(slot).x;
            let (buffer, words) = (x[3], x[4]);
            let count = words.min(CHUNK as u64);
            let part = &mut bytes[..4 * count as usize];
            if !reads {
                self.shell.read_user(slot, buffer, part)?;
            }
            for word in part.as_chunks_mut::<4>().0 {
                if reads {
                    *word = memory::read_register(register)?.to_le_bytes();
                } else {
                    memory::write_register(register, u32::from_le_bytes(*word))?;
                }
            }
            if reads {
                self.shell.write_user(slot, buffer, part)?;
            }
            if words == count {
                return Ok(true);
            }
            let x = &mut self.shell.frames.get_mut(slot).x;
            (x[3], x[4]) = (buffer.wrapping_add(4 * count), words - count);
            if cpu::interrupt_pending() {
                return Ok(false);
            }
        }
    }
}

fn word(argument: u64) -> Result<u32, Status> {
    u32::try_from(argument).map_err(|_| Status::BadArgument)
}

/// Replaces the bits of `mask` by those of `value`. The old value is read only if some bits stay.
fn write_masked(register: usize, value: u32, mask: u32, allowed: u32, zero: u32) -> Result<(), Status> {
    if mask & !(allowed | zero) != 0 || mask & value & !allowed != 0 {
        return Err(Status::Denied);
    }
    let kept = if mask == u32::MAX { 0 } else { memory::read_register(register)? & !mask };
    memory::write_register(register, kept | value & mask)?;
    Ok(())
}
