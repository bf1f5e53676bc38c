//! System calls: the immediate of `svc`, and which register carries what.
//!
//! Arguments are in `x0` upwards, the status comes back in `x0` (`recv` and `reply_recv`: a kind of [`received`]). Times are
//! absolute values of `CNTVCT_EL0` ([`crate::message::NEVER`] for none). `docs/syscalls.md` is the reference; tidy compares their
//! sections.

/// Numbers of the system calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Call {
    /// `call(x0 handle, x1 deadline, x2 label, x3..x10 words, x11 grant 0, x12 its length, x13 grant 1, x14 its length)`
    /// → `x0` status, `x2` label, `x3..x10` words of the reply.
    Call = 1,
    /// `reply_recv(x0 deadline, x1 call id, x2 label, x3..x10 words)` → as [`Call::Recv`]; a stale reply is dropped.
    ReplyRecv = 2,
    /// `recv(x0 deadline, x1 flags)` → `x0` [`received`] kind, `x1` call id or notification bits, `x2..x10` message,
    /// `x11` [`crate::message::Meta`], `x12`, `x13` length words of the two grants.
    Recv = 3,
    /// `reply(x0 kind, x1 call id, x2 label, x3..x10 words)`; kind 1 is a complaint about the sender.
    Reply = 4,
    /// `notify(x0 slot, x1 bits)`.
    Notify = 5,
    /// `copy(x0 call id, x1 grant index, x2 offset, x3 buffer, x4 bytes)`.
    Copy = 6,
    /// `map(x0 pages, x1 zero)` → `x1` address of the first new heap page; the pages are zeroed and follow the last ones.
    /// The kernel counts in `x1` when an interrupt divides the call.
    Map = 7,
    /// `reg(x0 window, x1 operation, x2 offset, x3 value or buffer, x4 mask or words)` → `x1` value.
    Reg = 8,
    /// `irq_ack(x0 index of the line in the manifest entry)`: unmasks the line.
    IrqAck = 9,
    /// `checkpoint(x0 operation, x1 buffer, x2 bytes)` → `x1` bytes.
    Checkpoint = 10,
    /// `log(x0 kind, x1 buffer, x2 bytes)`.
    Log = 11,
    /// `exit(x0 class, x1 text, x2 bytes)`; does not return.
    Exit = 12,
    /// `start(x0 slot)` → [`crate::Status::More`] until the slot runs.
    Start = 13,
    /// `kill(x0 slot, x1 class)`.
    Kill = 14,
    /// `inspect(x0 what, x1 index, x2 buffer, x3 bytes)` → `x1` bytes or index.
    Inspect = 15,
    /// `slot_ctl(x0 slot, x1 operation, x2 offset, x3 buffer, x4 bytes)`; the last three for [`slot_ctl::STORE`] only.
    SlotCtl = 16,
    /// `inject(x0 slot, x1 fault, x2 trigger, x3 count)`.
    Inject = 17,
    /// `reset(x0 operation)`.
    Reset = 18,
}

impl Call {
    /// The highest number.
    pub const LAST: u16 = Self::Reset as u16;

    /// The call with this `svc` immediate.
    pub const fn from_immediate(immediate: u16) -> Option<Self> {
        Some(match immediate {
            1 => Self::Call,
            2 => Self::ReplyRecv,
            3 => Self::Recv,
            4 => Self::Reply,
            5 => Self::Notify,
            6 => Self::Copy,
            7 => Self::Map,
            8 => Self::Reg,
            9 => Self::IrqAck,
            10 => Self::Checkpoint,
            11 => Self::Log,
            12 => Self::Exit,
            13 => Self::Start,
            14 => Self::Kill,
            15 => Self::Inspect,
            16 => Self::SlotCtl,
            17 => Self::Inject,
            18 => Self::Reset,
            _ => return None,
        })
    }
}

/// What `recv` and `reply_recv` return in `x0`. Other values are a [`crate::Status`] plus [`received::ERROR`].
pub mod received {
    /// A request: `x1` call id, `x2..x10` message, `x11` meta, `x12` and `x13` grants.
    pub const REQUEST: u64 = 0;
    /// Notifications: `x1` bits, which are thereby cleared.
    pub const NOTIFICATION: u64 = 1;
    /// The deadline came.
    pub const TIMEOUT: u64 = 2;
    /// Added to a status, should a receive ever be refused: none is today.
    pub const ERROR: u64 = 0x100;
}

/// Flag of `recv`: wait for notifications only, leave requests queued.
pub const RECV_NOTIFICATIONS: u64 = 1;

/// Kinds of `reply`.
pub mod reply {
    /// An answer.
    pub const ANSWER: u64 = 0;
    /// A complaint: the sender broke the protocol. Its call fails as refused; it dies if the manifest authorises this server
    /// to say so.
    pub const BLAME: u64 = 1;
}

