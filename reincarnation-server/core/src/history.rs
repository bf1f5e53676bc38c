//! Restart history: what is remembered of each component, and what a death makes of it.
//!
//! *Rule.* A death is counted once, by its incarnation, however often it is seen.

use crate::{Policy, Ticks};
use abi::record::DeathClass;

/// Failures remembered for the intensity: one in a manifest that is not below this number counts as one less than it.
pub const RECENT_MAX: usize = 16;

/// What the supervisor wants of a component.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Standing {
    /// It is to run.
    #[default]
    Supervised,
    /// It is started by hand, and was not yet.
    Manual,
    /// It was started by hand and has exited.
    Finished,
    /// The user has stopped it.
    Stopped,
    /// Restarting it has proved useless.
    Quarantined(Cause),
}

/// Why a component is in quarantine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// Too many failures within the window of the intensity.
    Intensity,
    /// It kept failing before its first receive, without its checkpoint too.
    NeverReady,
    /// Its image is damaged in both copies.
    Image,
    /// The kernel refused to start it.
    Refused,
}

impl Standing {
    const ALL: [Self; 8] = [
        Self::Supervised,
        Self::Manual,
        Self::Finished,
        Self::Stopped,
        Self::Quarantined(Cause::Intensity),
        Self::Quarantined(Cause::NeverReady),
        Self::Quarantined(Cause::Image),
        Self::Quarantined(Cause::Refused),
    ];

    fn code(self) -> u8 {
        Self::ALL.iter().position(|&standing| standing == self).map_or(0, |index| index as u8)
    }
}

/// What the history needs to know of a death.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Death {
    /// Why.
    pub class: DeathClass,
    /// Which incarnation.
    pub incarnation: u32,
    /// It had received for the first time.
    pub was_ready: bool,
    /// When it was started.
    pub started: Ticks,
    /// When it died.
    pub time: Ticks,
}

/// What is remembered of one component, across incarnations of the component and of RS.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct History {
    /// What is wanted of it.
    pub standing: Standing,
    /// The last incarnation whose death has been counted.
    pub counted: u32,
    /// The incarnation that is to be killed by command or with its group; its death takes no group along.
    pub condemned: u32,
    /// All failures: deaths that nobody ordered.
    pub failures: u32,
    /// Restarts in a row.
    pub streak: u32,
    /// Failures before the first receive, in a row.
    pub unready: u32,
    /// The checkpoint is to be dropped before the next start.
    pub without_checkpoint: bool,
    /// The kernel has refused to start it, as this supervisor saw it, and the supervisor has doubted itself for that.
    pub refused: bool,
    /// Not to be started before this moment.
    pub not_before: Ticks,
    recent: [Ticks; RECENT_MAX],
    recent_count: usize,
}

impl History {
    /// Of a component that was never started.
    pub fn new(manual: bool) -> Self {
        Self { standing: if manual { Standing::Manual } else { Standing::Supervised }, ..Self::default() }
    }

    /// Whether there is nothing to remember: a history that is new.
    pub(crate) fn is_new(&self, manual: bool) -> bool {
        let never = self.counted == 0
            && self.condemned == 0
            && self.not_before == 0
            && !self.without_checkpoint
            && !self.refused;
        never && self.standing == Self::new(manual).standing
    }

    /// Takes note of a death. `manual`: the component is one to start by hand.
    pub fn count(&mut self, death: &Death, policy: &Policy, manual: bool) {
        if death.incarnation <= self.counted {
            return;
        }
        let with_its_group = death.incarnation == self.condemned;
        self.counted = death.incarnation;
        match death.class {
            DeathClass::Killed | DeathClass::Replaced => {
                if !with_its_group {
                    self.not_before = death.time;
                }
            }
            DeathClass::Exit if manual => {
                if self.standing == Standing::Supervised {
                    self.standing = Standing::Finished;
                }
            }
            DeathClass::ImageCorrupt => self.quarantine(Cause::Image),
            _ => self.fail(death, policy),
        }
    }

    /// Forgets failures and wants the component to run, from `now`.
    pub fn release(&mut self, now: Ticks) {
        self.standing = Standing::Supervised;
        self.not_before = now;
        self.streak = 0;
        self.unready = 0;
        self.recent = [0; RECENT_MAX];
        self.recent_count = 0;
    }

    /// Puts the component into quarantine, unless the user has stopped it.
    pub fn quarantine(&mut self, cause: Cause) {
        if self.standing == Standing::Supervised {
            self.standing = Standing::Quarantined(cause);
        }
    }

