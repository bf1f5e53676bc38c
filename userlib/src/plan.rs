//! The fault plan, for components with the right to see it.
//!
//! *Rule.* A plan that is not whole is none.

use abi::layout::PLAN_BASE;
use abi::plan::{ENTRIES_MAX, MAGIC, PlanEntry, PlanHeader};
use core::mem::offset_of;
use core::{ptr, slice};
use crc::{CRC_32_ISO_HDLC, Crc};
use zerocopy::FromBytes;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
/// Bytes mapped at [`PLAN_BASE`].
const PLAN_BYTES: usize = 64 * 1024;

/// The whole plan range, whatever is in it.
///
/// Without the right `plan` in the manifest this ends the component.
pub fn range() -> &'static [u8] {
    // SAFETY: 1. The kernel maps the plan range here, read-only, for the component's whole life, and nobody writes to it but
    //    a debugger while everybody stands: who looks again calls this again.
    //    2. Without that right the page is not mapped: the MMU ends the component.
    unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(PLAN_BASE as usize), PLAN_BYTES) }
}

/// The plan that was in memory before boot; `None` if there is none or it is damaged. The right is as for [`range`].
pub fn plan() -> Option<(&'static PlanHeader, &'static [PlanEntry])> {
    let bytes = range();
    let (header, rest) = PlanHeader::ref_from_prefix(bytes).ok()?;
    let count = header.count as usize;
    if header.magic != MAGIC || count > ENTRIES_MAX {
        return None;
    }
    let end = size_of::<PlanHeader>() + count * size_of::<PlanEntry>();
    let covered = bytes.get(offset_of!(PlanHeader, count)..end)?;
    let (entries, _) = <[PlanEntry]>::ref_from_prefix_with_elems(rest, count).ok()?;
    (CRC.checksum(covered) == header.crc).then_some((header, entries))
}
