//! Model check: RS dies between any two actions, components die at any moment, and the shipped supervisor copes.

mod common;

use abi::record::{DeathClass, SlotState};
use common::Kernel;
use reincarnation_core::{Action, Policy, Standing, Supervisor};
use stateright::{Checker, Model, Property};

const N: usize = 2;

/// Bounds of the search.
struct World {
    deaths: u8,
    rs_deaths: u8,
    policies: [Policy; N],
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    kernel: Kernel<N>,
    supervisor: Supervisor<N>,
    deaths: u8,
    rs_deaths: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Event {
    /// RS does its next action.
    Act,
    /// RS reads its notifications, as it may between any two actions.
    Notice,
    /// Nothing happens until RS's deadline.
    Pass,
    /// RS dies and is started again.
    RsDies,
    /// A component dies.
    Dies(u8, DeathClass, bool),
}

impl State {
    /// What RS waits for; `None` while it has something to do.
    fn waits(&self) -> Option<u64> {
        match self.supervisor.clone().next(self.kernel.now) {
            Action::Wait(until) => Some(until),
            _ => None,
        }
    }

    fn notified(&self) -> bool {
        self.kernel.slots.iter().any(|slot| slot.unacknowledged)
    }

    /// RS knows all and has nothing more to do, ever.
    fn is_settled(&self) -> bool {
        self.waits() == Some(u64::MAX) && !self.notified()
    }
}

impl Model for World {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let kernel = Kernel::new(self.policies);
        let supervisor = kernel.adopt();
        vec![State { kernel, supervisor, deaths: self.deaths, rs_deaths: self.rs_deaths }]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        match state.waits() {
            None => events.push(Event::Act),
            Some(until) if until < u64::MAX => events.push(Event::Pass),
            Some(_) => {}
        }
        if state.notified() {
            events.push(Event::Notice);
        }
        if state.rs_deaths > 0 {
            events.push(Event::RsDies);
        }
        for (index, slot) in state.kernel.slots.iter().enumerate() {
            if state.deaths > 0 && slot.state == SlotState::Running {
                events.push(Event::Dies(index as u8, DeathClass::Panic, true));
                events.push(Event::Dies(index as u8, DeathClass::Panic, false));
                events.push(Event::Dies(index as u8, DeathClass::Killed, true));
            }
        }
    }

    fn next_state(&self, last: &State, event: Event) -> Option<State> {
        let mut state = last.clone();
        match event {
            Event::Act => {
                let action = state.supervisor.next(state.kernel.now);
                state.kernel.perform(&mut state.supervisor, action);
            }
            Event::Notice => state.kernel.notice(&mut state.supervisor),
            Event::Pass => state.kernel.now = state.waits()?.max(state.kernel.now),
            Event::RsDies => {
                state.supervisor = state.kernel.adopt();
                state.rs_deaths -= 1;
            }
            Event::Dies(slot, class, was_ready) => {
                state.kernel.die(slot, class, was_ready);
                state.deaths -= 1;
            }
        }
        // What was reported, and in which order things were started, decides nothing: forget it, or equal states differ.
        state.kernel.reports.clear();
        state.kernel.starts.clear();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            // A start of a slot that runs or whose death is not acknowledged panics in the fake kernel.
            Property::always("settled: what is wanted runs, nothing else does", |_, state: &State| {
                !state.is_settled()
                    || state.kernel.slots.iter().enumerate().all(|(index, slot)| {
                        let wanted =
                            state.supervisor.history(index as u8).unwrap().standing == Standing::Supervised;
                        wanted == (slot.state == SlotState::Running)
                    })
            }),
            Property::always("settled: every failure is counted once", |_, state: &State| {
                !state.is_settled()
                    || state.kernel.slots.iter().enumerate().all(|(index, slot)| {
                        state.supervisor.history(index as u8).unwrap().failures == slot.failures
                    })
            }),
            Property::sometimes("a component ends in quarantine", |_, state: &State| {
                (0..N).any(|slot| {
                    let standing = state.supervisor.history(slot as u8).unwrap().standing;
                    matches!(standing, Standing::Quarantined(_))
                })
            }),
            Property::sometimes("everything settles after all deaths", |_, state: &State| {
                state.deaths == 0 && state.rs_deaths == 0 && state.is_settled()
            }),
        ]
    }
}

fn policy(group: u32) -> Policy {
    Policy {
        backoff_first: 100,
        backoff_max: 1000,
        intensity: 1,
        intensity_window: 10_000,
        state_tries: 1,
        group,
        ..Policy::default()
    }
}

fn check(world: World) {
    let checker = world.checker().threads(2).spawn_bfs().join();
    println!("{} states, {} distinct", checker.state_count(), checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn rs_may_die_at_any_instant_of_a_restart() {
    check(World { deaths: 2, rs_deaths: 2, policies: [policy(0), policy(0)] });
}

#[test]
fn rs_may_die_at_any_instant_of_the_restart_of_a_group() {
    check(World { deaths: 2, rs_deaths: 1, policies: [policy(0b10), policy(0b01)] });
}

#[test]
#[ignore = "takes minutes: part of the soak"]
fn rs_may_die_again_and_again() {
    check(World { deaths: 3, rs_deaths: 3, policies: [policy(0b10), policy(0)] });
}
