//! Model check: clients call, the server dies between any two of its steps, clients die and give up waiting, the service
//! is closed; and every call ends as its outcome says, executed once, or not at all.
//!
//! The server follows the rules of `protocols/`: before the effect of a deduplicated request it looks at the disk, where
//! it finds whether the same call has had its effect already.

use abi::message::{CallId, Meta, NEVER};
use abi::record::{Activity, SlotState};
use abi::{Outcome, SlotId, Status};
use kernel_core::{Core, Death, Effects, Marks, Settings};
use stateright::{Checker, Model, Property};

const SERVER: SlotId = 0;
const CLIENTS: [SlotId; 2] = [1, 2];
const N: usize = 3;

/// The three marks, as labels of requests.
const IDEMPOTENT: u8 = 0;
const ONCE: u8 = 1;
const DEDUPLICATED: u8 = 2;

/// How many of each event a search allows.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Budget {
    calls: u8,
    server_deaths: u8,
    client_deaths: u8,
    passes: u8,
    closes: u8,
}

/// A request that the server holds.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Held {
    call: CallId,
    label: u8,
    /// It outlived an earlier incarnation of the server.
    survivor: bool,
    /// The effect has been had, so that what remains is the answer.
    done: bool,
}

/// One call, as an observer outside sees it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Call {
    id: CallId,
    label: u8,
    /// Highest attempt with which it was delivered.
    attempt: u8,
    executions: u8,
    /// `None` while the caller waits.
    outcome: Option<Status>,
}

/// Everything around the core.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Around {
    held: Vec<Held>,
    calls: Vec<Call>,
    /// Something happened that must not.
    complaint: Option<&'static str>,
}

impl Around {
    fn call(&mut self, id: CallId) -> &mut Call {
        self.calls.iter_mut().find(|call| call.id == id).expect("only calls that were made are delivered")
    }

    /// The call that `client` waits for ends.
    fn end(&mut self, client: SlotId, status: Status) {
        let waiting = |call: &&mut Call| call.id.slot() == client && call.outcome.is_none();
        match self.calls.iter_mut().rev().find(waiting) {
            Some(call) => call.outcome = Some(status),
            None => self.complaint = Some("an outcome for a client that waits for none"),
        }
    }
}

impl Effects for Around {
    fn deliver(&mut self, _: SlotId, _: SlotId, call: CallId, meta: Meta) {
        let known = self.call(call);
        known.attempt = meta.attempt;
        let label = known.label;
        if meta.attempt > 0 && label == ONCE {
            self.complaint = Some("an at-most-once call was delivered again");
        }
        self.held.push(Held { call, label, survivor: meta.attempt > 0, done: false });
    }

    fn answer(&mut self, _: SlotId, caller: SlotId) {
        self.end(caller, Status::Ok);
    }

    fn fail(&mut self, caller: SlotId, status: Status) {
        self.end(caller, status);
    }

    fn notified(&mut self, _: SlotId, _: u64) {}

    fn timed_out(&mut self, _: SlotId) {}

    fn ready(&mut self, _: SlotId) {}

    fn poisoned(&mut self, _: SlotId, _: CallId) {}
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    core: Core<N>,
    around: Around,
    now: u64,
    left: Budget,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Event {
    /// The client calls, with or without a deadline.
    Calls(SlotId, u8, bool),
    Receives,
    /// The server executes the request that it holds at this place.
    Executes(usize),
    Replies(usize),
    /// The server dies, of its own fault or not.
    Dies(bool),
    ClientDies(SlotId),
    Starts(SlotId),
    Passes,
    Closes,
    Opens,
}

struct World(Budget);

impl State {
    fn lives(&self, slot: SlotId) -> bool {
        self.core.slot(slot).state == SlotState::Running
    }

    fn has_cpu(&self, slot: SlotId) -> bool {
        self.core.slot(slot).activity() == Activity::Ready
    }

    fn start(&mut self, slot: SlotId) {
        self.core.begin_loading(slot).expect("nothing of it lives");
        self.core.begin_running(slot, self.now);
    }

    fn die(&mut self, slot: SlotId, own_fault: bool) {
        let death = Death { own_fault, signature: 7 };
        self.core.die(slot, death, self.now, &mut self.around);
        self.core.acknowledge(slot);
    }

    fn call(&mut self, client: SlotId, label: u8, deadline: u64) {
        let id = CallId::new(client, self.core.slot(client).call_id().number() + 1);
        self.around.calls.push(Call { id, label, attempt: 0, executions: 0, outcome: None });
        if self.core.call(client, SERVER, label, deadline, self.now, &mut self.around).is_err() {
            // It never was a call, and its number is given to the next one.
            self.around.calls.pop();
        }
    }

    /// The server executes a request, unless the disk says that it has been executed.
    fn execute(&mut self, at: usize) {
        let Held { call, label, .. } = self.around.held[at];
        self.around.held[at].done = true;
        let truth = self.around.call(call);
        if label != DEDUPLICATED || truth.executions == 0 {
            truth.executions += 1;
        }
    }

    fn server_events(&self, events: &mut Vec<Event>) {
        if self.has_cpu(SERVER) {
            events.push(Event::Receives);
            for (at, held) in self.around.held.iter().enumerate() {
                events.push(if held.done { Event::Replies(at) } else { Event::Executes(at) });
            }
        }
        if !self.lives(SERVER) {
            events.push(Event::Starts(SERVER));
        } else if self.left.server_deaths > 0 {
            events.extend([Event::Dies(true), Event::Dies(false)]);
        }
        if self.core.slot(SERVER).is_closed() {
            events.push(Event::Opens);
        } else if self.left.closes > 0 {
            events.push(Event::Closes);
        }
    }

