//! What the kernel records of slots: death records, slot states, counters.
//!
//! *Rule.* Fixed layouts without padding, copied to components as bytes by `inspect`: a reader needs no parser, and no byte
//! of the kernel's memory leaves it by accident.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Why an incarnation ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[repr(u32)]
pub enum DeathClass {
    /// It called `exit`, with this class or one that only others can find out.
    Exit = 1,
    /// It panicked: message and place are in the record's text.
    Panic = 2,
    /// The CPU refused an instruction (undefined, privileged, floating point), or stack pointer or program counter were
    /// misaligned.
    CpuException = 3,
    /// The MMU or the bus refused an access.
    MmuException = 4,
    /// The MMU refused an access below the stack, where a larger one would lie.
    StackOverflow = 5,
    /// Somebody with the right to do so killed it.
    Killed = 6,
    /// It used too much CPU without receiving, had a heartbeat to answer and no request in service.
    HeartbeatMissed = 7,
    /// It used too much CPU without receiving otherwise, or kept a request too long.
    Hang = 8,
    /// Its IRQ line fired too often.
    InterruptStorm = 9,
    /// It was refused more memory than the manifest gives, and ended itself.
    QuotaExceeded = 10,
    /// An authorised peer complained of it.
    ProtocolViolation = 11,
    /// Its image is damaged in both copies. Nothing records this yet: `start` fails, and nothing lived that could die.
    ImageCorrupt = 12,
    /// Its checkpoint is damaged.
    CheckpointCorrupt = 13,
    /// It was stopped in order to run a newer image. Nothing records this yet.
    Replaced = 14,
}

impl DeathClass {
    /// The class with this number.
    pub const fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::Exit,
            2 => Self::Panic,
            3 => Self::CpuException,
            4 => Self::MmuException,
            5 => Self::StackOverflow,
            6 => Self::Killed,
            7 => Self::HeartbeatMissed,
            8 => Self::Hang,
            9 => Self::InterruptStorm,
            10 => Self::QuotaExceeded,
            11 => Self::ProtocolViolation,
            12 => Self::ImageCorrupt,
            13 => Self::CheckpointCorrupt,
            14 => Self::Replaced,
            _ => return None,
        })
    }

    /// Whether the component brought its death about itself. Only such deaths can make a request poison.
    pub const fn is_own_fault(self) -> bool {
        !matches!(self, Self::Killed | Self::Replaced | Self::ImageCorrupt | Self::InterruptStorm)
    }

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Panic => "panic",
            Self::CpuException => "CPU exception",
            Self::MmuException => "MMU exception",
            Self::StackOverflow => "stack overflow",
            Self::Killed => "killed",
            Self::HeartbeatMissed => "heartbeat missed",
            Self::Hang => "hang",
            Self::InterruptStorm => "interrupt storm",
            Self::QuotaExceeded => "quota exceeded",
            Self::ProtocolViolation => "protocol violation",
            Self::ImageCorrupt => "image corrupt",
            Self::CheckpointCorrupt => "checkpoint corrupt",
            Self::Replaced => "replaced",
        }
    }
}

/// State of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum SlotState {
    /// Never started, or its loading was given up.
    Empty = 0,
    /// Pages are being copied.
    Loading = 1,
    /// An incarnation lives.
    Running = 2,
    /// The last incarnation died; its record is there. Stays so after the death was acknowledged, until it is loaded.
    Dead = 3,
}

impl SlotState {
    /// The state with this number.
    pub const fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            0 => Self::Empty,
            1 => Self::Loading,
            2 => Self::Running,
            3 => Self::Dead,
            _ => return None,
        })
    }
}

/// What a running component is doing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u32)]
pub enum Activity {
    /// Not running at all.
    None = 0,
    /// Wants the CPU or has it.
    Ready = 1,
    /// Waits for a request, a notification or a time.
    Receiving = 2,
    /// Its call waits in the queue of `blocked_on`.
    Queued = 3,
    /// Its call is in service by `blocked_on`.
    InService = 4,
}

impl Activity {
    /// The activity with this number.
    pub const fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            0 => Self::None,
            1 => Self::Ready,
            2 => Self::Receiving,
            3 => Self::Queued,
            4 => Self::InService,
            _ => return None,
        })
    }
}

/// In fields that name a slot: none.
pub const NO_SLOT: u32 = u32::MAX;

/// Return addresses kept in a death record.
pub const BACKTRACE_MAX: usize = 16;
/// Bytes of text kept in a death record.
pub const TEXT_MAX: usize = 128;

