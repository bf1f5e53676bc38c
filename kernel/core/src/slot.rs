//! The kernel's record of one component, as far as decisions need it.
//!
//! Rule: read by everybody, written by this crate only: an event is the one way to change a slot.

use abi::SlotId;
use abi::message::{CallId, NEVER};
use abi::record::{Activity, SlotState};

/// How the requests of a service are treated when the server dies with them: bit n is label n.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Marks {
    /// Delivered again.
    pub idempotent: u64,
    /// Delivered again, and recognised by call id.
    pub deduplicated: u64,
}

/// What the manifest fixes for a slot. Times are ticks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Settings {
    /// 1 to 31; 0 is kept for whoever has spent its budget.
    pub priority: u8,
    /// Marks of the service it serves.
    pub marks: Marks,
    /// CPU time in each period, 0 for no limit.
    pub budget: u64,
    /// Length of the period.
    pub budget_period: u64,
    /// It serves a service: it is ready when it receives requests, not when it waits for something else before.
    pub serves: bool,
}

/// State of one slot. Fields are read freely and written by this crate only.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, not one state machine")]
pub struct Slot {
    pub(crate) settings: Settings,
    /// Life cycle.
    pub state: SlotState,
    /// Number of the current or last incarnation.
    pub incarnation: u32,
    /// What the running incarnation does.
    pub activity: Activity,
    /// While receiving: notifications only.
    pub(crate) only_notifications: bool,
    /// Whom the call waits for, while queued or in service.
    pub server: SlotId,
    /// End of the current wait.
    pub(crate) deadline: u64,
    /// Number of the current or last call; never reset.
    pub(crate) call_number: u64,
    /// Label of the current call.
    pub label: u8,
    /// Incarnations that died with the current call in service.
    pub(crate) attempt: u8,
    /// Order of arrival: in the server's queue while queued, for the CPU while ready.
    pub(crate) stamp: u64,
    /// How the server died while it worked on the current call.
    pub(crate) signature: Option<u64>,
    /// Sticky word.
    pub(crate) notifications: u64,
    /// Callers that wait to be received.
    pub queued: u32,
    /// Callers received and not answered.
    pub in_service: u32,
    /// The caller received last, while not answered.
    pub current: Option<SlotId>,
    /// Calls are answered `Unavailable`.
    pub closed: bool,
    /// The incarnation has received for the first time.
    pub ready: bool,
    /// The last death has not been acknowledged.
    pub unacknowledged: bool,
    /// A heartbeat was sent and nothing received since.
    pub heartbeat_pending: bool,
    /// Deaths so far.
    pub deaths: u32,
    /// Has spent its budget.
    pub(crate) demoted: bool,
    pub(crate) budget_used: u64,
    pub(crate) budget_ends: u64,
    /// When its times were last brought up to date.
    pub(crate) mark: u64,
    /// When the incarnation was started.
    pub started: u64,
    /// When it last asked to receive.
    pub last_receive: u64,
    /// CPU time of the incarnation.
    pub cpu: u64,
    pub(crate) cpu_at_receive: u64,
    /// Time ready without the CPU.
    pub starved: u64,
    /// Time that is not held against it: blocked further down or starved.
    pub(crate) excused: u64,
    /// Of a server that has requests queued and none in service: its clock without excused time, since when it could have
    /// taken one.
    pub(crate) asked_since: u64,
    /// Of a caller in service: its server's clock without excused time, at delivery.
    pub(crate) served_since: u64,
}

impl Slot {
    /// A slot that has never run.
    pub(crate) const EMPTY: Self = Self {
        settings: Settings {
            priority: 1,
            marks: Marks { idempotent: 0, deduplicated: 0 },
            budget: 0,
            budget_period: 0,
            serves: false,
        },
        state: SlotState::Empty,
        incarnation: 0,
        activity: Activity::None,
        only_notifications: false,
        server: 0,
        deadline: NEVER,
        call_number: 0,
        label: 0,
        attempt: 0,
        stamp: 0,
        signature: None,
        notifications: 0,
        queued: 0,
        in_service: 0,
        current: None,
        closed: false,
        ready: false,
        unacknowledged: false,
        heartbeat_pending: false,
        deaths: 0,
        demoted: false,
        budget_used: 0,
        budget_ends: 0,
        mark: 0,
        started: 0,
        last_receive: 0,
        cpu: 0,
        cpu_at_receive: 0,
        starved: 0,
        excused: 0,
        asked_since: 0,
        served_since: 0,
    };

    /// Priority that counts at this moment.
    #[inline(always)]
    pub(crate) fn effective_priority(&self) -> u8 {
        if self.demoted { 0 } else { self.settings.priority }
    }

    /// Priority that the manifest gives.
    pub fn priority(&self) -> u8 {
        self.settings.priority
    }

    /// Identity of the current call of this slot.
    #[inline(always)]
    pub fn call_id(&self, slot: SlotId) -> CallId {
        CallId::new(slot, self.call_number)
    }

    /// The server whose answer this slot waits for.
    pub fn blocked_on(&self) -> Option<SlotId> {
        matches!(self.activity, Activity::Queued | Activity::InService).then_some(self.server)
    }

    /// Whether a deadline is pending.
    pub fn has_deadline(&self) -> bool {
        self.deadline != NEVER
    }
}
