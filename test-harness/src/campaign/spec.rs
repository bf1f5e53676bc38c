//! A trial: which faults, in whom, when. A function of scenario, seed, number, and of the images.

use super::profile::Profile;
use super::scenario::{CampaignScenario, Recovery, is_called_by_nobody};
use super::work::WorkKind;
use crate::fault::{Action, Dice, Model, TargetImage, behaviour, draw, power};
use abi::plan::{Fault, PARAMETERS, PlanEntry, PlanHeader};
use abi::syscall::trigger;
use anyhow::{Context, Result, bail};
use injector_core::{JOINED, parameter};
use interposer_core::orders;
use std::collections::{BTreeMap, BTreeSet};
use zerocopy::IntoBytes;

/// Targets and models that are tried until one of them fits the other.
const ATTEMPTS: u32 = 1000;

/// Longest that a fault waits for a message, in nanoseconds.
const TRIGGER_LIMIT_NS: u64 = 20_000_000;

/// How long before the first fault the board stands, in nanoseconds: longer than [`SETTLE_NS`].
pub const LEAD_NS: u64 = 2_000_000;

/// Between two looks of the injector at a target that is ready again, in nanoseconds.
const SETTLE_NS: u64 = 1_000_000;

/// A component that faults are put into.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its code.
    pub image: TargetImage,
    /// What of it is executed.
    pub profile: Profile,
    /// What of it is executed besides while another component is restarted, by that one's name.
    pub recoveries: BTreeMap<String, Profile>,
}

/// One fault of a trial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// Name of the target.
    pub target: String,
    /// Its slot.
    pub slot: u8,
    /// The model.
    pub model: Model,
    /// What is done.
    pub action: Action,
    /// Not before this virtual time, in nanoseconds. Of a fault that is not the first: so much later than the one before takes
    /// place as the two times differ.
    pub at: u64,
    /// What the guest waits for then: a constant of [`trigger`], and how often.
    pub trigger: (u64, u32),
}

/// A trial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spec {
    /// Its number.
    pub trial: u64,
    /// Its faults, in their order: one, unless the scenario asks for several.
    pub faults: Vec<Planned>,
}

impl Spec {
    /// Draws a trial.
    ///
    /// # Errors
    /// No target of the scenario has a place for any of its models.
    pub fn draw(
        scenario: &CampaignScenario,
        seed: u64,
        trial: u64,
        targets: &BTreeMap<String, Target>,
    ) -> Result<Self> {
        let mut dice = Dice::new(seed, trial);
        let mut at = dice.within([scenario.first_ns(), scenario.last_ns()]);
        if let Some(recovery) = &scenario.recovery {
            return Ok(Self { trial, faults: draw_recovery(scenario, recovery, targets, at, &mut dice)? });
        }
        let mut faults: Vec<Planned> = vec![draw_one(scenario, targets, at, &BTreeSet::new(), &mut dice)?];
        if let Some(enumeration) = &scenario.enumeration {
            let trigger = enumeration.trigger(trial);
            faults[0].trigger =
                trigger.with_context(|| format!("trial {trial} waits for no message that can be counted"))?;
        }
        let Some(several) = &scenario.several else { return Ok(Self { trial, faults }) };
        let count = dice.within(several.faults);
        while (faults.len() as u64) < count {
            at += dice.within(several.gap_us) * 1000;
            let taken = faults.iter().flat_map(Planned::places).collect();
            let drawn = draw_one(scenario, targets, at, &taken, &mut dice)?;
            // It belongs to the one before: it waits for its time, and for nothing else.
            faults.push(Planned { trigger: (trigger::NOW, JOINED), ..drawn });
        }
        Ok(Self { trial, faults })
    }

    /// The first fault: the only one, as a rule.
    pub fn first(&self) -> Option<&Planned> {
        self.faults.first()
    }

    /// How many pieces it has that can be left out one by one: faults, and the mutations of a batch.
    pub fn pieces(&self) -> usize {
        self.faults.iter().map(Planned::pieces).sum()
    }

    /// The trial with these pieces only, by their numbers in ascending order. A fault whose predecessors are left out takes place at
    /// the time that its plan says.
    #[must_use]
    pub fn with_pieces(&self, kept: &[usize]) -> Self {
        let mut first = 0;
        let mut faults: Vec<_> = Vec::new();
        for fault in &self.faults {
            let own = first..first + fault.pieces();
            first = own.end;
            let kept: Vec<_> =
                kept.iter().filter(|piece| own.contains(piece)).map(|piece| piece - own.start).collect();
            faults.extend(fault.with_pieces(&kept));
        }
        if let Some(first) = faults.first_mut().filter(|first| first.trigger == (trigger::NOW, JOINED)) {
            first.trigger = (trigger::NOW, 0);
        }
        Self { trial: self.trial, faults }
    }

    /// The steps of the trial's plan: as many as the scenario has in any trial.
    pub fn steps(&self, scenario: &CampaignScenario, client: u8) -> Vec<PlanEntry> {
        let mut steps: Vec<_> = self.faults.iter().filter_map(Planned::step).collect();
        steps.resize(scenario.steps(), no_step(scenario, client));
        steps
    }

