//! The rules about requests, one example each: which is received next, what a refused or late one is told, when the age of
//! those that wait begins, and what is left alone.

mod notes;

use abi::message::{NEVER, bits};
use abi::record::Activity;
use abi::syscall::RECV_NOTIFICATIONS;
use abi::{SlotId, Status};
use kernel_core::{Core, Marks, Settings};
use notes::Effect::{Answer, Deliver, Fail, Notified, Ready, TimedOut};
use notes::{KILLED, Notes, start};

const SERVER: SlotId = 0;
/// Of lowest priority, and highest: not in the order of their numbers.
const LOW: SlotId = 1;
const HIGH: SlotId = 2;
const MIDDLE: SlotId = 3;
/// As high as the one before it.
const EQUAL: SlotId = 4;
const N: usize = 5;
const PRIORITIES: [u8; N] = [20, 3, 9, 6, 6];

/// Label of requests that are delivered again.
const AGAIN: u8 = 1;
/// Label of requests that are not.
const ONCE: u8 = 2;

struct World {
    core: Core<N>,
    notes: Notes,
    now: u64,
}

impl World {
    /// Everybody runs, and nobody has received.
    fn new() -> Self {
        let mut core = Core::new(1000);
        let marks = Marks { idempotent: 1 << AGAIN, deduplicated: 0 };
        for (slot, priority) in (0..).zip(PRIORITIES) {
            core.configure(slot, Settings { priority, marks, serves: slot == SERVER, ..Settings::default() });
            start(&mut core, slot, 1);
        }
        Self { core, notes: Notes::default(), now: 1 }
    }

    fn call_until(&mut self, caller: SlotId, label: u8, deadline: u64) -> Result<(), Status> {
        self.core.call(caller, SERVER, label, deadline, self.now, &mut self.notes)
    }

    fn call(&mut self, caller: SlotId, label: u8) {
        self.call_until(caller, label, NEVER).expect("the server is open");
    }

    fn recv(&mut self, slot: SlotId) {
        self.core.recv(slot, 0, NEVER, self.now, &mut self.notes);
    }

    fn reply(&mut self, caller: SlotId) -> Result<SlotId, Status> {
        let call = self.core.slot(caller).call_id();
        self.core.reply(SERVER, call, self.now, &mut self.notes)
    }

    /// The server dies, and its next incarnation lives.
    fn restart(&mut self) {
        self.core.die(SERVER, KILLED, self.now, &mut self.notes);
        start(&mut self.core, SERVER, self.now);
    }

    /// Who is received, in order, when the server answers one after the other.
    fn received(&mut self, times: usize) -> Vec<SlotId> {
        let mut order = Vec::new();
        for _ in 0..times {
            self.recv(SERVER);
            let caller = self.core.slot(SERVER).current().expect("a request waits");
            order.push(caller);
            self.reply(caller).expect("it is in service");
        }
        order
    }
}

#[test]
fn requests_are_received_by_priority_and_those_of_equals_in_order_of_arrival() {
    let mut world = World::new();
    for caller in [LOW, EQUAL, MIDDLE, HIGH] {
        world.call(caller, AGAIN);
    }
    assert_eq!(world.received(4), [HIGH, EQUAL, MIDDLE, LOW]);
}

#[test]
fn a_moment_that_passes_does_not_change_the_order_of_arrival() {
    let mut world = World::new();
    // The one that has the CPU takes its turn anew at each tick: not when it waits in a queue.
    for caller in [LOW, HIGH] {
        world.core.recv(caller, 0, NEVER, 1, &mut world.notes);
    }
    world.core.recv(SERVER, RECV_NOTIFICATIONS, NEVER, 1, &mut world.notes);
    assert_eq!(world.core.pick(1), Some(MIDDLE));
    world.call(MIDDLE, AGAIN);
    world.call(EQUAL, AGAIN);
    world.core.tick(2, &mut world.notes);
    world.core.notify(SERVER, 1, 2, &mut world.notes);
    assert_eq!(world.received(2), [MIDDLE, EQUAL]);
}

