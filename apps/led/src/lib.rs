//! What the LED shows: a pattern for each state of the system, for somebody who has no other sign of it.
//!
//! *Role.* Everything that needs no kernel: which pattern, and how it is shown. [`show`] is written for embedded-hal alone.
//!
//! *Rule.* Each pattern ends dark. What is more urgent is shown first: deaths, quarantine, starting, all well.
//!
//! | pattern | meaning |
//! |-|-|
//! | one short flash each second | all is well |
//! | quick blinking | something that is to run does not yet |
//! | n slow flashes, a pause | n components have died since the last look (9 stand for more) |
//! | two long flashes, again and again | something is in quarantine |
//! | dark, or lit for more than two seconds | the system itself does not run |

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

use abi::SLOTS_MAX;
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::OutputPin;
use protocols::reincarnation::{Row, Standing};

/// Most flashes for deaths.
pub const DEATHS_MAX: u32 = 9;

/// What is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pattern {
    /// All that is to run is ready.
    Well,
    /// Something that is to run is not ready.
    Starting,
    /// So many deaths that nobody ordered.
    Deaths(u32),
    /// Something will not be started again.
    Quarantine,
}

/// Flashes: how many, how long lit, how long dark, and how long dark after the last one, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flashes {
    /// How many.
    pub count: u32,
    /// Lit.
    pub lit_ms: u32,
    /// Dark, after each.
    pub dark_ms: u32,
    /// Dark in addition, after the last one.
    pub pause_ms: u32,
}

impl Pattern {
    /// Its flashes.
    pub fn flashes(self) -> Flashes {
        let flashes = |count, lit_ms, dark_ms, pause_ms| Flashes { count, lit_ms, dark_ms, pause_ms };
        match self {
            Self::Well => flashes(1, 50, 950, 0),
            Self::Starting => flashes(4, 100, 100, 0),
            Self::Deaths(count) => flashes(count.min(DEATHS_MAX), 250, 250, 1000),
            Self::Quarantine => flashes(2, 800, 200, 500),
        }
    }
}

/// Shows flashes on any pin.
///
/// # Errors
/// The pin's.
pub fn show<P: OutputPin, D: DelayNs>(pin: &mut P, delay: &mut D, flashes: Flashes) -> Result<(), P::Error> {
    for _ in 0..flashes.count {
        pin.set_high()?;
        delay.delay_ms(flashes.lit_ms);
        pin.set_low()?;
        delay.delay_ms(flashes.dark_ms);
    }
    delay.delay_ms(flashes.pause_ms);
    Ok(())
}

/// What is remembered from look to look: failures by slot; none at the first look.
#[derive(Clone, Debug, Default)]
pub struct Seen(Option<[u32; SLOTS_MAX]>);

impl Seen {
    /// The pattern for these components. What the first look finds is no news.
    pub fn pattern(&mut self, rows: &[Row]) -> Pattern {
        let before = self.0;
        let mut now = before.unwrap_or_default();
        let (mut deaths, mut quarantine, mut starting) = (0_u32, false, false);
        for row in rows {
            let Some(failures) = now.get_mut(row.slot as usize) else { continue };
            if before.is_some() {
                // RS's own memory of failures may be gone with its checkpoint: fewer than before are no news.
                deaths = deaths.saturating_add(row.failures.saturating_sub(*failures));
            }
            *failures = row.failures;
            quarantine |= row.standing > Standing::Stopped as u32;
            starting |= row.standing == Standing::Supervised as u32 && row.ready == 0;
        }
        self.0 = Some(now);
        match (deaths, quarantine, starting) {
            (1.., _, _) => Pattern::Deaths(deaths),
            (_, true, _) => Pattern::Quarantine,
            (_, _, true) => Pattern::Starting,
            _ => Pattern::Well,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::convert::Infallible;
    use embedded_hal::digital::ErrorType;
    use proptest::prelude::*;
    use std::cell::RefCell;
    use std::vec::Vec;
    use zerocopy::FromZeros;

    /// A pin and a delay that write down for how long the pin was lit (positive) and dark (negative).
    #[derive(Default)]
    struct Recorder(RefCell<(bool, Vec<i64>)>);

    impl ErrorType for &Recorder {
        type Error = Infallible;
    }
    impl OutputPin for &Recorder {
        fn set_low(&mut self) -> Result<(), Infallible> {
            self.0.borrow_mut().0 = false;
            Ok(())
        }
        fn set_high(&mut self) -> Result<(), Infallible> {
            self.0.borrow_mut().0 = true;
            Ok(())
        }
    }
    impl DelayNs for &Recorder {
        fn delay_ns(&mut self, ns: u32) {
            let mut record = self.0.borrow_mut();
            let ns = if record.0 { i64::from(ns) } else { -i64::from(ns) };
            match record.1.last_mut() {
                Some(last) if last.signum() == ns.signum() => *last += ns,
                _ if ns == 0 => {}
                _ => record.1.push(ns),
            }
        }
    }

    fn row(slot: u32, failures: u32, standing: Standing, ready: u32) -> Row {
        Row { slot, failures, standing: standing as u32, ready, ..Row::new_zeroed() }
    }

    #[test]
    fn flashes_are_as_the_table_says_and_end_dark() {
        let shown = |pattern: Pattern| {
            let recorder = Recorder::default();
            show(&mut &recorder, &mut &recorder, pattern.flashes()).unwrap();
            recorder.0.into_inner().1.iter().map(|ns| ns / 1_000_000).collect::<Vec<_>>()
        };
        assert_eq!(shown(Pattern::Well), [50, -950]);
        assert_eq!(shown(Pattern::Deaths(2)), [250, -250, 250, -1250]);
        assert_eq!(shown(Pattern::Deaths(100)).len(), 18);
        assert_eq!(shown(Pattern::Quarantine), [800, -200, 800, -700]);
        assert_eq!(shown(Pattern::Starting).len(), 8);
    }

    #[test]
    fn deaths_come_first_and_only_new_ones_count() {
        let mut seen = Seen::default();
        let look = |a, b| [row(1, a, Standing::Supervised, 1), row(2, b, Standing::Supervised, 1)];
        assert_eq!(seen.pattern(&look(5, 0)), Pattern::Well);
        assert_eq!(seen.pattern(&look(6, 2)), Pattern::Deaths(3));
        assert_eq!(seen.pattern(&look(6, 2)), Pattern::Well);
        assert_eq!(seen.pattern(&look(0, 2)), Pattern::Well);
        assert_eq!(seen.pattern(&[row(2, 3, Standing::TooManyFailures, 0)]), Pattern::Deaths(1));
        assert_eq!(seen.pattern(&[row(2, 3, Standing::TooManyFailures, 0)]), Pattern::Quarantine);
        assert_eq!(seen.pattern(&[row(2, 3, Standing::Supervised, 0)]), Pattern::Starting);
        assert_eq!(seen.pattern(&[row(2, 3, Standing::Stopped, 0)]), Pattern::Well);
    }

    proptest! {
        #[test]
        fn no_rows_panic(rows in proptest::collection::vec((0u32..40, 0u32.., 0u32..12), 0..40)) {
            let mut seen = Seen::default();
            for (slot, failures, standing) in rows {
                let row = Row { slot, failures, standing, ..Row::new_zeroed() };
                let _ = seen.pattern(&[row, row]);
            }
        }
    }
}
