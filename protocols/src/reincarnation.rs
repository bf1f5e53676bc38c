//! The `reincarnation` service: what people, through a shell, ask of RS, and what a client tells it of a server.
//!
//! *Rule.* All requests but [`Request::Fault`] are idempotent: they name the state that is wanted, and a restart names the
//! incarnation that it is to end. What was answered [`Reply::Done`] is committed and survives RS.

use crate::Service;
use abi::plan::Fault;
use abi::record::TEXT_MAX;
use abi::{Message, SlotId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const LIST: u64 = 1;
const START: u64 = 2;
const STOP: u64 = 3;
const RESTART: u64 = 4;
const RELEASE: u64 = 5;
const FAULT: u64 = 6;
const DEATH: u64 = 7;
const LOG: u64 = 8;
const COMPLAIN: u64 = 9;

/// Notification bit that RS sets for the shell: a component has died, was started, or is in quarantine, or RS itself is a
/// new incarnation. [`Request::List`] tells which.
pub const NOTIFY_NEWS: u64 = 1 << 1;

const IDEMPOTENT: u64 =
    1 << LIST | 1 << START | 1 << STOP | 1 << RESTART | 1 << RELEASE | 1 << DEATH | 1 << LOG | 1 << COMPLAIN;

/// Labels and marks.
pub const SERVICE: Service = Service {
    name: "reincarnation",
    labels: IDEMPOTENT | 1 << FAULT,
    idempotent: IDEMPOTENT,
    deduplicated: 0,
};

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Writes a [`Row`] for each slot, in order, to grant 0, as many as there is room for.
    List,
    /// Starts a component that was stopped, has exited, or was never started.
    Start(SlotId),
    /// Stops a component until it is started again; its service answers `Unavailable`.
    Stop(SlotId),
    /// Ends this incarnation, unless it has ended, and starts the next at once.
    Restart(SlotId, u32),
    /// Ends the quarantine of a component and starts it.
    Release(SlotId),
    /// Makes a component fail. All faults but [`Fault::Kill`] need the right `inject`, which RS has only in manifests made
    /// for it. At most once.
    Fault(SlotId, Fault),
    /// Writes the [`abi::record::DeathRecord`] of a slot to grant 0.
    Death(SlotId),
    /// Writes a slot's log ring to grant 0, records as [`abi::syscall::inspect::LOG`] says, oldest first. Where the grant
    /// has no room for all, the oldest are left out; every record is whole.
    Log(SlotId),
    /// Ends the component in this slot, which the caller, a server itself, may call, and starts it afresh: it answers as no correct one
    /// does. Who complains too often is not heard ([`Error::TooSoon`]).
    Complain(SlotId),
}

/// What RS answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The request was carried out.
    Done,
    /// So many rows, or bytes, were written to the grant, of so many that there are.
    Written {
        /// Rows or bytes written.
        count: u32,
        /// Rows or bytes that there are.
        total: u32,
    },
    /// The request was not carried out.
    Failed(Error),
}

/// Why a request was not carried out. The number is the label of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
#[must_use = "the user asked for something that did not happen"]
pub enum Error {
    /// Caller's fault: unknown label, fault or grant.
    BadRequest = 2,
    /// No such slot, or not one that RS controls.
    NoSuchSlot = 3,
    /// It is in quarantine: release it.
    Quarantined = 4,
    /// It is not in quarantine.
    NotQuarantined = 5,
    /// The manifest does not give RS this right.
    Denied = 6,
    /// It is not running, or has not died yet.
    WrongState = 7,
    /// The last complaint of the caller is too young.
    TooSoon = 8,
}

impl Error {
    /// Every error.
    pub const ALL: [Self; 7] = [
        Self::BadRequest,
        Self::NoSuchSlot,
        Self::Quarantined,
        Self::NotQuarantined,
        Self::Denied,
        Self::WrongState,
        Self::TooSoon,
    ];
}

const DONE: u64 = 0;
const WRITTEN: u64 = 1;

