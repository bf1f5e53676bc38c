//! What there is to run, and what became of what was run.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use test_harness::campaign::description::Description;
use test_harness::campaign::html;
use test_harness::campaign::junit;
use test_harness::campaign::ledger::{self, Line, Writer};
use test_harness::campaign::mutants;
use test_harness::campaign::outcome::Outcome;
use test_harness::campaign::scenario::{CampaignScenario, STOCK};
use test_harness::campaign::statistics::rate;
use test_harness::campaign::summary::Summary;
use test_harness::campaign::work::WORKLOADS;
use test_harness::fault::Model;

/// Failures that are named one by one.
const NAMED: usize = 20;

/// Scenarios, models, workloads.
pub fn list(as_json: bool) -> Result<ExitCode> {
    let mut scenarios = Vec::new();
    for (name, _) in STOCK {
        let (scenario, _) = CampaignScenario::named(name)?;
        scenarios.push(json!({
            "name": name,
            "about": scenario.about,
            "manifest": scenario.manifest,
            "workload": scenario.workload.name,
            "targets": scenario.targets.keys().collect::<Vec<_>>(),
            "models": scenario.models.keys().collect::<Vec<_>>(),
        }));
    }
    let mut models: Vec<_> = Model::all().iter().map(ToString::to_string).collect();
    // Of `./x campaign source`: cargo-mutants says which genres there are.
    models.push(format!("{}…", mutants::MODEL));
    if as_json {
        let all = json!({ "scenarios": scenarios, "models": models, "workloads": WORKLOADS });
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("scenarios:");
    for scenario in &scenarios {
        println!(
            "  {:12} {}",
            scenario["name"].as_str().unwrap_or(""),
            scenario["about"].as_str().unwrap_or("")
        );
    }
    println!("models:\n  {}", models.join("\n  "));
    println!("workloads:\n  {}", WORKLOADS.join("\n  "));
    Ok(ExitCode::SUCCESS)
}

/// Joins shards into one ledger.
pub fn merge(folders: &[PathBuf], out: &Path) -> Result<ExitCode> {
    let mut whole: BTreeMap<u64, Line> = BTreeMap::new();
    let mut first: Option<Description> = None;
    for folder in folders {
        let description = Description { shard: [0, 1], ..Description::read(folder)? };
        let expected = first.get_or_insert_with(|| description.clone());
        ensure!(
            *expected == description,
            "{} is of another campaign than {}",
            folder.display(),
            folders[0].display()
        );
        for line in ledger::read(folder)? {
            let trial = line.trial;
            if let Some(before) = whole.insert(trial, line.clone()) {
                ensure!(before.agrees_with(&line), "trial {trial} stands in two shards, and differs");
            }
        }
    }
    let description = first.context("no shards")?;
    let missing = description.numbers().find(|trial| !whole.contains_key(trial));
    if let Some(trial) = missing {
        anyhow::bail!(
            "trial {trial} is missing: a shard is not there, or was not run to its end (`./x campaign resume`)"
        );
    }
    std::fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    description.write(out)?;
    let mut writer = Writer::open(out, 0, 1)?;
    whole.into_values().try_for_each(|line| writer.add(line))?;
    report(out)
}

/// Sums a ledger up: on the terminal, in `summary.json`, `report.html` and `junit.xml`.
pub fn report(folder: &Path) -> Result<ExitCode> {
    let lines = ledger::read(folder)?;
    let summary = Summary { drawn: mutants::count(&mutants::read(folder)?), ..Summary::of(&lines) };
    let description = Description::read(folder)?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    write("summary.json", serde_json::to_string_pretty(&summary)? + "\n")?;
    write("report.html", html::page(&description, &summary, &lines)?)?;
    write("junit.xml", junit::document(&summary, &lines)?)?;
    print(&summary);
    let failures: Vec<_> = lines.iter().filter(|line| !line.is_stood()).collect();
    for line in failures.iter().take(NAMED) {
        println!(
            "  {} {} in {}: {}\n    ./x campaign replay {} --trial {}",
            line.outcome.name(),
            line.model,
            line.target,
            line.fault,
            folder.display(),
            line.trial
        );
    }
    if failures.len() > NAMED {
        println!("  and {} more", failures.len() - NAMED);
    }
    Ok(exit_code(&lines))
}

/// That of the worst trial.
pub fn exit_code(lines: &[Line]) -> ExitCode {
    let worst = lines.iter().filter(|line| !line.is_stood()).map(|line| line.outcome).max();
    ExitCode::from(worst.map_or(0, Outcome::exit_code))
}

fn print(summary: &Summary) {
    println!("{}, seed {}: {} trials", summary.scenario, summary.seed, summary.trials);
    if summary.void {
        println!("VOID: more than 0.1 % of the trials were lost to the emulator");
    }
    for outcome in Outcome::ALL {
        if let Some(count) = summary.outcomes.get(&outcome) {
            println!("  {:22} {count}", outcome.name());
        }
    }
    if summary.trials > 0 && summary.outcomes.get(&Outcome::NotActivated) == Some(&summary.trials) {
        println!("  no fault was activated: the run says nothing about the system");
    }
    print_mutants(summary);
    if summary.trials > 0 && summary.source.iter().map(|row| row.trials).sum::<u64>() == summary.trials {
        return;
    }
    println!(
        "\n  {:28} {:8} {:>9} {:>10}  recovered intact of manifested (95 %)",
        "model", "target", "activated", "manifested"
    );
    for cell in summary.cells.iter().chain(&summary.several).chain(&summary.kernel) {
        println!(
            "  {:28} {:8} {:>9} {:>10}  {}",
            cell.model,
            cell.target,
            cell.activated,
            cell.manifested,
            if cell.recovered_intact == cell.manifested && cell.manifested > 0 {
                format!("all; failures {}", rate(0, cell.manifested))
            } else {
                rate(cell.recovered_intact, cell.manifested)
            }
        );
    }
    for batch in &summary.batches {
        let outcomes = batch.outcomes.iter().map(|(outcome, count)| format!("{count} {}", outcome.name()));
        println!(
            "  {} batches in {}: {} mutations, {} reached; {}",
            batch.batches,
            batch.target,
            batch.mutations,
            batch.reached,
            outcomes.collect::<Vec<_>>().join(", ")
        );
    }
}

/// The table of mutants, and what became of all that were drawn.
fn print_mutants(summary: &Summary) {
    for row in &summary.drawn {
        let fates = row.fates.iter().map(|(fate, count)| format!("{count} {}", fate.name()));
        println!("  {:9} {} mutants drawn: {}", row.target, row.drawn, fates.collect::<Vec<_>>().join(", "));
    }
    if summary.source.is_empty() {
        return;
    }
    println!(
        "\n  {:28} {:>6} {:>9} {:>10} {:>9}  stood of manifested: recovered intact or given up (95 %)",
        "mutants of", "trials", "activated", "manifested", "recovered"
    );
    for row in &summary.source {
        println!(
            "  {:28} {:>6} {:>9} {:>10} {:>9}  {}",
            row.target,
            row.trials,
            row.activated,
            row.manifested,
            row.recovered_intact,
            rate(row.stood, row.manifested)
        );
    }
}

/// Compares two ledgers trial by trial.
pub fn compare(one: &Path, other: &Path) -> Result<ExitCode> {
    Description::read(one)?.check_comparable(&Description::read(other)?)?;
    let (first, second) = (ledger::read(one)?, ledger::read(other)?);
    let by_trial =
        |lines: Vec<Line>| lines.into_iter().map(|line| (line.trial, line)).collect::<BTreeMap<_, _>>();
    let (first, second) = (by_trial(first), by_trial(second));
    let numbers: std::collections::BTreeSet<_> = first.keys().chain(second.keys()).collect();
    let mut differing = 0;
    for trial in &numbers {
        let outcome = |line: Option<&Line>| line.map_or("not there", |line| line.outcome.name());
        match (first.get(trial), second.get(trial)) {
            (Some(one), Some(other)) if one.agrees_with(other) => {}
            (one, other) => {
                differing += 1;
                let fields =
                    one.zip(other).map_or_else(String::new, |(one, other)| one.differing_fields(other));
                println!("  trial {trial}: {} / {}{fields}", outcome(one), outcome(other));
            }
        }
    }
    println!("{} trials, {differing} differ", numbers.len());
    Ok(if differing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
