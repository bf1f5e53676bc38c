//! `junit.xml`: a test case for each trial, for whatever reads test results.

use super::ledger::Line;
use super::outcome::Outcome;
use super::summary::Summary;
use anyhow::{Context, Result};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// The document: a suite for each model.
///
/// # Errors
/// It cannot be written as XML.
pub fn document(summary: &Summary, lines: &[Line]) -> Result<String> {
    let mut report = Report::new(format!("campaign {}, seed {}", summary.scenario, summary.seed));
    let mut models: Vec<_> = lines.iter().map(|line| &line.model).collect();
    models.sort();
    models.dedup();
    for model in models {
        let mut suite = TestSuite::new(model.clone());
        suite.add_test_cases(lines.iter().filter(|line| line.model == *model).map(case));
        report.add_test_suite(suite);
    }
    report.to_string().context("writing the results as XML")
}

fn case(line: &Line) -> TestCase {
    let mut status = match line.outcome {
        Outcome::NotActivated => TestCaseStatus::skipped(),
        _ if line.is_stood() => TestCaseStatus::success(),
        Outcome::EmulatorDied => TestCaseStatus::non_success(NonSuccessKind::Error),
        _ => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    if line.outcome != Outcome::RecoveredIntact && line.outcome != Outcome::Benign {
        status.set_message(line.outcome.name()).set_description(format!(
            "{}\n{}",
            line.fault,
            line.findings.join("\n")
        ));
    }
    let mut case = TestCase::new(format!("trial {} in {}", line.trial, line.target), status);
    case.set_classname(line.scenario.clone()).set_time(Duration::from_millis(line.wall_ms));
    case
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trial_is_a_case_and_every_failure_says_how_it_failed() {
        let outcomes = [
            Outcome::NotActivated,
            Outcome::Benign,
            Outcome::RecoveredIntact,
            Outcome::Hang,
            Outcome::EmulatorDied,
        ];
        let lines: Vec<_> = (0..)
            .zip(outcomes)
            .map(|(trial, outcome)| Line::sample(trial, "fs", "text/address", outcome))
            .collect();
        let text = document(&Summary::of(&lines), &lines).unwrap();
        for wanted in [
            r#"tests="5""#,
            r#"failures="1""#,
            r#"errors="1""#,
            r#"skipped="1""#,
            r#"<testsuite name="text/address""#,
            r#"<testcase name="trial 3 in fs" classname="s""#,
            r#"<failure message="hang""#,
            r#"<error message="emulator_died""#,
            "`b.lo` became `b.hs`",
        ] {
            assert!(text.contains(wanted), "{wanted} in {text}");
        }
    }
}
