//! `report.html`: one file that needs no other, for a browser, a phone and paper.

use super::description::Description;
use super::ledger::Line;
use super::mutants::{Fate, Fates};
use super::outcome::Outcome;
use super::statistics::rate;
use super::summary::{Batch, Cell, Mutants, Summary};
use anyhow::{Context, Result};
use askama::Template;
use std::collections::BTreeMap;

#[derive(Template)]
#[template(path = "campaign.html")]
struct Page<'a> {
    summary: &'a Summary,
    description: &'a Description,
    kernel: &'a str,
    command: String,
    headline: String,
    headline_colour: &'static str,
    outcomes: Vec<OutcomeRow>,
    tables: Vec<Table<'a>>,
    batches: Vec<BatchRow<'a>>,
    mutants: Vec<MutantsRow<'a>>,
    drawn: Vec<DrawnRow<'a>>,
    fates: [&'static str; Fate::ALL.len()],
    times: Vec<TimesRow<'a>>,
    failures: Vec<&'a Line>,
}

struct OutcomeRow {
    name: &'static str,
    count: u64,
    meaning: &'static str,
}

struct Table<'a> {
    title: &'static str,
    cells: Vec<CellRow<'a>>,
}

struct CellRow<'a> {
    model: &'a str,
    target: &'a str,
    activated: u64,
    manifested: u64,
    rate: String,
    spoken: String,
    parts: Vec<Part>,
}

struct Part {
    class: &'static str,
    percent: String,
    title: String,
}

struct BatchRow<'a> {
    batch: &'a Batch,
    outcomes: String,
}

struct MutantsRow<'a> {
    mutants: &'a Mutants,
    rate: String,
    spoken: String,
    parts: Vec<Part>,
}

struct DrawnRow<'a> {
    fates: &'a Fates,
    counts: [u64; Fate::ALL.len()],
}

struct TimesRow<'a> {
    class: &'a str,
    trials: u64,
    values: [String; 6],
}

/// Digits of a hash that are shown.
const DIGITS: usize = 16;

/// The page.
///
/// # Errors
/// The template cannot be filled in.
pub fn page(description: &Description, summary: &Summary, lines: &[Line]) -> Result<String> {
    let worst = worst(summary);
    let worst_mutants = summary.source.iter().find(|row| row.manifested > 0);
    let failed = lines.iter().any(|line| !line.is_stood());
    let cells = |fail_stop: bool| {
        summary.cells.iter().filter(move |cell| cell.fail_stop == fail_stop).map(row).collect()
    };
    let mut tables = vec![
        Table { title: "", cells: cells(false) },
        Table { title: "Kill, exit and panic", cells: cells(true) },
        Table {
            title: "Several faults in a trial, or one during a restart",
            cells: summary.several.iter().map(row).collect(),
        },
        Table { title: "Faults in the kernel", cells: summary.kernel.iter().map(row).collect() },
    ];
    tables.retain(|table: &Table| !table.cells.is_empty());
    let page = Page {
        summary,
        description,
        kernel: description.kernel_sha256.get(..DIGITS).unwrap_or(&description.kernel_sha256),
        command: description.command(),
        headline: match (worst, worst_mutants) {
            (Some(cell), _) => headline(cell),
            (None, Some(row)) => headline_of_mutants(row),
            (None, None) => headline_of_trials(lines),
        },
        headline_colour: if failed || summary.void { "bad" } else { "ok" },
        outcomes: outcome_rows(summary),
        tables,
        batches: summary.batches.iter().map(batch_row).collect(),
        mutants: summary.source.iter().map(mutants_row).collect(),
        drawn: summary.drawn.iter().map(drawn_row).collect(),
        fates: Fate::ALL.map(Fate::name),
        times: summary.times.iter().map(times_row).collect(),
        failures: lines.iter().filter(|line| !line.is_stood()).collect(),
    };
    page.render().context("filling in the report")
}

/// The worst cell: of single faults; where there are none, of several, of the kernel, of those that only say that they are dead.
fn worst(summary: &Summary) -> Option<&Cell> {
    let single = |fail_stop| summary.cells.iter().filter(move |cell| cell.fail_stop == fail_stop);
    let all = single(false).chain(&summary.several).chain(&summary.kernel).chain(single(true));
    all.into_iter().find(|cell| cell.manifested > 0)
}

