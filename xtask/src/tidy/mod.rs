//! Tidy: the house rules that a compiler does not know, each a pure function from the repository's texts to findings.
//!
//! A rule never touches the disk and never runs a tool, so each has unit tests on made-up repositories, and a rule that
//! cannot find anything fails its own test. The figures that are budgets (kernel lines, kernel bytes) are printed on
//! every run: they should be seen before they are exceeded.

mod boards;
mod budget;
mod commands;
mod functions;
mod links;
mod manifests;
mod references;
pub mod repository;
mod rust;
mod unfinished;
mod unsafety;

use std::fmt;
use std::fs;

use anyhow::{Result, ensure};

use crate::tools::{TARGET, Toolchain};
use repository::Repository;

/// One breach of a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// Relative to the repository's root.
    path: String,
    /// Counted from 1; 0 for the file as a whole.
    line: usize,
    message: String,
}

impl Finding {
    /// `line_index` counts from 0.
    fn at(path: &str, line_index: usize, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: line_index + 1, message: message.into() }
    }

    fn in_file(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: 0, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Applies every rule to the working tree and prints what they find.
///
/// # Errors
/// Fails when a file cannot be read, and when there is any finding.
pub fn check(tools: &Toolchain) -> Result<()> {
    let repository = Repository::read(tools.root())?;
    let mut findings = findings(&repository);
    let (lines, over) = budget::kernel_lines(&repository);
    eprintln!("kernel with the linked part of bsp: {lines} of {} lines", budget::KERNEL_LINES_MAX);
    findings.extend(over);
    let kernel = tools.target_dir().join(TARGET).join("release/kernel");
    match fs::read(&kernel) {
        Ok(elf) => {
            let bytes = budget::text_and_rodata(&elf)?;
            eprintln!("kernel .text and .rodata: {bytes} of {} bytes", budget::KERNEL_BYTES_MAX);
            findings.extend(budget::kernel_bytes(bytes));
        }
        Err(_) => eprintln!("kernel .text and .rodata: no kernel built yet"),
    }
    findings.sort();
    for finding in &findings {
        eprintln!("{finding}");
    }
    ensure!(findings.is_empty(), "tidy: {} findings", findings.len());
    Ok(())
}

/// The rules that need nothing but the texts.
fn findings(repository: &Repository) -> Vec<Finding> {
    let rules = [
        functions::check,
        unfinished::check,
        unsafety::check,
        boards::check,
        manifests::check,
        links::check,
        commands::check,
        references::check,
    ];
    rules.iter().flat_map(|rule| rule(repository)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_applied() {
        let repository = Repository::of(&[
            ("a.rs", &format!("fn a() {{\n{}}}\n", "b();\n".repeat(70))),
            ("b.rs", "fn b() { dbg!(1); }\n"),
            ("c.rs", "unsafe impl Send for A {}\n"),
            ("d.rs", "use bsp_raspi3b;\n"),
            ("e/Cargo.toml", "[package]\n"),
            ("f.md", "[a](nowhere.md)\n"),
            ("x", "#:   conjure   no such command\n"),
        ]);
        let found: std::collections::BTreeSet<String> =
            findings(&repository).into_iter().map(|finding| finding.path).collect();
        let pages = ["docs/faults.md", "docs/syscalls.md"];
        let expected =
            ["a.rs", "b.rs", "c.rs", "d.rs"].into_iter().chain(pages).chain(["e/Cargo.toml", "f.md", "x"]);
        assert!(found.iter().map(String::as_str).eq(expected), "{found:?}");
    }
}
