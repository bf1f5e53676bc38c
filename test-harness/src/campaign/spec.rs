//! A trial: which fault, in whom, when. A function of scenario, seed, number, and of the images.

use super::profile::Profile;
use super::scenario::CampaignScenario;
use crate::fault::{Action, Dice, Model, TargetImage, behaviour, draw, power};
use abi::plan::{Fault, PARAMETERS, PlanEntry, PlanHeader};
use abi::syscall::trigger;
use anyhow::{Result, bail};
use injector_core::parameter;
use std::collections::BTreeMap;
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
}

/// A trial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spec {
    /// Its number.
    pub trial: u64,
    /// Name of the target.
    pub target: String,
    /// The model.
    pub model: Model,
    /// What is done.
    pub action: Action,
    /// Not before this virtual time, in nanoseconds.
    pub at: u64,
    /// What the guest waits for then: a constant of [`trigger`], and how often.
    pub trigger: (u64, u32),
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
        let models = scenario.models();
        let at = dice.within([scenario.first_ns(), scenario.last_ns()]);
        for _ in 0..ATTEMPTS {
            let name = dice.weighted(scenario.targets.iter().map(|(name, weight)| (name, *weight)));
            let model = dice.weighted(models.iter().map(|(model, weight)| (model, *weight))).copied();
            let (Some(name), Some(model)) = (name, model) else { break };
            let Some(target) = targets.get(name) else { continue };
            if let Some(action) = draw(model, &target.image, &target.profile, &mut dice) {
                let trigger = message_trigger(model, name, &mut dice);
                return Ok(Self { trial, target: name.clone(), model, action, at, trigger });
            }
        }
        bail!("no target of the scenario {} has a place for any of its models", scenario.name)
    }

    /// The step of the trial's plan, for a target in `slot`.
    pub fn step(&self, slot: u8) -> PlanEntry {
        let fault = match self.action {
            Action::Stub(fault) => fault,
            _ => Fault::Outside,
        };
        let (trigger, count) = (self.trigger.0 as u32, self.trigger.1);
        PlanEntry { at: self.at, fault: fault as u32, slot: slot.into(), trigger, count }
    }

    /// When it takes place, for people.
    pub fn trigger_text(&self) -> String {
        let after = match self.trigger {
            (trigger::RECEIVED, count) => format!(", request {count} received"),
            (trigger::SENT, count) => format!(", message {count} sent"),
            _ => String::new(),
        };
        let executed = self.action.address().map_or_else(String::new, |at| format!(", {at:#x} executed"));
        format!("from {} ns on{after}{executed}", self.at)
    }
}

/// Half of the failures of servers wait for a message.
fn message_trigger(model: Model, target: &str, dice: &mut Dice) -> (u64, u32) {
    let (choice, count) = (dice.below(4) as usize, dice.within([1, behaviour::COUNT_MAX]) as u32);
    let kind = behaviour::TRIGGERS.get(choice.saturating_sub(1)).copied().unwrap_or(trigger::NOW);
    // RS is called by nobody but its monitor, and calls nobody.
    if !matches!(model, Model::Behaviour(_)) || target == "rs" || kind == trigger::NOW {
        return (trigger::NOW, 0);
    }
    (kind, count)
}

/// The plan of a trial: a stop, at which the board can be kept and put back, and then this step. `slot` is the client's: somebody
/// who is there.
pub fn plan_of_trial(scenario: &CampaignScenario, seed: u64, slot: u8, step: PlanEntry) -> Vec<u8> {
    let at = scenario.first_ns() - LEAD_NS;
    let stop = PlanEntry { at, fault: Fault::Outside as u32, slot: slot.into(), trigger: 0, count: 0 };
    plan(scenario, seed, &[stop, step])
}

/// A step that is not reached before the client comes to its end.
pub fn no_step(scenario: &CampaignScenario, slot: u8) -> PlanEntry {
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
