//! The supervisor: what has to be done next.
//!
//! *Role.* Told of deaths, observations and commands, it hands out one action at a time, the most urgent first: commit
//! what was decided, end who is condemned, take note of deaths, start who is to run, then look after the living.
//!
//! *Rule.* No action is handed out while a decision is not committed.

use crate::docket::{Docket, Hearing, Set, Step, bit, first};
use crate::history::{Reader, Writer};
use crate::watch::{bears_out, next_look, regular_look};
use crate::{Cause, Death, History, Policy, Standing, Ticks, Verdict, judge};
use abi::SlotId;
use abi::record::{DeathClass, SlotInfo, SlotState};
use heapless::Deque;

#[cfg(test)]
mod tests;

/// Bytes of the longest checkpoint of `slots` slots.
pub const fn checkpoint_max(slots: usize) -> usize {
    1 + slots * (1 + History::ENCODED_MAX)
}

/// Format of the checkpoint; another one is not understood.
const VERSION: u8 = 1;

/// Reports that wait to be written.
const REPORTS_MAX: usize = 16;

/// After so many failures in a row, and at each doubling, those below are started afresh, too: a component that dies again and
/// again of what it is told is not the one that is ill.
const DOUBTFUL: u32 = 2;

/// Who works for moments only may work for so many times the time that it may use between two receives, without waiting: starting
/// a whole system takes that long.
const BUSY_LIMITS: u64 = 4;

/// Starvation is reported after so many heartbeat periods without the CPU.
const STARVATION_PERIODS: u64 = 20;

/// A good part of the CPU is one of so many: what a server that goes wrong makes others do costs time, too.
const UNASKED_SHARE: u64 = 4;

/// What the supervisor finds in a slot when it begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Found {
    /// State of the slot.
    pub state: SlotState,
    /// The current or last incarnation; 0: never started.
    pub incarnation: u32,
    /// Calls are answered `Unavailable`.
    pub closed: bool,
    /// The last death is not acknowledged.
    pub unacknowledged: bool,
    /// Priority of the component: servers before their clients.
    pub priority: u8,
    /// The component is started by hand.
    pub manual: bool,
}

/// What has to be done next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Commit [`Supervisor::checkpoint`], then call [`Supervisor::committed`].
    Commit,
    /// End the incarnation in the slot, as this class.
    Kill(SlotId, DeathClass),
    /// Acknowledge the slot's death.
    Acknowledge(SlotId),
    /// Answer `Unavailable` to the slot's callers.
    Close(SlotId),
    /// Let calls queue again.
    Open(SlotId),
    /// Drop the slot's checkpoint.
    DropCheckpoint(SlotId),
    /// Load the next chunk of the slot, or start it; then call [`Supervisor::started`].
    Start(SlotId),
    /// Look at the slot; then call [`Supervisor::observed`].
    Look(SlotId),
    /// It is taken for hung. Look at it once more; then call [`Supervisor::confirmed`].
    Confirm(SlotId),
    /// Send the slot a heartbeat.
    Heartbeat(SlotId),
    /// Write a line.
    Report(Report),
    /// End this supervisor: what it is about to do to this slot may be a mistake of its own, and a fresh supervisor is to decide.
    DoubtItself(SlotId),
    /// Nothing until this moment, unless something happens.
    Wait(Ticks),
}

/// Something that people ought to know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Report {
    /// Of which slot.
    pub slot: SlotId,
    /// What.
    pub kind: ReportKind,
}

/// What people ought to know of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReportKind {
    /// This incarnation has died. What becomes of the component says [`Supervisor::history`].
    Died(u32, DeathClass),
    /// This incarnation was started after a pause, or by command.
    Started(u32),
    /// It is in quarantine.
    Quarantined(Cause),
    /// This client complains of it, so it is started afresh.
    Accused(SlotId),
    /// It has waited for the CPU for long; this slot has used most of it meanwhile.
    Starved(SlotId),
    /// So many reports before this one were left out.
    LeftOut(u32),
    /// The history could not be committed: the next incarnation of the supervisor will not know of the last decision.
    NotCommitted,
}

