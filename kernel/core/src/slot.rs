//! The kernel's record of one component, as far as decisions need it.
//!
//! Rule: read by everybody, written by this crate only: an event is the one way to change a slot.
//!
//! Why the order of the fields: a direct switch reads and writes two cache lines of each side, and asks in one comparison
//! whether it may.

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

/// What a component does, and what makes it a special case: in one word, so that one comparison tells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub(crate) struct Gate(u32);

impl Gate {
    /// Wants the CPU or has it, and nothing special about it.
    pub const READY: Self = Self(Activity::Ready as u32);
    /// Waits for whatever comes, and nothing special about it.
    pub const RECEIVING: Self = Self(Activity::Receiving as u32);
    /// While receiving: notifications only.
    pub const ONLY_NOTIFICATIONS: u32 = 1 << 8;
    /// Calls are answered `Unavailable`.
    pub const CLOSED: u32 = 1 << 9;
    /// A heartbeat was sent and nothing received since.
    pub const HEARTBEAT: u32 = 1 << 10;
    /// Its CPU time is limited.
    pub const BUDGETED: u32 = 1 << 11;
    const ACTIVITY: u32 = 0xFF;

    /// Not running.
    const fn new(budgeted: bool) -> Self {
        Self(if budgeted { Self::BUDGETED } else { 0 })
    }

    #[inline(always)]
    pub const fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    #[inline(always)]
    pub const fn set(&mut self, flag: u32, to: bool) {
        self.0 = if to { self.0 | flag } else { self.0 & !flag };
    }

    /// The same, with another activity.
    #[inline(always)]
    pub const fn doing(self, activity: Activity) -> Self {
        Self(self.0 & !Self::ACTIVITY | activity as u32)
    }

    #[inline(always)]
    const fn activity(self) -> Activity {
        match Activity::from_code(self.0 & Self::ACTIVITY) {
            Some(activity) => activity,
            None => Activity::None,
        }
    }
}

/// What is known of a call besides its number, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub(crate) struct Request(u32);

impl Request {
    const LABEL: u32 = 8;
    const ATTEMPT: u32 = 16;
    const SUSPECT: u32 = 1 << 24;

    /// A new one.
    #[inline(always)]
    pub const fn new(server: SlotId, label: u8) -> Self {
        Self(server as u32 | (label as u32) << Self::LABEL)
    }

    /// Whom the call waits for, while queued or in service.
    pub const fn server(self) -> SlotId {
        self.0 as SlotId
    }

    pub const fn label(self) -> u8 {
        (self.0 >> Self::LABEL) as u8
    }

    /// Incarnations that died with the call in service; 255 stands for "255 or more".
    pub const fn attempt(self) -> u8 {
        (self.0 >> Self::ATTEMPT) as u8
    }

    /// One of them died of its own doing: the slot's `signature` says how.
    pub const fn is_suspect(self) -> bool {
        self.0 & Self::SUSPECT != 0
    }

    /// One more incarnation died with it.
    pub const fn survive(&mut self) {
        if self.attempt() < u8::MAX {
            self.0 += 1 << Self::ATTEMPT;
        }
    }

    pub const fn suspect(&mut self) {
        self.0 |= Self::SUSPECT;
    }
}

/// State of one slot. Fields are read freely and written by this crate only.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[repr(C, align(64))]
pub struct Slot {
    pub(crate) gate: Gate,
    /// The others to which the manifest gives no lower priority.
    pub(crate) rivals: u32,
    /// Callers that wait to be received.
    pub queued: u32,
    /// Callers received and not answered.
    pub in_service: u32,
    /// The call received last, while not answered; else 0, which no call has.
    pub(crate) serving: CallId,
    /// Sticky word.
    pub(crate) notifications: u64,
    /// CPU time of the incarnation.
    pub cpu: u64,
    /// When its times were last brought up to date.
    pub(crate) mark: u64,
    /// Time that is not held against it: blocked further down or starved.
    pub(crate) excused: u64,
    /// The current or last call; its number is never reset.
    pub(crate) call: CallId,

    /// End of the current wait.
    pub(crate) deadline: u64,
    /// Order of arrival: in the server's queue while queued, for the CPU while ready.
    pub(crate) stamp: u64,
    /// When it last asked to receive.
    pub last_receive: u64,
    pub(crate) cpu_at_receive: u64,
    /// Of a caller in service: its server's clock without excused time, at delivery.
    pub(crate) served_since: u64,
    pub(crate) request: Request,
    /// Number of the current or last incarnation.
    pub incarnation: u32,
    /// How the server died while it worked on the current call.
    pub(crate) signature: u64,
    /// Of a server that has requests queued and none in service: its clock without excused time, since when it could have
    /// taken one.
    pub(crate) asked_since: u64,

