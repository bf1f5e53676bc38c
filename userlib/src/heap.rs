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

/// Most pages that one `map` gives.
const MAP_MAX: usize = 16;

#[global_allocator]
static HEAP: TalcLock<spin::Mutex<()>, Pages> = TalcLock::new(Pages { end: None });

/// The pages of the heap: one range that grows upwards.
#[derive(Debug)]
struct Pages {
    end: Option<NonNull<u8>>,
}

// SAFETY: 1. The range has no thread affinity; and a component has one thread.
unsafe impl Send for Pages {}

/// Address and number of new pages in a row: at least as many as needed, in steps as long as these can be had.
fn grow(needed: usize) -> (usize, usize) {
    let mut first = None;
    let mut pages = 0;
    while pages < needed {
        let rest = needed - pages;
        let mut step = rest.next_multiple_of(STEP).min(MAP_MAX);
        let mut mapped = sys::map(step);
        if mapped == Err(Status::QuotaExceeded) && step > rest {
            step = rest;
            mapped = sys::map(step);
        }
        let base = mapped.unwrap_or_else(|_| exit(DeathClass::QuotaExceeded, "heap is full"));
        first.get_or_insert(base as usize);
        pages += step;
    }
    (first.unwrap_or_default(), pages)
}

// SAFETY: 1. `acquire` reaches the allocator through `talc` only: neither `sys::map` nor `exit` allocates. 2. It returns
//    `Ok` only after at least `layout.size()` more bytes have been claimed.
unsafe impl Source for Pages {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let overhead = talc::min_first_heap_size::<B>();
        let bytes =
            layout.size().checked_add(layout.align()).and_then(|sum| sum.checked_add(overhead)).ok_or(())?;
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