/// Of batches, which are in no cell.
fn headline_of_trials(lines: &[Line]) -> String {
    let seen = lines.iter().filter(|line| line.outcome.is_manifested()).count();
    let failed = lines.iter().filter(|line| !line.is_stood()).count();
    if seen == 0 {
        return "No fault was seen at all.".to_owned();
    }
    format!("Of {seen} trials in which anything was seen {failed} were not recovered intact.")
}

fn headline(cell: &Cell) -> String {
    let failed = cell.manifested - cell.recovered_intact;
    format!(
        "{} in {}: of {} manifested faults {} were not recovered intact: {}.",
        cell.model,
        cell.target,
        cell.manifested,
        if failed == 0 { "none".to_owned() } else { failed.to_string() },
        rate(failed, cell.manifested),
    )
}

fn headline_of_mutants(row: &Mutants) -> String {
    let failed = row.manifested - row.stood;
    format!(
        "Mutants of {}: of {} that manifested {} were neither recovered intact nor given up: {}.",
        row.target,
        row.manifested,
        if failed == 0 { "none".to_owned() } else { failed.to_string() },
        rate(failed, row.manifested),
    )
}

/// The bar of a row, and the same in words.
fn bar(outcomes: &BTreeMap<Outcome, u64>, trials: u64) -> (Vec<Part>, String) {
    let title = |(outcome, count): (&Outcome, &u64)| format!("{}: {count}", outcome.name());
    let parts = outcomes.iter().map(|(outcome, count)| Part {
        class: colour(*outcome),
        percent: format!("{:.2}", *count as f64 * 100.0 / trials as f64),
        title: title((outcome, count)),
    });
    (parts.collect(), outcomes.iter().map(title).collect::<Vec<_>>().join(", "))
}

fn mutants_row(mutants: &Mutants) -> MutantsRow<'_> {
    let (parts, spoken) = bar(&mutants.outcomes, mutants.trials);
    MutantsRow { mutants, rate: rate(mutants.stood, mutants.manifested), spoken, parts }
}

fn drawn_row(fates: &Fates) -> DrawnRow<'_> {
    DrawnRow { fates, counts: Fate::ALL.map(|fate| fates.fates.get(&fate).copied().unwrap_or(0)) }
}

fn row(cell: &Cell) -> CellRow<'_> {
    let (parts, spoken) = bar(&cell.outcomes, cell.trials);
    CellRow {
        model: &cell.model,
        target: &cell.target,
        activated: cell.activated,
        manifested: cell.manifested,
        rate: rate(cell.recovered_intact, cell.manifested),
        spoken,
        parts,
    }
}

const fn colour(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotActivated => "none",
        Outcome::Benign => "benign",
        Outcome::RecoveredIntact => "ok",
        Outcome::RecoveredWithLoss | Outcome::OthersDisturbed | Outcome::Degraded => "warn",
        _ => "bad",
    }
}

fn outcome_rows(summary: &Summary) -> Vec<OutcomeRow> {
    let row = |outcome: Outcome| OutcomeRow {
        name: outcome.name(),
        count: summary.outcomes.get(&outcome).copied().unwrap_or(0),
        meaning: meaning(outcome),
    };
    Outcome::ALL.into_iter().map(row).collect()
}

const fn meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotActivated => {
            "the fault did not take effect while clients were served: counted, and in no rate"
        }
        Outcome::Benign => "the client saw what it sees undisturbed, and nobody died",
        Outcome::RecoveredIntact => "something was seen, and everything acknowledged is there",
        Outcome::RecoveredWithLoss => {
            "an operation failed and the client was told so; everything acknowledged is there"
        }
        Outcome::OthersDisturbed => {
            "a component that was not the target was restarted, too, or the kernel holds something for nobody"
        }
        Outcome::Degraded => "a component was given up",
        Outcome::SilentCorruption => "something acknowledged is gone or different, and nobody was told",
        Outcome::Hang => "the client did not come to its end, while the clock ran",
        Outcome::KernelDead => "the kernel panicked or says nothing any more",
        Outcome::BoardReset => "the board was reset unasked",
        Outcome::EmulatorDied => "the emulator failed: it says nothing about the system",
    }
}

