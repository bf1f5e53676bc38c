//! Judgement: whether a running component is healthy, from one look at what the kernel has measured.
//!
//! *Rule.* A component is condemned only for time of its own: CPU that it used without receiving, or a request that it kept,
//! or did not take, while it neither was blocked in a call nor waited for the CPU. Who waits is not judged; whom it waits for is.
//!
//! *Why.* Otherwise a dead disk would condemn the file server, and an overload whoever has the lowest priority.

use crate::{Policy, Ticks};
use abi::SlotId;
use abi::record::{Activity, DeathClass, SlotInfo};

/// What one look says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing is wrong. `beat`: it has not received within the period and is to be asked for a sign of life.
    Healthy {
        /// Send a heartbeat.
        beat: bool,
    },
    /// It waits for this slot, which is to be judged instead.
    Blocked {
        /// Server that has its call.
        on: SlotId,
    },
    /// It wants the CPU and does not get it: the fault of whoever has it.
    Starved,
    /// It has to die, as this class.
    Condemned(DeathClass),
}

/// Judges a running component. `starved`: for how long of the time since the last look it wanted the CPU in vain.
pub fn judge(policy: &Policy, info: &SlotInfo, starved: Ticks) -> Verdict {
    let activity = Activity::from_code(info.activity).unwrap_or(Activity::None);
    if matches!(activity, Activity::Queued | Activity::InService) {
        return Verdict::Blocked { on: info.blocked_on as SlotId };
    }
    let limit = policy.cpu_limit(info.ready != 0);
    if limit > 0 && info.cpu_since_receive > limit {
        let unanswered = info.heartbeat_pending != 0 && info.in_service == 0;
        return Verdict::Condemned(if unanswered { DeathClass::HeartbeatMissed } else { DeathClass::Hang });
    }
    if policy.max_service > 0 && info.service_age > policy.max_service {
        return Verdict::Condemned(DeathClass::Hang);
    }
    if activity == Activity::Ready
        && policy.heartbeat_period > 0
        && starved >= policy.heartbeat_period / 4 * 3
    {
        return Verdict::Starved;
    }
    let silent = info.now.saturating_sub(info.last_receive.max(info.started));
    Verdict::Healthy { beat: info.heartbeat_pending == 0 && silent >= policy.heartbeat_period }
}

/// Whether a second look bears out that a component hangs: it has used the CPU without receiving, or kept a request, or left one waiting,
/// for longer than it may. Not by way of [`judge`], which may be what is wrong, and not inlined: its instructions are its own.
#[inline(never)]
pub fn bears_out(policy: &Policy, info: &SlotInfo) -> bool {
    let is_over = |limit: Ticks, spent: Ticks| limit != 0 && spent.saturating_sub(limit) != 0;
    is_over(policy.max_service, info.service_age)
        || is_over(policy.cpu_limit(info.ready != 0), info.cpu_since_receive)
}

/// The next multiple of `period`; never for a period of 0.
pub fn regular_look(period: Ticks, now: Ticks) -> Ticks {
    now.checked_div(period).map_or(Ticks::MAX, |periods| (periods + 1).saturating_mul(period))
}

