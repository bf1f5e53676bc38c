//! A kernel of slots for the supervisor to drive: as much of the real one as the supervisor can see.

use abi::record::{Activity, DeathClass, SlotInfo, SlotState};
use abi::{SlotId, Status};
use reincarnation_core::{Action, Death, Found, Policy, Report, Supervisor, checkpoint_max};
use zerocopy::FromZeros;

/// Chunks in which an image is loaded.
pub const CHUNKS: u32 = 2;

/// One slot as the kernel has it.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the real slot")]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct KernelSlot {
    pub state: SlotState,
    pub chunks: u32,
    pub incarnation: u32,
    pub started: u64,
    pub last: Option<Death>,
    pub unacknowledged: bool,
    pub closed: bool,
    pub has_checkpoint: bool,
    pub priority: u8,
    pub manual: bool,
    pub policy: Policy,
    /// Deaths that nobody ordered.
    pub failures: u32,
    pub cpu: u64,
    pub cpu_since_receive: u64,
    pub beats: u32,
    pub activity: Activity,
    pub blocked_on: u32,
    pub starved: u64,
    pub queued: u32,
}

/// The kernel, and what RS has committed.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Kernel<const N: usize> {
    pub now: u64,
    pub slots: [KernelSlot; N],
    pub checkpoint: Option<Vec<u8>>,
    pub reports: Vec<Report>,
    /// Order in which incarnations were started.
    pub starts: Vec<SlotId>,
    /// What the next starts are answered where the last piece would be loaded, and nothing done.
    pub refusals: Vec<Status>,
    /// A start was refused.
    pub has_refused: bool,
}

impl<const N: usize> Kernel<N> {
    pub fn new(policies: [Policy; N]) -> Self {
        let slots = std::array::from_fn(|index| KernelSlot {
            state: SlotState::Empty,
            chunks: 0,
            incarnation: 0,
            started: 0,
            last: None,
            unacknowledged: false,
            closed: false,
            has_checkpoint: false,
            priority: 10 + index as u8,
            manual: false,
            policy: policies[index],
            failures: 0,
            cpu: 0,
            cpu_since_receive: 0,
            beats: 0,
            activity: Activity::Receiving,
            blocked_on: 0,
            starved: 0,
            queued: 0,
        });
        Self {
            now: 0,
            slots,
            checkpoint: None,
            reports: Vec::new(),
            starts: Vec::new(),
            refusals: Vec::new(),
            has_refused: false,
        }
    }

    /// A new incarnation of RS, which root watches.
    pub fn adopt(&self) -> Supervisor<N> {
        self.adopt_unwatched().watched()
    }

    /// A supervisor whom nobody starts again.
    pub fn adopt_unwatched(&self) -> Supervisor<N> {
        let mut supervisor = Supervisor::new(1);
        for (index, slot) in self.slots.iter().enumerate() {
            let found = Found {
                state: slot.state,
                incarnation: slot.incarnation,
                closed: slot.closed,
                unacknowledged: slot.unacknowledged,
                priority: slot.priority,
                manual: slot.manual,
            };
            supervisor.adopt(self.now, index as SlotId, &found, slot.policy, self.checkpoint.as_deref());
        }
        self.notice(&mut supervisor);
        supervisor
    }

    /// Tells of all deaths that are not acknowledged.
    pub fn notice(&self, supervisor: &mut Supervisor<N>) {
        for (index, slot) in self.slots.iter().enumerate() {
            if let (true, Some(death)) = (slot.unacknowledged, &slot.last) {
                supervisor.died(self.now, index as SlotId, death);
            }
        }
    }

    pub fn die(&mut self, slot: SlotId, class: DeathClass, was_ready: bool) {
        let slot = &mut self.slots[usize::from(slot)];
        if slot.state == SlotState::Loading {
            slot.state = SlotState::Empty;
        }
        if slot.state != SlotState::Running {
            return;
        }
        let is_ordered = matches!(class, DeathClass::Killed | DeathClass::Replaced);
        slot.failures += u32::from(!is_ordered && !(slot.manual && class == DeathClass::Exit));
        slot.last = Some(Death {
            class,
            incarnation: slot.incarnation,
            was_ready,
            started: slot.started,
            time: self.now,
        });
        (slot.state, slot.unacknowledged) = (SlotState::Dead, true);
    }