impl Request {
    /// The message that asks this.
    pub fn encode(self) -> Message {
        match self {
            Self::List => Message::new(LIST, &[]),
            Self::Start(slot) => Message::new(START, &[slot.into()]),
            Self::Stop(slot) => Message::new(STOP, &[slot.into()]),
            Self::Restart(slot, incarnation) => Message::new(RESTART, &[slot.into(), incarnation.into()]),
            Self::Release(slot) => Message::new(RELEASE, &[slot.into()]),
            Self::Fault(slot, fault) => Message::new(FAULT, &[slot.into(), u64::from(fault as u32)]),
            Self::Death(slot) => Message::new(DEATH, &[slot.into()]),
            Self::Log(slot) => Message::new(LOG, &[slot.into()]),
            Self::Complain(slot) => Message::new(COMPLAIN, &[slot.into()]),
        }
    }

    /// What a message asks.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for an unknown label or fault, [`Error::NoSuchSlot`] for a number that no slot has.
    pub fn decode(message: &Message) -> Result<Self, Error> {
        let [slot, argument, ..] = message.words;
        let slot = SlotId::try_from(slot).ok().filter(|&slot| usize::from(slot) < abi::SLOTS_MAX);
        let slot = slot.ok_or(Error::NoSuchSlot);
        let argument = u32::try_from(argument).map_err(|_| Error::BadRequest);
        Ok(match message.label {
            LIST => Self::List,
            START => Self::Start(slot?),
            STOP => Self::Stop(slot?),
            RESTART => Self::Restart(slot?, argument?),
            RELEASE => Self::Release(slot?),
            FAULT => Self::Fault(slot?, Fault::from_code(argument?).ok_or(Error::BadRequest)?),
            DEATH => Self::Death(slot?),
            LOG => Self::Log(slot?),
            COMPLAIN => Self::Complain(slot?),
            _ => return Err(Error::BadRequest),
        })
    }
}

impl Reply {
    /// The message that answers this.
    pub fn encode(self) -> Message {
        match self {
            Self::Done => Message::new(DONE, &[]),
            Self::Written { count, total } => Message::new(WRITTEN, &[count.into(), total.into()]),
            Self::Failed(error) => Message::new(error as u64, &[]),
        }
    }

    /// What a message answers; a label that this version does not know is a failure.
    pub fn decode(message: &Message) -> Self {
        let [count, total, ..] = message.words;
        match message.label {
            DONE => Self::Done,
            WRITTEN => Self::Written { count: count as u32, total: total as u32 },
            label => Self::Failed(
                Error::ALL.into_iter().find(|error| *error as u64 == label).unwrap_or(Error::BadRequest),
            ),
        }
    }
}

/// What RS wants of a component: [`Row::standing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Standing {
    /// RS has no charge of it: root, or RS itself.
    Unsupervised = 0,
    /// It is to run.
    Supervised = 1,
    /// It is started by hand, and was not yet.
    Manual = 2,
    /// It was started by hand and has exited.
    Finished = 3,
    /// The user has stopped it.
    Stopped = 4,
    /// Quarantined: too many failures in a short time.
    TooManyFailures = 5,
    /// Quarantined: it kept failing before its first receive.
    NeverReady = 6,
    /// Quarantined: its image is damaged.
    ImageDamaged = 7,
    /// Quarantined: the kernel refused to start it.
    Refused = 8,
}

impl Standing {
    /// Every standing, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Unsupervised,
        Self::Supervised,
        Self::Manual,
        Self::Finished,
        Self::Stopped,
        Self::TooManyFailures,
        Self::NeverReady,
        Self::ImageDamaged,
        Self::Refused,
    ];

    /// The standing with this number.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.get(code as usize).copied()
    }

    /// Whether it is a quarantine, which only [`Request::Release`] ends.
    pub const fn is_quarantine(self) -> bool {
        matches!(self, Self::TooManyFailures | Self::NeverReady | Self::ImageDamaged | Self::Refused)
    }

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsupervised | Self::Supervised => "",
            Self::Manual => "manual",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::TooManyFailures => "quarantined: too many failures",
            Self::NeverReady => "quarantined: never ready",
            Self::ImageDamaged => "quarantined: image damaged",
            Self::Refused => "quarantined: cannot be started",
        }
    }
}