    /// The trial's plan. `client` is somebody who is there.
    pub fn plan(&self, scenario: &CampaignScenario, seed: u64, client: u8) -> Vec<u8> {
        let mut plan = plan_of_steps(scenario, seed, client, &self.steps(scenario, client));
        let orders = self.faults.iter().filter_map(|fault| match fault.action {
            Action::Medium(order) => Some(order),
            _ => None,
        });
        let orders: Vec<_> = orders.collect();
        if !orders.is_empty() {
            orders::add(&mut plan, &orders);
        }
        plan
    }

    /// When it takes place, for people.
    pub fn trigger_text(&self) -> String {
        let texts: Vec<_> = self.faults.iter().map(Planned::trigger_text).collect();
        texts.join("; ")
    }
}

/// Draws one fault, at none of the places that are `taken`: slots and addresses.
fn draw_one(
    scenario: &CampaignScenario,
    targets: &BTreeMap<String, Target>,
    at: u64,
    taken: &BTreeSet<(u8, u64)>,
    dice: &mut Dice,
) -> Result<Planned> {
    let models = scenario.models();
    for _ in 0..ATTEMPTS {
        let name = dice.weighted(scenario.targets.iter().map(|(name, weight)| (name, *weight)));
        let model = dice.weighted(models.iter().map(|(model, weight)| (model, *weight))).copied();
        let (Some(name), Some(model)) = (name, model) else { break };
        let Some(target) = targets.get(name) else { continue };
        let slot = target.image.slot;
        let is_free = |action: &Action| action.places().iter().all(|place| !taken.contains(&(slot, *place)));
        if let Some(action) = draw(model, &target.image, &target.profile, at, dice).filter(is_free) {
            let trigger = message_trigger(model, name, dice);
            return Ok(Planned { target: name.clone(), slot, model, action, at, trigger });
        }
    }
    bail!("no target of the scenario {} has a place for any of its models", scenario.name)
}

/// Draws a fault that takes effect while somebody is restarted, and the kill that it waits for.
fn draw_recovery(
    scenario: &CampaignScenario,
    recovery: &Recovery,
    targets: &BTreeMap<String, Target>,
    at: u64,
    dice: &mut Dice,
) -> Result<Vec<Planned>> {
    let models = scenario.models();
    for _ in 0..ATTEMPTS {
        let name = dice.weighted(scenario.targets.iter().map(|(name, weight)| (name, *weight)));
        let model = dice.weighted(models.iter().map(|(model, weight)| (model, *weight))).copied();
        let Some(killed) = recovery.of.get(dice.below(recovery.of.len() as u64) as usize) else { break };
        let (Some(name), Some(model)) = (name, model) else { break };
        let name = if model.is_of_slot() { killed } else { name };
        let (Some(target), Some(victim)) = (targets.get(name), targets.get(killed)) else { continue };
        let nothing = Profile::default();
        let profile = target.recoveries.get(killed).unwrap_or(&nothing);
        let Some(action) = draw(model, &target.image, profile, at, dice) else { continue };
        let slot = target.image.slot;
        let fault = Planned { target: name.clone(), slot, model, action, at, trigger: (trigger::NOW, 0) };
        let kill = Planned {
            target: killed.clone(),
            slot: victim.image.slot,
            model: Model::Behaviour(Fault::Kill),
            action: Action::Stub(Fault::Kill),
            at,
            trigger: (trigger::NOW, JOINED),
        };
        return Ok(vec![fault, kill]);
    }
    bail!("no target of the scenario {} has a place for any of its models during a restart", scenario.name)
}

impl Planned {
    /// Slot and address of all instructions that it puts probes over.
    fn places(&self) -> Vec<(u8, u64)> {
        self.action.places().into_iter().map(|place| (self.slot, place)).collect()
    }

    fn pieces(&self) -> usize {
        if let Action::Batch(changes) = &self.action { changes.len() } else { 1 }
    }

    fn with_pieces(&self, kept: &[usize]) -> Option<Self> {
        let action = match &self.action {
            Action::Batch(changes) => {
                Action::Batch(kept.iter().filter_map(|&piece| changes.get(piece).copied()).collect())
            }
            action => action.clone(),
        };
        (!kept.is_empty()).then(|| Self { action, ..self.clone() })
    }

    /// Its step in the plan; a medium lies without one.
    fn step(&self) -> Option<PlanEntry> {
        let fault = match self.action {
            Action::Medium(_) => return None,
            Action::Stub(fault) => fault,
            _ => Fault::Outside,
        };
        let (trigger, count) = (self.trigger.0 as u32, self.trigger.1);
        Some(PlanEntry { at: self.at, fault: fault as u32, slot: self.slot.into(), trigger, count })
    }

