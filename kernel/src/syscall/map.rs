//! `map`: more heap. The pages are zeroed, follow the last ones, and go back when the component dies.
//!
//! A call that an interrupt stops is made again with the pages left in `x0` and those done in `x1`.

use super::Done;
use crate::Kernel;
use crate::arch::cpu;
use abi::layout::HEAP_BASE;
use abi::{PAGE_SIZE, SlotId, Status};

impl Kernel {
    pub(super) fn sys_map(&mut self, slot: SlotId) -> Done {
        let x = &self.shell.frames.get(slot).x;
        let (mut left, mut done) = (x[0], x[1]);
        let limit = self.shell.rights(slot).heap_size / PAGE_SIZE as u64;
        let mapped = u64::from(self.shell.progress[usize::from(slot)].heap_pages);
        if left == 0 || done > mapped {
            return Done::Status(Status::BadArgument);
        }
        if left > limit - mapped {
            return Done::Status(Status::QuotaExceeded);
        }
        let first = HEAP_BASE + (mapped - done) * PAGE_SIZE as u64;
        while left > 0 {
            if let Err(status) = self.shell.map_zeroed(slot, first + done * PAGE_SIZE as u64) {
                return Done::Status(status);
            }
            self.shell.progress[usize::from(slot)].heap_pages += 1;
            (left, done) = (left - 1, done + 1);
            if left > 0 && cpu::interrupt_pending() {
                let x = &mut self.shell.frames.get_mut(slot).x;
                (x[0], x[1]) = (left, done);
                return Done::Again;
            }
        }
        Done::Value(Status::Ok, first)
    }
}