    /// A death that nobody ordered.
    fn fail(&mut self, death: &Death, policy: &Policy) {
        self.failures = self.failures.saturating_add(1);
        self.unready = if death.was_ready { 0 } else { self.unready.saturating_add(1) };
        self.remember(death.time, policy.intensity_window);
        let tries = policy.state_tries;
        if policy.intensity > 0 && self.recent_count > (policy.intensity as usize).min(RECENT_MAX - 1) {
            self.quarantine(Cause::Intensity);
        }
        if tries > 0 && self.unready >= tries.saturating_mul(2) {
            self.quarantine(Cause::NeverReady);
        }
        self.without_checkpoint |=
            death.class == DeathClass::CheckpointCorrupt || (tries > 0 && self.unready == tries);
        // Whoever has lived for as long as the pause that it would now get has paid for it by working.
        if death.was_ready && death.time.saturating_sub(death.started) >= policy.pause(self.streak) {
            self.streak = 0;
        }
        self.not_before = death.time.saturating_add(policy.pause(self.streak));
        self.streak = self.streak.saturating_add(1);
    }

    /// Adds a failure to those within the window, and drops the oldest if there are too many to remember.
    fn remember(&mut self, time: Ticks, window: Ticks) {
        let first = self.recent[..self.recent_count]
            .partition_point(|&earlier| earlier.saturating_add(window) < time);
        let first = if self.recent_count - first == RECENT_MAX { first + 1 } else { first };
        self.recent.copy_within(first..self.recent_count, 0);
        self.recent_count -= first;
        self.recent[self.recent_count..].fill(0);
        self.recent[self.recent_count] = time;
        self.recent_count += 1;
    }

    /// Bytes of the longest encoding.
    pub(crate) const ENCODED_MAX: usize = 31 + RECENT_MAX * 8;

    /// Appends the history to `out`; `None` if there is no room.
    pub(crate) fn encode(&self, out: &mut Writer<'_>) -> Option<()> {
        let flags = u8::from(self.without_checkpoint) | u8::from(self.refused) << 1;
        out.put([self.standing.code(), flags, self.recent_count as u8])?;
        for word in [self.counted, self.condemned, self.failures, self.streak, self.unready] {
            out.put(word.to_le_bytes())?;
        }
        out.put(self.not_before.to_le_bytes())?;
        for time in &self.recent[..self.recent_count] {
            out.put(time.to_le_bytes())?;
        }
        Some(())
    }

    /// Takes a history from `input`; `None` if it is none.
    pub(crate) fn decode(input: &mut Reader<'_>) -> Option<Self> {
        let [standing, flags, count] = input.take()?;
        let mut words = [0; 5];
        for word in &mut words {
            *word = u32::from_le_bytes(input.take()?);
        }
        let [counted, condemned, failures, streak, unready] = words;
        let not_before = u64::from_le_bytes(input.take()?);
        let recent_count = usize::from(count);
        let mut recent = [0; RECENT_MAX];
        for time in recent.get_mut(..recent_count)? {
            *time = u64::from_le_bytes(input.take()?);
        }
        Some(Self {
            standing: *Standing::ALL.get(usize::from(standing))?,
            counted,
            condemned,
            failures,
            streak,
            unready,
            without_checkpoint: flags & 1 != 0,
            refused: flags & 2 != 0,
            not_before,
            recent,
            recent_count,
        })
    }
}

/// Bytes being written.
pub(crate) struct Writer<'a> {
    pub(crate) bytes: &'a mut [u8],
    pub(crate) length: usize,
}

impl Writer<'_> {
    pub(crate) fn put<const N: usize>(&mut self, data: [u8; N]) -> Option<()> {
        self.bytes.get_mut(self.length..self.length + N)?.copy_from_slice(&data);
        self.length += N;
        Some(())
    }
}

