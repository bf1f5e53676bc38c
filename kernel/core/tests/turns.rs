//! The rules about the CPU, one example each: who has it, when the timer must fire, what budgets and times do.

mod notes;

use abi::SlotId;
use abi::message::NEVER;
use kernel_core::{Core, Settings};
use notes::{KILLED, Notes, start};

const HIGH: SlotId = 0;
/// Its CPU time may be limited.
const LIMITED: SlotId = 1;
const LOW: SlotId = 2;
/// As high as the one before it.
const EQUAL: SlotId = 3;
const N: usize = 4;
const PRIORITIES: [u8; N] = [9, 7, 5, 5];
const ALL: [SlotId; N] = [HIGH, LIMITED, LOW, EQUAL];

const SLICE: u64 = 10;
const BUDGET: u64 = 30;
const PERIOD: u64 = 100;

struct World {
    core: Core<N>,
    notes: Notes,
}

impl World {
    /// Those in `ready` want the CPU since 2, the others wait for ever.
    fn new(budget: u64, ready: &[SlotId]) -> Self {
        let mut core = Core::new(SLICE);
        let mut notes = Notes::default();
        for (slot, priority) in (0..).zip(PRIORITIES) {
            let budget = if slot == LIMITED { budget } else { 0 };
            core.configure(slot, Settings { priority, budget, budget_period: PERIOD, ..Settings::default() });
            start(&mut core, slot, 2);
        }
        for slot in ALL.into_iter().filter(|slot| !ready.contains(slot)) {
            core.recv(slot, 0, NEVER, 2, &mut notes);
        }
        Self { core, notes }
    }

    fn wait(&mut self, slot: SlotId, now: u64) {
        self.core.recv(slot, 0, NEVER, now, &mut self.notes);
    }

    fn wake(&mut self, slot: SlotId, now: u64) {
        self.core.notify(slot, 1, now, &mut self.notes);
    }

    /// The timer fires at `now`, as it was told to, and somebody is chosen.
    fn fire(&mut self, now: u64) -> Option<SlotId> {
        assert_eq!(self.core.timer(), now, "the timer fires when it must, not before");
        self.core.tick(now, &mut self.notes);
        self.core.pick(now)
    }
}

#[test]
fn who_is_next_is_known_before_it_has_the_cpu() {
    let mut world = World::new(0, &[LIMITED, LOW]);
    assert_eq!((world.core.next(), world.core.current()), (Some(LIMITED), None));
    assert_eq!(world.core.pick(2), Some(LIMITED));
    assert_eq!((world.core.current(), world.core.current_index()), (Some(LIMITED), usize::from(LIMITED)));
    world.wait(LIMITED, 3);
    assert_eq!((world.core.next(), world.core.current()), (Some(LOW), Some(LIMITED)));
    assert_eq!(world.core.pick(3), Some(LOW));
    assert_eq!(world.core.current_index(), usize::from(LOW));
    world.wait(LOW, 4);
    assert_eq!((world.core.next(), world.core.pick(4)), (None, None));
    assert!(world.core.current_index() < N, "any slot");
}

#[test]
fn who_has_the_cpu_keeps_it_while_it_wants_it_and_nobody_can_come_before_it() {
    let mut world = World::new(0, &[LIMITED, LOW]);
    assert_eq!(world.core.pick(2), Some(LIMITED));
    assert!(world.core.keeps_cpu(LIMITED), "the other is lower");
    world.wake(HIGH, 3);
    assert!(!world.core.keeps_cpu(LIMITED), "a higher one wants it");
    world.wait(HIGH, 3);
    assert!(world.core.keeps_cpu(LIMITED));
    world.wait(LIMITED, 4);
    assert!(!world.core.keeps_cpu(LIMITED), "it wants it no more");
    assert_eq!(world.core.pick(4), Some(LOW));
    assert!(world.core.keeps_cpu(LOW));
    world.wake(EQUAL, 5);
    assert!(!world.core.keeps_cpu(LOW), "an equal wants its turn");
}

#[test]
fn a_slot_with_a_budget_never_keeps_the_cpu_without_a_look_at_it() {
    let mut world = World::new(BUDGET, &[LIMITED]);
    assert_eq!(world.core.pick(2), Some(LIMITED));
    assert!(!world.core.keeps_cpu(LIMITED));
    // A limit can be lifted and set while the slot runs.
    world.core.configure(LIMITED, Settings { priority: 7, ..Settings::default() });
    assert!(world.core.keeps_cpu(LIMITED));
    world.core.configure(LIMITED, Settings { priority: 7, budget: BUDGET, ..Settings::default() });
    world.core.configure(LIMITED, Settings { priority: 7, budget: BUDGET, ..Settings::default() });
    assert!(!world.core.keeps_cpu(LIMITED));
}

#[test]
fn the_next_incarnation_keeps_the_cpu_as_the_one_before_did() {
    let mut world = World::new(BUDGET, &[HIGH, LIMITED, LOW]);
    for slot in [HIGH, LIMITED] {
        world.core.die(slot, KILLED, 3, &mut world.notes);
        start(&mut world.core, slot, 3);
    }
    assert_eq!(world.core.pick(3), Some(HIGH));
    assert!(world.core.keeps_cpu(HIGH), "all others are lower, as before");
    world.wait(HIGH, 4);
    assert_eq!(world.core.pick(4), Some(LIMITED));
    assert!(!world.core.keeps_cpu(LIMITED), "its time is limited, as before");
}

