//! The fault plan: what the injector does and when, in memory before boot; and the kinds of faults.
//!
//! *Rule.* A plan is data that is complete before the first instruction, and `docs/faults.md` has a section for each fault.
//!
//! *Why.* A run is then a function of image, plan and seed, and can be had again.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// First field of [`PlanHeader`]: "SAMSPLAN", little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SAMSPLAN");

/// Most entries that fit into the plan range of 64 KiB.
pub const ENTRIES_MAX: usize = 1024;

/// Free parameters in a plan.
pub const PARAMETERS: usize = 6;

/// Start of the plan; the entries follow it.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PlanHeader {
    /// [`MAGIC`]. Any other value: no plan, the injector sleeps and the workload does not start.
    pub magic: u64,
    /// CRC-32 (ISO-HDLC) of the entries and of the fields below.
    pub crc: u32,
    /// Number of entries.
    pub count: u32,
    /// Seed of the workload.
    pub seed: u64,
    /// Virtual time in nanoseconds at which the workload stops making changes and unmounts; 0: never.
    pub end: u64,
    /// Free parameters of workloads and benchmarks.
    pub parameters: [u64; PARAMETERS],
}

/// One step of the plan.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PlanEntry {
    /// Not before this virtual time in nanoseconds since power-on.
    pub at: u64,
    /// [`Fault`].
    pub fault: u32,
    /// Slot of the target.
    pub slot: u32,
    /// Trigger: a constant of [`crate::syscall::trigger`].
    pub trigger: u32,
    /// Count of the trigger.
    pub count: u32,
}

/// What can be done to a component. All but `Kill` are executed by the component itself, in the fault stub of `userlib`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[repr(u32)]
pub enum Fault {
    /// The kernel kills it, as by a user.
    Kill = 1,
    /// It calls `exit`.
    Exit = 2,
    /// It panics.
    Panic = 3,
    /// It writes to an address that is not its own.
    WildWrite = 4,
    /// It executes an undefined instruction.
    IllegalInstruction = 5,
    /// It loops without end.
    Loop = 6,
    /// It goes on receiving and never replies.
    Mute = 7,
    /// It recurses without end.
    StackOverflow = 8,
    /// It takes memory until it gets no more.
    Leak = 9,
    /// It goes on receiving notifications and takes no request.
    Deaf = 10,
    /// It notifies and calls everybody that it may, without end, and takes no request.
    Flood = 11,
    /// It answers every request with whatever comes.
    Garbage = 12,
    /// It answers every request with "done" and the request's own words, and does nothing.
    Plausible = 13,
    /// It answers calls that are not its own and asks the kernel for whatever only others may ask for.
    Forge = 14,
    /// It complains of everybody to whomever it may call.
    Accuse = 15,
    /// Whatever a debugger does to it from outside while the kernel stands at its `fault_point`; nothing, if none waits
    /// there.
    Outside = 100,
}

impl Fault {
    /// All faults that the guest carries out by itself, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Kill,
        Self::Exit,
        Self::Panic,
        Self::WildWrite,
        Self::IllegalInstruction,
        Self::Loop,
        Self::Mute,
        Self::StackOverflow,
        Self::Leak,
        Self::Deaf,
        Self::Flood,
        Self::Garbage,
        Self::Plausible,
        Self::Forge,
        Self::Accuse,
    ];

    /// Those of [`Fault::ALL`] by which a component stops doing its work, so that somebody finds out; the others do it wrong.
    pub const FAILURES: [Self; 10] = {
        let (failures, _) = Self::ALL.split_first_chunk().expect("there are ten and more");
        *failures
    };

    /// Its place among the variants, by which frames name it.
    pub const fn index(self) -> u8 {
        match self {
            Self::Outside => Self::ALL.len() as u8,
            fault => fault as u8 - 1,
        }
    }

    /// The fault with this number.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::Outside]).find(|fault| *fault as u32 == code)
    }

    /// What people call it, on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Exit => "exit",
            Self::Panic => "panic",
            Self::WildWrite => "wild-write",
            Self::IllegalInstruction => "illegal-instruction",
            Self::Loop => "loop",
            Self::Mute => "mute",
            Self::StackOverflow => "stack-overflow",
            Self::Leak => "leak",
            Self::Deaf => "deaf",
            Self::Flood => "flood",
            Self::Garbage => "garbage",
            Self::Plausible => "plausible",
            Self::Forge => "forge",
            Self::Accuse => "accuse",
            Self::Outside => "outside",
        }
    }

    /// The fault with this name, among those that the guest carries out by itself.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}
