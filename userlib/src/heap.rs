//! The global allocator: talc over `map`, which grows the heap by pages and never shrinks it.
//!
//! *Rule.* To run out of memory ends the component with its own class of death: half of the code that could go on would
//! never be tested.

use crate::{exit, sys};
use abi::record::DeathClass;
use abi::{PAGE_SIZE, Status};
use core::alloc::Layout;
use core::ptr::{self, NonNull};
use talc::TalcLock;
use talc::base::{Talc, binning::Binning};
use talc::source::Source;

/// Pages asked for at once, unless more are needed or less are left.
const STEP: usize = 4;

#[global_allocator]
static HEAP: TalcLock<spin::Mutex<()>, Pages> = TalcLock::new(Pages { end: None });

/// The pages of the heap: one range that grows upwards.
#[derive(Debug)]
struct Pages {
    end: Option<NonNull<u8>>,
}

// SAFETY: 1. The range has no thread affinity; and a component has one thread.
unsafe impl Send for Pages {}

/// Address of new pages: `STEP` or a multiple if they can be had, else as many as needed.
fn grow(needed: usize) -> (usize, usize) {
    let comfortable = needed.next_multiple_of(STEP);
    let mapped = match sys::map(comfortable) {
        Err(Status::QuotaExceeded) => sys::map(needed).map(|base| (base as usize, needed)),
        other => other.map(|base| (base as usize, comfortable)),
    };
    mapped.unwrap_or_else(|_| exit(DeathClass::QuotaExceeded, "heap is full"))
}

// SAFETY: 1. `acquire` reaches the allocator through `talc` only: neither `sys::map` nor `exit` allocates. 2. It returns
//    `Ok` only after at least `layout.size()` more bytes have been claimed.
unsafe impl Source for Pages {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let overhead = talc::min_first_heap_size::<B>();
        let bytes = layout.size().checked_add(layout.align()).and_then(|sum| sum.checked_add(overhead)).ok_or(())?;
        let (base, pages) = grow(bytes.div_ceil(PAGE_SIZE));
        let length = pages * PAGE_SIZE;
        let base: *mut u8 = ptr::with_exposed_provenance_mut(base);
        talc.source.end = match talc.source.end {
            // SAFETY: 1. The new pages follow the last ones (contract of `map`), are readable and writable, and nobody
            //    else knows of them. 2. `end` is the end that talc returned for this heap.
            Some(end) => Some(unsafe { talc.extend(end, base.wrapping_add(length)) }),
            // SAFETY: 1. As above; this is the first range.
            None => unsafe { talc.claim(base, length) },
        };
        Ok(())
    }
}
