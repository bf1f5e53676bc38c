//! Programs from outside, in the stores of spare slots.
//!
//! Rule: a store is written only while its slot neither runs nor loads, and started only after its header was proved; the
//! header that counts is a copy in the kernel. Pages are proved by their checksums at every start, like those of the bundle.
//! What a program may do is what the manifest gives to the slot, whatever is in the file.

use crate::Kernel;
use crate::arch::memory;
use crate::arch::paging::Access;
use abi::program::{HEADER_BYTES, ProgramHeader};
use abi::record::SlotState;
use abi::rights::slot_bit;
use abi::syscall::slot_ctl::STORE_MAX;
use abi::{PAGE_SIZE, SlotId, Status};
use zerocopy::FromBytes;

impl Kernel {
    /// The spare slot that `argument` names, if `slot` may put a program there now.
    fn loadable(&self, slot: SlotId, argument: u64) -> Result<SlotId, Status> {
        let target = self.shell.slot_argument(argument).ok_or(Status::BadHandle)?;
        if self.shell.rights(slot).loads & slot_bit(target) == 0 {
            return Err(Status::Denied);
        }
        match self.core.slot(target).state {
            SlotState::Running | SlotState::Loading => Err(Status::WrongState),
            SlotState::Empty | SlotState::Dead => Ok(target),
        }
    }

    /// Copies bytes of `slot` into the store of a spare slot.
    pub fn fill_store(&mut self, slot: SlotId) -> Result<(), Status> {
        let x = &self.shell.frames.get(slot).x;
        let (argument, offset, buffer, length) = (x[0], x[2], x[3], x[4]);
        let target = self.loadable(slot, argument)?;
        let rights = self.shell.rights(target);
        let end = offset.checked_add(length).filter(|end| length <= STORE_MAX && *end <= rights.store_size);
        end.ok_or(Status::BadArgument)?;
        if length > 0 {
            self.shell.stores[usize::from(target)] = None;
        }
        let base = (rights.store_base + offset) as usize;
        let mut done = 0;
        while done < length {
            let address = buffer.checked_add(done).ok_or(Status::BadAddress)?;
            let step = (length - done).min((PAGE_SIZE - address as usize % PAGE_SIZE) as u64);
            let from = self.shell.space(slot).translate(address, Access::Read).ok_or(Status::BadAddress)?;
            memory::copy(base + done as usize, from, step as usize);
            done += step;
        }
        Ok(())
    }

    /// Proves what is in the store of a spare slot, which can be started from then on.
    pub fn seal_store(&mut self, slot: SlotId) -> Result<(), Status> {
        let target = self.loadable(slot, self.shell.frames.get(slot).x[0])?;
        let rights = self.shell.rights(target);
        if rights.store_size < HEADER_BYTES as u64 {
            return Err(Status::Nothing);
        }
        let base = rights.store_base as usize;
        let mut bytes = [0; size_of::<ProgramHeader>()];
        memory::read(base, &mut bytes);
        let header = ProgramHeader::read_from_bytes(&bytes).map_err(|_| Status::Corrupt)?;
        let sealed =
            memory::checksum_range(base + ProgramHeader::SEALED, HEADER_BYTES - ProgramHeader::SEALED);
        let length = u64::from(header.file_bytes);
        header.check(sealed, length).map_err(|_| Status::Corrupt)?;
        if length > rights.store_size {
            return Err(Status::QuotaExceeded);
        }
        self.shell.stores[usize::from(target)] = Some(header.image);
        Ok(())
    }
}

/// Address and expected checksum of a page of the program in the store at `base`.
pub fn page(base: usize, page: u32) -> (usize, u32) {
    let crc = base + size_of::<ProgramHeader>() + 4 * page as usize;
    let mut bytes = [0; 4];
    memory::read(crc, &mut bytes);
    (base + HEADER_BYTES + page as usize * PAGE_SIZE, u32::from_le_bytes(bytes))
}