fn batch_row(batch: &Batch) -> BatchRow<'_> {
    let outcomes = batch.outcomes.iter().map(|(outcome, count)| format!("{}: {count}", outcome.name()));
    BatchRow { batch, outcomes: outcomes.collect::<Vec<_>>().join(", ") }
}

fn times_row(times: &super::summary::Times) -> TimesRow<'_> {
    let text = |values: Option<[u64; 3]>, index: usize| {
        values.map_or_else(|| "–".to_owned(), |values| format!("{:.3}", values[index] as f64 / 1e6))
    };
    let values = std::array::from_fn(|index| {
        if index < 3 { text(times.detect_ns, index) } else { text(times.outage_ns, index - 3) }
    });
    TimesRow { class: &times.class, trials: times.trials, values }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(lines: &[Line]) -> String {
        let description = Description {
            scenario: "s".to_owned(),
            seed: 1,
            trials: lines.len() as u64,
            shard: [0, 1],
            board: "raspi3b".to_owned(),
            emulator: "an <emulator>".to_owned(),
            compiler: "1.96.0".to_owned(),
            harness_sha256: String::new(),
            kernel_sha256: "0123456789abcdef0123".to_owned(),
            text: String::new(),
            mutants: None,
            images: BTreeMap::new(),
        };
        page(&description, &Summary::of(lines), lines).unwrap()
    }

    #[test]
    fn mutants_have_a_table_of_their_own_and_those_given_up_are_no_failures() {
        let page = page_of(&[
            Line::sample(0, "fs", "source/fn-value", Outcome::Degraded),
            Line::sample(1, "fs", "source/fn-value", Outcome::Hang),
        ]);
        assert!(page.contains("Mutants of fs: of 2 that manifested 1 were neither"), "{page}");
        assert!(page.contains("--trial 1") && !page.contains("--trial 0"));
    }

    #[test]
    fn what_is_in_tables_of_its_own_makes_the_headline_where_there_is_nothing_else() {
        let headline = |model: &str, outcome| page_of(&[Line::sample(0, "rs", model, outcome)]);
        let recovery = headline("recovery/text/address", Outcome::Hang);
        assert!(
            recovery.contains("recovery/text/address in rs: of 1 manifested faults 1 were not"),
            "{recovery}"
        );
        let kill = headline("behaviour/kill", Outcome::SilentCorruption);
        assert!(kill.contains("behaviour/kill in rs: of 1 manifested faults 1 were not"), "{kill}");
        let batch = headline("batch/text", Outcome::Hang);
        assert!(batch.contains("Of 1 trials in which anything was seen 1 were not"), "{batch}");
        assert!(headline("batch/text", Outcome::Benign).contains("No fault was seen at all."));
        assert!(
            recovery.contains("./x campaign run scenario.toml --trials 1"),
            "no scenario of the stock has that text"
        );
    }

    #[test]
    fn the_worst_cell_is_the_headline_and_each_failure_has_its_line() {
        let mut lines: Vec<_> =
            (0..9).map(|trial| Line::sample(trial, "rs", "text/address", Outcome::RecoveredIntact)).collect();
        lines.push(Line::sample(9, "fs", "state/heap-flip", Outcome::Hang));
        lines.push(Line::sample(10, "fs", "behaviour/kill", Outcome::RecoveredIntact));
        lines.push(Line::sample(11, "kernel", "kernel/address", Outcome::KernelDead));
        let page = page_of(&lines);
        for wanted in [
            "state/heap-flip in fs: of 1 manifested faults 1 were not recovered intact",
            "Kill, exit and panic",
            "Faults in the kernel",
            "--trial 9",
            "--trial 11",
            "an &#60;emulator&#62;",
        ] {
            assert!(page.contains(wanted), "{wanted} is not in the page");
        }
        assert!(!page.contains("--trial 10"), "it did not fail");
        assert!(!page.contains("http://") && !page.contains("https://"), "the page needs nothing but itself");
    }

    #[test]
    fn a_campaign_in_which_nothing_was_seen_says_so() {
        assert!(page_of(&[]).contains("No fault was seen at all."));
    }
}
