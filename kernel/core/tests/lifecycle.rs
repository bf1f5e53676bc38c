//! What outlives an incarnation, field by field, and what does not; what a death does to who has the CPU.

use abi::message::{CallId, Meta, NEVER, bits};
use abi::record::{Activity, SlotState};
use abi::{SlotId, Status};
use kernel_core::{Core, Death, Effects, Settings};

const SERVER: SlotId = 0;
const CLIENT: SlotId = 1;
const OTHER: SlotId = 2;

const DEATH: Death = Death { own_fault: false, signature: 1 };

#[derive(Default)]
struct Notes {
    notified: Vec<(SlotId, u64)>,
    delivered: Vec<CallId>,
}

impl Effects for Notes {
    fn deliver(&mut self, _: SlotId, _: SlotId, call: CallId, _: Meta) {
        self.delivered.push(call);
    }

    fn answer(&mut self, _: SlotId, _: SlotId) {}

    fn fail(&mut self, _: SlotId, _: Status) {}

    fn notified(&mut self, slot: SlotId, bits: u64) {
        self.notified.push((slot, bits));
    }

    fn timed_out(&mut self, _: SlotId) {}

    fn ready(&mut self, _: SlotId) {}

    fn poisoned(&mut self, _: SlotId, _: CallId) {}
}

fn start(core: &mut Core<3>, slot: SlotId, now: u64) {
    core.begin_loading(slot).expect("nothing of it lives");
    core.begin_running(slot, now);
}

/// Three slots that were started at 5, the server with the highest priority.
fn core() -> Core<3> {
    let mut core = Core::new(1000);
    for slot in [SERVER, CLIENT, OTHER] {
        core.configure(slot, Settings { priority: 9 - slot, serves: slot == SERVER, ..Settings::default() });
    }
    [SERVER, CLIENT, OTHER].into_iter().for_each(|slot| start(&mut core, slot, 5));
    core
}

#[test]
fn a_first_incarnation_has_just_begun() {
    let core = core();
    let client = core.slot(CLIENT);
    assert_eq!((client.state, client.incarnation, client.deaths), (SlotState::Running, 1, 0));
    assert_eq!((client.started, client.last_receive), (5, 5));
    assert_eq!((client.activity(), client.ready, client.unacknowledged), (Activity::Ready, false, false));
}

#[test]
fn the_next_incarnation_has_what_the_slot_keeps_and_nothing_else() {
    let (mut core, mut notes) = (core(), Notes::default());
    core.recv(SERVER, 0, NEVER, 6, &mut notes);
    core.call(CLIENT, SERVER, 3, NEVER, 6, &mut notes).expect("the server is open");
    core.call(OTHER, SERVER, 3, NEVER, 6, &mut notes).expect("the server is open");
    core.notify(CLIENT, 0b101 | bits::DEATH | bits::HEARTBEAT, 6, &mut notes);
    assert!(core.slot(CLIENT).heartbeat_pending());
    core.die(CLIENT, DEATH, 7, &mut notes);
    let client = core.slot(CLIENT);
    assert_eq!((client.state, client.activity(), client.deaths), (SlotState::Dead, Activity::None, 1));
    assert!(client.unacknowledged && !client.heartbeat_pending() && !client.has_deadline());
    assert_eq!(core.slot(SERVER).in_service, 0, "the server has nothing of the dead one's");

    start(&mut core, CLIENT, 9);
    let client = core.slot(CLIENT);
    assert_eq!((client.incarnation, client.started, client.last_receive), (2, 9, 9));
    assert_eq!((client.deaths, client.unacknowledged, client.ready), (1, true, false));
    assert_eq!((client.priority(), client.blocked_on(), client.cpu), (8, None, 0));
    // Its times begin with it: it waits for the CPU, has it, and so on. The server takes the other's request, and waits.
    core.recv(SERVER, 0, NEVER, 9, &mut notes);
    core.recv(SERVER, 0, NEVER, 9, &mut notes);
    assert_eq!(core.pick(10), Some(CLIENT));
    assert_eq!((core.slot(CLIENT).starved, core.cpu_since_receive(CLIENT, 12)), (1, 2));
    // Call numbers go on, so that no answer to an earlier call is one to a later one.
    core.call(CLIENT, SERVER, 3, NEVER, 12, &mut notes).expect("the server is open");
    assert_eq!(core.slot(CLIENT).call_id(), CallId::new(CLIENT, 2));
    core.abandon(CLIENT, 12, &mut notes);
    // The word is sticky, but for the question whether the dead one lives.
    core.recv(CLIENT, 0, NEVER, 12, &mut notes);
    assert_eq!(notes.notified, [(CLIENT, 0b101 | bits::DEATH)]);
    core.die(CLIENT, DEATH, 13, &mut notes);
    assert_eq!(core.slot(CLIENT).deaths, 2);
}

#[test]
fn callers_wait_for_the_next_incarnation_and_a_closed_slot_stays_closed() {
    let (mut core, mut notes) = (core(), Notes::default());
    core.call(CLIENT, SERVER, 3, NEVER, 6, &mut notes).expect("the server is open");
    core.die(SERVER, DEATH, 7, &mut notes);
    core.close(OTHER, 7, &mut notes);
    core.die(OTHER, DEATH, 7, &mut notes);
    core.acknowledge(OTHER);
    start(&mut core, SERVER, 8);
    start(&mut core, OTHER, 8);
    assert_eq!(core.slot(SERVER).queued, 1 << CLIENT);
    assert!(core.slot(OTHER).is_closed() && !core.slot(SERVER).is_closed());
    assert!(!core.slot(OTHER).unacknowledged && core.slot(SERVER).unacknowledged);
    assert_eq!((core.next_dead(0, 0b111), core.next_dead(1, 0b111)), (Some(SERVER), None));
    assert_eq!(core.next_dead(0, 0b110), None, "a dead one that is not asked for");
    core.recv(SERVER, 0, NEVER, 8, &mut notes);
    assert_eq!(notes.delivered, [CallId::new(CLIENT, 1)]);
}

#[test]
fn loading_may_be_given_up_and_nothing_else() {
    let (mut core, mut notes) = (core(), Notes::default());
    core.stop_loading(CLIENT);
    assert_eq!(core.slot(CLIENT).state, SlotState::Running);
    assert_eq!(core.begin_loading(CLIENT), Err(Status::WrongState));
    core.die(CLIENT, DEATH, 6, &mut notes);
    core.stop_loading(CLIENT);
    assert_eq!(core.slot(CLIENT).state, SlotState::Dead);
    assert_eq!(core.begin_loading(CLIENT), Ok(()));
    assert_eq!(core.begin_loading(CLIENT), Ok(()), "it goes on");
    core.stop_loading(CLIENT);
    assert_eq!(core.slot(CLIENT).state, SlotState::Empty);
}

#[test]
fn only_the_death_of_who_has_the_cpu_frees_it() {
    let (mut core, mut notes) = (core(), Notes::default());
    assert_eq!(core.pick(6), Some(SERVER));
    core.die(OTHER, DEATH, 7, &mut notes);
    assert_eq!(core.current(), Some(SERVER));
    core.die(CLIENT, DEATH, 7, &mut notes);
    core.die(SERVER, DEATH, 10, &mut notes);
    assert_eq!((core.current(), core.pick(12)), (None, None));
    // Until 6 nobody had it, from 10 on nobody has.
    assert_eq!(core.idle(15), 6 + 5);
}
