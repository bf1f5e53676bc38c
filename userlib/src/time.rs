//! Time: instants on the system's clock, which counts ticks of `CNTVCT_EL0` since power-on.
//!
//! *Rule.* Conversions round so that a wait is never shorter than asked, and saturate instead of wrapping.

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Ticks in `ns` nanoseconds, rounded up, so that a wait is never shorter than asked; saturates.
pub const fn ticks_from_ns(ns: u64, frequency: u64) -> u64 {
    let whole = (ns / NS_PER_SECOND).saturating_mul(frequency);
    whole.saturating_add((ns % NS_PER_SECOND * frequency).div_ceil(NS_PER_SECOND))
}

/// Nanoseconds in `ticks`, rounded down; saturates.
pub const fn ns_from_ticks(ticks: u64, frequency: u64) -> u64 {
    let whole = (ticks / frequency).saturating_mul(NS_PER_SECOND);
    whole.saturating_add(ticks % frequency * NS_PER_SECOND / frequency)
}

/// A moment: a value of `CNTVCT_EL0`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Instant(u64);

impl Instant {
    /// A deadline that never comes.
    pub const NEVER: Self = Self(abi::message::NEVER);

    /// The moment with this value of the counter.
    pub const fn from_ticks(ticks: u64) -> Self {
        Self(ticks)
    }

    /// Value of the counter.
    pub const fn ticks(self) -> u64 {
        self.0
    }

    /// The moment `ticks` ticks later; saturates at [`Instant::NEVER`].
    #[must_use]
    pub const fn plus_ticks(self, ticks: u64) -> Self {
        Self(self.0.saturating_add(ticks))
    }
}

#[cfg(target_os = "none")]
impl Instant {
    /// Now.
    #[inline(always)]
    pub fn now() -> Self {
        Self(crate::sys::counter())
    }

    /// The moment `ns` nanoseconds after power-on.
    pub fn from_ns(ns: u64) -> Self {
        Self(ticks_from_ns(ns, crate::sys::frequency()))
    }

    /// Nanoseconds since power-on.
    pub fn ns(self) -> u64 {
        ns_from_ticks(self.0, crate::sys::frequency())
    }

    /// The moment `ns` nanoseconds later; saturates at [`Instant::NEVER`].
    #[must_use]
    pub fn plus_ns(self, ns: u64) -> Self {
        self.plus_ticks(ticks_from_ns(ns, crate::sys::frequency()))
    }

    /// The moment `ms` milliseconds later; saturates at [`Instant::NEVER`].
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        self.plus_ns(ms.saturating_mul(1_000_000))
    }

    /// Nanoseconds from `earlier` to this moment; zero if it is not earlier.
    pub fn ns_since(self, earlier: Self) -> u64 {
        ns_from_ticks(self.0.saturating_sub(earlier.0), crate::sys::frequency())
    }
}

#[cfg(target_os = "none")]
impl core::ops::Add<core::time::Duration> for Instant {
    type Output = Self;
    fn add(self, duration: core::time::Duration) -> Self {
        self.plus_ns(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// Now.
#[cfg(target_os = "none")]
#[inline(always)]
pub fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_frequencies_convert_exactly() {
        assert_eq!(ticks_from_ns(16, 62_500_000), 1);
        assert_eq!(ticks_from_ns(17, 62_500_000), 2);
        assert_eq!(ns_from_ticks(19_200_000, 19_200_000), 1_000_000_000);
        assert_eq!(ticks_from_ns(u64::MAX, 2_000_000_000), u64::MAX);
    }

    proptest! {
        #[test]
        fn a_wait_is_never_shorter_and_at_most_one_tick_longer(ns in 0..1u64 << 60, frequency in 1_000_000u64..1_000_000_000) {
            let ticks = ticks_from_ns(ns, frequency);
            let exact = u128::from(ns) * u128::from(frequency);
            prop_assert!(u128::from(ticks) * 1_000_000_000 >= exact);
            prop_assert!(u128::from(ticks) * 1_000_000_000 < exact + 1_000_000_000);
        }

        #[test]
        fn ticks_survive_the_way_there_and_back(ticks in 0..1u64 << 54, frequency in 1_000_000u64..1_000_000_000) {
            prop_assert_eq!(ticks_from_ns(ns_from_ticks(ticks, frequency), frequency), ticks);
        }
    }
}