#[test]
fn a_request_that_outlived_a_server_is_received_first_and_alone() {
    let mut world = World::new();
    world.call(LOW, AGAIN);
    world.recv(SERVER);
    world.call(HIGH, AGAIN);
    world.call(MIDDLE, AGAIN);
    world.restart();
    world.notes.take();
    world.recv(SERVER);
    world.recv(SERVER);
    assert_eq!(world.notes.take(), [Ready(SERVER), Deliver(SERVER, LOW, 1)]);
    assert_eq!(world.core.slot(SERVER).activity(), Activity::Receiving, "nothing beside it");
    // Its caller gives up waiting: those that waited behind it are received by the waiting server at once.
    world.core.abandon(LOW, 1, &mut world.notes);
    assert_eq!(world.notes.take(), [Deliver(SERVER, HIGH, 0)]);
    world.recv(SERVER);
    assert_eq!(world.notes.take(), [Deliver(SERVER, MIDDLE, 0)], "others are received beside others");
}

#[test]
fn the_only_request_that_waits_is_not_received_beside_one_that_outlived_a_server() {
    let mut world = World::new();
    world.call(LOW, AGAIN);
    world.recv(SERVER);
    world.restart();
    world.recv(SERVER);
    world.call(HIGH, AGAIN);
    world.notes.take();
    world.recv(SERVER);
    assert_eq!(world.notes.take(), []);
    world.core.notify(SERVER, 1, 1, &mut world.notes);
    world.reply(LOW).expect("it is in service");
    world.notes.take();
    world.recv(SERVER);
    assert_eq!(world.notes.take(), [Deliver(SERVER, HIGH, 0)]);
}

#[test]
fn either_mark_is_enough_to_be_delivered_again_and_so_are_both() {
    let (idempotent, deduplicated, both) = (1, 2, 3);
    let marks =
        Marks { idempotent: 1 << idempotent | 1 << both, deduplicated: 1 << deduplicated | 1 << both };
    for (label, again) in [(0, false), (idempotent, true), (deduplicated, true), (both, true)] {
        let mut world = World::new();
        world.core.configure(SERVER, Settings { priority: 20, marks, ..Settings::default() });
        world.call(LOW, label);
        world.recv(SERVER);
        world.restart();
        assert_eq!(world.core.slot(LOW).activity() == Activity::Queued, again, "label {label}");
    }
}

#[test]
fn attempts_are_counted_up_to_255_and_no_further() {
    let mut world = World::new();
    world.call(LOW, AGAIN);
    let mut attempts = Vec::new();
    for _ in 0..258 {
        world.recv(SERVER);
        attempts.extend(world.notes.take().into_iter().filter_map(|effect| match effect {
            Deliver(_, _, attempt) => Some(u32::from(attempt)),
            _ => None,
        }));
        world.restart();
    }
    let expected: Vec<u32> = (0..258).map(|deaths| deaths.min(255)).collect();
    assert_eq!(attempts, expected);
    // No death was the server's own: the first that is does not make it poison.
    world.recv(SERVER);
    let death = kernel_core::Death { own_fault: true, signature: 0 };
    world.core.die(SERVER, death, 1, &mut world.notes);
    assert_eq!(world.core.slot(LOW).activity(), Activity::Queued);
}

#[test]
fn a_refused_call_changes_nothing_and_its_number_is_not_used_up() {
    let mut world = World::new();
    world.core.close(SERVER, 1, &mut world.notes);
    assert_eq!(world.call_until(LOW, AGAIN, NEVER), Err(Status::Unavailable));
    world.core.open(SERVER);
    assert_eq!(world.call_until(LOW, AGAIN, 1), Err(Status::Expired), "its deadline is now");
    assert_eq!(world.core.slot(LOW).activity(), Activity::Ready);
    assert_eq!(world.core.slot(LOW).call_id().number(), 0);
    assert_eq!(world.call_until(LOW, ONCE, 2), Ok(()));
    let low = world.core.slot(LOW);
    assert_eq!((low.call_id().number(), low.label(), low.blocked_on()), (1, ONCE, Some(SERVER)));
}

