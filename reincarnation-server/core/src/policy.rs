//! Policy: what the manifest says about watching and restarting one component, in ticks.
//!
//! *Rule.* Converted once, when a slot is adopted; limits are rounded up, never down.

use crate::Ticks;
use abi::rights;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// How a component is watched and restarted. Times in ticks; fields as in [`rights::Policy`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Policy {
    /// Between two heartbeats; 0: none are sent, and the component is judged only as the head of a wait chain.
    pub heartbeat_period: Ticks,
    /// CPU time of its own that the component may use between two receives; 0: two heartbeat periods.
    pub hang_cpu: Ticks,
    /// Longest that a request may be in service; 0: no limit.
    pub max_service: Ticks,
    /// CPU time that the component may use before its first receive, if longer than `hang_cpu`.
    pub restart_bound: Ticks,
    /// Pause before the second restart in a row; it doubles with each further one.
    pub backoff_first: Ticks,
    /// Longest pause.
    pub backoff_max: Ticks,
    /// More failures than this within `intensity_window` are quarantined; 0: no limit.
    pub intensity: u32,
    /// See `intensity`.
    pub intensity_window: Ticks,
    /// Failures before the first receive, in a row, after which the checkpoint is dropped; as many again quarantine;
    /// 0: neither.
    pub state_tries: u32,
    /// Components that are restarted together with this one: bit n is slot n.
    pub group: u32,
    /// Components that this one calls: bit n is slot n.
    pub suppliers: u32,
}

impl Policy {
    /// From the manifest's nanoseconds to ticks of a clock with `frequency` ticks a second.
    pub fn from_rights(policy: &rights::Policy, frequency: u64) -> Self {
        // Not by 128-bit division, which is done in software and would be most of what RS's own restart costs.
        let ticks = |ns: u64| {
            let rest = (ns % NS_PER_SECOND * frequency).div_ceil(NS_PER_SECOND);
            (ns / NS_PER_SECOND).saturating_mul(frequency).saturating_add(rest)
        };
        Self {
            heartbeat_period: ticks(policy.heartbeat_period),
            hang_cpu: ticks(policy.hang_cpu),
            max_service: ticks(policy.max_service),
            restart_bound: ticks(policy.restart_bound),
            backoff_first: ticks(policy.backoff_first),
            backoff_max: ticks(policy.backoff_max),
            intensity: policy.intensity,
            intensity_window: ticks(policy.intensity_window),
            state_tries: policy.state_tries,
            group: policy.group,
            suppliers: policy.suppliers,
        }
    }

    /// Pause before a restart that follows `streak` others in a row: none, then `backoff_first`, doubling up to
    /// `backoff_max`.
    pub fn pause(&self, streak: u32) -> Ticks {
        let Some(doublings) = streak.checked_sub(1) else {
            return 0;
        };
        let factor = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
        self.backoff_first.saturating_mul(factor).min(self.backoff_max)
    }

    /// CPU time of its own that the component may use until its next receive; `ready`: it has received before.
    pub fn cpu_limit(&self, ready: bool) -> Ticks {
        let limit = if self.hang_cpu == 0 { self.heartbeat_period.saturating_mul(2) } else { self.hang_cpu };
        if ready { limit } else { limit.max(self.restart_bound) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zerocopy::FromZeros;

    #[test]
    fn the_first_restart_is_at_once_and_pauses_double() {
        let policy = Policy { backoff_first: 10, backoff_max: 70, ..Policy::default() };
        let pauses: [u64; 6] = core::array::from_fn(|streak| policy.pause(streak as u32));
        assert_eq!(pauses, [0, 10, 20, 40, 70, 70]);
    }

    proptest! {
        #[test]
        fn nanoseconds_become_ticks_rounded_up(ns in 0u64..1 << 50, frequency in 1_000_000u64..1_000_000_000) {
            let rights = rights::Policy { max_service: ns, ..FromZeros::new_zeroed() };
            let ticks = u128::from(Policy::from_rights(&rights, frequency).max_service);
            prop_assert_eq!(ticks, (u128::from(ns) * u128::from(frequency)).div_ceil(1_000_000_000));
        }

        #[test]
        fn pauses_never_shrink_along_a_row(backoff_first: u64, backoff_max: u64, streak in 0u32..200) {
            let policy = Policy { backoff_first, backoff_max, ..Policy::default() };
            prop_assert!(policy.pause(streak) <= policy.pause(streak + 1));
            prop_assert!(policy.pause(streak) <= backoff_max);
        }
    }
}
