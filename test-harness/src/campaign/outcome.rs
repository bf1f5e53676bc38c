//! What became of a trial: one word, by rules that can be read here.
//!
//! *Rule.* A pure function of what was observed. The first line that holds counts, so that nothing worse can hide behind
//! something better.

use serde::{Deserialize, Serialize};

/// What became of a trial.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The fault did not take effect, or nobody was being served: the trial says nothing.
    NotActivated,
    /// The client saw what it saw in the golden run, and nobody died.
    Benign,
    /// Something was seen, and everything that was acknowledged is there.
    RecoveredIntact,
    /// Everything that was acknowledged is there, but the client was told that an operation failed, or the death of a driver has left
    /// noise in between.
    RecoveredWithLoss,
    /// A component that is not the target was restarted, too, or the kernel holds something for nobody, which others will lack.
    OthersDisturbed,
    /// A component was given up (quarantine).
    Degraded,
    /// Something acknowledged is gone or is something else, and nobody was told; or a component can reach what is not its own.
    SilentCorruption,
    /// The client did not come to its end, while the clock ran.
    Hang,
    /// The kernel panicked, or says nothing any more.
    KernelDead,
    /// The board was reset although nobody had asked for it.
    BoardReset,
    /// The emulator failed.
    EmulatorDied,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::NotActivated,
        Self::Benign,
        Self::RecoveredIntact,
        Self::RecoveredWithLoss,
        Self::OthersDisturbed,
        Self::Degraded,
        Self::SilentCorruption,
        Self::Hang,
        Self::KernelDead,
        Self::BoardReset,
        Self::EmulatorDied,
    ];

    /// Its name in the ledger.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotActivated => "not_activated",
            Self::Benign => "benign",
            Self::RecoveredIntact => "recovered_intact",
            Self::RecoveredWithLoss => "recovered_with_loss",
            Self::OthersDisturbed => "others_disturbed",
            Self::Degraded => "degraded",
            Self::SilentCorruption => "silent_corruption",
            Self::Hang => "hang",
            Self::KernelDead => "kernel_dead",
            Self::BoardReset => "board_reset",
            Self::EmulatorDied => "emulator_died",
        }
    }

    /// Whether the fault was seen at all: what rates of recovery are of.
    pub const fn is_manifested(self) -> bool {
        !matches!(self, Self::NotActivated | Self::Benign)
    }

    /// Whether the system stood it.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::NotActivated | Self::Benign | Self::RecoveredIntact)
    }

    /// Exit code of a command that saw it: 0 the system stood it, 11 crash, 12 correctness, 13 liveness, 10 the emulator.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::NotActivated | Self::Benign | Self::RecoveredIntact => 0,
            Self::EmulatorDied => 10,
            Self::KernelDead | Self::BoardReset => 11,
            Self::RecoveredWithLoss | Self::OthersDisturbed | Self::SilentCorruption => 12,
            Self::Degraded | Self::Hang => 13,
        }
    }
}

/// What was observed, as far as the outcome depends on it.
#[expect(clippy::struct_excessive_bools, reason = "they are observations, independent of each other")]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Observed {
    /// The fault took effect while the client was being served.
    pub activated: bool,
    /// The emulator failed.
    pub emulator_died: bool,
    /// The kernel panicked.
    pub kernel_panicked: bool,
    /// The board was reset, and the fault was not that of root or of the power.
    pub unplanned_reset: bool,
    /// The client came to its end.
    pub finished: bool,
    /// The injector said that the time is over: the kernel lives, its clock runs.
    pub deadline_told: bool,
    /// Acknowledged data is gone or is something else, a name is there that nobody made, the file system is damaged.
    pub wrong_data: bool,
    /// Operations of which the client was told that they failed.
    pub refused: u32,
    /// A driver has sent something before it died, and it stands between what was acknowledged.
    pub noise: bool,
    /// The kernel held something for nobody: memory, identifiers, calls.
    pub leaked: bool,
    /// A component can reach what is not its own, or what belongs to nobody who is a target was changed.
    pub trespassed: bool,
    /// A component was given up.
    pub closed: bool,
    /// Deaths of the target.
    pub target_deaths: u32,
    /// Deaths of others.
    pub other_deaths: u32,
    /// The client saw something else than in the golden run: it had to ask again, or had to wait longer.
    pub deviates: bool,
}

