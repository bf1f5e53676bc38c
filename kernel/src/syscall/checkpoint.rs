//! `checkpoint`: state that outlives an incarnation, in two halves outside of its address space.
//!
//! A commit goes to the half that is not current and becomes current in one step, after it is complete. A load proves
//! the checksum. The half that is not current never stands in for a damaged one: it holds the commit before, and an
//! effect that the last one announced may be visible already.

use super::Done;
use crate::Kernel;
use crate::arch::memory;
use abi::syscall::checkpoint::{COMMIT, LOAD};
use abi::{SlotId, Status};

/// What the kernel knows of a slot's checkpoint.
#[derive(Clone, Copy)]
pub struct Checkpoint {
    /// The half that holds the last commit.
    current: usize,
    length: usize,
    crc: u32,
    exists: bool,
}

impl Checkpoint {
    /// Nothing is committed.
    pub const EMPTY: Self = Self { current: 0, length: 0, crc: 0, exists: false };

    /// Whether there is something to load.
    pub const fn exists(&self) -> bool {
        self.exists
    }
}

/// Bytes of a half that are copied and checked at a time.
const CHUNK: usize = abi::PAGE_SIZE;

impl Kernel {
    pub(super) fn sys_checkpoint(&mut self, slot: SlotId) -> Result<Done, Status> {
        let x = &self.shell.frames.get(slot).x;
        let (operation, buffer, length) = (x[0], x[1], x[2]);
        match operation {
            COMMIT => self.commit(slot, buffer, length),
            LOAD => self.load_checkpoint(slot, buffer, length),
            _ => Err(Status::BadArgument),
        }
    }

    fn half_base(&self, slot: SlotId, half: usize) -> usize {
        let rights = self.shell.rights(slot);
        (rights.checkpoint_base + half as u64 * rights.checkpoint_size) as usize
    }

    fn commit(&mut self, slot: SlotId, buffer: u64, length: u64) -> Result<Done, Status> {
        if length > self.shell.rights(slot).checkpoint_size {
            return Err(Status::QuotaExceeded);
        }
        let length = length as usize;
        let half = 1 - self.shell.checkpoints[usize::from(slot)].current;
        let base = self.half_base(slot, half);
        let mut done = 0;
        while done < length {
            let address = buffer.checked_add(done as u64).ok_or(Status::BadAddress)?;
            let step = CHUNK.min(length - done).min(abi::PAGE_SIZE - address as usize % abi::PAGE_SIZE);
            let from = self.shell.space(slot).translate(address, crate::arch::paging::Access::Read);
            memory::copy(base + done, from.ok_or(Status::BadAddress)?, step);
            done += step;
        }
        let crc = memory::checksum_range(base, length);
        self.shell.checkpoints[usize::from(slot)] = Checkpoint { current: half, length, crc, exists: true };
        Ok(Done::Value(Status::Ok, length as u64))
    }

    fn load_checkpoint(&mut self, slot: SlotId, buffer: u64, length: u64) -> Result<Done, Status> {
        let checkpoint = self.shell.checkpoints[usize::from(slot)];
        if !checkpoint.exists() {
            return Err(Status::Nothing);
        }
        let stored = checkpoint.length;
        let base = self.half_base(slot, checkpoint.current);
        if memory::checksum_range(base, stored) != checkpoint.crc {
            return Err(Status::Corrupt);
        }
        self.shell.write_user_from(slot, buffer, base, stored.min(length as usize))?;
        Ok(Done::Value(Status::Ok, stored as u64))
    }
}
