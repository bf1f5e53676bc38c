//! `checkpoint`: state that outlives an incarnation, in two halves outside of its address space.
//!
//! A commit goes to the half that is not current and becomes current in one step, after it is complete. A load is `Ok` only
//! if the checksum is right. The half that is not current never stands in for a damaged one: it holds the commit before, and
//! an effect that the last one announced may be visible already.
//!
//! Either is done in steps, and an interrupt that comes between is served: the call is then made again as one that goes
//! on, and the kernel knows how far it has come.

use super::Done;
use crate::Kernel;
use crate::arch::paging::Access;
use crate::arch::{cpu, memory};
use abi::syscall::checkpoint::{COMMIT, CONTINUE, LOAD};
use abi::{SlotId, Status};

/// What the kernel knows of a slot's checkpoint.
#[derive(Clone, Copy)]
pub struct Checkpoint {
    /// The half that holds the last commit.
    current: usize,
    length: usize,
    crc: u32,
    exists: bool,
    /// Of an operation that an interrupt has stopped: bytes that are done, and their checksum.
    done: usize,
    crc_done: u32,
}

impl Checkpoint {
    /// Nothing is committed.
    pub const EMPTY: Self =
        Self { current: 0, length: 0, crc: 0, exists: false, done: 0, crc_done: memory::NO_BYTES };

    /// Whether there is something to load.
    pub const fn exists(&self) -> bool {
        self.exists
    }

    /// Begins an operation.
    const fn begin(&mut self) {
        (self.done, self.crc_done) = (0, memory::NO_BYTES);
    }
}

/// Most bytes between two looks for interrupts, and all of one page: it divides a page. Copied and proved byte by byte, where
/// addresses are odd, they take some 2,500 instructions.
const STEP: usize = 512;

impl Kernel {
    pub(super) fn sys_checkpoint(&mut self, slot: SlotId) -> Result<Done, Status> {
        Ok(match self.checkpoint(slot)? {
            Some(length) => Done::Value(Status::Ok, length as u64),
            None => Done::Again,
        })
    }

    /// Bytes of the checkpoint; none: an interrupt waits, and the call is to be made again.
    #[inline(never)]
    fn checkpoint(&mut self, slot: SlotId) -> Result<Option<usize>, Status> {
        let x = &self.shell.frames.get(slot).x;
        let (operation, buffer, length) = (x[0], x[1], x[2]);
        if operation & CONTINUE == 0 {
            self.shell.checkpoints[usize::from(slot)].begin();
        }
        match operation & !CONTINUE {
            COMMIT => self.commit(slot, buffer, length),
            LOAD => self.load_checkpoint(slot, buffer, length),
            _ => Err(Status::BadArgument),
        }
    }

    fn half_base(&self, slot: SlotId, half: usize) -> usize {
        let rights = self.shell.rights(slot);
        (rights.checkpoint_base + half as u64 * rights.checkpoint_size) as usize
    }

    fn commit(&mut self, slot: SlotId, buffer: u64, length: u64) -> Result<Option<usize>, Status> {
        if length > self.shell.rights(slot).checkpoint_size {
            return Err(Status::QuotaExceeded);
        }
        let length = length as usize;
        let mut state = self.shell.checkpoints[usize::from(slot)];
        let half = 1 - state.current;
        let base = self.half_base(slot, half);
        if !self.advance(
            slot,
            &mut state,
            base,
            Part { buffer, length, wanted: length, access: Access::Read },
        )? {
            return Ok(None);
        }
        self.shell.checkpoints[usize::from(slot)] =
            Checkpoint { current: half, length, crc: !state.crc_done, exists: true, ..Checkpoint::EMPTY };
        Ok(Some(length))
    }

    fn load_checkpoint(&mut self, slot: SlotId, buffer: u64, length: u64) -> Result<Option<usize>, Status> {
        let mut state = self.shell.checkpoints[usize::from(slot)];
        if !state.exists() {
            return Err(Status::Nothing);
        }
        let base = self.half_base(slot, state.current);
        let part = Part { buffer, length: state.length, wanted: length as usize, access: Access::Write };
        if !self.advance(slot, &mut state, base, part)? {
            return Ok(None);
        }
        if !state.crc_done != state.crc {
            return Err(Status::Corrupt);
        }
        Ok(Some(state.length))
    }

    /// Moves what is left between the half at `base` and the caller, step by step, and takes the checksum;
    /// false if an interrupt waits before the end.
    #[inline(always)]
    fn advance(
        &mut self,
        slot: SlotId,
        state: &mut Checkpoint,
        base: usize,
        part: Part,
    ) -> Result<bool, Status> {
        while state.done < part.length {
            let (at, place) = (part.buffer.wrapping_add(state.done as u64), base + state.done);
            let step = (STEP - at as usize % STEP).min(part.length - state.done);
            let moved = step.min(part.wanted.saturating_sub(state.done));
            if moved > 0 {
                let own = self.shell.space(slot).translate(at, part.access).ok_or(Status::BadAddress)?;
                let (to, from) = if part.access == Access::Write { (own, place) } else { (place, own) };
                memory::copy(to, from, moved);
            }
            state.crc_done = memory::checksum_on(state.crc_done, place, step);
            state.done += step;
            if state.done < part.length && cpu::interrupt_pending() {
                self.shell.checkpoints[usize::from(slot)] = *state;
                self.shell.frames.get_mut(slot).x[0] |= CONTINUE;
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What is to be moved: `length` bytes of the checkpoint, of which the caller wants the first `wanted`, in its `buffer`.
#[derive(Clone, Copy)]
struct Part {
    buffer: u64,
    length: usize,
    wanted: usize,
    access: Access,
}
