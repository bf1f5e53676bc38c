//! Whatever happens in whatever order, RS's own deaths included, the supervisor keeps its promises.

mod common;

use abi::Status;
use abi::record::{Activity, DeathClass, SlotInfo, SlotState};
use common::Kernel;
use proptest::prelude::*;
use reincarnation_core::{Action, Cause, Command, Policy, Refusal, Report, ReportKind, Standing, Supervisor};

const N: usize = 4;

const POLICY: Policy = Policy {
    heartbeat_period: 0,
    hang_cpu: 0,
    max_service: 0,
    restart_bound: 0,
    backoff_first: 100,
    backoff_max: 1000,
    intensity: 5,
    intensity_window: 100_000,
    state_tries: 2,
    group: 0,
    suppliers: 0,
};

/// 3 calls 2, which calls 1.
const SUPPLIERS: [u32; N] = [0, 0, 0b10, 0b100];

#[derive(Clone, Debug)]
enum Step {
    Die(u8, DeathClass, bool),
    Pass(u64),
    Work(usize),
    RsDies,
    Stop(u8),
    Start(u8),
    Restart(u8),
    Release(u8),
    Complain(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let slot = 0..N as u8;
    let class = prop_oneof![
        Just(DeathClass::Panic),
        Just(DeathClass::Killed),
        Just(DeathClass::Exit),
        Just(DeathClass::CheckpointCorrupt)
    ];
    prop_oneof![
        4 => (slot.clone(), class, any::<bool>()).prop_map(|(slot, class, ready)| Step::Die(slot, class, ready)),
        3 => (0u64..2000).prop_map(Step::Pass),
        6 => (1usize..8).prop_map(Step::Work),
        2 => Just(Step::RsDies),
        1 => slot.clone().prop_map(Step::Stop),
        1 => slot.clone().prop_map(Step::Start),
        1 => slot.clone().prop_map(Step::Restart),
        1 => slot.clone().prop_map(Step::Release),
        1 => (slot.clone(), slot).prop_map(|(client, accused)| Step::Complain(client, accused)),
    ]
}

fn kernel(groups: [u32; N]) -> Kernel<N> {
    let suppliers = if groups == [0; N] { [0; N] } else { SUPPLIERS };
    let policy = |slot: usize| Policy { group: groups[slot], suppliers: suppliers[slot], ..POLICY };
    let mut kernel = Kernel::new(std::array::from_fn(policy));
    kernel.slots[0].manual = true;
    kernel
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The fake kernel panics at a second start without a death between, and at a second acknowledgement.
    #[test]
    fn exactly_one_incarnation_lives_and_the_history_is_whole(
        steps in proptest::collection::vec(step(), 0..60),
        groups in prop_oneof![Just([0; N]), Just([0, 0b1100, 0b1010, 0b0010])],
    ) {
        let mut kernel = kernel(groups);
        let mut supervisor = kernel.adopt();
        for step in steps {
            let now = kernel.now;
            match step {
                Step::Die(slot, class, was_ready) => kernel.die(slot, class, was_ready),
                Step::Pass(time) => kernel.now += time,
                Step::Work(actions) => { kernel.work(&mut supervisor, actions); }
                Step::RsDies => supervisor = kernel.adopt(),
                Step::Stop(slot) => { let _ = supervisor.command(now, slot, Command::Stop); }
                Step::Start(slot) => { let _ = supervisor.command(now, slot, Command::Start); }
                Step::Restart(slot) => {
                    let incarnation = kernel.slots[usize::from(slot)].incarnation;
                    let _ = supervisor.command(now, slot, Command::Restart(incarnation));
                }
                Step::Release(slot) => { let _ = supervisor.command(now, slot, Command::Release); }
                Step::Complain(client, accused) => { let _ = supervisor.complain(now, client, accused); }
            }
        }
        while let Some(until) = kernel.work(&mut supervisor, 10_000) {
            if until == u64::MAX {
                break;
            }
            kernel.now = kernel.now.max(until);
        }
        for (index, slot) in kernel.slots.iter().enumerate() {
            let history = supervisor.history(index as u8).unwrap();
            let running = slot.state == SlotState::Running;
            prop_assert_eq!(running, history.standing == Standing::Supervised, "slot {} {:?} {:?}", index, slot, history);
            prop_assert_eq!(history.failures, slot.failures, "every failure is counted once");
            prop_assert_eq!(history.counted, slot.incarnation - u32::from(running));
            prop_assert_eq!(slot.closed, !running && history.standing != Standing::Manual);
            if let Standing::Quarantined(cause) = history.standing {
                let said = Report { slot: index as u8, kind: ReportKind::Quarantined(cause) };
                prop_assert!(kernel.reports.contains(&said), "quarantine is said aloud");
            }
        }
        prop_assert!(!matches!(supervisor.next(kernel.now), Action::Start(_)));
    }

    #[test]
    fn pauses_grow_along_a_crash_loop(lives in proptest::collection::vec(0u64..90, 1..6)) {
        let mut kernel = Kernel::<1>::new([Policy { intensity: 0, state_tries: 0, ..POLICY }]);
        let mut supervisor = kernel.adopt();
        kernel.work(&mut supervisor, 100);
        let mut last = 0;
        for life in lives {
            kernel.now += life;
            let died = kernel.now;
            kernel.die(0, DeathClass::MmuException, true);
            while kernel.slots[0].state != SlotState::Running {
                let until = kernel.work(&mut supervisor, 100).unwrap();
                if kernel.slots[0].state != SlotState::Running {
                    kernel.now = until;
                }
            }
            prop_assert!(kernel.now - died >= last, "pauses never shrink");
            prop_assert!(kernel.now - died <= 1000);
            last = kernel.now - died;
        }
    }

    /// Four components share the CPU; one never receives. Whoever has it never waits for it.
    #[test]
    fn the_starved_are_never_blamed(hog in 0usize..N, waits in proptest::collection::vec(0u64..50_000, N)) {
        let policy = Policy { heartbeat_period: 100, hang_cpu: 150, max_service: 200, ..POLICY };
        let mut kernel = Kernel::<N>::new([policy; N]);
        let mut supervisor = kernel.adopt();
        kernel.work(&mut supervisor, 1000);
        for (slot, wait) in kernel.slots.iter_mut().zip(waits) {
            (slot.activity, slot.starved, slot.beats) = (Activity::Ready, wait, 1);
        }
        (kernel.slots[hog].starved, kernel.slots[hog].cpu_since_receive) = (0, 151);
        kernel.now += 100;
        kernel.work(&mut supervisor, 1000);
        for (index, slot) in kernel.slots.iter().enumerate() {
            prop_assert_eq!(slot.incarnation, if index == hog { 2 } else { 1 });
        }
    }
}

#[test]
fn servers_come_before_clients_and_what_is_manual_waits() {
    let mut kernel = kernel([0; N]);
    let mut supervisor = kernel.adopt();
    kernel.work(&mut supervisor, 1000);
    assert_eq!(kernel.starts, [3, 2, 1]);
    supervisor.command(0, 0, Command::Start).unwrap();
    kernel.work(&mut supervisor, 1000);
    kernel.die(0, DeathClass::Exit, true);
    kernel.now = 10;
    kernel.work(&mut supervisor, 1000);
    assert_eq!(supervisor.history(0).unwrap().standing, Standing::Finished);
    assert!(kernel.slots[0].closed);
}

#[test]
fn a_group_is_restarted_together_and_once() {
    let mut kernel = kernel([0, 0, 0b1000, 0b0100]);
    let mut supervisor = kernel.adopt();
    kernel.work(&mut supervisor, 1000);
    kernel.now = 1000;
    kernel.die(3, DeathClass::Panic, true);
    kernel.work(&mut supervisor, 1000);
    assert_eq!(kernel.slots.each_ref().map(|slot| slot.incarnation), [0, 1, 2, 2]);
    assert_eq!(supervisor.history(2).unwrap().failures, 0);
}

#[test]
fn only_the_head_of_a_wait_chain_dies() {
    let policy = Policy { heartbeat_period: 100, hang_cpu: 150, max_service: 200, ..POLICY };
    let mut policies = [policy; N];
    policies[3].heartbeat_period = 0;
    let mut kernel = Kernel::<N>::new(policies);
    let mut supervisor = kernel.adopt();
    kernel.work(&mut supervisor, 1000);
    for (slot, on) in [(1, 2), (2, 3)] {
        kernel.slots[slot].activity = Activity::InService;
        kernel.slots[slot].blocked_on = on;
    }
    (kernel.slots[3].activity, kernel.slots[3].cpu_since_receive) = (Activity::Ready, 100_000);
    kernel.now += 100;
    kernel.work(&mut supervisor, 1000);
    assert_eq!(kernel.slots.each_ref().map(|slot| slot.incarnation), [1, 1, 1, 2]);
}

#[test]
fn nobody_is_restarted_while_the_head_of_the_chain_is_in_its_pause() {
    let policy = Policy { heartbeat_period: 100, hang_cpu: 150, max_service: 200, ..POLICY };
    let mut kernel = Kernel::<N>::new([policy; N]);
    let mut supervisor = kernel.adopt();
    kernel.work(&mut supervisor, 1000);
    for _ in 0..2 {
        kernel.die(3, DeathClass::Panic, true);
        kernel.slots[2].activity = Activity::Queued;
        kernel.slots[2].blocked_on = 3;
        kernel.slots[2].beats = 1;
        kernel.work(&mut supervisor, 1000);
    }
    for _ in 0..9 {
        kernel.now += 10;
        kernel.work(&mut supervisor, 1000);
    }
    assert_eq!(kernel.slots[3].state, SlotState::Dead);
    kernel.now += 20;
    kernel.work(&mut supervisor, 1000);
    assert_eq!(kernel.slots.each_ref().map(|slot| slot.incarnation), [1, 1, 1, 3]);
}

#[test]
fn commands_are_refused_where_they_make_no_sense_and_survive_rs() {
    let mut kernel = kernel([0; N]);
    let mut supervisor = kernel.adopt();
    kernel.work(&mut supervisor, 1000);
    assert_eq!(supervisor.command(0, 9, Command::Stop), Err(Refusal::NoSuchSlot));
    assert_eq!(supervisor.command(0, 1, Command::Release), Err(Refusal::NotQuarantined));
    supervisor.command(0, 1, Command::Stop).unwrap();
    assert_eq!(supervisor.next(0), Action::Commit);
    kernel.perform(&mut supervisor, Action::Commit);
    supervisor = kernel.adopt();
    kernel.work(&mut supervisor, 1000);
    assert_eq!((kernel.slots[1].state, kernel.slots[1].closed), (SlotState::Dead, true));
    for _ in 0..4 {
        kernel.die(2, DeathClass::Panic, false);
        kernel.work(&mut supervisor, 1000);
        kernel.now += 2000;
        kernel.work(&mut supervisor, 1000);
    }
    assert_eq!(supervisor.history(2).unwrap().standing, Standing::Quarantined(Cause::NeverReady));
    assert_eq!(supervisor.command(kernel.now, 2, Command::Start), Err(Refusal::Quarantined));
    supervisor.command(kernel.now, 2, Command::Release).unwrap();
    kernel.work(&mut supervisor, 1000);
    assert_eq!((kernel.slots[2].state, kernel.slots[2].closed), (SlotState::Running, false));
}

#[test]
fn what_was_decided_is_done_by_the_next_rs() {
    let mut kernel = kernel([0, 0, 0b1000, 0b0100]);
    let mut supervisor = kernel.adopt();
    kernel.work(&mut supervisor, 1000);
    supervisor.command(0, 1, Command::Restart(1)).unwrap();
    kernel.die(3, DeathClass::Panic, true);
    kernel.notice(&mut supervisor);
    assert_eq!(supervisor.next(0), Action::Commit);
    kernel.perform(&mut supervisor, Action::Commit);
    supervisor = kernel.adopt();
    kernel.work(&mut supervisor, 1000);
    assert_eq!(kernel.slots.each_ref().map(|slot| slot.incarnation), [0, 2, 2, 2]);
}

/// Works until there is nothing to do, letting time pass.
fn settle(kernel: &mut Kernel<N>, supervisor: &mut reincarnation_core::Supervisor<N>) {
    while let Some(until) = kernel.work(supervisor, 10_000).filter(|&until| until != u64::MAX) {
        kernel.now = kernel.now.max(until);
    }
}

fn incarnations(kernel: &Kernel<N>) -> [u32; N] {
    std::array::from_fn(|slot| kernel.slots[slot].incarnation)
}

#[test]
fn those_below_a_component_that_fails_again_and_again_are_started_afresh() {
    let mut kernel =
        Kernel::<N>::new(std::array::from_fn(|slot| Policy { suppliers: SUPPLIERS[slot], ..POLICY }));
    let mut supervisor = kernel.adopt();
    settle(&mut kernel, &mut supervisor);
    let mut seen = vec![incarnations(&kernel)];
    for _ in 0..4 {
        kernel.die(3, DeathClass::Panic, true);
        settle(&mut kernel, &mut supervisor);
        seen.push(incarnations(&kernel));
    }
    let below: Vec<_> = seen.iter().map(|now| [now[1], now[2]]).collect();
    assert_eq!(
        below,
        [[1, 1], [1, 1], [2, 2], [2, 2], [3, 3]],
        "at the second failure in a row, and at the fourth"
    );
    assert_eq!(supervisor.history(1).unwrap().failures, 0, "that is no failure of theirs");
    kernel.now += 1_000_000;
    kernel.die(3, DeathClass::Panic, true);
    settle(&mut kernel, &mut supervisor);
    assert_eq!(incarnations(&kernel)[1], 3, "a failure after a long life is the first of its row");
}

#[test]
fn nobody_is_started_afresh_for_a_program_that_a_person_starts() {
    let policy = |slot: usize| Policy { suppliers: if slot == 0 { 0b1110 } else { 0 }, ..POLICY };
    let mut kernel = Kernel::<N>::new(std::array::from_fn(policy));
    kernel.slots[0].manual = true;
    let mut supervisor = kernel.adopt();
    settle(&mut kernel, &mut supervisor);
    supervisor.command(kernel.now, 0, Command::Start).unwrap();
    for _ in 0..4 {
        settle(&mut kernel, &mut supervisor);
        kernel.die(0, DeathClass::Panic, true);
    }
    settle(&mut kernel, &mut supervisor);
    assert_eq!(incarnations(&kernel)[1..], [1, 1, 1]);
}

#[test]
fn a_complaint_ends_a_supplier_and_nobody_else_and_is_not_heard_twice_at_once() {
    let mut kernel = Kernel::<N>::new(std::array::from_fn(|slot| Policy {
        suppliers: SUPPLIERS[slot],
        restart_bound: 500,
        intensity: 1,
        ..POLICY
    }));
    let mut supervisor = kernel.adopt();
    settle(&mut kernel, &mut supervisor);
    for (client, accused) in [(1, 2), (9, 3)] {
        assert_eq!(supervisor.complain(kernel.now, client, accused), Err(Refusal::NoSupplier));
    }
    for round in 0..5 {
        assert_eq!(supervisor.complain(kernel.now, 3, 2), Ok(()));
        assert_eq!(supervisor.complain(kernel.now, 3, 2), Err(Refusal::TooSoon));
        settle(&mut kernel, &mut supervisor);
        assert_eq!(incarnations(&kernel), [1, 1, 2 + round, 1], "started afresh at once");
        let said = Report { slot: 2, kind: ReportKind::Accused(3) };
        assert_eq!(kernel.reports.iter().filter(|report| **report == said).count(), 1 + round as usize);
        kernel.now += 500;
    }
    let history = supervisor.history(2).unwrap();
    assert_eq!(
        (history.standing, history.failures),
        (Standing::Supervised, 0),
        "no number of complaints makes a failure"
    );
}

#[test]
fn a_server_that_accuses_somebody_whom_it_does_not_call_is_ended_and_the_accused_is_not() {
    for accused in [0, 1, 3, 9] {
        let mut kernel =
            Kernel::<N>::new(std::array::from_fn(|slot| Policy { suppliers: SUPPLIERS[slot], ..POLICY }));
        let mut supervisor = kernel.adopt();
        settle(&mut kernel, &mut supervisor);
        assert_eq!(supervisor.complain(kernel.now, 3, accused), Err(Refusal::NoSupplier));
        settle(&mut kernel, &mut supervisor);
        assert_eq!(incarnations(&kernel), [1, 1, 1, 2], "of {accused}");
        let died = Report { slot: 3, kind: ReportKind::Died(1, DeathClass::ProtocolViolation) };
        assert!(kernel.reports.contains(&died), "{:?}", kernel.reports);
    }
}

#[test]
fn one_refusal_is_doubted_and_the_second_in_a_row_is_believed() {
    for (refusals, given_up) in [
        (vec![Status::Denied], None),
        (vec![Status::Corrupt], None),
        (vec![Status::Denied; 2], Some(Cause::Refused)),
        (vec![Status::Corrupt; 2], Some(Cause::Image)),
    ] {
        let mut kernel = Kernel::<N>::new([POLICY; N]);
        let mut supervisor = kernel.adopt_unwatched();
        settle(&mut kernel, &mut supervisor);
        for _ in 0..2 {
            kernel.refusals.clone_from(&refusals);
            kernel.die(0, DeathClass::Panic, true);
            settle(&mut kernel, &mut supervisor);
        }
        let standing = supervisor.history(0).unwrap().standing;
        match given_up {
            Some(cause) => {
                assert_eq!((standing, kernel.slots[0].incarnation), (Standing::Quarantined(cause), 1));
            }
            None => assert_eq!((standing, kernel.slots[0].incarnation), (Standing::Supervised, 3)),
        }
    }
}

#[test]
fn a_watched_supervisor_has_its_successor_try_before_it_gives_somebody_up() {
    for (refusals, given_up) in [(2, false), (3, false), (4, true)] {
        let mut kernel = Kernel::<N>::new([POLICY; N]);
        let mut supervisor = kernel.adopt();
        settle(&mut kernel, &mut supervisor);
        for _ in 0..2 {
            // Each time anew: a start that was carried out is the end of it.
            kernel.refusals = vec![Status::Denied; refusals];
            kernel.die(0, DeathClass::Panic, true);
            settle(&mut kernel, &mut supervisor);
        }
        let standing = supervisor.history(0).unwrap().standing;
        let expected = if given_up { Standing::Quarantined(Cause::Refused) } else { Standing::Supervised };
        assert_eq!(standing, expected, "{refusals} refusals");
        assert_eq!(kernel.slots[0].incarnation, if given_up { 1 } else { 3 });
    }
}

#[test]
fn a_refusal_that_was_none_is_forgotten_when_the_component_is_seen_to_run() {
    let mut kernel = Kernel::<N>::new([Policy { heartbeat_period: 100, ..POLICY }; N]);
    let mut supervisor = kernel.adopt();
    kernel.work(&mut supervisor, 100);
    // It runs, and this is what RS makes of the answer.
    supervisor.started(kernel.now, 0, Status::Denied);
    kernel.now += 1000;
    kernel.work(&mut supervisor, 100);
    kernel.refusals.push(Status::Denied);
    kernel.die(0, DeathClass::Panic, true);
    for _ in 0..100 {
        kernel.now += 100;
        kernel.work(&mut supervisor, 100);
    }
    assert_eq!(supervisor.history(0).unwrap().standing, Standing::Supervised);
    assert_eq!(kernel.slots[0].incarnation, 2);
}

#[test]
fn a_supervisor_that_never_waits_is_found_out_though_it_receives() {
    let policy = Policy { heartbeat_period: 100, hang_cpu: 150, ..POLICY };
    for (of_moments, share) in [(true, 100), (true, 60), (false, 100)] {
        let mut kernel = Kernel::<1>::new([policy]);
        let adopted = kernel.adopt();
        let mut supervisor = if of_moments { adopted.of_moments() } else { adopted };
        kernel.work(&mut supervisor, 100);
        let begun = kernel.now;
        while kernel.now < begun + 2000 && kernel.slots[0].incarnation == 1 {
            kernel.now += 100;
            // It has just looked for a message, as at every look.
            kernel.slots[0].cpu += share;
            kernel.work(&mut supervisor, 100);
        }
        let found_after = (kernel.slots[0].incarnation > 1).then(|| kernel.now - begun);
        let expected = of_moments && share == 100;
        assert_eq!(found_after.is_some(), expected, "{share} of 100");
        assert!(found_after.unwrap_or(0) <= 900, "after {found_after:?}");
    }
}

#[test]
fn a_server_that_keeps_the_cpu_without_a_request_is_found_out_though_it_receives() {
    let policy = Policy { heartbeat_period: 100, hang_cpu: 150, ..POLICY };
    for (max_service, share, queued, expected) in
        [(200, 60, 0, true), (200, 10, 0, false), (200, 60, 1, false), (0, 60, 0, false)]
    {
        // Slot 1 has the higher priority.
        let mut kernel = Kernel::<2>::new([policy, Policy { max_service, ..policy }]);
        let mut supervisor = kernel.adopt();
        kernel.work(&mut supervisor, 100);
        kernel.slots[0].activity = Activity::Ready;
        kernel.slots[1].queued = queued;
        let begun = kernel.now;
        while kernel.now < begun + 5000 && kernel.slots[1].incarnation == 1 {
            kernel.now += 100;
            kernel.slots[0].starved += 100;
            kernel.slots[1].cpu += share;
            kernel.work(&mut supervisor, 100);
        }
        let found_after = (kernel.slots[1].incarnation > 1).then(|| kernel.now - begun);
        assert_eq!(found_after.is_some(), expected, "{max_service} {share} {queued}");
        assert!(found_after.unwrap_or(0) <= 2500, "after {found_after:?}");
        assert_eq!(kernel.slots[0].incarnation, 1, "the starved is not blamed");
    }
}

#[test]
fn a_complaint_of_somebody_who_has_just_complained_goes_to_those_below_too() {
    let mut kernel = Kernel::<N>::new(std::array::from_fn(|slot| Policy {
        suppliers: SUPPLIERS[slot] | u32::from(slot == 1),
        restart_bound: 500,
        ..POLICY
    }));
    let mut supervisor = kernel.adopt();
    settle(&mut kernel, &mut supervisor);
    // 2 complains of 1, and 3 of 2 which was told nothing better by the next 1: the one below 1 is ill.
    assert_eq!(supervisor.complain(kernel.now, 2, 1), Ok(()));
    settle(&mut kernel, &mut supervisor);
    assert_eq!(incarnations(&kernel), [1, 2, 1, 1]);
    assert_eq!(supervisor.complain(kernel.now, 3, 2), Ok(()));
    settle(&mut kernel, &mut supervisor);
    assert_eq!(incarnations(&kernel), [2, 3, 2, 1]);
    kernel.now += 5000;
    assert_eq!(supervisor.complain(kernel.now, 3, 2), Ok(()));
    settle(&mut kernel, &mut supervisor);
    assert_eq!(incarnations(&kernel), [2, 3, 3, 1], "what was long ago says nothing");
}

#[test]
fn who_does_not_hang_at_the_second_look_is_left_alone_and_the_supervisor_doubts_itself() {
    let policy = Policy { heartbeat_period: 100, hang_cpu: 150, ..POLICY };
    for is_watched in [true, false] {
        let mut kernel = Kernel::<N>::new([policy; N]);
        let mut supervisor = if is_watched { kernel.adopt() } else { kernel.adopt_unwatched() };
        kernel.work(&mut supervisor, 1000);
        let suspects_without_reason = |supervisor: &mut Supervisor<N>, slot| {
            let sound = kernel.info(slot);
            let hung = SlotInfo { activity: Activity::Ready as u32, cpu_since_receive: 151, ..sound };
            supervisor.observed(kernel.now, slot, &hung);
            assert_eq!(supervisor.next(kernel.now), Action::Confirm(slot));
            supervisor.confirmed(slot, &sound);
            supervisor.next(kernel.now)
        };
        let kill = |action: &Action| matches!(action, Action::Kill(..));
        assert!(!kill(&suspects_without_reason(&mut supervisor, 0)));
        // Nobody would start it again: it has to believe itself.
        let then = if is_watched { Action::DoubtItself(2) } else { Action::Kill(2, DeathClass::Hang) };
        assert_eq!(suspects_without_reason(&mut supervisor, 2), then);
    }
}