    /// What an observer outside may see of one call.
    fn is_as_promised(call: &Call) -> bool {
        let times = call.executions;
        let at_most = call.label == IDEMPOTENT || times <= 1;
        at_most
            && match call.outcome {
                None => true,
                Some(Status::Ok) => times >= 1,
                Some(status) => status.outcome() != Some(Outcome::NotExecuted) || times == 0,
            }
    }
}

impl Model for World {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let marks = Marks { idempotent: 1 << IDEMPOTENT, deduplicated: 1 << DEDUPLICATED };
        let mut core = Core::new(1000);
        for slot in 0..N as SlotId {
            core.configure(
                slot,
                Settings { priority: 9 - slot, marks, serves: slot == SERVER, ..Settings::default() },
            );
        }
        let mut state = State { core, around: Around::default(), now: 1, left: self.0.clone() };
        for slot in 0..N as SlotId {
            state.start(slot);
        }
        vec![state]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        state.server_events(events);
        for client in CLIENTS {
            if !state.lives(client) {
                events.push(Event::Starts(client));
                continue;
            }
            if state.has_cpu(client) && state.left.calls > 0 {
                for label in [IDEMPOTENT, ONCE, DEDUPLICATED] {
                    events.push(Event::Calls(client, label, state.left.passes > 0));
                }
            }
            if state.left.client_deaths > 0 {
                events.push(Event::ClientDies(client));
            }
        }
        if state.left.passes > 0 {
            events.push(Event::Passes);
        }
    }

    fn next_state(&self, last: &State, event: Event) -> Option<State> {
        let mut state = last.clone();
        match event {
            Event::Calls(client, label, limited) => {
                state.left.calls -= 1;
                let deadline = if limited { state.now + 10 } else { NEVER };
                state.call(client, label, deadline);
            }
            Event::Receives => state.core.recv(SERVER, 0, NEVER, state.now, &mut state.around),
            Event::Executes(at) => state.execute(at),
            Event::Replies(at) => {
                let call = state.around.held.remove(at).call;
                let waits =
                    state.around.call(call).outcome.is_none() && state.core.in_service(SERVER, call).is_ok();
                let accepted = state.core.reply(SERVER, call, state.now, &mut state.around).is_ok();
                if accepted != waits {
                    state.around.complaint =
                        Some("a reply was accepted that nobody waits for, or the reverse");
                }
            }
            Event::Dies(own_fault) => {
                state.left.server_deaths -= 1;
                state.around.held.clear();
                state.die(SERVER, own_fault);
            }
            Event::ClientDies(client) => {
                state.left.client_deaths -= 1;
                // Nobody is told, so that nothing is promised: as if it were unknown.
                let waiting = |call: &&mut Call| call.id.slot() == client && call.outcome.is_none();
                if let Some(call) = state.around.calls.iter_mut().find(waiting) {
                    call.outcome = Some(Status::UnknownDied);
                }
                state.die(client, true);
            }
            Event::Starts(slot) => state.start(slot),
            Event::Passes => {
                state.left.passes -= 1;
                state.now += 10;
                state.core.tick(state.now, &mut state.around);
            }
            Event::Closes => {
                state.left.closes -= 1;
                state.core.close(SERVER, state.now, &mut state.around);
            }
            Event::Opens => state.core.open(SERVER),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing happens that must not", |_, state: &State| {
                state.around.complaint.is_none()
            }),
            Property::always("a call that outlived a server is served alone", |_, state: &State| {
                // Requests whose callers have gone may still be worked on: the kernel cannot take them back.
                let waited_for = |held: &&Held| {
                    state.around.calls.iter().any(|call| call.id == held.call && call.outcome.is_none())
                };
                let held: Vec<&Held> = state.around.held.iter().filter(waited_for).collect();
                held.len() <= 1 || held.iter().all(|held| !held.survivor)
            }),
            Property::always("every call is executed as often as its outcome allows", |_, state: &State| {
                state.around.calls.iter().all(State::is_as_promised)
            }),
            Property::always(
                "a server that waits leaves nobody waiting without cause",
                |_, state: &State| {
                    let server = state.core.slot(SERVER);
                    server.activity() != Activity::Receiving || server.queued == 0 || server.in_service != 0
                },
            ),
            Property::sometimes(
                "a deduplicated call survives two deaths and is executed once",
                |_, state: &State| {
                    state.around.calls.iter().any(|call| {
                        call.label == DEDUPLICATED
                            && call.outcome == Some(Status::Ok)
                            && (call.attempt, call.executions) == (2, 1)
                    })
                },
            ),
            Property::sometimes("a call is poison", |_, state: &State| {
                state.around.calls.iter().any(|call| call.outcome == Some(Status::Poisoned))
            }),
            Property::sometimes("an executed call is unknown", |_, state: &State| {
                let unknown = |call: &Call| {
                    call.executions == 1
                        && call.outcome.is_some_and(|status| status.outcome() == Some(Outcome::Unknown))
                };
                state.around.calls.iter().any(unknown)
            }),
        ]
    }
}

fn check(budget: Budget) {
    World(budget).checker().threads(2).spawn_bfs().join().assert_properties();
}

#[test]
fn two_deaths_of_the_server_change_no_outcome() {
    check(Budget { calls: 2, server_deaths: 2, client_deaths: 0, passes: 0, closes: 1 });
}

#[test]
fn nor_do_deadlines_and_deaths_of_clients() {
    check(Budget { calls: 2, server_deaths: 2, client_deaths: 1, passes: 1, closes: 0 });
}