/// What a user can ask for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Command {
    /// Start it, if it does not run.
    Start,
    /// Stop it, until it is started again.
    Stop,
    /// End this incarnation, unless it has ended, and start the next at once.
    Restart(u32),
    /// End its quarantine.
    Release,
}

/// Why a command is not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[must_use = "the user asked for something that will not happen"]
pub enum Refusal {
    /// No such slot, or not one of this supervisor.
    NoSuchSlot,
    /// It is in quarantine: release it.
    Quarantined,
    /// It is not in quarantine.
    NotQuarantined,
    /// The manifest does not say that the one calls the other.
    NoSupplier,
    /// The accused may still be on its way back from the last complaint.
    TooSoon,
}

/// One component.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Slot {
    policy: Policy,
    history: History,
    state: SlotState,
    incarnation: u32,
    priority: u8,
    manual: bool,
    closed: bool,
    next_look: Ticks,
    last_look: Ticks,
    /// CPU time at the last look, and used between the last two.
    cpu: Ticks,
    cpu_used: Ticks,
    /// Time without the CPU at the last look, and in looks in a row.
    starved: Ticks,
    starving_for: Ticks,
    /// CPU time used in looks in a row between which it has hardly waited.
    busy_for: Ticks,
    /// Time of looks in a row in which it had a good part of the CPU, and no request.
    unasked_for: Ticks,
    /// It is not heard before this moment if it complains.
    heard_from: Ticks,
}

/// Supervises the components in slots below `N`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Supervisor<const N: usize> {
    slots: [Option<Slot>; N],
    /// Number of the last slot taken charge of, and one.
    end: usize,
    /// Whoever is supervised works for moments only.
    of_moments: bool,
    /// Somebody starts this supervisor again when it ends.
    is_watched: bool,
    /// It ends for this slot as soon as that is committed.
    doubts_itself: Option<SlotId>,
    /// Between a death and its report: the next incarnation is to get the CPU first.
    report_delay: Ticks,
    uncommitted: bool,
    /// Nothing is to be started, opened or closed before this moment, unless something happens.
    starts_from: Ticks,
    docket: Docket<N>,
    to_acknowledge: Set,
    to_beat: Set,
    /// Slots that are not as they were believed to be.
    to_look: Set,
    /// Slots whose last start was refused.
    refused: Set,
    /// Slots whose next start is worth a report.
    to_announce: Set,
    /// Slots whose starvation was reported.
    starving: Set,
    reports: ReportQueue,
    left_out: u32,
}

/// Reports and when each is due, in order.
#[derive(Clone, Debug, Default)]
struct ReportQueue(Deque<(Ticks, Report), REPORTS_MAX>);

impl PartialEq for ReportQueue {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().eq(other.0.iter())
    }
}

impl Eq for ReportQueue {}

impl core::hash::Hash for ReportQueue {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|entry| entry.hash(state));
    }
}

impl<const N: usize> Supervisor<N> {
    /// Supervises nothing yet. Reports of deaths are handed out `report_delay` ticks after the death was seen.
    pub fn new(report_delay: Ticks) -> Self {
        const { assert!(N <= abi::SLOTS_MAX, "sets of slots are 32-bit masks") };
        Self {
            slots: [const { None }; N],
            end: 0,
            report_delay,
            of_moments: false,
            is_watched: false,
            doubts_itself: None,
            uncommitted: false,
            starts_from: 0,
            docket: Docket::new(),
            to_acknowledge: 0,
            to_beat: 0,
            to_look: 0,
            refused: 0,
            to_announce: 0,
            starving: 0,
            reports: ReportQueue::default(),
            left_out: 0,
        }
    }

    /// Whoever is supervised works for moments only, and then waits: who does not is condemned though it receives. A supervisor
    /// above all others that looks again and again for what is not there would keep the CPU from all of them.
    #[must_use]
    pub const fn of_moments(mut self) -> Self {
        self.of_moments = true;
        self
    }

    /// Somebody starts this supervisor again when it ends: before it gives somebody up for what may be its own mistake, it ends.
    #[must_use]
    pub const fn watched(mut self) -> Self {
        self.is_watched = true;
        self
    }

