//! What the kernel decides: the states of slots and calls, who runs next, when the timer is due.
//!
//! Rule: an event and the time go in, decisions come out through [`Effects`]; no registers, no memory, no devices. So
//! the very code that the kernel runs is tested on the host, for every order of events.
//!
//! Invariants:
//! - A caller is in at most one set of one server: `queued` or `in_service`, and its activity says the same.
//! - A reply reaches the caller of the very call it answers, or nobody.
//! - While a call that outlived its server is in service again, nothing else is.
//! - A slot that is not running is neither ready nor waiting for anything.

#![no_std]
#![forbid(unsafe_code)]

mod accounting;
mod calls;
mod direct;
pub mod frames;
mod lifecycle;
mod schedule;
mod slot;

pub use lifecycle::Death;
pub use slot::{Marks, Settings, Slot};

use abi::message::Meta;
use abi::{CallId, SlotId, Status};

/// What the decisions do to registers and to the trace. The kernel moves words, tests take notes.
pub trait Effects {
    /// `server` receives the request of `caller`.
    fn deliver(&mut self, server: SlotId, caller: SlotId, call: CallId, meta: Meta);
    /// `server`'s answer, in its registers, goes to `caller`, whose call is over.
    fn answer(&mut self, server: SlotId, caller: SlotId);
    /// The call of `caller` is over without an answer.
    fn fail(&mut self, caller: SlotId, status: Status);
    /// `slot` receives notifications.
    fn notified(&mut self, slot: SlotId, bits: u64);
    /// The receive of `slot` is over because its deadline came.
    fn timed_out(&mut self, slot: SlotId);
    /// The incarnation of `slot` receives for the first time.
    fn ready(&mut self, slot: SlotId);
    /// A request killed `server` twice in the same way.
    fn poisoned(&mut self, server: SlotId, call: CallId);
}

/// The state of all slots. `N` is the number of slots, at most [`abi::SLOTS_MAX`]. Times are ticks of the clock.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct Core<const N: usize> {
    /// Slots that want the CPU: bit n is slot n.
    ready: u32,
    /// The slot that has the CPU, or [`NOBODY`].
    current: u32,
    /// No deadline, slice or budget ends before this.
    timer: u64,
    /// Orders arrivals: in queues, and among equals that want the CPU.
    stamp: u64,
    /// Time that nobody wanted the CPU.
    idle: u64,
    idle_since: u64,
    /// Ticks that equals run before the next one's turn.
    slice: u64,
    slots: [Slot; N],
}

/// In [`Core::current`]: the CPU is idle.
const NOBODY: u32 = u32::MAX;

impl<const N: usize> Core<N> {
    /// A system in which no slot has ever run; `slice` is the time that equals run in turn, in ticks.
    pub const fn new(slice: u64) -> Self {
        assert!(N <= abi::SLOTS_MAX, "sets of slots are 32-bit masks");
        let mut slots = [const { Slot::new(0) }; N];
        let mut slot = 1;
        while slot < N {
            slots[slot] = Slot::new(slot as SlotId);
            slot += 1;
        }
        Self {
            slots,
            ready: 0,
            current: NOBODY,
            timer: abi::message::NEVER,
            stamp: 0,
            idle: 0,
            idle_since: 0,
            slice,
        }
    }

    /// Sets the time that equals run in turn, in ticks.
    pub const fn set_slice(&mut self, slice: u64) {
        self.slice = slice;
    }

    /// Takes the settings of a slot from the rights table.
    pub fn configure(&mut self, slot: SlotId, settings: Settings) {
        self.slot_mut(slot).configure(settings);
        for slot in 0..N as SlotId {
            let own = self.slot(slot).priority();
            let (mut above, mut rivals) = (0, 0);
            for other in (0..N as SlotId).filter(|&other| other != slot) {
                let priority = self.slot(other).priority();
                above |= if priority > own { bit(other) } else { 0 };
                rivals |= if priority >= own { bit(other) } else { 0 };
            }
            let record = self.slot_mut(slot);
            (record.above, record.rivals) = (above, rivals);
        }
    }

    /// State of a slot, for reports.
    #[inline(always)]
    pub fn slot(&self, slot: SlotId) -> &Slot {
        &self.slots[usize::from(slot) % N]
    }

    #[inline(always)]
    fn slot_mut(&mut self, slot: SlotId) -> &mut Slot {
        &mut self.slots[usize::from(slot) % N]
    }

    /// The slot that has the CPU.
    #[inline(always)]
    pub fn current(&self) -> Option<SlotId> {
        (self.current != NOBODY).then_some(self.current as SlotId)
    }

    /// Index of the slot that has the CPU; any index while nobody has it.
    #[inline(always)]
    pub fn current_index(&self) -> usize {
        self.current as usize % N
    }

    /// When the timer must fire next: nothing is due before.
    #[inline(always)]
    pub fn timer(&self) -> u64 {
        self.timer
    }

    fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }
}

/// The set that holds one slot.
#[inline(always)]
const fn bit(slot: SlotId) -> u32 {
    abi::rights::slot_bit(slot)
}

/// The slots in a set, lowest first.
fn members(set: u32) -> impl Iterator<Item = SlotId> {
    let mut rest = set;
    core::iter::from_fn(move || {
        if rest == 0 {
            return None;
        }
        let slot = rest.trailing_zeros() as SlotId;
        rest &= rest - 1;
        Some(slot)
    })
}