#[test]
fn the_timer_is_set_for_the_turns_of_equals_and_not_otherwise() {
    let mut world = World::new(0, &[LIMITED, LOW]);
    assert_eq!((world.core.pick(2), world.core.timer()), (Some(LIMITED), NEVER), "the other is lower");
    world.wait(LIMITED, 3);
    assert_eq!((world.core.pick(3), world.core.timer()), (Some(LOW), NEVER), "nobody else wants it");
    world.wake(EQUAL, 4);
    assert_eq!((world.core.pick(4), world.core.timer()), (Some(LOW), 4 + SLICE));
    assert_eq!((world.fire(4 + SLICE), world.core.timer()), (Some(EQUAL), 4 + 2 * SLICE));
    world.core.set_slice(3);
    assert_eq!((world.fire(4 + 2 * SLICE), world.core.timer()), (Some(LOW), 4 + 2 * SLICE + 3));
}

#[test]
fn the_first_who_asks_has_the_first_turn_whatever_its_number() {
    let mut world = World::new(0, &[]);
    world.wake(EQUAL, 3);
    world.wake(LOW, 4);
    assert_eq!(world.core.pick(5), Some(EQUAL));
}

#[test]
fn a_spent_budget_demotes_behind_everybody_until_its_period_ends() {
    let mut world = World::new(BUDGET, &[LIMITED, LOW]);
    // The period begins when it is first looked at.
    let (begin, end) = (4, 4 + PERIOD);
    assert_eq!((world.core.pick(begin), world.core.timer()), (Some(LIMITED), begin + BUDGET));
    // A higher one interrupts it for 5: what is left of the budget is what it has not used.
    world.wake(HIGH, 14);
    assert_eq!(world.core.pick(14), Some(HIGH));
    world.wait(HIGH, 19);
    assert_eq!((world.core.pick(19), world.core.timer()), (Some(LIMITED), begin + BUDGET));
    // So the timer is early by these 5, and is set anew.
    assert_eq!(world.fire(begin + BUDGET), Some(LIMITED));
    assert_eq!(world.fire(begin + BUDGET + 5), Some(LOW));
    // No turns: nobody of its priority wants the CPU, though one of a higher one does, who may not have it.
    assert_eq!(world.core.timer(), end);
    assert_eq!(world.core.next(), Some(LOW));
    world.wait(LOW, 50);
    assert_eq!(
        (world.core.pick(50), world.core.timer()),
        (Some(LIMITED), end),
        "it may run when nobody else wants to"
    );
    world.wake(LOW, 60);
    assert_eq!(world.core.pick(60), Some(LOW));
    assert_eq!((world.fire(end), world.core.timer()), (Some(LIMITED), end + BUDGET), "the next period");
}

#[test]
fn a_budget_of_one_who_does_not_want_the_cpu_needs_no_timer() {
    let mut world = World::new(BUDGET, &[LIMITED, LOW]);
    assert_eq!(world.core.pick(4), Some(LIMITED));
    world.wait(LIMITED, 10);
    assert_eq!(world.core.pick(10), Some(LOW));
    // What was set for its budget fires once, in vain.
    assert_eq!((world.fire(4 + BUDGET), world.core.timer()), (Some(LOW), NEVER));
}

#[test]
fn time_without_the_cpu_counts_as_starved_and_is_excused() {
    let mut world = World::new(0, &[HIGH, LOW]);
    world.core.recv(LOW, 0, 2, 2, &mut world.notes);
    world.core.call(EQUAL, LOW, 0, NEVER, 2, &mut world.notes).expect("it is open");
    assert_eq!(world.core.pick(2), Some(HIGH));
    world.wait(HIGH, 50);
    assert_eq!(world.core.pick(50), Some(LOW));
    // What the switch adds, and what a look in between has added.
    assert_eq!((world.core.slot(LOW).starved, world.core.slot(LOW).cpu), (48, 0));
    assert_eq!(world.core.service_age(LOW, 53), 3);
    world.wake(HIGH, 60);
    assert_eq!(world.core.pick(60), Some(HIGH));
    assert_eq!(world.core.service_age(LOW, 75), 10);
    assert_eq!((world.core.slot(LOW).starved, world.core.slot(LOW).cpu), (48 + 15, 10));
}

#[test]
fn cpu_time_since_it_asked_to_receive_begins_anew_each_time() {
    let mut world = World::new(0, &[LOW]);
    assert_eq!(world.core.pick(2), Some(LOW));
    assert_eq!(world.core.cpu_since_receive(LOW, 9), 7);
    world.core.recv(LOW, 0, 12, 12, &mut world.notes);
    assert_eq!(world.core.cpu_since_receive(LOW, 15), 3);
    assert_eq!(world.core.slot(LOW).cpu, 13);
}

#[test]
fn idle_time_is_the_sum_of_all_times_nobody_wanted_the_cpu() {
    let mut world = World::new(0, &[LOW]);
    assert_eq!(world.core.pick(2), Some(LOW));
    world.wait(LOW, 10);
    assert_eq!((world.core.pick(10), world.core.idle(14)), (None, 2 + 4));
    world.wake(LOW, 15);
    assert_eq!((world.core.pick(15), world.core.idle(30)), (Some(LOW), 2 + 5));
    world.wait(LOW, 40);
    assert_eq!((world.core.pick(40), world.core.idle(41)), (None, 2 + 5 + 1));
}