    /// Takes charge of a slot as it is found. `checkpoint` is what the last incarnation committed, if it did.
    ///
    /// Deaths that are not acknowledged have to be told afterwards, with [`Supervisor::died`].
    pub fn adopt(
        &mut self,
        now: Ticks,
        slot: SlotId,
        found: &Found,
        policy: Policy,
        checkpoint: Option<&[u8]>,
    ) {
        let committed = checkpoint.and_then(|bytes| find(bytes, slot));
        let history = committed.unwrap_or_else(|| guess(found));
        if let Standing::Quarantined(cause) = history.standing {
            self.report(now, slot, ReportKind::Quarantined(cause));
        }
        let unwanted = history.standing != Standing::Supervised || found.incarnation == history.condemned;
        if found.state == SlotState::Running && unwanted {
            self.docket.condemn(slot, DeathClass::Killed);
        }
        self.starts_from = 0;
        self.end = self.end.max(usize::from(slot) + 1);
        self.slots[usize::from(slot)] = Some(Slot {
            policy,
            history,
            state: known_state(found.state, found.unacknowledged),
            incarnation: found.incarnation,
            priority: found.priority,
            manual: found.manual,
            closed: found.closed,
            next_look: if policy.heartbeat_period == 0 { Ticks::MAX } else { now },
            last_look: 0,
            cpu: 0,
            cpu_used: 0,
            starved: 0,
            starving_for: 0,
            busy_for: 0,
            unasked_for: 0,
            heard_from: 0,
        });
    }

    /// What is remembered of a slot; `None` if it is not one of this supervisor.
    pub fn history(&self, slot: SlotId) -> Option<&History> {
        self.slot(slot).map(|slot| &slot.history)
    }

    /// The slots that this supervisor has charge of: bit n is slot n.
    pub fn charges(&self) -> u32 {
        (0..self.end)
            .filter(|&index| self.slots[index].is_some())
            .fold(0, |set, index| set | bit(index as SlotId))
    }

    fn slot(&self, slot: SlotId) -> Option<&Slot> {
        self.slots.get(usize::from(slot))?.as_ref()
    }