/// A component as `ps` shows it. Times in nanoseconds, moments since power-on, sizes in bytes.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Row {
    /// Name, padded with zeros.
    pub name: [u8; 16],
    /// Slot.
    pub slot: u32,
    /// The current or last incarnation; 0: never started.
    pub incarnation: u32,
    /// [`abi::record::SlotState`].
    pub state: u32,
    /// [`abi::record::Activity`].
    pub activity: u32,
    /// Server that its call waits for, or [`abi::record::NO_SLOT`].
    pub blocked_on: u32,
    /// [`Standing`].
    pub standing: u32,
    /// Priority.
    pub priority: u32,
    /// 1 once the incarnation has received for the first time.
    pub ready: u32,
    /// Requests queued.
    pub queued: u32,
    /// Requests in service.
    pub in_service: u32,
    /// 1 if a heartbeat was sent and nothing received since.
    pub heartbeat_pending: u32,
    /// Deaths, of whatever class.
    pub deaths: u32,
    /// Deaths that nobody ordered.
    pub failures: u32,
    /// [`abi::record::DeathClass`] of the last death; 0: none.
    pub death_class: u32,
    /// The incarnation that died last.
    pub death_incarnation: u32,
    /// Bytes of `death_text`.
    pub death_text_length: u32,
    /// When it died.
    pub death_time: u64,
    /// Program counter at the death.
    pub death_pc: u64,
    /// When the incarnation was started.
    pub started: u64,
    /// CPU time of the incarnation.
    pub cpu: u64,
    /// Time since it received last.
    pub silence: u64,
    /// Of its bank in use.
    pub memory_used: u64,
    /// Size of its bank.
    pub memory_size: u64,
    /// When it will be started again, if a pause is under way; 0: none is.
    pub next_start: u64,
    /// Message of a panic or an exit.
    pub death_text: [u8; TEXT_MAX],
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn requests_and_replies_round_trip(slot in 0u8..32, incarnation: u32, fault in 0usize..9, count: u32, total: u32) {
            let requests = [
                Request::List,
                Request::Start(slot),
                Request::Stop(slot),
                Request::Restart(slot, incarnation),
                Request::Release(slot),
                Request::Fault(slot, Fault::ALL[fault]),
                Request::Death(slot),
                Request::Log(slot),
            ];
            for request in requests {
                let message = request.encode();
                prop_assert_eq!(Request::decode(&message), Ok(request));
                prop_assert!(SERVICE.labels & 1 << message.label != 0);
            }
            for reply in [Reply::Done, Reply::Written { count, total }] {
                prop_assert_eq!(Reply::decode(&reply.encode()), reply);
            }
        }

        #[test]
        fn no_message_makes_decoding_panic(label: u64, words: [u64; 8]) {
            let _ = Request::decode(&Message { label, words });
            let _ = Reply::decode(&Message { label, words });
        }
    }

    #[test]
    fn codes_are_told_apart() {
        for error in Error::ALL {
            assert_eq!(Reply::decode(&Reply::Failed(error).encode()), Reply::Failed(error));
        }
        for (code, standing) in (0..).zip(Standing::ALL) {
            assert_eq!((standing as u32, Standing::from_code(code)), (code, Some(standing)));
        }
        assert_eq!(Standing::from_code(9), None);
        assert_eq!(Request::decode(&Message::new(START, &[32])), Err(Error::NoSuchSlot));
        assert_eq!(
            Request::decode(&Message::new(FAULT, &[1, Fault::ALL.len() as u64 + 1])),
            Err(Error::BadRequest)
        );
        assert_eq!(size_of::<Row>() % 8, 0);
    }
}
