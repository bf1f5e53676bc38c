//! The direct switch against the general way: in a million states of random histories both lead to the same state, field by
//! field, and to the same effects; and where the direct one declines it has changed nothing.

use abi::message::{CallId, Meta, NEVER};
use abi::record::SlotState;
use abi::{SlotId, Status};
use kernel_core::{Core, Death, Effects, Marks, Settings};

const N: usize = 6;
/// Slots 0 and 1 serve, the second calls the first; equals, a spent budget and one between the servers are among the rest.
const PRIORITIES: [u8; N] = [20, 15, 5, 5, 9, 17];
const BUDGETED: SlotId = 4;
const STATES: u32 = 1_000_000;
/// Of them, those in which the direct way must have been taken: else the comparison would say little.
const DIRECT_MIN: u32 = STATES / 20;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Effect {
    Deliver(SlotId, SlotId, CallId, Meta),
    Answer(SlotId, SlotId),
    Other,
}

#[derive(Default)]
struct Notes(Vec<Effect>);

impl Effects for Notes {
    fn deliver(&mut self, server: SlotId, caller: SlotId, call: CallId, meta: Meta) {
        self.0.push(Effect::Deliver(server, caller, call, meta));
    }

    fn answer(&mut self, server: SlotId, caller: SlotId) {
        self.0.push(Effect::Answer(server, caller));
    }

    fn fail(&mut self, _: SlotId, _: Status) {
        self.0.push(Effect::Other);
    }

    fn notified(&mut self, _: SlotId, _: u64) {
        self.0.push(Effect::Other);
    }

    fn timed_out(&mut self, _: SlotId) {
        self.0.push(Effect::Other);
    }

    fn ready(&mut self, _: SlotId) {
        self.0.push(Effect::Other);
    }

    fn poisoned(&mut self, _: SlotId, _: CallId) {
        self.0.push(Effect::Other);
    }
}

/// Marsaglia's xorshift: the same history every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn slot(&mut self) -> SlotId {
        self.below(N as u64) as SlotId
    }
}

struct World {
    core: Core<N>,
    now: u64,
    random: Random,
    compared: u32,
    calls: u32,
    replies: u32,
}

impl World {
    fn new() -> Self {
        let mut core = Core::new(100);
        for (slot, priority) in (0..).zip(PRIORITIES) {
            let budget = if slot == BUDGETED { 50 } else { 0 };
            let marks = Marks { idempotent: 1, deduplicated: 2 };
            let settings = Settings { priority, marks, budget, budget_period: 400, serves: slot < 2 };
            core.configure(slot, settings);
        }
        for slot in 0..N as SlotId {
            core.begin_loading(slot).expect("nothing lives");
            core.begin_running(slot, 0);
        }
        Self { core, now: 1, random: Random(0x5EED), compared: 0, calls: 0, replies: 0 }
    }

    fn deadline(&mut self) -> u64 {
        match self.random.below(8) {
            0 => self.now - self.random.below(2),
            1 => self.now + self.random.below(200),
            2 => u64::MAX,
            _ => self.now + 1000 + self.random.below(5000),
        }
    }

    fn call(&mut self, caller: SlotId) {
        let servers = (0..2)
            .filter(|&server: &SlotId| PRIORITIES[usize::from(server)] > PRIORITIES[usize::from(caller)]);
        let servers: Vec<SlotId> = servers.collect();
        if servers.is_empty() {
            return self.receive(caller);
        }
        let server = servers[self.random.below(servers.len() as u64) as usize];
        let (label, deadline, now) = (self.random.below(3) as u8, self.deadline(), self.now);
        let before = self.core.clone();
        let direct = self.core.call_directly(server, label, deadline, now);
        let mut general = before.clone();
        let mut notes = Notes::default();
        let outcome = general.call(caller, server, label, deadline, now, &mut notes);
        self.compared += 1;
        let Some(call) = direct else {
            assert_eq!(self.core, before, "the direct call declined and changed something");
            self.core = general;
            return;
        };
        self.calls += 1;
        let meta = Meta { sender: caller, attempt: 0, incarnation: before.slot(caller).incarnation };
        assert_eq!(outcome, Ok(()));
        assert_eq!(notes.0, [Effect::Deliver(server, caller, call, meta)]);
        assert_eq!(general.pick(now), Some(server));
        assert_eq!(self.core, general, "a direct call of {server} by {caller}");
    }