#[test]
fn a_call_is_answered_once() {
    let mut world = World::new();
    world.call(LOW, AGAIN);
    assert_eq!(world.reply(LOW), Err(Status::Stale), "it has not been received");
    world.recv(SERVER);
    assert_eq!(world.reply(LOW), Ok(LOW));
    assert_eq!(world.reply(LOW), Err(Status::Stale));
    assert_eq!(world.notes.take(), [Ready(SERVER), Deliver(SERVER, LOW, 0), Answer(SERVER, LOW)]);
}

#[test]
fn an_answer_to_another_slot_or_another_call_is_stale() {
    let mut world = World::new();
    world.recv(SERVER);
    world.call(LOW, AGAIN);
    let call = world.core.slot(LOW).call_id();
    let wrong_slot = abi::CallId::new(N as SlotId, call.number());
    let wrong_call = abi::CallId::new(LOW, call.number() + 1);
    assert_eq!(world.core.in_service(SERVER, wrong_slot), Err(Status::Stale), "there is no such slot");
    assert_eq!(world.core.in_service(SERVER, wrong_call), Err(Status::Stale));
    assert_eq!(world.core.in_service(SERVER, call), Ok(LOW));
}

#[test]
fn what_a_caller_is_told_says_whether_a_server_had_its_request() {
    let mut world = World::new();
    // In service with a server that dies, and queued again; another has only been queued.
    world.call_until(LOW, AGAIN, 50).expect("the server is open");
    world.recv(SERVER);
    world.call_until(HIGH, AGAIN, 50).expect("the server is open");
    world.restart();
    world.notes.take();
    let mut later = World { core: world.core.clone(), notes: Notes::default(), now: 50 };
    later.core.tick(50, &mut later.notes);
    assert_eq!(later.notes.take(), [Fail(LOW, Status::UnknownExpired), Fail(HIGH, Status::Expired)]);
    world.core.close(SERVER, 1, &mut world.notes);
    assert_eq!(world.notes.take(), [Fail(LOW, Status::UnknownDied), Fail(HIGH, Status::Unavailable)]);
}

#[test]
fn a_server_is_ready_when_it_first_receives_requests_and_others_when_they_first_receive() {
    let mut world = World::new();
    world.core.recv(SERVER, RECV_NOTIFICATIONS, 1, 1, &mut world.notes);
    assert_eq!(world.notes.take(), [TimedOut(SERVER)], "it waits for something else before");
    world.core.recv(SERVER, 0, 1, 1, &mut world.notes);
    world.core.recv(SERVER, 0, 1, 1, &mut world.notes);
    assert_eq!(world.notes.take(), [Ready(SERVER), TimedOut(SERVER), TimedOut(SERVER)]);
    world.core.recv(LOW, RECV_NOTIFICATIONS, 1, 1, &mut world.notes);
    world.core.recv(HIGH, 0, 1, 1, &mut world.notes);
    assert_eq!(world.notes.take(), [Ready(LOW), TimedOut(LOW), Ready(HIGH), TimedOut(HIGH)]);
}

#[test]
fn who_waits_for_notifications_only_is_given_no_request() {
    let mut world = World::new();
    world.call(LOW, AGAIN);
    world.core.recv(SERVER, RECV_NOTIFICATIONS, NEVER, 1, &mut world.notes);
    world.call(HIGH, AGAIN);
    assert_eq!(world.notes.take(), []);
    world.core.notify(SERVER, 0b11, 1, &mut world.notes);
    assert_eq!(world.notes.take(), [Notified(SERVER, 0b11)]);
    // And is given them when it waits for both, which the next receive says.
    world.recv(SERVER);
    assert_eq!(world.notes.take(), [Ready(SERVER), Deliver(SERVER, HIGH, 0)]);
}

