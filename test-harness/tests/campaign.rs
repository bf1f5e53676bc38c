//! Campaigns on the emulated board: trials are functions of their number, also of whether they begin with a reset or where a board
//! stands, and a campaign whose undisturbed run is not clean does not begin.

use std::sync::Mutex;
use test_harness::campaign::ledger::Line;
use test_harness::campaign::outcome::Outcome;
use test_harness::campaign::scenario::CampaignScenario;
use test_harness::campaign::{Campaign, run_all};
use test_harness::system::System;
use test_harness::target::Machine;

const SCENARIO: &str = r#"
name = "test"
about = "a little of each model"
manifest = "campaign"
checked_card = true
window_ms = [20, 30]

[workload]
name = "mixed"
client = "client"
injector = "injector"
console = "console"
operations = 100
pause_us = 200
end_ms = 300

[targets]
block = 1
console = 1

[models]
"text/flipped-bit" = 1
"text/condition" = 1
"state/register-flip" = 1
"device/read-wrong" = 1
"behaviour/panic" = 1
"power/cut" = 1
"#;

/// One after the other: each of them keeps both cores busy.
static TURN: Mutex<()> = Mutex::new(());

fn prepare(text: &str, folder: &std::path::Path) -> anyhow::Result<Campaign> {
    let machine = Machine::under_test().unwrap();
    let scenario = CampaignScenario::parse(text).unwrap();
    let system = System::under_test(&machine.name, &scenario.manifest).unwrap();
    Campaign::prepare(&machine, &system, &scenario, 5, folder, &folder.join("profiles"))
}

fn trials(campaign: &Campaign, numbers: &[u64], jobs: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    run_all(campaign, numbers.iter().copied(), jobs, |line| {
        lines.push(line);
        Ok(())
    })
    .unwrap();
    lines.sort_by_key(|line| line.trial);
    lines
}

#[test]
fn a_trial_is_a_function_of_its_number() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    let campaign = prepare(SCENARIO, folder.path()).unwrap();
    let numbers: Vec<u64> = (0..10).collect();
    let together = trials(&campaign, &numbers, 2);
    assert!(together.iter().filter(|line| line.activated).count() >= 5, "{together:#?}");
    assert!(together.iter().any(|line| line.outcome == Outcome::RecoveredIntact), "{together:#?}");
    assert!(together.iter().all(|line| line.outcome != Outcome::EmulatorDied), "{together:#?}");
    let damaged =
        together.iter().flat_map(|line| &line.findings).find(|finding| finding.contains("no frames"));
    assert_eq!(damaged, None, "the evidence line was not understood");
    let alone = trials(&campaign, &[7, 2], 1);
    // Those began where a board stood; these begin with a reset.
    let from_reset = [1, 6].map(|trial| campaign.run(trial, folder.path()).unwrap());
    for line in alone.iter().chain(&from_reset) {
        let before = &together[line.trial as usize];
        assert!(line.agrees_with(before), "{line:#?} is not {before:#?}");
    }
}

/// The scenario with other models, and what else is to stand before them.
fn with_models(more: &str, models: &[&str]) -> String {
    let (before, _) = SCENARIO.split_once("[models]").unwrap();
    let models: Vec<_> = models.iter().map(|model| format!("\"{model}\" = 1\n")).collect();
    format!("{before}{more}\n[models]\n{}", models.concat())
}

/// Runs trials where a board stands, and some of them from a reset.
fn agree(text: &str, numbers: &[u64], again: &[u64]) -> Vec<Line> {
    let folder = tempfile::tempdir().unwrap();
    let campaign = prepare(text, folder.path()).unwrap();
    let lines = trials(&campaign, numbers, 2);
    for &trial in again {
        let line = campaign.run(trial, folder.path()).unwrap();
        let before = lines.iter().find(|line| line.trial == trial).unwrap();
        assert!(line.agrees_with(before), "{line:#?} is not {before:#?}");
    }
    lines
}

#[test]
fn several_faults_and_batches_are_functions_of_the_number_too() {
    let _turn = TURN.lock();
    let several = "[several]\nfaults = [2, 3]\ngap_us = [0, 300]\n";
    let models = ["batch/text", "behaviour/kill", "behaviour/wild-write", "state/register-wild"];
    let lines = agree(&with_models(several, &models), &[0, 1, 2, 3, 4, 5], &[2, 5]);
    assert!(lines.iter().all(|line| line.model.starts_with("several/")), "{lines:#?}");
    assert!(lines.iter().all(|line| line.outcome != Outcome::EmulatorDied), "{lines:#?}");
    let batches: Vec<_> = lines.iter().filter_map(|line| line.mutations).collect();
    let is_whole = |[mutations, reached]: &[u64; 2]| *mutations == 100 && reached <= mutations;
    assert!(!batches.is_empty() && batches.iter().all(is_whole), "{lines:#?}");
    assert!(batches.iter().any(|[_, reached]| *reached > 0), "{batches:?}");
}

