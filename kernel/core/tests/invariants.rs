//! Random histories of calls, replies, deaths and deadlines; what must hold after every event is checked after every
//! event. The recorder stands for the kernel's registers: it knows who waits for an outcome.

use abi::message::{CallId, Meta, NEVER, bits};
use abi::record::{Activity, SlotState};
use abi::syscall::RECV_NOTIFICATIONS;
use abi::{SlotId, Status};
use kernel_core::{Core, Death, Effects, Marks, Settings};
use proptest::prelude::*;

const SLOTS: usize = 6;
const SERVERS: [SlotId; 2] = [0, 1];
const CLIENTS: [SlotId; 4] = [2, 3, 4, 5];
const IDEMPOTENT: u8 = 1;
const ONCE: u8 = 2;

#[derive(Default)]
struct Recorder {
    /// The call whose outcome each slot waits for.
    pending: [Option<CallId>; SLOTS],
    /// Deliveries to each server that its current incarnation has neither answered nor lost.
    held: [Vec<(CallId, u8)>; SLOTS],
    outcomes: Vec<(SlotId, Status)>,
    poisoned: u32,
}

impl Effects for Recorder {
    fn deliver(&mut self, server: SlotId, caller: SlotId, call: CallId, meta: Meta) {
        assert_eq!(meta.sender, caller);
        assert_eq!(call.slot(), caller);
        let held = &mut self.held[usize::from(server)];
        assert!(
            held.iter().all(|&(_, attempt)| attempt == 0),
            "nothing is delivered beside a call that outlived a server"
        );
        assert!(meta.attempt == 0 || held.is_empty(), "a call that outlived a server is delivered alone");
        held.push((call, meta.attempt));
    }

    fn answer(&mut self, server: SlotId, caller: SlotId) {
        let call = self.pending[usize::from(caller)].take().expect("an answer is waited for");
        let held = &mut self.held[usize::from(server)];
        let at =
            held.iter().position(|&(other, _)| other == call).expect("the answer is to a delivered call");
        held.remove(at);
        self.outcomes.push((caller, Status::Ok));
    }

    fn fail(&mut self, caller: SlotId, status: Status) {
        let call = self.pending[usize::from(caller)].take().expect("an outcome is waited for");
        self.forget(call);
        self.outcomes.push((caller, status));
    }

    fn notified(&mut self, _: SlotId, bits: u64) {
        assert_ne!(bits, 0);
    }

    fn timed_out(&mut self, _: SlotId) {}

    fn ready(&mut self, _: SlotId) {}

    fn poisoned(&mut self, _: SlotId, _: CallId) {
        self.poisoned += 1;
    }
}

impl Recorder {
    fn forget(&mut self, call: CallId) {
        for held in &mut self.held {
            held.retain(|&(other, _)| other != call);
        }
    }
}

struct World {
    core: Core<SLOTS>,
    notes: Recorder,
    now: u64,
}

impl World {
    fn new() -> Self {
        let mut core = Core::new(1000);
        let marks = Marks { idempotent: 1 << IDEMPOTENT, deduplicated: 0 };
        for slot in 0..SLOTS as SlotId {
            core.configure(slot, Settings { priority: 20 - slot, marks, ..Settings::default() });
        }
        let mut world = Self { core, notes: Recorder::default(), now: 1 };
        for slot in 0..SLOTS as SlotId {
            world.start(slot);
        }
        world
    }

    fn start(&mut self, slot: SlotId) {
        if self.core.begin_loading(slot).is_ok() {
            self.core.begin_running(slot, self.now);
        }
    }

    fn is_ready(&self, slot: SlotId) -> bool {
        self.core.slot(slot).activity() == Activity::Ready
    }

    fn call(&mut self, caller: SlotId, server: SlotId, label: u8, deadline: u64) {
        if !self.is_ready(caller) {
            return;
        }
        let number = self.core.slot(caller).call_id().number() + 1;
        self.notes.pending[usize::from(caller)] = Some(CallId::new(caller, number));
        if let Err(status) = self.core.call(caller, server, label, deadline, self.now, &mut self.notes) {
            assert_eq!(status.outcome(), Some(abi::Outcome::NotExecuted));
            self.notes.pending[usize::from(caller)] = None;
        }
    }