/// Operations of `reg`. Offsets are in bytes from the window's start; registers have 32 bits.
pub mod reg {
    /// Reads one register.
    pub const READ: u64 = 0;
    /// Replaces the bits of the mask by those of the value; reads the register first unless the mask is all ones.
    pub const WRITE: u64 = 1;
    /// Reads n words from one register into a buffer.
    pub const READ_WORDS: u64 = 2;
    /// Writes n words from a buffer to one register.
    pub const WRITE_WORDS: u64 = 3;
}

/// Operations of `checkpoint`.
pub mod checkpoint {
    /// Replaces the checkpoint, atomically.
    pub const COMMIT: u64 = 0;
    /// Reads the last committed checkpoint; `Corrupt` if it is damaged.
    pub const LOAD: u64 = 1;
    /// To either: goes on where an interrupt stopped the caller's own operation.
    pub const CONTINUE: u64 = 2;
}

/// Kinds of `log`.
pub mod log {
    /// A defmt frame: into the slot's ring and to the evidence line.
    pub const DEFMT: u64 = 0;
    /// An application event for the trace; needs [`crate::rights::Rights::EVENT`].
    pub const EVENT: u64 = 1;
    /// Plain text, readable without the ELF file: into the ring and, as a frame, to the evidence line.
    pub const TEXT: u64 = 2;
    /// No record: waits until all that was put on the evidence line before is out.
    pub const FLUSH: u64 = 3;
    /// Longest record in bytes.
    pub const BYTES_MAX: u64 = 192;
}

/// What `inspect` can tell; the buffers are structures of [`crate::record`] and [`crate::rights`].
pub mod inspect {
    /// [`crate::record::SlotInfo`] of slot `index`.
    pub const SLOT: u64 = 0;
    /// [`crate::record::DeathRecord`] of slot `index`; sticky until the next death.
    pub const DEATH: u64 = 1;
    /// [`crate::rights::Policy`] of slot `index`.
    pub const POLICY: u64 = 2;
    /// [`crate::record::Counters`] of the kernel.
    pub const COUNTERS: u64 = 3;
    /// The first slot at or above `index` that the caller controls and whose death is not acknowledged: its number comes
    /// back in `x1`.
    pub const NEXT_DEAD: u64 = 4;
    /// The log ring of slot `index`: records oldest first, each {kind u8, bytes u8, incarnation u32, data}.
    pub const LOG: u64 = 5;
}

/// Operations of `slot_ctl`.
pub mod slot_ctl {
    /// The death of this slot has been taken note of; its state stays as it is.
    pub const ACKNOWLEDGE: u64 = 0;
    /// Lets calls queue again.
    pub const OPEN: u64 = 1;
    /// Answers `Unavailable` to queued and new calls, `UnknownDied` to queued ones that an incarnation had died with.
    pub const CLOSE: u64 = 2;
    /// From now on there is no checkpoint to load. For a slot that does not run, and whose last incarnation called its checkpoint
    /// damaged or failed before it was ready.
    pub const DROP_CHECKPOINT: u64 = 3;
    /// The slot's log records go to its ring only.
    pub const MUTE: u64 = 4;
    /// Undoes [`MUTE`].
    pub const UNMUTE: u64 = 5;
    /// Sets the heartbeat bit of the slot's notification word.
    pub const HEARTBEAT: u64 = 6;
    /// Copies bytes into the store of a spare slot that does not run; what was there can no longer be started.
    /// Of no bytes it changes nothing, and only asks whether it would be allowed.
    pub const STORE: u64 = 7;
    /// Proves the program in the store of a spare slot ([`crate::program`]): from now on the slot can be started.
    pub const SEAL: u64 = 8;
    /// Most bytes of one [`STORE`].
    pub const STORE_MAX: u64 = 4096;
}

/// Triggers of `inject`.
pub mod trigger {
    /// Now.
    pub const NOW: u64 = 0;
    /// When the slot has received `count` more requests.
    pub const RECEIVED: u64 = 1;
    /// When the slot has sent `count` more messages (calls and replies).
    pub const SENT: u64 = 2;
    /// When `count` more calls of the slot have been answered: it has received the reply and not looked at it yet.
    pub const ANSWERED: u64 = 3;
    /// When `count` more receives of a slot that may inject (the build gives the right to one) have run into their
    /// deadline. The target fails at that very instant, whoever has the CPU.
    pub const ALARM: u64 = 4;

    /// Whether this is one of them.
    pub const fn is_known(kind: u64) -> bool {
        kind <= ALARM
    }
}

/// Operations of `reset`.
pub mod reset {
    /// Resets the board.
    pub const RESET: u64 = 0;
    /// Switches the board off, or ends the emulator.
    pub const POWER_OFF: u64 = 1;
    /// Tells the watchdog that root is alive; `Unsupported` where the kernel drives none.
    pub const PET: u64 = 2;
}