    fn trigger_text(&self) -> String {
        let after = match self.trigger {
            (trigger::RECEIVED, count) => format!(", request {count} received"),
            (trigger::SENT, count) => format!(", message {count} sent"),
            _ => String::new(),
        };
        let executed = self.action.address().map_or_else(String::new, |at| format!(", {at:#x} executed"));
        let joined = if self.trigger == (trigger::NOW, JOINED) { ", behind the one before" } else { "" };
        format!("from {} ns on{joined}{after}{executed}", self.at)
    }
}

/// Half of the failures of servers wait for a message.
fn message_trigger(model: Model, target: &str, dice: &mut Dice) -> (u64, u32) {
    let (choice, count) = (dice.below(4) as usize, dice.within([1, behaviour::COUNT_MAX]) as u32);
    let kind = behaviour::TRIGGERS.get(choice.saturating_sub(1)).copied().unwrap_or(trigger::NOW);
    if !matches!(model, Model::Behaviour(_)) || is_called_by_nobody(target) || kind == trigger::NOW {
        return (trigger::NOW, 0);
    }
    (kind, count)
}

/// A plan that begins with a stop, at which the board can be kept and put back, and goes on with these steps. `slot` is the client's:
/// somebody who is there.
fn plan_of_steps(scenario: &CampaignScenario, seed: u64, slot: u8, steps: &[PlanEntry]) -> Vec<u8> {
    let at = scenario.first_ns() - LEAD_NS;
    let stop = PlanEntry { at, fault: Fault::Outside as u32, slot: slot.into(), trigger: 0, count: 0 };
    plan(scenario, seed, &[&[stop], steps].concat())
}

/// The plan of a trial in which nothing happens: it has as many steps as the others.
pub fn plan_without_fault(scenario: &CampaignScenario, seed: u64, slot: u8) -> Vec<u8> {
    plan_of_steps(scenario, seed, slot, &vec![no_step(scenario, slot); scenario.steps()])
}

/// A step that is not reached before the client comes to its end.
fn no_step(scenario: &CampaignScenario, slot: u8) -> PlanEntry {
    let at = scenario.workload.end_ms * 1_000_000;
    PlanEntry { at, fault: Fault::Outside as u32, slot: slot.into(), trigger: 0, count: 0 }
}

/// A fault plan with the scenario's workload.
pub fn plan(scenario: &CampaignScenario, seed: u64, entries: &[PlanEntry]) -> Vec<u8> {
    let work = &scenario.workload;
    let mut parameters = [0; PARAMETERS];
    parameters[parameter::SETTLE] = SETTLE_NS;
    parameters[parameter::TRIGGER_LIMIT] = TRIGGER_LIMIT_NS;
    parameters[parameter::PAUSE] = work.pause_us * 1000;
    parameters[parameter::OPERATIONS] = work.operations.into();
    parameters[parameter::KIND] = WorkKind::named(&work.name).map_or(0, WorkKind::number);
    let header = PlanHeader { magic: 0, crc: 0, count: 0, seed, end: work.end_ms * 1_000_000, parameters };
    let mut bytes = injector_core::plan::sealed(header, entries).as_bytes().to_vec();
    bytes.extend_from_slice(entries.as_bytes());
    bytes
}

/// The plan of a start after the power was cut: its one step lies in the past.
pub fn plan_of_next_start(scenario: &CampaignScenario, seed: u64, slot: u8) -> Vec<u8> {
    let entry = PlanEntry {
        at: power::IN_THE_PAST,
        fault: Fault::Outside as u32,
        slot: slot.into(),
        trigger: trigger::NOW as u32,
        count: 0,
    };
    plan(scenario, seed, &[entry])
}

/// The target of a fault.
///
/// # Errors
/// It was not prepared.
pub fn target<'a>(targets: &'a BTreeMap<String, Target>, fault: &Planned) -> Result<&'a Target> {
    targets.get(&fault.target).with_context(|| format!("the target {} was not prepared", fault.target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Change;

    fn planned(action: Action, trigger: (u64, u32)) -> Planned {
        let model = Model::named("batch/text").unwrap();
        Planned { target: "fs".to_owned(), slot: 5, model, action, at: 7, trigger }
    }

    #[test]
    fn pieces_are_faults_and_mutations_of_batches() {
        let changes = |count| (0..count).map(|at| Change { address: at * 4, from: 1, to: 2 }).collect();
        let kill = planned(Action::Stub(Fault::Kill), (trigger::RECEIVED, 2));
        let batch = planned(Action::Batch(changes(3)), (trigger::NOW, JOINED));
        let spec = Spec { trial: 1, faults: vec![kill.clone(), batch.clone()] };
        assert_eq!(spec.pieces(), 4);
        assert_eq!(spec.with_pieces(&[0, 1, 2, 3]), spec);
        assert_eq!(spec.with_pieces(&[0]).faults, [kill]);
        let alone = Planned { trigger: (trigger::NOW, 0), action: Action::Batch(changes(2)), ..batch };
        assert_eq!(spec.with_pieces(&[1, 2]).faults, [alone], "there is nothing left to be joined to");
        assert_eq!(spec.with_pieces(&[]).faults, []);
    }
}