    fn start(&mut self, id: SlotId) -> Status {
        let now = self.now;
        let slot = &mut self.slots[usize::from(id)];
        match slot.state {
            SlotState::Loading => {}
            SlotState::Empty | SlotState::Dead if !slot.unacknowledged => {
                (slot.state, slot.chunks) = (SlotState::Loading, 0);
            }
            SlotState::Empty | SlotState::Running | SlotState::Dead => panic!("started twice: {slot:?}"),
        }
        slot.chunks += 1;
        if slot.chunks < CHUNKS {
            return Status::More;
        }
        if let Some(refusal) = self.refusals.pop() {
            slot.state = SlotState::Empty;
            self.has_refused = true;
            return refusal;
        }
        slot.state = SlotState::Running;
        slot.incarnation += 1;
        (slot.started, slot.cpu, slot.cpu_since_receive, slot.has_checkpoint) = (now, 0, 0, true);
        self.starts.push(id);
        Status::Ok
    }

    pub fn info(&self, slot: SlotId) -> SlotInfo {
        let slot = &self.slots[usize::from(slot)];
        SlotInfo {
            state: slot.state as u32,
            unacknowledged: u32::from(slot.unacknowledged),
            incarnation: slot.incarnation,
            activity: slot.activity as u32,
            blocked_on: slot.blocked_on,
            cpu: slot.cpu,
            cpu_since_receive: slot.cpu_since_receive,
            starved: slot.starved,
            queued: slot.queued,
            ready: 1,
            started: slot.started,
            last_receive: slot.started,
            heartbeat_pending: slot.beats.min(1),
            now: self.now,
            ..SlotInfo::new_zeroed()
        }
    }

    /// Does one action and tells the supervisor what came of it. `false`: there was nothing to do.
    pub fn perform(&mut self, supervisor: &mut Supervisor<N>, action: Action) -> bool {
        match action {
            Action::Commit => {
                let mut bytes = vec![0; checkpoint_max(N)];
                self.checkpoint = Some(supervisor.checkpoint(&mut bytes).unwrap().to_vec());
                supervisor.committed(self.now, true);
            }
            Action::Kill(slot, class) => self.die(slot, class, true),
            Action::Acknowledge(slot) => {
                let slot = &mut self.slots[usize::from(slot)];
                assert!(slot.unacknowledged, "acknowledged twice");
                slot.unacknowledged = false;
            }
            Action::Close(slot) => self.slots[usize::from(slot)].closed = true,
            Action::Open(slot) => self.slots[usize::from(slot)].closed = false,
            Action::DropCheckpoint(slot) => self.slots[usize::from(slot)].has_checkpoint = false,
            Action::Start(slot) => {
                let answer = self.start(slot);
                supervisor.started(self.now, slot, answer);
            }
            Action::Look(slot) => supervisor.observed(self.now, slot, &self.info(slot)),
            Action::Confirm(slot) => supervisor.confirmed(slot, &self.info(slot)),
            Action::Heartbeat(slot) => self.slots[usize::from(slot)].beats += 1,
            Action::Report(report) => self.reports.push(report),
            // A fresh one, which knows what was committed.
            Action::DoubtItself(slot) => {
                assert!(self.has_refused, "it doubts what it does to slot {slot}, and nothing was refused");
                *supervisor = self.adopt();
            }
            Action::Wait(_) => return false,
        }
        true
    }

    /// Tells of deaths and lets RS work until it has nothing to do, or `limit` actions; when it waits for something until then.
    #[allow(dead_code, reason = "the model check does single actions")]
    pub fn work(&mut self, supervisor: &mut Supervisor<N>, limit: usize) -> Option<u64> {
        for _ in 0..limit {
            let action = supervisor.next(self.now);
            if let Action::Wait(until) = action {
                if self.slots.iter().all(|slot| !slot.unacknowledged) {
                    return Some(until);
                }
                self.notice(supervisor);
            } else {
                self.perform(supervisor, action);
            }
        }
        None
    }
}
