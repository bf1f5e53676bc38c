//! `map`: more heap. The pages are zeroed, follow the last ones, and go back when the component dies.

use super::Done;
use crate::Kernel;
use abi::layout::HEAP_BASE;
use abi::{PAGE_SIZE, SlotId, Status};

/// Most pages in one call: bounds the time that the kernel spends in it.
const PAGES_MAX: u64 = 16;

impl Kernel {
    pub(super) fn sys_map(&mut self, slot: SlotId) -> Done {
        let pages = self.shell.frames.get(slot).x[0];
        if pages == 0 || pages > PAGES_MAX {
            return Done::Status(Status::BadArgument);
        }
        let mapped = u64::from(self.shell.progress[usize::from(slot)].heap_pages);
        let first = HEAP_BASE + mapped * PAGE_SIZE as u64;
        let limit = self.shell.rights(slot).heap_size / PAGE_SIZE as u64;
        if mapped + pages > limit {
            return Done::Status(Status::QuotaExceeded);
        }
        for page in 0..pages {
            if let Err(status) = self.shell.map_zeroed(slot, first + page * PAGE_SIZE as u64) {
                return Done::Status(status);
            }
            self.shell.progress[usize::from(slot)].heap_pages += 1;
        }
        Done::Value(Status::Ok, first)
    }
}