    fn slot_mut(&mut self, slot: SlotId) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(slot))?.as_mut()
    }

    fn report(&mut self, due: Ticks, slot: SlotId, kind: ReportKind) {
        if self.reports.0.is_full() {
            self.reports.0.pop_front();
            self.left_out = self.left_out.saturating_add(1);
        }
        // There is room: the oldest entry has just been taken out of a full queue.
        let _ = self.reports.0.push_back((due, Report { slot, kind }));
    }

    /// Takes note of a death. What is known already, or is of no slot of this supervisor, changes nothing.
    pub fn died(&mut self, now: Ticks, slot: SlotId, death: &Death) {
        let due = now.saturating_add(self.report_delay);
        self.starts_from = 0;
        let Some(found) = self.slot_mut(slot) else { return };
        found.state = SlotState::Dead;
        found.incarnation = death.incarnation;
        let news = death.incarnation > found.history.counted;
        let alone = death.incarnation == found.history.condemned;
        let failures = found.history.failures;
        if news {
            found.history.count(death, &found.policy, found.manual);
        }
        let (standing, not_before) = (found.history.standing, found.history.not_before);
        let group = found.policy.group & !bit(slot);
        // A program that a person starts may fail as it likes: nobody else is to be disturbed for it.
        let is_failure = found.history.failures > failures && !found.manual;
        let in_a_row = if is_failure { found.history.streak } else { 0 };
        self.to_acknowledge |= bit(slot);
        self.docket.forget(slot);
        if !news {
            return;
        }
        self.uncommitted = true;
        self.to_announce |= if not_before > now { bit(slot) } else { 0 };
        self.report(due, slot, ReportKind::Died(death.incarnation, death.class));
        if let Standing::Quarantined(cause) = standing {
            self.report(due, slot, ReportKind::Quarantined(cause));
        }
        if standing == Standing::Supervised && !alone {
            self.take_along(group, not_before);
            if in_a_row >= DOUBTFUL && in_a_row.is_power_of_two() {
                self.take_along(self.below(slot) & !group, now);
            }
        }
    }

    /// Whom `slot` depends on: those it calls, those that these call, and so on.
    fn below(&self, slot: SlotId) -> Set {
        let suppliers = |slot| self.slot(slot).map_or(0, |slot| slot.policy.suppliers);
        let mut found = suppliers(slot);
        let mut grown = 0;
        while grown != found {
            grown = found;
            found = (0..self.end)
                .filter(|&index| grown & bit(index as SlotId) != 0)
                .fold(grown, |set, index| set | suppliers(index as SlotId));
        }
        found & !bit(slot)
    }

    /// Takes note of a complaint: `accused` answers `client` as no correct server does. It is ended and started afresh. That is
    /// no failure of its own in its history, for the client may be the one that is wrong; and a client is not heard again before
    /// the accused has had its time to come back. A server that accuses somebody whom it does not call is ended itself.
    ///
    /// # Errors
    /// [`Refusal::NoSupplier`], [`Refusal::TooSoon`], [`Refusal::Quarantined`].
    pub fn complain(&mut self, now: Ticks, client: SlotId, accused: SlotId) -> Result<(), Refusal> {
        let complainer = self.slot(client).ok_or(Refusal::NoSupplier)?;
        if complainer.policy.suppliers & bit(accused) == 0 {
            // A server calls nobody but its suppliers: one that accuses somebody else is wrong itself, and is not left to accuse
            // those, too. A client at the end of the chain has none, and accuses in vain whom it does call.
            if complainer.policy.suppliers != 0 && complainer.state == SlotState::Running {
                self.docket.condemn(client, DeathClass::ProtocolViolation);
            }
            return Err(Refusal::NoSupplier);
        }
        if now < complainer.heard_from {
            return Err(Refusal::TooSoon);
        }
        let server = self.slot_mut(accused).ok_or(Refusal::NoSupplier)?;
        if matches!(server.history.standing, Standing::Quarantined(_)) {
            return Err(Refusal::Quarantined);
        }
        let heard_from = now.saturating_add(server.policy.restart_bound);
        // Who has just complained itself is rather deceived than ill: those below both are started afresh with it.
        let is_deceived =
            now < server.heard_from.saturating_add(server.policy.restart_bound) && server.heard_from > 0;
        let below = if is_deceived { self.below(accused) & !bit(client) } else { 0 };
        let server = self.slot_mut(accused).ok_or(Refusal::NoSupplier)?;
        if server.state == SlotState::Running {
            server.history.condemned = server.incarnation;
            server.history.not_before = now;
            self.uncommitted = true;
            self.docket.condemn(accused, DeathClass::Killed);
            self.report(now, accused, ReportKind::Accused(client));
        }
        self.take_along(below, now);
        if let Some(complainer) = self.slot_mut(client) {
            complainer.heard_from = heard_from;
        }
        Ok(())
    }

    /// Condemns the running members of a group, to be started again together.
    fn take_along(&mut self, group: Set, not_before: Ticks) {
        for index in 0..self.end {
            let slot = index as SlotId;
            let Some(member) = self.slots[index].as_mut().filter(|_| group & bit(slot) != 0) else {
                continue;
            };
            if member.state == SlotState::Running {
                member.history.condemned = member.incarnation;
                member.history.not_before = not_before;
                self.docket.condemn(slot, DeathClass::Killed);
            }
        }
    }

    /// Takes note of the answer to [`Action::Start`].
    pub fn started(&mut self, now: Ticks, slot: SlotId, answer: abi::Status) {
        self.starts_from = 0;
        let Some(found) = self.slot_mut(slot) else { return };
        match answer {
            abi::Status::More => found.state = SlotState::Loading,
            abi::Status::Ok => {
                found.state = SlotState::Running;
                found.incarnation += 1;
                let was_refused = core::mem::take(&mut found.history.refused);
                found.next_look = regular_look(found.policy.heartbeat_period, now);
                (found.cpu, found.starved, found.starving_for) = (0, 0, 0);
                (found.busy_for, found.unasked_for) = (0, 0);
                let (incarnation, unwanted) =
                    (found.incarnation, found.history.standing != Standing::Supervised);
                self.uncommitted |= was_refused;
                self.starving &= !bit(slot);
                self.refused &= !bit(slot);
                if self.to_announce & bit(slot) != 0 {
                    self.to_announce &= !bit(slot);
                    self.report(
                        now.saturating_add(self.report_delay),
                        slot,
                        ReportKind::Started(incarnation),
                    );
                }
                if unwanted {
                    self.docket.condemn(slot, DeathClass::Killed);
                }
            }
            abi::Status::WrongState => self.to_look |= bit(slot),
            abi::Status::Corrupt => self.refused(now, slot, Cause::Image, false),
            // The program is too large, or there is none: nobody need doubt that.
            abi::Status::QuotaExceeded | abi::Status::Nothing => {
                self.refused(now, slot, Cause::Refused, false);
            }
            _ => self.refused(now, slot, Cause::Refused, true),
        }
    }

    /// A start was refused. That may be a mistake of this process's own: it tries once more, and then, if the refusal is a strange one,
    /// has its successor try.
    fn refused(&mut self, now: Ticks, slot: SlotId, cause: Cause, is_strange: bool) {
        if self.refused & bit(slot) == 0 {
            self.refused |= bit(slot);
            return;
        }
        let is_watched = self.is_watched;
        let Some(found) = self.slot_mut(slot) else { return };
        if is_strange && is_watched && !found.manual && !found.history.refused {
            found.history.refused = true;
            self.uncommitted = true;
            self.doubts_itself = Some(slot);
        } else {
            self.give_up(now, slot, cause);
        }
    }

    fn give_up(&mut self, now: Ticks, slot: SlotId, cause: Cause) {
        self.refused &= !bit(slot);
        let Some(found) = self.slot_mut(slot) else { return };
        found.history.quarantine(cause);
        self.starts_from = 0;
        self.uncommitted = true;
        self.report(now, slot, ReportKind::Quarantined(cause));
    }

    /// Takes note of what [`Action::Look`] saw.
    pub fn observed(&mut self, now: Ticks, slot: SlotId, info: &SlotInfo) {
        let Some(found) = self.slot_mut(slot) else { return };
        let state = SlotState::from_code(info.state).unwrap_or(found.state);
        let before = core::mem::replace(&mut found.state, known_state(state, info.unacknowledged != 0));
        found.incarnation = info.incarnation;
        found.cpu_used = info.cpu.saturating_sub(found.cpu);
        found.cpu = info.cpu;
        let starved = if found.last_look == 0 { 0 } else { info.starved.saturating_sub(found.starved) };
        found.starved = info.starved;
        let elapsed = if found.last_look == 0 { Ticks::MAX } else { now.saturating_sub(found.last_look) };
        let hardly_waited = found.cpu_used >= elapsed / 8 * 7;
        found.busy_for = if hardly_waited { found.busy_for.saturating_add(found.cpu_used) } else { 0 };
        let unasked = info.in_service == 0 && info.queued == 0 && found.cpu_used >= elapsed / UNASKED_SHARE;
        found.unasked_for = if unasked { found.unasked_for.saturating_add(elapsed) } else { 0 };
        found.last_look = now;
        found.next_look = next_look(&found.policy, info, now);
        let period = found.policy.heartbeat_period;
        let (startable, runs) =
            (matches!(found.state, SlotState::Empty | SlotState::Loading), found.state == SlotState::Running);
        if before != found.state {
            self.starts_from = 0;
        }
        if runs {
            // Whatever was said of its start.
            self.refused &= !bit(slot);
        }
        let doubted = self.to_look & bit(slot) != 0;
        self.to_look &= !bit(slot);
        if doubted && startable {
            // It looks as if it could be started, and the kernel has just said that it cannot.
            return self.refused(now, slot, Cause::Refused, true);
        }
        let of_moments = self.of_moments;
        let Some(found) = self.slot_mut(slot) else { return };
        if found.state != SlotState::Running {
            return;
        }
        let busy_limit = found.policy.cpu_limit(true).saturating_mul(BUSY_LIMITS);
        if of_moments && busy_limit > 0 && found.busy_for > busy_limit {
            return self.docket.condemn(slot, DeathClass::Hang);
        }
        match judge(&found.policy, info, starved) {
            Verdict::Healthy { beat } => {
                found.starving_for = 0;
                self.starving &= !bit(slot);
                self.to_beat |= if beat && period > 0 { bit(slot) } else { 0 };
            }
            Verdict::Blocked { on } => self.look_at_head(now, on, period),
            Verdict::Starved => {
                found.starving_for = found.starving_for.saturating_add(starved);
                self.starved(now, slot);
            }
            Verdict::Condemned(class) => self.docket.suspect(slot, class),
        }
    }

    /// Takes note of what [`Action::Confirm`] saw: whoever was taken for hung is condemned if that is borne out. A supervisor that suspects
    /// without reason more than once ends, if somebody starts it again; otherwise it has to believe itself.
    pub fn confirmed(&mut self, slot: SlotId, info: &SlotInfo) {
        let Some(found) = self.slot(slot) else { return };
        let is_borne_out = info.incarnation == found.incarnation && bears_out(&found.policy, info);
        match self.docket.heard(slot, is_borne_out) {
            Hearing::Over => {}
            Hearing::Wrong(_) if self.is_watched => self.docket.distrust(slot),
            Hearing::Wrong(class) => self.docket.condemn(slot, class),
        }
    }

    /// Judges the next link of a wait chain, unless it was within the waiter's period.
    fn look_at_head(&mut self, now: Ticks, on: SlotId, period: Ticks) {
        if let Some(head) = self.slot_mut(on).filter(|head| head.state == SlotState::Running)
            && now.saturating_sub(head.last_look) >= period.max(1)
        {
            head.next_look = now;
        }
    }

    /// Looks at everybody who may have held the CPU, and says once who had most of it. A *server* that had it all the time, and no
    /// request, is condemned: it receives, so it passes for alive, and those who would ask it do not run.
    fn starved(&mut self, now: Ticks, slot: SlotId) {
        let Some(victim) = self.slot(slot) else { return };
        let since = victim.starving_for;
        let (period, priority) = (victim.policy.heartbeat_period, victim.priority);
        let report = self.starving & bit(slot) == 0 && since >= period.saturating_mul(STARVATION_PERIODS);
        self.starving |= if report { bit(slot) } else { 0 };
        let mut culprit: Option<(Ticks, SlotId)> = None;
        for index in 0..self.end {
            let Some(other) = self.slots[index].as_mut().filter(|other| other.state == SlotState::Running)
            else {
                continue;
            };
            if index == usize::from(slot) || other.priority < priority {
                continue;
            }
            if now.saturating_sub(other.last_look) >= period {
                other.next_look = now;
            }
            culprit = culprit.max(Some((other.cpu_used, index as SlotId)));
        }
        let Some((_, culprit)) = culprit else { return };
        if report {
            self.report(now, slot, ReportKind::Starved(culprit));
        }
        let limit = period.saturating_mul(STARVATION_PERIODS);
        let works_unasked = |slot: &Slot| {
            slot.policy.heartbeat_period > 0 && slot.policy.max_service > 0 && slot.unasked_for >= limit
        };
        if since >= limit && self.slot(culprit).is_some_and(works_unasked) {
            self.docket.condemn(culprit, DeathClass::Hang);
        }
    }

    /// Takes note of a user's command. It is carried out after the next commit.
    pub fn command(&mut self, now: Ticks, slot: SlotId, command: Command) -> Result<(), Refusal> {
        self.starts_from = 0;
        let found = self.slot_mut(slot).ok_or(Refusal::NoSuchSlot)?;
        let quarantined = matches!(found.history.standing, Standing::Quarantined(_));
        let running = found.state == SlotState::Running;
        match command {
            Command::Release if !quarantined => return Err(Refusal::NotQuarantined),
            Command::Start | Command::Restart(_) if quarantined => return Err(Refusal::Quarantined),
            Command::Start if running => return Ok(()),
            Command::Start | Command::Release => {
                found.history.release(now);
            }
            Command::Stop => {
                found.history.standing = Standing::Stopped;
                found.history.condemned = found.incarnation;
            }
            Command::Restart(incarnation) if incarnation == found.incarnation => {
                found.history.release(now);
                found.history.condemned = incarnation;
            }
            Command::Restart(_) => return Ok(()),
        }
        let group = found.policy.group & !bit(slot);
        let kill = running && matches!(command, Command::Stop | Command::Restart(_));
        self.uncommitted = true;
        if command != Command::Stop {
            self.to_announce |= bit(slot);
        }
        if kill {
            self.docket.condemn(slot, DeathClass::Killed);
        }
        if kill && matches!(command, Command::Restart(_)) {
            self.take_along(group, now);
        }
        Ok(())
    }

    /// Writes the checkpoint into `out`; `None` if it does not fit.
    pub fn checkpoint<'a>(&self, out: &'a mut [u8]) -> Option<&'a [u8]> {
        let mut writer = Writer { bytes: out, length: 0 };
        writer.put([VERSION])?;
        for (index, slot) in self.slots[..self.end].iter().enumerate() {
            let Some(slot) = slot.as_ref().filter(|slot| !slot.history.is_new(slot.manual)) else {
                continue;
            };
            writer.put([index as u8])?;
            slot.history.encode(&mut writer)?;
        }
        let Writer { bytes, length } = writer;
        Some(&bytes[..length])
    }

    /// Takes note of the answer to [`Action::Commit`].
    pub fn committed(&mut self, now: Ticks, done: bool) {
        self.uncommitted = false;
        if !done {
            // Its successor would not know, and doubt itself again.
            if let Some(slot) = self.doubts_itself.take() {
                self.give_up(now, slot, Cause::Refused);
            }
            let slot = first(self.charges()).unwrap_or(0);
            self.report(now, slot, ReportKind::NotCommitted);
        }
    }

    /// The next action. All but [`Action::Commit`], [`Action::Start`], [`Action::Look`] and [`Action::Confirm`] count as
    /// done when handed out.
    pub fn next(&mut self, now: Ticks) -> Action {
        if self.uncommitted {
            return Action::Commit;
        }
        if let Some(slot) = self.doubts_itself.take() {
            return Action::DoubtItself(slot);
        }
        while let Some(step) = self.docket.next() {
            match step {
                Step::Kill(slot, class) => return Action::Kill(slot, class),
                Step::Confirm(slot) => return Action::Confirm(slot),
                Step::Unfounded(slot) if self.is_watched => return Action::DoubtItself(slot),
                // Nobody would start it again: what it knows nothing of it leaves alone.
                Step::Unfounded(_) => {}
            }
        }
        if let Some(slot) = first(self.to_acknowledge) {
            self.to_acknowledge &= !bit(slot);
            self.starts_from = 0;
            if let Some(found) = self.slot_mut(slot) {
                found.state = SlotState::Empty;
            }
            return Action::Acknowledge(slot);
        }
        self.next_start(now).or_else(|| self.next_care(now)).unwrap_or_else(|| {
            let forgotten = self.forgotten(now).filter(|_| self.is_watched);
            forgotten.map_or_else(|| Action::Wait(self.next_moment()), Action::DoubtItself)
        })
    }

    /// Who ought to run by now, and is not started: a supervisor that would wait all the same is wrong in how it looks for whom to start.
    /// Not inlined: its instructions are its own.
    #[inline(never)]
    fn forgotten(&self, now: Ticks) -> Option<SlotId> {
        let is_due = |slot: &Slot| {
            slot.history.standing == Standing::Supervised
                && slot.state == SlotState::Empty
                && slot.history.not_before <= now
        };
        self.slots.iter().position(|slot| slot.as_ref().is_some_and(is_due)).map(|index| index as SlotId)
    }

    /// Opens, closes and starts: the highest priority first.
    fn next_start(&mut self, now: Ticks) -> Option<Action> {
        if now < self.starts_from {
            return None;
        }
        let mut best: Option<(u8, SlotId)> = None;
        let mut later = Ticks::MAX;
        for index in 0..self.end {
            let id = index as SlotId;
            let Some(slot) = &mut self.slots[index] else {
                continue;
            };
            if let Some(action) = slot.next_change(id) {
                return Some(action);
            }
            let due = slot.start_due();
            if due <= now && self.to_look & bit(id) == 0 {
                best = best.max(Some((slot.priority, id)));
            }
            later = later.min(due);
        }
        let Some((_, slot)) = best else {
            self.starts_from = later;
            return None;
        };
        let found = self.slot_mut(slot)?;
        if found.state == SlotState::Empty && core::mem::take(&mut found.history.without_checkpoint) {
            self.uncommitted = true;
            return Some(Action::DropCheckpoint(slot));
        }
        Some(Action::Start(slot))
    }

    /// Heartbeats, reports and looks.
    fn next_care(&mut self, now: Ticks) -> Option<Action> {
        if let Some(slot) = first(self.to_beat) {
            self.to_beat &= !bit(slot);
            return Some(Action::Heartbeat(slot));
        }
        let due = |slot: &Slot| slot.state == SlotState::Running && slot.next_look <= now;
        let looked = self.slots[..self.end]
            .iter()
            .position(|slot| slot.as_ref().is_some_and(due))
            .map(|index| index as SlotId);
        if let Some(slot) = first(self.to_look).or(looked) {
            return Some(Action::Look(slot));
        }
        let (due, report) = *self.reports.0.front()?;
        if due > now {
            return None;
        }
        if self.left_out > 0 {
            let kind = ReportKind::LeftOut(core::mem::take(&mut self.left_out));
            return Some(Action::Report(Report { slot: report.slot, kind }));
        }
        self.reports.0.pop_front();
        Some(Action::Report(report))
    }

    /// When there will be something to do if nothing happens.
    fn next_moment(&self) -> Ticks {
        let report = self.reports.0.front().map_or(Ticks::MAX, |&(due, _)| due);
        let running = self.slots[..self.end].iter().flatten().filter(|slot| slot.state == SlotState::Running);
        running.fold(report.min(self.starts_from), |soonest, slot| soonest.min(slot.next_look))
    }
}