/// When to look at a component again: at the next multiple of its period, so that components with the same period are
/// looked at together, or before, when a limit that it is approaching falls an eighth of the period or more before that.
/// Never within a quarter of the period, so that a component that is near a limit and does not get on costs little.
///
/// So what exceeds a limit is seen at most three eighths of the period later.
pub fn next_look(policy: &Policy, info: &SlotInfo, now: Ticks) -> Ticks {
    let period = policy.heartbeat_period;
    if period == 0 {
        return Ticks::MAX;
    }
    let regular = regular_look(period, now);
    let limit = policy.cpu_limit(info.ready != 0);
    let cpu_left = if info.activity == Activity::Ready as u32 && limit > 0 {
        limit.saturating_sub(info.cpu_since_receive)
    } else {
        Ticks::MAX
    };
    let service_left = if info.in_service + info.queued > 0 && policy.max_service > 0 {
        policy.max_service.saturating_sub(info.service_age)
    } else {
        Ticks::MAX
    };
    let quarter = (period / 4).max(1);
    let early = now.saturating_add(cpu_left.min(service_left).saturating_add(1).max(quarter));
    if early.saturating_add(period / 8) < regular { early } else { regular }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zerocopy::FromZeros;

    const POLICY: Policy = Policy {
        heartbeat_period: 100,
        hang_cpu: 150,
        max_service: 200,
        restart_bound: 1000,
        backoff_first: 0,
        backoff_max: 0,
        intensity: 0,
        intensity_window: 0,
        state_tries: 0,
        group: 0,
        suppliers: 0,
    };

    fn info(activity: Activity) -> SlotInfo {
        SlotInfo {
            activity: activity as u32,
            ready: 1,
            now: 10_000,
            last_receive: 9_950,
            ..SlotInfo::new_zeroed()
        }
    }

    #[test]
    fn who_received_within_the_period_is_not_asked() {
        assert_eq!(judge(&POLICY, &info(Activity::Receiving), 0), Verdict::Healthy { beat: false });
        let silent = SlotInfo { last_receive: 9_900, ..info(Activity::Receiving) };
        assert_eq!(judge(&POLICY, &silent, 0), Verdict::Healthy { beat: true });
        let asked = SlotInfo { heartbeat_pending: 1, ..silent };
        assert_eq!(judge(&POLICY, &asked, 0), Verdict::Healthy { beat: false });
        let young = SlotInfo { last_receive: 0, started: 9_990, ..silent };
        assert_eq!(judge(&POLICY, &young, 0), Verdict::Healthy { beat: false });
    }

    #[test]
    fn an_endless_loop_is_a_missed_heartbeat_when_idle_and_a_hang_at_work() {
        let looping = SlotInfo { cpu_since_receive: 151, heartbeat_pending: 1, ..info(Activity::Ready) };
        assert_eq!(judge(&POLICY, &looping, 0), Verdict::Condemned(DeathClass::HeartbeatMissed));
        let working = SlotInfo { in_service: 1, ..looping };
        assert_eq!(judge(&POLICY, &working, 0), Verdict::Condemned(DeathClass::Hang));
        let starting = SlotInfo { ready: 0, ..looping };
        assert_eq!(judge(&POLICY, &starting, 0), Verdict::Healthy { beat: false });
        let never_ready = SlotInfo { ready: 0, cpu_since_receive: 1001, ..looping };
        assert_eq!(judge(&POLICY, &never_ready, 0), Verdict::Condemned(DeathClass::HeartbeatMissed));
    }

    #[test]
    fn a_server_that_never_replies_or_takes_no_request_hangs() {
        let mute = SlotInfo { in_service: 3, service_age: 201, ..info(Activity::Receiving) };
        assert_eq!(judge(&POLICY, &mute, 0), Verdict::Condemned(DeathClass::Hang));
        let deaf = SlotInfo { in_service: 0, queued: 1, ..mute };
        assert_eq!(judge(&POLICY, &deaf, 0), Verdict::Condemned(DeathClass::Hang));
        let quick = SlotInfo { service_age: 200, ..mute };
        assert_eq!(judge(&POLICY, &quick, 0), Verdict::Healthy { beat: false });
    }

    proptest! {
        #[test]
        fn whoever_waits_is_never_condemned(
            queued: bool, cpu_since_receive: u64, service_age: u64, in_service: u32, heartbeat_pending in 0u32..2,
        ) {
            let activity = if queued { Activity::Queued } else { Activity::InService };
            let blocked = SlotInfo {
                blocked_on: 7, cpu_since_receive, service_age, in_service, heartbeat_pending, ..info(activity)
            };
            prop_assert_eq!(judge(&POLICY, &blocked, 0), Verdict::Blocked { on: 7 });
        }

        #[test]
        fn the_starved_are_never_condemned(
            cpu_since_receive in 0u64..=150, service_age in 0u64..=200, starved: u64, in_service in 0u32..40,
            heartbeat_pending in 0u32..2, last_receive in 0u64..10_000,
        ) {
            let waiting = SlotInfo {
                cpu_since_receive, service_age, in_service, heartbeat_pending, last_receive, ..info(Activity::Ready)
            };
            let verdict = judge(&POLICY, &waiting, starved);
            prop_assert!(!matches!(verdict, Verdict::Condemned(_)), "however long it waits");
            prop_assert_eq!(verdict == Verdict::Starved, starved >= 75);
        }

        #[test]
        fn what_is_condemned_is_borne_out_by_the_same_look(
            ready in 0u32..2, activity in 1u32..5, in_service in 0u32..40, queued in 0u32..3, heartbeat_pending in 0u32..2,
            cpu_since_receive in 0u64..1100, service_age in 0u64..300, starved in 0u64..200,
        ) {
            let info = SlotInfo {
                activity, ready, in_service, queued, heartbeat_pending, cpu_since_receive, service_age, ..info(Activity::Ready)
            };
            let condemned = matches!(judge(&POLICY, &info, starved), Verdict::Condemned(_));
            prop_assert!(bears_out(&POLICY, &info) || !condemned);
        }

        #[test]
        fn the_next_look_is_neither_late_nor_restless(
            now in 0u64..1 << 40, ready in 0u32..2, in_service in 0u32..2, activity in 1u32..5,
            cpu_since_receive in 0u64..1100, service_age in 0u64..=200,
        ) {
            let info = SlotInfo {
                activity, ready, in_service, cpu_since_receive, service_age, now, ..SlotInfo::new_zeroed()
            };
            let next = next_look(&POLICY, &info, now);
            prop_assert!(next > now && next <= now + 100);
            prop_assert!(next.is_multiple_of(100) || next >= now + 25);
            if activity == Activity::Ready as u32 {
                let crossing = now + POLICY.cpu_limit(ready != 0).saturating_sub(cpu_since_receive);
                prop_assert!(next <= crossing + 38);
            }
            if in_service > 0 {
                prop_assert!(next <= now + 200 - service_age + 38);
            }
        }
    }
}
