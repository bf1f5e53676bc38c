//! The rights table: all that the manifest gives to each slot, compiled by the build.
//!
//! *Rule.* The table is read-only, and no system call widens what it gives: the manifest is the privilege list.

use crate::{SLOTS_MAX, SlotId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Callable services of one slot.
pub const CALLS_MAX: usize = 8;
/// IRQ lines of one slot.
pub const IRQS_MAX: usize = 4;
/// Device windows of one slot.
pub const WINDOWS_MAX: usize = 4;
/// Register rules of one slot's checked windows.
pub const RULES_MAX: usize = 16;
/// In [`SlotRights::image`]: a spare slot, for programs loaded later.
pub const NO_IMAGE: u32 = u32::MAX;

bitflags::bitflags! {
    /// Rights that are not a list of objects.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Rights: u32 {
        /// May use `inject`.
        const INJECT = 1 << 0;
        /// May use `reset`.
        const RESET = 1 << 1;
        /// May put events on the trace.
        const EVENT = 1 << 2;
        /// Sees the fault plan at [`crate::layout::PLAN_BASE`].
        const PLAN = 1 << 3;
        /// May `inspect` every slot (itself, and what it controls, everybody may).
        const INSPECT = 1 << 4;
        /// Its complaint about a sender kills the sender.
        const BLAME = 1 << 5;
        /// The slot is not started at boot.
        const MANUAL = 1 << 6;
    }
}

/// Everything the kernel knows about a slot before the slot ever runs. Times are in nanoseconds, sizes in bytes, bases
/// are physical addresses.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug)]
#[repr(C)]
pub struct SlotRights {
    /// Name of the component, padded with zeros.
    pub name: [u8; 16],
    /// Index of the image, or [`NO_IMAGE`].
    pub image: u32,
    /// [`Rights`].
    pub flags: u32,
    /// Slots that this one may start, kill and control: bit n is slot n.
    pub controls: u32,
    /// Spare slots into whose store this one may put a program.
    pub loads: u32,
    /// Zero.
    pub reserved: u32,
    /// Slots that this one may notify: those that the manifest names, and its callers.
    pub notifies: u32,
    /// 1 (lowest) to 31; calls go from lower to strictly higher ones.
    pub priority: u32,
    /// 1 if the component serves a service.
    pub serves: u32,
    /// Labels whose requests may be delivered again after a death: bit n is label n.
    pub idempotent: u64,
    /// Labels whose requests are delivered again and recognised by their call id.
    pub deduplicated: u64,
    /// Bank: the component's memory, page tables included.
    pub bank_base: u64,
    /// Size of the bank.
    pub bank_size: u64,
    /// Arena: the range in which the component's device may do DMA; 0 for none.
    pub arena_base: u64,
    /// Size of the arena; its halves alternate by incarnation.
    pub arena_size: u64,
    /// Checkpoint: two halves of `checkpoint_size` each; the kernel keeps their lengths and checksums.
    pub checkpoint_base: u64,
    /// Most bytes in a checkpoint.
    pub checkpoint_size: u64,
    /// Log ring.
    pub log_base: u64,
    /// Size of the log ring.
    pub log_size: u64,
    /// Store of a spare slot: the program that it is started from ([`crate::program`]); 0 for none.
    pub store_base: u64,
    /// Size of the store.
    pub store_size: u64,
    /// Size of the stack.
    pub stack_size: u64,
    /// Most bytes of heap.
    pub heap_size: u64,
    /// CPU time that may be used in each `budget_period`; 0 for no limit. Who has spent it runs only when nobody else
    /// wants to, until the period ends.
    pub budget: u64,
    /// See `budget`.
    pub budget_period: u64,
    /// Services that this component may call; the handle is the index.
    pub calls: [CallRight; CALLS_MAX],
    /// IRQ lines; the handle is the index.
    pub irqs: [IrqRight; IRQS_MAX],
    /// Device windows; the handle is the index.
    pub windows: [Window; WINDOWS_MAX],
    /// Rules of the checked windows.
    pub rules: [RegisterRule; RULES_MAX],
    /// What RS does when the component fails.
    pub policy: Policy,
}

/// The right to call a service.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug)]
#[repr(C)]
pub struct CallRight {
    /// 1 if this entry is used.
    pub used: u32,
    /// Slot of the server.
    pub server: u32,
    /// Labels that may be sent: bit n is label n.
    pub labels: u64,
}

/// The right to an interrupt line.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug)]
#[repr(C)]
pub struct IrqRight {
    /// 1 if this entry is used.
    pub used: u32,
    /// Number of the line as the board's interrupt controller counts.
    pub line: u32,
    /// More interrupts than this within `storm_window` are a storm: the line is masked, the component dies.
    pub storm_count: u32,
    /// Zero.
    pub reserved: u32,
    /// See `storm_count`.
    pub storm_window: u64,
}

/// The right to a device.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug)]
#[repr(C)]
pub struct Window {
    /// Physical address of the first register.
    pub base: u64,
    /// Bytes; 0 if this entry is not used.
    pub size: u64,
    /// 1: the pages are mapped (sole owner, nothing there starts DMA, resets or re-routes). 0: only `reg`, by the rules.
    pub mapped: u32,
    /// Index of the window's first rule in [`SlotRights::rules`].
    pub first_rule: u32,
    /// Number of rules.
    pub rule_count: u32,
    /// Zero.
    pub reserved: u32,
}

/// Which bits of a register may be read and written through `reg`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug)]
#[repr(C)]
pub struct RegisterRule {
    /// Offset from the window's start in bytes.
    pub offset: u32,
    /// 1 read, 2 write.
    pub operations: u32,
    /// Bits that may be read or changed.
    pub mask: u32,
    /// Further bits that may be written as zeros: a driver then writes the whole register at once, without the right to
    /// set them.
    pub zero: u32,
}

/// How RS watches a component and what it does when the component fails. Times in nanoseconds.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Policy {
    /// Between two heartbeats; 0: not watched.
    pub heartbeat_period: u64,
    /// CPU time of its own that a component may use between two receives.
    pub hang_cpu: u64,
    /// Longest that a request may be in service, time blocked further down not counted.
    pub max_service: u64,
    /// Bound on the time from death to the next incarnation's first receive, at the first restart: what deadlines are proved
    /// with. Also the CPU time allowed before the first receive, if longer than `hang_cpu`.
    pub restart_bound: u64,
    /// Pause before the second restart in a row; it doubles with each further one. The first is at once.
    pub backoff_first: u64,
    /// Longest pause.
    pub backoff_max: u64,
    /// More deaths than this within `intensity_window` are quarantined; 0: no limit.
    pub intensity: u32,
    /// Deaths before the first receive, in a row, after which the checkpoint is dropped; as many again quarantine.
    pub state_tries: u32,
    /// See `intensity`.
    pub intensity_window: u64,
    /// Components that are restarted together with this one: bit n is slot n.
    pub group: u32,
    /// Of a server: the components that it calls, of which it may complain, and which are doubted when it fails again and again. Of a
    /// client at the end of the chain: none.
    pub suppliers: u32,
}

const _: () = assert!(SLOTS_MAX <= 32, "sets of slots are 32-bit masks");

/// The set that holds one slot.
pub const fn slot_bit(slot: SlotId) -> u32 {
    1 << slot
}