impl Slot {
    /// What has to be done so that the service is open and the slot free or not, as is wanted.
    fn next_change(&mut self, id: SlotId) -> Option<Action> {
        let wanted = self.history.standing == Standing::Supervised;
        if self.closed && wanted {
            self.closed = false;
            return Some(Action::Open(id));
        }
        // What was never started may get its first request while it waits for its first start.
        if !self.closed && !wanted && self.history.standing != Standing::Manual {
            self.closed = true;
            return Some(Action::Close(id));
        }
        if self.state == SlotState::Loading && !wanted {
            self.state = SlotState::Empty;
            return Some(Action::Kill(id, DeathClass::Killed));
        }
        None
    }

    /// When the slot is to be started, or its loading to go on.
    fn start_due(&self) -> Ticks {
        match self.state {
            SlotState::Loading => 0,
            SlotState::Empty if self.history.standing == Standing::Supervised => self.history.not_before,
            SlotState::Empty | SlotState::Running | SlotState::Dead => Ticks::MAX,
        }
    }
}

/// A slot whose death was acknowledged is as good as empty.
fn known_state(state: SlotState, unacknowledged: bool) -> SlotState {
    if state == SlotState::Dead && !unacknowledged { SlotState::Empty } else { state }
}

/// The history of `slot` in a checkpoint.
fn find(checkpoint: &[u8], slot: SlotId) -> Option<History> {
    let mut reader = Reader(checkpoint);
    let [version] = reader.take()?;
    if version != VERSION {
        return None;
    }
    loop {
        let [found] = reader.take()?;
        let history = History::decode(&mut reader)?;
        if found == slot {
            return Some(history);
        }
    }
}

/// The history of a slot that the checkpoint does not mention: never started, running from the first, or forgotten with
/// the checkpoint. A closed service stays closed: somebody had a reason.
fn guess(found: &Found) -> History {
    let mut history = History::new(found.manual);
    history.standing = match (known_state(found.state, found.unacknowledged), found.manual) {
        (SlotState::Empty, _) if found.closed => Standing::Stopped,
        (SlotState::Empty, true) if found.incarnation > 0 => Standing::Finished,
        (SlotState::Empty, _) => history.standing,
        (SlotState::Loading | SlotState::Running | SlotState::Dead, _) => Standing::Supervised,
    };
    history
}