/// How an incarnation ended. Kept by the slot until the next death; times are values of `CNTVCT_EL0`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug)]
#[repr(C)]
pub struct DeathRecord {
    /// [`DeathClass`].
    pub class: u32,
    /// The incarnation that died.
    pub incarnation: u32,
    /// When.
    pub time: u64,
    /// When it was started.
    pub started: u64,
    /// Program counter.
    pub pc: u64,
    /// Stack pointer.
    pub sp: u64,
    /// `ESR_EL1` of the exception that it died of; 0 for other classes.
    pub esr: u64,
    /// `FAR_EL1`; it means something for MMU exceptions and stack overflows.
    pub far: u64,
    /// General registers x0 to x30.
    pub registers: [u64; 31],
    /// Call id of the request that it received last and had not answered; 0 for none.
    pub request: u64,
    /// Label of that request.
    pub request_label: u64,
    /// Requests that were in service.
    pub in_service: u32,
    /// Bytes of text.
    pub text_length: u32,
    /// What it said when it called `exit` (a panic: message and place).
    pub text: [u8; TEXT_MAX],
    /// Return addresses, innermost first; 0 ends the list. Empty unless the death was its own doing.
    pub backtrace: [u64; BACKTRACE_MAX],
    /// 1 if this incarnation had received for the first time before it died.
    pub was_ready: u32,
    /// First 4 bytes of the build id of its image.
    pub build: u32,
}

impl DeathRecord {
    /// Takes down what the component said, as far as it fits.
    #[inline(never)]
    pub fn say(&mut self, text: &[u8]) {
        let length = text.len().min(TEXT_MAX);
        self.text[..length].copy_from_slice(&text[..length]);
        self.text_length = length as u32;
    }
}

/// State of a slot as RS and `ps` see it. Times are values or differences of `CNTVCT_EL0`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug)]
#[repr(C)]
pub struct SlotInfo {
    /// Name of the component, padded with zeros.
    pub name: [u8; 16],
    /// [`SlotState`].
    pub state: u32,
    /// [`Activity`].
    pub activity: u32,
    /// Number of the current or last incarnation; 0: never started.
    pub incarnation: u32,
    /// Server that the component's call waits for, or [`NO_SLOT`].
    pub blocked_on: u32,
    /// Priority.
    pub priority: u32,
    /// Requests received and not answered.
    pub in_service: u32,
    /// Requests queued.
    pub queued: u32,
    /// 1 while calls are answered `Unavailable`.
    pub closed: u32,
    /// 1 while a death is not acknowledged.
    pub unacknowledged: u32,
    /// 1 once the incarnation has received for the first time.
    pub ready: u32,
    /// When the incarnation was started.
    pub started: u64,
    /// The kernel's clock when this was read.
    pub now: u64,
    /// When it last received (or began to).
    pub last_receive: u64,
    /// CPU time of the incarnation.
    pub cpu: u64,
    /// CPU time since it last received.
    pub cpu_since_receive: u64,
    /// Age of the oldest request in service; with none in service, how long requests have been queued that it could have
    /// taken. Less the time that the component was blocked in calls of its own or waited for the CPU. Of who controls others, also
    /// how long a death of theirs has not been acknowledged, if that is longer.
    pub service_age: u64,
    /// Time that it has been ready without getting the CPU, summed over the incarnation's life.
    pub starved: u64,
    /// Bytes of the bank in use.
    pub memory_used: u64,
    /// Size of the bank.
    pub memory_size: u64,
    /// Deaths of the slot.
    pub deaths: u32,
    /// [`crate::rights::Rights`].
    pub flags: u32,
    /// Pages loaded, while loading.
    pub loaded_pages: u32,
    /// 1 if a checkpoint is there.
    pub has_checkpoint: u32,
    /// 1 if a heartbeat was sent and nothing received since.
    pub heartbeat_pending: u32,
    /// Slots whose calls are queued or in service here.
    pub clients: u32,
}

/// Counts of the whole kernel, for leak checks and `top`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Ticks a second of `CNTVCT_EL0`.
    pub frequency: u64,
    /// The clock now.
    pub now: u64,
    /// Time that no component wanted the CPU.
    pub idle: u64,
    /// System calls.
    pub syscalls: u64,
    /// Switches between components.
    pub switches: u64,
    /// Interrupts.
    pub interrupts: u64,
    /// Requests delivered.
    pub requests: u64,
    /// Deaths of all slots.
    pub deaths: u64,
    /// Pages taken from the second bundle because the first was damaged.
    pub second_copy_pages: u64,
    /// Bytes of all banks in use.
    pub bank_bytes: u64,
    /// Bytes of memory that the board has for the ARM, as its firmware says.
    pub ram_bytes: u64,
    /// Address-space identifiers in use.
    pub asids: u32,
    /// Deadlines pending.
    pub deadlines: u32,
    /// Calls queued.
    pub queued: u32,
    /// Calls in service.
    pub in_service: u32,
    /// IRQ lines bound and unmasked.
    pub irqs_enabled: u32,
    /// Slots running.
    pub running: u32,
}
