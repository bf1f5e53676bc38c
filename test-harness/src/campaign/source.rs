//! A mutant's trial: the workload, nothing injected, on a system that was built with the mutant.
//!
//! *Rule.* The fault is there from the component's first start, and again after each restart. So no moment is known at which it took
//! effect, and nobody can have been served before. That it took effect is seen from outside all the same: something is not as in the
//! golden run of the unchanged system; or what the mutant changes belongs to instructions that the unchanged component executes in
//! this workload ([`Profile`](super::profile::Profile)). Otherwise it is not activated. Times differ with every build, so it is not
//! the hash of the trace that is compared, but what the client and the judge saw.

use super::ledger::Line;
use super::mutants::{Mutant, TRIGGER};
use super::outcome::{Observed, Outcome, classify};
use super::run::{End, Passing};
use super::silence::Mute;
use super::{Campaign, Golden, Judge, TOLERANCE_NS};
use crate::evidence::symbols::Images;
use crate::fault::image;
use crate::oracle::memory::Expected;
use crate::system::System;
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Lines of sources, with their files.
pub type Lines = BTreeSet<(String, u64)>;

impl Campaign {
    /// The lines of the sources that the instructions belong to which a target executes undisturbed.
    ///
    /// # Errors
    /// There is no such target, or its image has no debug data.
    pub fn executed_lines(&self, target: &str) -> Result<Lines> {
        let profile = &self.targets.get(target).with_context(|| format!("no target {target:?}"))?.profile;
        let mut images = Images::of(&self.system);
        let image = images.of_slot(&self.system, self.system.slot(target)?);
        let image = image.with_context(|| format!("the build has no symbols of {target}: build again"))?;
        Ok(profile.executed().flat_map(|address| image.lines(address)).collect())
    }

    /// This campaign on another system, whose trials are compared with this golden run.
    ///
    /// # Errors
    /// The system lacks the client or symbols of the kernel.
    pub fn on(&self, system: &System) -> Result<Self> {
        Ok(Self {
            machine: self.machine.clone(),
            system: system.clone(),
            kernel: system.kernel(),
            scenario: self.scenario.clone(),
            seed: self.seed,
            fault_point: image::kernel_symbol(system, "fault_point_stop")?,
            resume_point: image::kernel_symbol(system, "resume_component")?,
            card: self.card.clone(),
            client: system.slot(&self.scenario.workload.client)?,
            targets: std::collections::BTreeMap::new(),
            golden: self.golden.clone(),
            memory: Arc::new(Expected::of(system)?),
            alters_cards: false,
        })
    }

    /// Runs the workload from a reset on this system, which has the mutant. `is_executed`: what it changes is executed undisturbed.
    ///
    /// # Errors
    /// The trial could not take place.
    pub fn run_mutant(&self, trial: u64, mutant: &Mutant, is_executed: bool, folder: &Path) -> Result<Line> {
        let begun = Instant::now();
        let slot = self.system.slot(mutant.target)?;
        let mut judge = self.judge()?.with_targets([slot]);
        let passing = &mut Passing::new(None);
        let (end, card) = self.boot_once(&self.plan_without_fault(), &mut judge, Some(passing), folder)?;
        let mut seen = judge.finish(&card)?;
        seen.deadline_told |= matches!(end, End::Silent(Some(Mute::Components)));
        seen.emulator_died = matches!(end, End::Emulator(_));
        let (outage, now) = (self.golden.outage(&judge), judge.history(0));
        let history = &self.golden.history;
        seen.deviates =
            outage.is_some() || now.repeated > history.repeated || now.acknowledged != history.acknowledged;
        let (activated, outcome) = decide(&seen, is_executed, judge.gave_up_another(slot));
        let mut findings = judge.findings().to_vec();
        if let End::Emulator(reason) = &end {
            findings.push(format!("the emulator failed: {reason}"));
        }
        Ok(Line {
            trial,
            scenario: self.scenario.name.clone(),
            seed: self.seed,
            target: mutant.target.to_owned(),
            model: mutant.model.clone(),
            trigger: TRIGGER.to_owned(),
            fault: mutant.name.clone(),
            mutations: None,
            activated,
            outcome,
            class: judge.target_death(0).map(|death| death.class.name().to_owned()),
            detect_ns: None,
            outage_ns: outage,
            incarnations: judge.incarnations(),
            trace_hash: judge.hash(),
            findings,
            wall_ms: begun.elapsed().as_millis() as u64,
        })
    }
}

impl Golden {
    /// How much longer than in this run the client had to wait, for the first acknowledgement or for another; `None`: not longer.
    fn outage(&self, judge: &Judge) -> Option<u64> {
        let longer = |now: u64, then: u64| now.checked_sub(then + TOLERANCE_NS).map(|_| now - then);
        let first = judge.first_acknowledged().zip(self.first).and_then(|(now, then)| longer(now, then));
        first.max(longer(judge.history(0).longest_wait, self.history.longest_wait))
    }
}

/// Whether the mutant took effect, and what became of the trial. Only that *its* component is given up is stood: `gave_up_another` is not.
fn decide(seen: &Observed, is_executed: bool, gave_up_another: bool) -> (bool, Outcome) {
    match classify(&Observed { activated: true, ..*seen }) {
        Outcome::Benign if !is_executed => (false, Outcome::NotActivated),
        Outcome::Degraded if gave_up_another || seen.other_deaths > 0 => (true, Outcome::OthersDisturbed),
        outcome => (true, outcome),
    }
}

/// Whether what a mutant changes is among these lines.
pub fn is_executed(mutant: &Mutant, lines: &Lines) -> bool {
    let [first, last] = mutant.lines;
    (first..=last).any(|line| lines.contains(&(mutant.file.clone(), line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Observed = Observed {
        activated: false,
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
    fn whatever_is_seen_is_activated_and_what_is_not_only_if_it_is_executed() {
        let decide = |seen, is_executed| decide(seen, is_executed, false);
        assert_eq!(decide(&QUIET, false), (false, Outcome::NotActivated));
        assert_eq!(decide(&QUIET, true), (true, Outcome::Benign));
        assert_eq!(decide(&Observed { deviates: true, ..QUIET }, false), (true, Outcome::RecoveredIntact));
        let never_served = Observed { finished: false, deadline_told: true, ..QUIET };
        assert_eq!(decide(&never_served, false), (true, Outcome::Hang));
    }

    #[test]
    fn only_its_own_component_may_be_given_up() {
        let closed = Observed { closed: true, target_deaths: 6, ..QUIET };
        assert_eq!(decide(&closed, false, false), (true, Outcome::Degraded));
        assert_eq!(decide(&closed, false, true), (true, Outcome::OthersDisturbed));
        let with_others = Observed { other_deaths: 1, ..closed };
        assert_eq!(decide(&with_others, false, false), (true, Outcome::OthersDisturbed));
    }

    #[test]
    fn one_line_of_what_is_changed_is_enough() {
        let mutant = Mutant {
            name: "m".to_owned(),
            target: "fs",
            package: "fs-core".to_owned(),
            file: "f.rs".to_owned(),
            model: "source/fn-value".to_owned(),
            lines: [7, 9],
            patch: String::new(),
        };
        let lines = |file: &str, line| Lines::from([(file.to_owned(), line)]);
        assert!(is_executed(&mutant, &lines("f.rs", 9)));
        assert!(!is_executed(&mutant, &lines("f.rs", 10)));
        assert!(!is_executed(&mutant, &lines("g.rs", 8)));
    }
}
