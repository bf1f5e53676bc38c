//! `notify`: sets bits in another component's notification word and wakes it if it is receiving. Never blocks.
//!
//! The bits belong to the slot: if nobody lives there, the next incarnation gets them.

use crate::Kernel;
use crate::arch::context::Frame;
use abi::message::bits::PEER;
use abi::{SlotId, Status};

impl Kernel {
    /// Returns the registers of the component that runs next: whoever is woken below the caller does not have to be
    /// compared with it.
    #[inline(never)]
    pub(super) fn sys_notify(&mut self, slot: SlotId, now: u64) -> *mut Frame {
        self.shell.counters.syscalls += 1;
        let x = &self.shell.frames.get(slot).x;
        let status = self.notify(slot, x[0], x[1], now).err().unwrap_or(Status::Ok);
        self.shell.frames.get_mut(slot).x[0] = status as u64;
        if self.core.keeps_cpu(slot) && self.shell.pressing == 0 {
            self.shell.frames.pointer(slot)
        } else {
            self.resume()
        }
    }

    #[inline(always)]
    fn notify(&mut self, slot: SlotId, target: u64, bits: u64, now: u64) -> Result<(), Status> {
        let target = self.shell.slot_argument(target).ok_or(Status::BadHandle)?;
        if self.shell.rights(slot).notifies & abi::rights::slot_bit(target) == 0 {
            return Err(Status::Denied);
        }
        if bits & !PEER != 0 {
            return Err(Status::BadArgument);
        }
        self.core.notify(target, bits, now, &mut self.shell);
        Ok(())
    }
}