#[test]
fn faults_wait_for_a_restart() {
    let _turn = TURN.lock();
    let recovery = "[recovery]\nof = [\"console\"]\n";
    let text = with_models(recovery, &["text/condition", "state/checkpoint-flip", "state/bundle-wild"]);
    let lines = agree(&text.replace("block = 1", "rs = 1"), &[0, 1, 2, 3, 4, 5, 6, 7], &[0, 1, 2, 3]);
    assert!(lines.iter().all(|line| line.model.starts_with("recovery/")), "{lines:#?}");
    assert!(lines.iter().all(|line| line.outcome != Outcome::EmulatorDied), "{lines:#?}");
    for (model, target) in [("text/condition", "console+rs"), ("state/bundle-wild", "console")] {
        let is_of = |line: &&Line| line.model.ends_with(model) && line.target == target;
        assert!(lines.iter().filter(is_of).any(|line| line.activated), "{model}: {lines:#?}");
    }
}

/// The scenario with other targets and models.
fn with_target(target: &str, models: &[&str]) -> String {
    with_models("", models).replace("block = 1\nconsole = 1\n", &format!("{target} = 1\n"))
}

#[test]
fn root_comes_back_with_the_board_or_by_the_watchdog() {
    let _turn = TURN.lock();
    let lines =
        agree(&with_target("root", &["behaviour/kill", "behaviour/loop"]), &[0, 1, 2, 3], &[0, 1, 2, 3]);
    assert!(lines.iter().all(|line| line.outcome == Outcome::RecoveredIntact), "{lines:#?}");
    for how in ["the board was reset with root", "watchdog was played"] {
        let is_so = |line: &&Line| line.findings.iter().any(|finding| finding.contains(how));
        assert!(lines.iter().any(|line| is_so(&line)), "{how}: {lines:#?}");
    }
}

/// About one in five instructions that are drawn is reached: so many trials have one.
const KERNEL_TRIALS: u64 = 24;

#[test]
fn a_fault_in_the_kernel_takes_effect_when_its_instruction_is_reached() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    let text = with_target("kernel", &["kernel/source-register", "kernel/dropped-instruction"]);
    let campaign = prepare(&text, folder.path()).unwrap();
    let lines = trials(&campaign, &(0..KERNEL_TRIALS).collect::<Vec<_>>(), 2);
    assert!(lines.iter().all(|line| line.outcome != Outcome::EmulatorDied), "{lines:#?}");
    assert!(lines.iter().any(|line| line.outcome == Outcome::NotActivated), "{lines:#?}");
    // A breakpoint that was not reached is not there in the next trial: from a reset it is the same.
    let behind = lines.windows(2).find(|pair| !pair[0].activated && pair[1].activated);
    let behind = &behind.unwrap_or_else(|| panic!("none was reached: {lines:#?}"))[1];
    let line = campaign.run(behind.trial, folder.path()).unwrap();
    assert!(line.agrees_with(behind), "{line:#?} is not {behind:#?}");
}

#[test]
fn lies_about_blocks_are_ordered_while_the_board_stands() {
    let _turn = TURN.lock();
    let models = ["medium/lost", "medium/rot", "medium/torn", "medium/busy"];
    let text = with_models("", &models).replace("manifest = \"campaign\"", "manifest = \"campaign-medium\"");
    let text = text.replace("block = 1\nconsole = 1\n", "interposer = 1\n");
    let lines = agree(&text, &[0, 1, 2, 3, 4, 5], &[0, 3]);
    assert!(lines.iter().filter(|line| line.activated).count() >= 4, "{lines:#?}");
    let all_stood = lines.iter().all(|line| line.outcome.is_success());
    assert!(all_stood, "the layer has not found and mended all of them: {lines:#?}");
}

#[test]
fn several_clients_of_the_same_files_are_told_what_one_order_explains() {
    let _turn = TURN.lock();
    let text = with_target("root = 1\nsecond = 1\nfs", &["behaviour/kill", "behaviour/loop"]);
    let text = text.replace("manifest = \"campaign\"", "manifest = \"campaign-shared\"");
    let lines = agree(&text.replace("\"mixed\"", "\"shared\""), &[0, 1, 2, 3, 4, 5, 6, 7], &[0, 1, 2, 3]);
    assert!(lines.iter().all(|line| line.outcome == Outcome::RecoveredIntact), "{lines:#?}");
    for target in ["root", "second", "fs"] {
        assert!(lines.iter().any(|line| line.target == target), "{target}: {lines:#?}");
    }
}

#[test]
fn a_campaign_whose_undisturbed_run_is_not_clean_does_not_begin() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    // A card without the table that the integrity layer needs: nothing can be mounted.
    let text = SCENARIO.replace("checked_card = true\n", "");
    let message = prepare(&text, folder.path()).unwrap_err().to_string();
    assert!(message.contains("the golden run of test is not clean"), "{message}");
}

#[test]
fn a_workload_that_is_over_too_soon_is_refused() {
    let _turn = TURN.lock();
    let folder = tempfile::tempdir().unwrap();
    let text = SCENARIO.replace("operations = 100", "operations = 5");
    let message = prepare(&text, folder.path()).unwrap_err().to_string();
    assert!(message.contains("more operations, or an earlier window"), "{message}");
}
