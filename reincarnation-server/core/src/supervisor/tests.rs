//! What no correct supervisor gets into: one that is wrong about itself.

use super::*;

const POLICY: Policy = Policy {
    heartbeat_period: 0,
    hang_cpu: 0,
    max_service: 0,
    restart_bound: 0,
    backoff_first: 0,
    backoff_max: 0,
    intensity: 0,
    intensity_window: 0,
    state_tries: 2,
    group: 0,
    suppliers: 0,
};

/// Of one slot that is to be started.
fn supervisor() -> Supervisor<2> {
    let mut supervisor = Supervisor::new(1);
    let found = Found {
        state: SlotState::Empty,
        incarnation: 0,
        closed: false,
        unacknowledged: false,
        priority: 1,
        manual: false,
    };
    supervisor.adopt(0, 1, &found, POLICY, None);
    supervisor
}

#[test]
fn a_supervisor_that_would_forget_somebody_ends_if_it_is_watched() {
    for (is_watched, expected) in [(true, Action::DoubtItself(1)), (false, Action::Wait(Ticks::MAX))] {
        let mut wrong = if is_watched { supervisor().watched() } else { supervisor() };
        // As one wrong instruction where it looks for whom to start leaves it.
        wrong.starts_from = Ticks::MAX;
        assert_eq!(wrong.next(10), expected);
        assert_eq!(supervisor().next(10), Action::Start(1));
    }
}

#[test]
fn a_wild_word_among_the_condemned_ends_nobody() {
    for is_watched in [true, false] {
        let mut wrong = if is_watched { supervisor().watched() } else { supervisor() };
        wrong.docket.distrust(0);
        wrong.docket.condemn(1, DeathClass::Hang);
        let first = if is_watched { Action::DoubtItself(0) } else { Action::Kill(1, DeathClass::Hang) };
        assert_eq!(wrong.next(10), first);
    }
}