    pub(crate) settings: Settings,
    /// Life cycle.
    pub state: SlotState,
    /// Those to which the manifest gives a strictly higher priority.
    pub(crate) above: u32,
    /// The incarnation has received for the first time.
    pub ready: bool,
    /// The last death has not been acknowledged.
    pub unacknowledged: bool,
    /// Has spent its budget.
    pub(crate) demoted: bool,
    /// Deaths so far.
    pub deaths: u32,
    pub(crate) budget_used: u64,
    pub(crate) budget_ends: u64,
    /// When the incarnation was started.
    pub started: u64,
    /// Time ready without the CPU.
    pub starved: u64,
}

impl Slot {
    /// `slot`, which has never run.
    pub(crate) const fn new(slot: SlotId) -> Self {
        Self {
            gate: Gate::new(false),
            // Nobody is known to be lower before the settings are there.
            rivals: u32::MAX,
            queued: 0,
            in_service: 0,
            serving: CallId(0),
            notifications: 0,
            cpu: 0,
            mark: 0,
            excused: 0,
            call: CallId::new(slot, 0),
            deadline: NEVER,
            stamp: 0,
            last_receive: 0,
            cpu_at_receive: 0,
            served_since: 0,
            request: Request::new(0, 0),
            incarnation: 0,
            signature: 0,
            asked_since: 0,
            settings: Settings {
                priority: 1,
                marks: Marks { idempotent: 0, deduplicated: 0 },
                budget: 0,
                budget_period: 0,
                serves: false,
            },
            state: SlotState::Empty,
            above: 0,
            ready: false,
            unacknowledged: false,
            demoted: false,
            deaths: 0,
            budget_used: 0,
            budget_ends: 0,
            started: 0,
            starved: 0,
        }
    }

    /// The next incarnation, begun at `now`: what the slot keeps, and everything else as new.
    pub(crate) fn born(&self, now: u64) -> Self {
        let mut gate = Gate::new(self.settings.budget != 0);
        gate.set(Gate::CLOSED, self.is_closed());
        Self {
            gate,
            rivals: self.rivals,
            above: self.above,
            state: SlotState::Running,
            incarnation: self.incarnation + 1,
            settings: self.settings,
            call: self.call,
            notifications: self.notifications & !abi::message::bits::HEARTBEAT,
            queued: self.queued,
            unacknowledged: self.unacknowledged,
            deaths: self.deaths,
            mark: now,
            started: now,
            last_receive: now,
            ..Self::new(0)
        }
    }

    /// Takes the settings.
    pub(crate) const fn configure(&mut self, settings: Settings) {
        self.settings = settings;
        self.gate.set(Gate::BUDGETED, settings.budget != 0);
    }

    /// What the running incarnation does.
    #[inline(always)]
    pub const fn activity(&self) -> Activity {
        self.gate.activity()
    }

    #[inline(always)]
    pub(crate) const fn set_activity(&mut self, activity: Activity) {
        self.gate = self.gate.doing(activity);
    }

    /// Calls are answered `Unavailable`.
    pub const fn is_closed(&self) -> bool {
        self.gate.has(Gate::CLOSED)
    }

    /// A heartbeat was sent and nothing received since.
    pub const fn heartbeat_pending(&self) -> bool {
        self.gate.has(Gate::HEARTBEAT)
    }

    /// The caller received last, while not answered.
    #[inline(always)]
    pub fn current(&self) -> Option<SlotId> {
        (self.serving.0 != 0).then(|| self.serving.slot())
    }

    /// Label of the current or last call.
    pub const fn label(&self) -> u8 {
        self.request.label()
    }

    /// Priority that counts at this moment.
    #[inline(always)]
    pub(crate) const fn effective_priority(&self) -> u8 {
        if self.demoted { 0 } else { self.settings.priority }
    }

    /// Priority that the manifest gives.
    pub const fn priority(&self) -> u8 {
        self.settings.priority
    }

    /// Identity of the current or last call of this slot.
    #[inline(always)]
    pub const fn call_id(&self) -> CallId {
        self.call
    }

    /// The server whose answer this slot waits for.
    pub fn blocked_on(&self) -> Option<SlotId> {
        matches!(self.activity(), Activity::Queued | Activity::InService).then_some(self.request.server())
    }

    /// Whether a deadline is pending.
    pub const fn has_deadline(&self) -> bool {
        self.deadline != NEVER
    }
}