/// Bytes being read.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl Reader<'_> {
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (data, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: Policy = Policy {
        heartbeat_period: 0,
        hang_cpu: 0,
        max_service: 0,
        restart_bound: 0,
        backoff_first: 10,
        backoff_max: 1000,
        intensity: 5,
        intensity_window: 10_000,
        state_tries: 2,
        group: 0,
        suppliers: 0,
    };

    fn death(incarnation: u32, class: DeathClass, was_ready: bool, started: u64, time: u64) -> Death {
        Death { class, incarnation, was_ready, started, time }
    }

    #[test]
    fn a_crash_loop_backs_off_and_a_long_life_starts_afresh() {
        let mut history = History::new(false);
        history.count(&death(1, DeathClass::Panic, true, 0, 100), &POLICY, false);
        assert_eq!(history.not_before, 100);
        history.count(&death(2, DeathClass::Panic, true, 100, 105), &POLICY, false);
        assert_eq!(history.not_before, 115);
        history.count(&death(3, DeathClass::Panic, true, 115, 120), &POLICY, false);
        assert_eq!(history.not_before, 140);
        history.count(&death(4, DeathClass::Panic, true, 140, 180), &POLICY, false);
        assert_eq!(history.not_before, 180, "it lived for as long as its pause of 40");
        assert_eq!((history.streak, history.failures), (1, 4));
    }

    #[test]
    fn failures_before_the_first_receive_drop_the_checkpoint_and_then_quarantine() {
        let mut history = History::new(false);
        history.count(&death(1, DeathClass::Panic, false, 0, 20_000), &POLICY, false);
        assert!(!history.without_checkpoint);
        history.count(&death(2, DeathClass::Panic, false, 0, 40_000), &POLICY, false);
        assert!(history.without_checkpoint);
        history.without_checkpoint = false;
        history.count(&death(3, DeathClass::Panic, false, 0, 60_000), &POLICY, false);
        assert_eq!((history.standing, history.without_checkpoint), (Standing::Supervised, false));
        history.count(&death(4, DeathClass::Panic, false, 0, 80_000), &POLICY, false);
        assert_eq!(history.standing, Standing::Quarantined(Cause::NeverReady));
        history.release(90_000);
        assert_eq!(
            (history.standing, history.not_before, history.unready),
            (Standing::Supervised, 90_000, 0)
        );
    }

    #[test]
    fn more_failures_than_the_intensity_within_the_window_quarantine() {
        let mut history = History::new(false);
        for incarnation in 1..=5 {
            history.count(
                &death(incarnation, DeathClass::Hang, true, 0, 2000 * u64::from(incarnation)),
                &POLICY,
                false,
            );
        }
        assert_eq!(history.standing, Standing::Supervised);
        let mut late = history;
        history.count(&death(6, DeathClass::Hang, true, 0, 12_000), &POLICY, false);
        assert_eq!(history.standing, Standing::Quarantined(Cause::Intensity));
        late.count(&death(6, DeathClass::Hang, true, 0, 12_001), &POLICY, false);
        assert_eq!(late.standing, Standing::Supervised, "the first failure has left the window");
    }

    #[test]
    fn kills_are_no_failures_and_an_exit_ends_what_was_started_by_hand() {
        let mut history = History::new(false);
        for incarnation in 1..=50 {
            history.count(
                &death(incarnation, DeathClass::Killed, false, 0, u64::from(incarnation)),
                &POLICY,
                false,
            );
        }
        assert_eq!((history.standing, history.failures, history.not_before), (Standing::Supervised, 0, 50));
        history.count(&death(51, DeathClass::Exit, true, 0, 60), &POLICY, true);
        assert_eq!(history.standing, Standing::Finished);
        let mut corrupt = History::new(false);
        corrupt.count(&death(1, DeathClass::ImageCorrupt, false, 0, 60), &POLICY, true);
        assert_eq!(corrupt.standing, Standing::Quarantined(Cause::Image));
        let mut damaged = History::new(false);
        damaged.count(&death(1, DeathClass::CheckpointCorrupt, false, 0, 60), &POLICY, true);
        assert!(damaged.without_checkpoint);
    }

    proptest! {
        #[test]
        fn a_history_survives_its_encoding(
            deaths in proptest::collection::vec((0u32..15, any::<bool>(), 0u64..5000, 0u64..5000), 0..40),
            intensity in 0u32..20,
        ) {
            let policy = Policy { intensity, ..POLICY };
            let mut history = History::new(false);
            let mut now = 0;
            for (index, &(class, was_ready, pause, life)) in deaths.iter().enumerate() {
                let class = DeathClass::from_code(class).unwrap_or(DeathClass::Exit);
                let started = now + pause;
                now = started + life;
                let one = death(index as u32 + 1, class, was_ready, started, now);
                history.count(&one, &policy, false);
                let counted = history;
                history.count(&one, &policy, false);
                prop_assert_eq!(history, counted, "a death is counted once");
                prop_assert!(history.not_before <= now + policy.backoff_max);
            }
            let mut bytes = [0; History::ENCODED_MAX];
            let mut writer = Writer { bytes: &mut bytes, length: 0 };
            prop_assert!(history.encode(&mut writer).is_some());
            let length = writer.length;
            prop_assert_eq!(History::decode(&mut Reader(&bytes[..length])), Some(history));
            for cut in 0..length {
                prop_assert_eq!(History::decode(&mut Reader(&bytes[..cut])), None);
            }
        }
    }
}