/// What became of a trial.
pub const fn classify(seen: &Observed) -> Outcome {
    if seen.emulator_died {
        return Outcome::EmulatorDied;
    }
    if seen.kernel_panicked || !seen.finished && !seen.deadline_told && !seen.unplanned_reset {
        return Outcome::KernelDead;
    }
    if seen.unplanned_reset {
        return Outcome::BoardReset;
    }
    if seen.wrong_data || seen.trespassed {
        return Outcome::SilentCorruption;
    }
    if !seen.finished {
        return Outcome::Hang;
    }
    if seen.leaked {
        return Outcome::OthersDisturbed;
    }
    if !seen.activated {
        return Outcome::NotActivated;
    }
    if seen.closed {
        return Outcome::Degraded;
    }
    if seen.other_deaths > 0 {
        return Outcome::OthersDisturbed;
    }
    if seen.refused > 0 || seen.noise {
        return Outcome::RecoveredWithLoss;
    }
    if seen.target_deaths > 0 || seen.deviates { Outcome::RecoveredIntact } else { Outcome::Benign }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUIET: Observed = Observed {
        activated: true,
        emulator_died: false,
        kernel_panicked: false,
        unplanned_reset: false,
        finished: true,
        deadline_told: false,
        wrong_data: false,
        refused: 0,
        noise: false,
        leaked: false,
        trespassed: false,
        closed: false,
        target_deaths: 0,
        other_deaths: 0,
        deviates: false,
    };

    #[test]
    fn each_outcome_has_its_cause() {
        let cases = [
            (Observed { activated: false, ..QUIET }, Outcome::NotActivated),
            (QUIET, Outcome::Benign),
            (Observed { target_deaths: 1, ..QUIET }, Outcome::RecoveredIntact),
            (Observed { deviates: true, ..QUIET }, Outcome::RecoveredIntact),
            (Observed { target_deaths: 1, refused: 1, ..QUIET }, Outcome::RecoveredWithLoss),
            (Observed { target_deaths: 1, noise: true, ..QUIET }, Outcome::RecoveredWithLoss),
            (Observed { target_deaths: 1, other_deaths: 1, ..QUIET }, Outcome::OthersDisturbed),
            (Observed { target_deaths: 9, closed: true, ..QUIET }, Outcome::Degraded),
            (Observed { target_deaths: 1, leaked: true, closed: true, ..QUIET }, Outcome::OthersDisturbed),
            (Observed { wrong_data: true, leaked: true, refused: 1, ..QUIET }, Outcome::SilentCorruption),
            (Observed { trespassed: true, target_deaths: 1, ..QUIET }, Outcome::SilentCorruption),
            (Observed { finished: false, deadline_told: true, ..QUIET }, Outcome::Hang),
            (Observed { finished: false, ..QUIET }, Outcome::KernelDead),
            (Observed { kernel_panicked: true, unplanned_reset: true, ..QUIET }, Outcome::KernelDead),
            (Observed { unplanned_reset: true, ..QUIET }, Outcome::BoardReset),
            (Observed { emulator_died: true, finished: false, ..QUIET }, Outcome::EmulatorDied),
        ];
        for (seen, outcome) in cases {
            assert_eq!(classify(&seen), outcome, "{seen:?}");
        }
    }

    proptest! {
        #[test]
        fn a_failure_of_the_system_is_never_called_unactivated(
            panicked: bool, reset: bool, finished: bool, told: bool, wrong: bool, leaked: bool,
            activated: bool,
        ) {
            let seen = Observed {
                activated,
                kernel_panicked: panicked,
                unplanned_reset: reset,
                finished,
                deadline_told: told,
                wrong_data: wrong,
                leaked,
                ..QUIET
            };
            let failed = panicked || reset || wrong || leaked || !finished;
            prop_assert_eq!(classify(&seen).is_success(), !failed);
        }
    }

    #[test]
    fn names_are_those_of_the_ledger() {
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.name());
        }
    }
}
