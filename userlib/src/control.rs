//! Control of other slots: what RS, root, the injector and the shell's `ps` stand on. Every call needs its right.
//!
//! *Rule.* One function for each operation, and nothing decided: policy is in `reincarnation-core`.

use crate::sys;
use abi::plan::Fault;
use abi::record::{Counters, DeathClass, DeathRecord, SlotInfo};
use abi::rights::Policy;
use abi::syscall::inspect;
use abi::{SlotId, Status};
use zerocopy::{FromBytes, IntoBytes};

pub use abi::syscall::{reset, slot_ctl, trigger};

/// Goes on starting `slot`: [`Status::More`] until it runs, then [`Status::Ok`].
pub fn start(slot: SlotId) -> Status {
    sys::start(u32::from(slot))
}

/// Ends the incarnation in `slot`, as `class`.
pub fn kill(slot: SlotId, class: DeathClass) -> Result<(), Status> {
    sys::kill(u32::from(slot), class as u32)
}

/// An operation of [`abi::syscall::slot_ctl`] on `slot`.
pub fn control(slot: SlotId, operation: u64) -> Result<(), Status> {
    sys::slot_ctl(u32::from(slot), operation)
}

/// Copies `data` to `offset` of the store of the spare slot `slot`, which must not run; at most
/// [`slot_ctl::STORE_MAX`] bytes.
pub fn store(slot: SlotId, offset: u64, data: &[u8]) -> Result<(), Status> {
    sys::store(u32::from(slot), offset, data)
}

/// Plans `fault` for `slot`, at the `count`-th event of `trigger` ([`abi::syscall::trigger`]).
pub fn inject(slot: SlotId, fault: Fault, trigger: u64, count: u32) -> Result<(), Status> {
    sys::inject(u32::from(slot), fault as u32, trigger, u64::from(count))
}

/// An operation of [`abi::syscall::reset`].
pub fn reset_board(operation: u64) -> Result<(), Status> {
    sys::reset(operation)
}

/// The first slot at or above `from` whose death is not acknowledged.
pub fn next_dead(from: SlotId) -> Option<SlotId> {
    sys::inspect(inspect::NEXT_DEAD, u32::from(from), &mut []).ok().map(|slot| slot as SlotId)
}

/// Reads one structure.
fn structure<T: FromBytes + IntoBytes>(what: u64, index: u32) -> Result<T, Status> {
    let mut value = T::new_zeroed();
    sys::inspect(what, index, value.as_mut_bytes())?;
    Ok(value)
}

/// State of `slot`.
pub fn slot_info(slot: SlotId) -> Result<SlotInfo, Status> {
    structure(inspect::SLOT, u32::from(slot))
}

/// How the last incarnation in `slot` ended; [`Status::Nothing`] if none has.
pub fn death_record(slot: SlotId) -> Result<DeathRecord, Status> {
    structure(inspect::DEATH, u32::from(slot))
}

/// What the manifest says about restarts of `slot`.
pub fn policy(slot: SlotId) -> Result<Policy, Status> {
    structure(inspect::POLICY, u32::from(slot))
}

/// Counts of the whole kernel.
pub fn counters() -> Result<Counters, Status> {
    structure(inspect::COUNTERS, 0)
}

/// Copies the log ring of `slot`, oldest record first, and returns the bytes written.
pub fn log_ring(slot: SlotId, buffer: &mut [u8]) -> Result<usize, Status> {
    sys::inspect(inspect::LOG, u32::from(slot), buffer).map(|bytes| bytes as usize)
}