    fn reply_recv(&mut self, server: SlotId) {
        let held = self.core.slot(server).in_service;
        let caller = if held == 0 { self.random.slot() } else { held.trailing_zeros() as SlotId };
        let mut call = self.core.slot(caller).call_id();
        if self.random.below(16) == 0 {
            call = CallId(call.0 ^ 1 << self.random.below(64));
        }
        let (deadline, now) = (self.deadline(), self.now);
        let before = self.core.clone();
        let direct = self.core.reply_directly(call, deadline, now);
        let mut general = before.clone();
        let mut notes = Notes::default();
        let _stale = general.reply(server, call, now, &mut notes);
        general.recv(server, 0, deadline, now, &mut notes);
        self.compared += 1;
        let Some(caller) = direct else {
            assert_eq!(self.core, before, "the direct reply declined and changed something");
            self.core = general;
            return;
        };
        self.replies += 1;
        assert_eq!(notes.0, [Effect::Answer(server, caller)]);
        assert_eq!(general.pick(now), Some(caller));
        assert_eq!(self.core, general, "a direct reply of {server} to {caller}");
    }

    fn receive(&mut self, slot: SlotId) {
        let (flags, deadline) = (self.random.below(4) / 3, self.deadline());
        self.core.recv(slot, flags, deadline, self.now, &mut Notes::default());
    }

    /// Something that happens to `slot`.
    fn disturb(&mut self, slot: SlotId) {
        let (now, notes) = (self.now, &mut Notes::default());
        match self.random.below(6) {
            0 if self.core.slot(slot).state == SlotState::Running => {
                let death = Death { own_fault: self.random.below(2) == 0, signature: self.random.below(2) };
                self.core.die(slot, death, now, notes);
            }
            1 => self.core.close(slot, now, notes),
            2 | 3 => self.core.open(slot),
            _ => self.core.notify(slot, 1 << self.random.below(64), now, notes),
        }
    }

    fn step(&mut self) {
        self.now += self.random.below(30);
        for slot in 0..N as SlotId {
            if self.core.slot(slot).state != SlotState::Running && self.random.below(4) == 0 {
                self.core.begin_loading(slot).expect("nothing lives");
                self.core.begin_running(slot, self.now);
            }
        }
        let Some(current) = self.core.pick(self.now) else {
            self.now = self.now.max(self.core.timer().min(self.now + 1000));
            self.core.tick(self.now, &mut Notes::default());
            let slot = self.random.slot();
            return self.disturb(slot);
        };
        if self.core.timer() <= self.now {
            return self.core.tick(self.now, &mut Notes::default());
        }
        match self.random.below(64) {
            0 => {
                let slot = self.random.slot();
                self.disturb(slot);
            }
            1..4 => self.receive(current),
            4..16 if current == 1 => self.call(current),
            _ if current < 2 && (self.core.slot(current).in_service != 0 || self.random.below(8) == 0) => {
                self.reply_recv(current);
            }
            _ if current < 2 => self.receive(current),
            _ => self.call(current),
        }
    }
}

#[test]
fn the_direct_switch_equals_the_general_way_in_a_million_states() {
    let mut world = World::new();
    while world.compared < STATES {
        world.step();
    }
    let World { calls, replies, .. } = world;
    assert!(calls > DIRECT_MIN && replies > DIRECT_MIN, "{calls} direct calls, {replies} direct replies");
    println!("{STATES} states, {calls} direct calls, {replies} direct replies");
}

#[test]
fn without_a_deadline_and_without_a_timer_both_ways_are_direct() {
    let (server, caller) = (0, 1);
    let mut core = Core::<2>::new(100);
    for slot in [server, caller] {
        core.configure(slot, Settings { priority: 9 - slot, ..Settings::default() });
        core.begin_loading(slot).expect("nothing lives");
        core.begin_running(slot, 0);
    }
    core.recv(server, 0, NEVER, 1, &mut Notes::default());
    assert_eq!((core.pick(1), core.timer()), (Some(caller), NEVER));
    let call = core.call_directly(server, 0, NEVER, 2).expect("the server waits");
    assert_eq!(core.reply_directly(call, NEVER, 3), Some(caller));
}