    fn recv(&mut self, slot: SlotId, flags: u64, deadline: u64) {
        if self.is_ready(slot) {
            self.core.recv(slot, flags, deadline, self.now, &mut self.notes);
        }
    }

    fn reply(&mut self, server: SlotId, which: usize) {
        let held = &self.notes.held[usize::from(server)];
        if self.is_ready(server) && !held.is_empty() {
            let call = held[which % held.len()].0;
            assert!(self.core.reply(server, call, self.now, &mut self.notes).is_ok());
        }
    }

    fn die(&mut self, slot: SlotId, own_fault: bool, signature: u64) {
        if self.core.slot(slot).state != SlotState::Running {
            return;
        }
        if let Some(call) = self.notes.pending[usize::from(slot)].take() {
            self.notes.forget(call);
        }
        self.notes.held[usize::from(slot)].clear();
        self.core.die(slot, Death { own_fault, signature }, self.now, &mut self.notes);
    }

    fn check(&self) {
        for slot in 0..SLOTS as SlotId {
            let state = self.core.slot(slot);
            let waits = matches!(state.activity(), Activity::Queued | Activity::InService);
            assert_eq!(
                waits,
                self.notes.pending[usize::from(slot)].is_some(),
                "slot {slot} waits, and is waited for"
            );
            assert_eq!(state.state == SlotState::Running, state.activity() != Activity::None);
            if let Some(server) = state.blocked_on() {
                let service = self.core.slot(server);
                assert_eq!(service.queued >> slot & 1 == 1, state.activity() == Activity::Queued);
                assert_eq!(service.in_service >> slot & 1 == 1, state.activity() == Activity::InService);
            }
            for server in SERVERS {
                let service = self.core.slot(server);
                let listed = (service.queued | service.in_service) >> slot & 1 == 1;
                assert!(
                    !listed || state.blocked_on() == Some(server),
                    "server {server} lists {slot} in vain"
                );
                assert_eq!(service.queued & service.in_service, 0);
            }
            let held = self.notes.held[usize::from(slot)].len();
            assert_eq!(state.in_service.count_ones() as usize, held, "what slot {slot} holds");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Call(usize, usize, u8, u64),
    Recv(usize, u64),
    Reply(usize, usize),
    StaleReply(usize, u64),
    Die(usize, bool, u64),
    Start(usize),
    Notify(usize, u64),
    Pass(u64),
    Close(usize),
    Open(usize),
    Abandon(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4usize, 0..2usize, 0..3u8, 1..300u64).prop_map(|(c, s, l, d)| Step::Call(c, s, l, d)),
        4 => (0..2usize, 0..2u64).prop_map(|(s, f)| Step::Recv(s, f)),
        3 => (0..2usize, any::<usize>()).prop_map(|(s, w)| Step::Reply(s, w)),
        1 => (0..2usize, any::<u64>()).prop_map(|(s, w)| Step::StaleReply(s, w)),
        1 => (0..6usize, any::<bool>(), 0..2u64).prop_map(|(s, o, g)| Step::Die(s, o, g)),
        2 => (0..6usize).prop_map(Step::Start),
        1 => (0..6usize, 1..9u64).prop_map(|(s, b)| Step::Notify(s, b)),
        2 => (1..200u64).prop_map(Step::Pass),
        1 => (0..2usize).prop_map(Step::Close),
        1 => (0..2usize).prop_map(Step::Open),
        1 => (0..6usize).prop_map(Step::Abandon),
    ];
    proptest::collection::vec(step, 1..120)
}

fn apply(world: &mut World, step: &Step) {
    match *step {
        Step::Call(client, server, label, wait) => {
            world.call(CLIENTS[client], SERVERS[server], label, world.now + wait);
        }
        Step::Recv(server, flags) => world.recv(SERVERS[server], flags, NEVER),
        Step::Reply(server, which) => world.reply(SERVERS[server], which),
        Step::StaleReply(server, call) => {
            let server = SERVERS[server];
            let call = CallId(call);
            if !world.notes.held[usize::from(server)].iter().any(|&(held, _)| held == call) {
                assert_eq!(world.core.reply(server, call, world.now, &mut world.notes), Err(Status::Stale));
            }
        }
        Step::Die(slot, own_fault, signature) => world.die(slot as SlotId, own_fault, signature),
        Step::Start(slot) => world.start(slot as SlotId),
        Step::Notify(slot, bits) => world.core.notify(slot as SlotId, bits, world.now, &mut world.notes),
        Step::Pass(time) => {
            world.now += time;
            world.core.tick(world.now, &mut world.notes);
            assert!(world.core.timer() > world.now, "nothing that is due is left");
        }
        Step::Close(server) => world.core.close(SERVERS[server], world.now, &mut world.notes),
        Step::Open(server) => world.core.open(SERVERS[server]),
        Step::Abandon(slot) => {
            let slot = slot as SlotId;
            if world.core.slot(slot).state == SlotState::Running && !world.is_ready(slot) {
                if let Some(call) = world.notes.pending[usize::from(slot)].take() {
                    world.notes.forget(call);
                }
                world.core.abandon(slot, world.now, &mut world.notes);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn invariants_hold_after_every_event(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            apply(&mut world, step);
            world.check();
            let picked = world.core.pick(world.now);
            prop_assert!(picked.is_none_or(|slot| world.is_ready(slot)));
        }
        // Every call comes to an end once its deadline is over.
        world.now += 1000;
        world.core.tick(world.now, &mut world.notes);
        prop_assert!(world.notes.pending.iter().all(Option::is_none));
    }
}

#[test]
fn a_look_that_does_not_wait_leaves_the_timer_alone() {
    let mut world = World::new();
    world.recv(1, 0, 500);
    world.now = 100;
    world.recv(0, 0, 100);
    assert!(world.is_ready(0));
    assert_eq!(world.core.timer(), 500);
}

/// A server that dies with the request in service, and its successor.
fn crash(world: &mut World, signature: u64, own_fault: bool) {
    world.die(0, own_fault, signature);
    world.start(0);
    world.recv(0, 0, NEVER);
}

#[test]
fn an_idempotent_call_reaches_the_next_incarnation_with_a_higher_attempt() {
    let mut world = World::new();
    world.recv(0, 0, NEVER);
    world.call(2, 0, IDEMPOTENT, NEVER);
    crash(&mut world, 1, true);
    assert_eq!(world.notes.held[0].len(), 1);
    assert_eq!(world.notes.held[0][0].1, 1);
    world.reply(0, 0);
    assert_eq!(world.notes.outcomes, [(2, Status::Ok)]);
}

#[test]
fn a_call_that_may_happen_once_only_is_unknown_when_its_server_dies() {
    let mut world = World::new();
    world.recv(0, 0, NEVER);
    world.call(2, 0, ONCE, NEVER);
    world.die(0, false, 0);
    assert_eq!(world.notes.outcomes, [(2, Status::UnknownDied)]);
}

#[test]
fn a_request_that_kills_twice_in_the_same_way_is_poison_and_others_are_served() {
    let mut world = World::new();
    for client in CLIENTS {
        world.call(client, 0, IDEMPOTENT, NEVER);
    }
    world.recv(0, 0, NEVER);
    crash(&mut world, 7, true);
    crash(&mut world, 7, true);
    assert_eq!(world.notes.poisoned, 1);
    assert_eq!(world.notes.outcomes, [(2, Status::Poisoned)]);
    for _ in 0..3 {
        world.reply(0, 0);
        world.recv(0, 0, NEVER);
    }
    assert_eq!(world.notes.outcomes.iter().filter(|&&(_, status)| status == Status::Ok).count(), 3);
}

#[test]
fn kills_from_outside_and_different_deaths_never_make_poison() {
    let mut world = World::new();
    world.recv(0, 0, NEVER);
    world.call(2, 0, IDEMPOTENT, NEVER);
    for signature in 0..20 {
        crash(&mut world, 7, false);
        crash(&mut world, signature, true);
    }
    world.reply(0, 0);
    assert_eq!(world.notes.outcomes, [(2, Status::Ok)]);
}

#[test]
fn deadlines_tell_the_two_families_apart() {
    let mut world = World::new();
    world.recv(0, 0, NEVER);
    world.call(2, 0, IDEMPOTENT, 50);
    world.call(3, 0, IDEMPOTENT, 50);
    world.now = 60;
    world.core.tick(60, &mut world.notes);
    assert_eq!(world.notes.outcomes, [(2, Status::UnknownExpired), (3, Status::Expired)]);
}

#[test]
fn a_closed_service_answers_at_once() {
    let mut world = World::new();
    world.call(2, 0, IDEMPOTENT, NEVER);
    world.core.close(0, world.now, &mut world.notes);
    assert_eq!(world.notes.outcomes, [(2, Status::Unavailable)]);
    world.call(2, 0, IDEMPOTENT, NEVER);
    assert!(world.is_ready(2));
}

#[test]
fn time_blocked_further_down_and_starvation_are_excused() {
    let mut world = World::new();
    for slot in [0, 1, 3, 4, 5] {
        world.recv(slot, 0, NEVER);
    }
    world.call(2, 1, IDEMPOTENT, NEVER);
    assert_eq!(world.core.pick(1), Some(1));
    world.now = 101;
    assert_eq!(world.core.service_age(1, 101), 100, "own CPU time counts");
    world.call(1, 0, IDEMPOTENT, NEVER);
    assert_eq!(world.core.pick(101), Some(0));
    assert_eq!(world.core.service_age(1, 201), 100, "time blocked in a call does not");
    world.now = 201;
    world.reply(0, 0);
    assert_eq!(world.core.pick(201), Some(0));
    assert_eq!(world.core.service_age(1, 301), 100, "nor does time without the CPU");
    assert_eq!(world.core.slot(1).starved, 100);
}

#[test]
fn requests_that_a_server_could_take_have_an_age_and_those_behind_others_have_none() {
    let mut world = World::new();
    world.call(2, 0, IDEMPOTENT, NEVER);
    assert_eq!(world.core.service_age(0, 50), 0, "it has not received yet");
    for slot in [1, 4, 5] {
        world.recv(slot, 0, NEVER);
    }
    world.now = 100;
    world.recv(0, 0, NEVER);
    world.call(3, 0, IDEMPOTENT, NEVER);
    assert_eq!(world.core.pick(100), Some(0));
    world.now = 180;
    assert_eq!(world.core.service_age(0, 180), 80, "of the request in service");
    world.reply(0, 2);
    assert_eq!(
        world.core.service_age(0, 180),
        0,
        "the one behind it has just become the server's own affair"
    );
    world.recv(0, RECV_NOTIFICATIONS, NEVER);
    world.now = 260;
    assert_eq!(world.core.pick(260), Some(2));
    assert_eq!(world.core.service_age(0, 260), 80, "it waits for notifications only");
    world.core.notify(0, bits::HEARTBEAT, 260, &mut world.notes);
    assert_eq!(world.core.service_age(0, 260), 80, "a heartbeat does not make it younger");
    assert_eq!(world.core.pick(260), Some(0));
    world.recv(0, 0, NEVER);
    assert_eq!(world.core.service_age(0, 270), 10, "of the request that it has taken now");
}

#[test]
fn equals_take_turns_and_a_spent_budget_demotes_until_the_period_ends() {
    let mut core = Core::<3>::new(10);
    let mut notes = Recorder::default();
    let settings = Settings { priority: 5, ..Settings::default() };
    core.configure(0, Settings { budget: 30, budget_period: 100, ..settings });
    core.configure(1, settings);
    core.configure(2, Settings { priority: 1, ..settings });
    for slot in 0..3 {
        core.begin_loading(slot).unwrap();
        core.begin_running(slot, 0);
    }
    let mut ran = [0u64; 3];
    let mut now = 0;
    while now < 200 {
        let slot = core.pick(now).unwrap();
        let next = core.timer().min(200);
        assert!(next > now, "time passes");
        ran[usize::from(slot)] += next - now;
        now = next;
        core.tick(now, &mut notes);
    }
    assert_eq!(ran[2], 0, "lower priorities wait");
    assert!((50..=70).contains(&ran[0]), "two budgets of 30, a slice more at most: {ran:?}");
    assert_eq!(ran[0] + ran[1], 200);
}