#[test]
fn a_heartbeat_is_pending_until_something_is_received_however_often_it_is_sent() {
    let mut world = World::new();
    world.core.notify(SERVER, 1, 1, &mut world.notes);
    assert!(!world.core.slot(SERVER).heartbeat_pending(), "that was none");
    world.core.notify(SERVER, bits::HEARTBEAT, 1, &mut world.notes);
    world.core.notify(SERVER, bits::HEARTBEAT, 1, &mut world.notes);
    world.core.notify(SERVER, 2, 1, &mut world.notes);
    assert!(world.core.slot(SERVER).heartbeat_pending());
    world.recv(SERVER);
    assert!(!world.core.slot(SERVER).heartbeat_pending());
    assert_eq!(world.notes.take(), [Ready(SERVER), Notified(SERVER, bits::HEARTBEAT | 0b11)]);
}

#[test]
fn a_service_that_is_closed_twice_is_closed() {
    let mut world = World::new();
    world.core.close(SERVER, 1, &mut world.notes);
    world.core.close(SERVER, 1, &mut world.notes);
    assert!(world.core.slot(SERVER).is_closed());
    world.core.open(SERVER);
    world.core.open(SERVER);
    assert!(!world.core.slot(SERVER).is_closed());
}

#[test]
fn a_deadline_is_pending_while_something_waits_for_it() {
    let mut world = World::new();
    assert!(!world.core.slot(LOW).has_deadline());
    world.call_until(LOW, AGAIN, 9).expect("the server is open");
    assert!(world.core.slot(LOW).has_deadline());
    world.recv(SERVER);
    assert!(!world.core.slot(SERVER).has_deadline());
    world.reply(LOW).expect("it is in service");
    assert!(!world.core.slot(LOW).has_deadline());
}

/// A server that has received once and has the CPU all the time; nothing waits.
fn busy_server() -> World {
    let mut world = World::new();
    for slot in [LOW, HIGH, MIDDLE, EQUAL] {
        world.core.recv(slot, 0, NEVER, 1, &mut world.notes);
        world.core.notify(slot, 1, 1, &mut world.notes);
    }
    world.core.recv(SERVER, 0, 1, 1, &mut world.notes);
    assert_eq!(world.core.pick(1), Some(SERVER));
    world
}

#[test]
fn the_age_of_queued_requests_begins_with_the_first_of_them() {
    let mut world = busy_server();
    world.now = 10;
    world.call(LOW, AGAIN);
    world.now = 25;
    world.call(HIGH, AGAIN);
    assert_eq!(world.core.service_age(SERVER, 40), 30);
}

#[test]
fn a_queued_request_that_goes_away_makes_the_others_no_younger() {
    let mut world = busy_server();
    world.now = 10;
    world.call(LOW, AGAIN);
    world.call(HIGH, AGAIN);
    world.core.abandon(LOW, 25, &mut world.notes);
    assert_eq!(world.core.service_age(SERVER, 40), 30);
}

#[test]
fn a_request_in_service_that_goes_away_leaves_the_queued_ones_to_the_server_from_then_on() {
    let mut world = busy_server();
    world.now = 10;
    world.call(LOW, AGAIN);
    world.recv(SERVER);
    world.call(HIGH, AGAIN);
    world.core.abandon(LOW, 25, &mut world.notes);
    assert_eq!(world.core.service_age(SERVER, 40), 15);
}

#[test]
fn the_age_of_service_is_that_of_the_oldest_request() {
    let mut world = busy_server();
    assert_eq!(world.core.service_age(SERVER, 5), 0, "there is nothing to be done");
    world.now = 10;
    world.call(LOW, AGAIN);
    world.recv(SERVER);
    world.now = 30;
    world.call(HIGH, AGAIN);
    world.recv(SERVER);
    assert_eq!(world.core.service_age(SERVER, 40), 30);
    world.reply(LOW).expect("it is in service");
    assert_eq!(world.core.service_age(SERVER, 40), 10);
}
