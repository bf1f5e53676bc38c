//! Mutants of the source: which there are, in which order they are drawn, and what became of each before it could be tried.
//!
//! *Role.* The model `source/…` of `./x campaign source`: a mistake that somebody could have made, which compiles and which the unit
//! tests do not notice. cargo-mutants says which there are; here they are sorted by component, drawn and counted.
//!
//! *Rule.* Pure functions of the list, the seed and what was drawn before. Components take turns, a trial each. Each has an order of
//! its own in which its mutants are drawn, from the seed: until one survives, which is the trial's. All that were drawn stand in
//! `mutants.jsonl`, in their order: no figure is of survivors only.
//!
//! # Resources
//! DeMillo, Lipton and Sayward, "Hints on test data selection", Computer 11(4), 1978. Natella et al., "On fault representativeness
//! of software fault injection", IEEE TSE 39(1), 2013.

use crate::fault::Dice;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Beginning of the names of these models.
pub const MODEL: &str = "source/";

/// When the fault takes place, in the ledger.
pub const TRIGGER: &str = "from the start";

/// Name of the file with all mutants that were drawn.
pub const NAME: &str = "mutants.jsonl";

/// What is mutated: components of the campaigns' system with the packages that their code is in, the image's first.
pub const TARGETS: [(&str, &[&str]); 5] = [
    ("block", &["sdcard"]),
    ("console", &["pl011"]),
    ("fs", &["fs-server", "fs-core"]),
    ("integrity", &["integrity-server", "integrity-core"]),
    ("rs", &["reincarnation-server", "reincarnation-core"]),
];

/// One change of one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mutant {
    /// What cargo-mutants calls it: file, line, column, what is done.
    pub name: String,
    /// The component.
    pub target: &'static str,
    /// The package.
    pub package: String,
    /// The file, relative to the root.
    pub file: String,
    /// Its model: `source/` and cargo-mutants' genre.
    pub model: String,
    /// First and last line of what is changed.
    pub lines: [u64; 2],
    /// The change as a diff.
    pub patch: String,
}

/// A mutant as cargo-mutants lists it.
#[derive(Deserialize)]
struct Listed {
    name: String,
    package: String,
    file: String,
    genre: String,
    span: Span,
    diff: String,
}

#[derive(Deserialize)]
struct Span {
    start: Place,
    end: Place,
}

#[derive(Deserialize)]
struct Place {
    line: u64,
}

/// Reads what `cargo mutants --list --json --diff` prints. What no target has is left out, and so is what has a name that was
/// there before.
///
/// # Errors
/// It is none of that, or no diff is there.
pub fn parse(json: &str) -> Result<Vec<Mutant>> {
    let listed: Vec<Listed> = serde_json::from_str(json).context(
        "the list of cargo-mutants is not understood: is it another version than this was written for?",
    )?;
    let (mut mutants, mut names) = (Vec::new(), BTreeSet::new());
    for one in listed {
        let target = TARGETS.iter().find(|(_, packages)| packages.contains(&one.package.as_str()));
        let Some((target, _)) = target.filter(|_| names.insert(one.name.clone())) else { continue };
        mutants.push(Mutant {
            patch: patch(&one.diff, &one.file).with_context(|| format!("of the mutant {}", one.name))?,
            target,
            model: format!("{MODEL}{}", kebab(&one.genre)),
            lines: [one.span.start.line, one.span.end.line],
            name: one.name,
            package: one.package,
            file: one.file,
        });
    }
    Ok(mutants)
}

/// The diff with the file's name on both sides: cargo-mutants puts its own words in place of the new one.
fn patch(diff: &str, file: &str) -> Result<String> {
    let changes = diff.find("\n@@").context("its diff has no change")?;
    Ok(format!("--- {file}\n+++ {file}{}", &diff[changes..]))
}

/// `FnValue` as other models are written: `fn-value`.
fn kebab(genre: &str) -> String {
    let mut name = String::new();
    for letter in genre.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

/// What became of a mutant that was drawn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// The compiler refuses it.
    DoesNotBuild,
    /// A unit test fails.
    Caught,
    /// The unit tests do not come to their end in many times the time that they take.
    TimedOut,
    /// The unit tests pass, or there are none of it, and the system cannot be built with it: for the board the compiler or the build refuses it.
    NoImage,
    /// All images are what they are without it, byte for byte: there is nothing to try.
    SameImage,
    /// The unit tests pass: it is tried.
    Survived,
    /// No unit test compiles its file: it is tried.
    Untested,
}

impl Fate {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::DoesNotBuild,
        Self::Caught,
        Self::TimedOut,
        Self::NoImage,
        Self::SameImage,
        Self::Survived,
        Self::Untested,
    ];

    /// Its name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DoesNotBuild => "does_not_build",
            Self::Caught => "caught",
            Self::TimedOut => "timed_out",
            Self::NoImage => "no_image",
            Self::SameImage => "same_image",
            Self::Survived => "survived",
            Self::Untested => "untested",
        }
    }

    /// Whether there is a trial of it.
    pub const fn is_tried(self) -> bool {
        matches!(self, Self::Survived | Self::Untested)
    }
}

/// A mutant that was drawn.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drawn {
    /// The component.
    pub target: String,
    /// What cargo-mutants calls it.
    pub mutant: String,
    /// What became of it.
    pub fate: Fate,
    /// What the build or the compiler said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Number of its trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<u64>,
}

/// The mutants, in the order in which each target's are drawn.
#[derive(Debug)]
pub struct Deck(BTreeMap<&'static str, Vec<Mutant>>);

impl Deck {
    /// Of a list.
    ///
    /// # Errors
    /// A target has none: a package is not called what it was, say.
    pub fn new(mutants: Vec<Mutant>, seed: u64) -> Result<Self> {
        let mut orders: BTreeMap<&'static str, Vec<Mutant>> = BTreeMap::new();
        for mutant in mutants {
            orders.entry(mutant.target).or_default().push(mutant);
        }
        for (stream, (target, packages)) in (0..).zip(TARGETS) {
            let order = orders.get_mut(target);
            let order = order.with_context(|| format!("there is no mutant of {}", packages.join(", ")))?;
            let mut dice = Dice::new(seed, stream);
            for last in (1..order.len()).rev() {
                order.swap(last, dice.below(last as u64 + 1) as usize);
            }
        }
        Ok(Self(orders))
    }

    /// How many there are of a target.
    pub fn count(&self, target: &str) -> usize {
        self.0.get(target).map_or(0, Vec::len)
    }

    /// The one that is drawn next, for this trial: of the target whose turn it is, or of the next one that has any left.
    pub fn next(&self, drawn: &[Drawn], trial: u64) -> Option<&Mutant> {
        let mut turns = (trial as usize % TARGETS.len()..).take(TARGETS.len());
        turns.find_map(|turn| {
            let (target, _) = TARGETS[turn % TARGETS.len()];
            self.0.get(target)?.get(drawn.iter().filter(|one| one.target == target).count())
        })
    }

    /// The one with this name.
    ///
    /// # Errors
    /// There is none: the tree is another than it was.
    pub fn named(&self, name: &str) -> Result<&Mutant> {
        let found = self.0.values().flatten().find(|mutant| mutant.name == name);
        found
            .with_context(|| format!("there is no mutant {name:?} any more: the tree is another than it was"))
    }

    /// What was drawn is what is drawn from this deck.
    ///
    /// # Errors
    /// It is not: names the first that differs.
    pub fn check(&self, drawn: &[Drawn]) -> Result<()> {
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for one in drawn {
            let place = places.entry(&one.target).or_default();
            let expected = self.0.get(one.target.as_str()).and_then(|order| order.get(*place));
            ensure!(
                expected.is_some_and(|mutant| mutant.name == one.mutant),
                "{NAME} has {:?} where another mutant of {} is drawn: it is of another seed or another tree",
                one.mutant,
                one.target
            );
            *place += 1;
        }
        Ok(())
    }
}

/// What was drawn from one target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Fates {
    /// Name of the target.
    pub target: String,
    /// Mutants that were drawn.
    pub drawn: u64,
    /// The same by what became of them.
    pub fates: BTreeMap<Fate, u64>,
}

/// Counts what was drawn, by target.
pub fn count(drawn: &[Drawn]) -> Vec<Fates> {
    let mut targets: BTreeMap<&str, BTreeMap<Fate, u64>> = BTreeMap::new();
    for one in drawn {
        *targets.entry(&one.target).or_default().entry(one.fate).or_default() += 1;
    }
    let counted = targets.into_iter().map(|(target, fates)| Fates {
        target: target.to_owned(),
        drawn: fates.values().sum(),
        fates,
    });
    counted.collect()
}

/// The file with what was drawn.
#[derive(Debug)]
pub struct Pile {
    path: PathBuf,
    drawn: Vec<Drawn>,
}

impl Pile {
    /// Goes on with the one in `folder`. A last line without an end, which a killed campaign leaves, goes.
    ///
    /// # Errors
    /// The file cannot be read or written, or a line is not understood: its number is named.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let drawn = read(folder)?;
        let cut = || -> Result<()> {
            let file = fs::File::options().create(true).truncate(false).read(true).write(true).open(&path)?;
            let text = fs::read_to_string(&path)?;
            Ok(file.set_len(text.rfind('\n').map_or(0, |end| end as u64 + 1))?)
        };
        cut().with_context(|| format!("opening {}", path.display()))?;
        Ok(Self { path, drawn })
    }

    /// What was drawn, in its order.
    pub fn drawn(&self) -> &[Drawn] {
        &self.drawn
    }

    /// Takes one more.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, drawn: Drawn) -> Result<()> {
        let append = || -> Result<()> {
            let text = serde_json::to_string(&drawn)? + "\n";
            Ok(fs::File::options().append(true).open(&self.path)?.write_all(text.as_bytes())?)
        };
        append().with_context(|| format!("writing {}", self.path.display()))?;
        self.drawn.push(drawn);
        Ok(())
    }
}

/// What was drawn in a campaign, in its order; nothing if it is none of mutants.
///
/// # Errors
/// The file cannot be read, or a line is not understood: its number is named.
pub fn read(folder: &Path) -> Result<Vec<Drawn>> {
    let path = folder.join(NAME);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole.lines().enumerate().map(|(index, line)| {
        serde_json::from_str(line)
            .with_context(|| format!("{}: line {} is not understood", path.display(), index + 1))
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "--- fs-server/core/src/disk.rs\n+++ replace Disk::is_full -> bool with true\n@@ -1,1 +1,1 @@\n-a\n+b\n";

    fn listed(name: &str, package: &str) -> serde_json::Value {
        serde_json::json!({
            "name": name,
            "package": package,
            "file": "fs-server/core/src/disk.rs",
            "function": null,
            "span": { "start": { "line": 7, "column": 9 }, "end": { "line": 8, "column": 2 } },
            "replacement": "true",
            "genre": "FnValue",
            "diff": DIFF,
        })
    }

    fn deck(each: usize, seed: u64) -> Deck {
        let packages = TARGETS.iter().map(|(_, packages)| packages[0]);
        let listed = packages
            .flat_map(|package| (0..each).map(move |number| listed(&format!("{package} {number}"), package)));
        let json = listed.collect::<serde_json::Value>().to_string();
        Deck::new(parse(&json).unwrap(), seed).unwrap()
    }

    fn drawn(mutant: &Mutant, fate: Fate) -> Drawn {
        Drawn { target: mutant.target.to_owned(), mutant: mutant.name.clone(), fate, why: None, trial: None }
    }

    #[test]
    fn a_list_is_read_and_its_diffs_name_the_file_twice() {
        let list = [listed("one", "fs-core"), listed("one", "fs-core"), listed("two", "kernel-core")];
        let mutants = parse(&serde_json::json!(list).to_string()).unwrap();
        let [mutant] = &*mutants else { panic!("{mutants:?}") };
        assert_eq!((mutant.target, &*mutant.model, mutant.lines), ("fs", "source/fn-value", [7, 8]));
        let file = "fs-server/core/src/disk.rs";
        assert_eq!(mutant.patch, format!("--- {file}\n+++ {file}\n@@ -1,1 +1,1 @@\n-a\n+b\n"));
        assert!(format!("{:#}", parse("{}").unwrap_err()).contains("another version"));
        let none = DIFF.split('@').next().unwrap();
        assert!(patch(none, file).unwrap_err().to_string().contains("no change"));
    }

    #[test]
    fn each_mutant_is_drawn_once_and_targets_take_turns() {
        let deck = deck(4, 1);
        let mut all: Vec<Drawn> = Vec::new();
        let mut targets = Vec::new();
        for trial in 0.. {
            // The first of each trial is caught.
            for fate in [Fate::Caught, Fate::Survived] {
                let Some(mutant) = deck.next(&all, trial) else { break };
                targets.push(mutant.target);
                all.push(drawn(mutant, fate));
            }
            if deck.next(&all, trial).is_none() {
                break;
            }
        }
        assert_eq!(all.len(), 20);
        assert_eq!(all.iter().map(|one| &one.mutant).collect::<BTreeSet<_>>().len(), 20);
        assert_eq!(targets[..6], ["block", "block", "console", "console", "fs", "fs"]);
        deck.check(&all).unwrap();
        assert!(deck.named(&all[3].mutant).is_ok() && deck.named("gone").is_err());
    }

    #[test]
    fn the_order_follows_from_the_seed() {
        let order =
            |seed| deck(50, seed).0["fs"].iter().map(|mutant| mutant.name.clone()).collect::<Vec<_>>();
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        let deck = deck(50, 1);
        let first = deck.next(&[], 0).unwrap();
        assert!(deck.check(&[drawn(first, Fate::Caught), drawn(first, Fate::Caught)]).is_err());
    }

    #[test]
    fn a_target_that_has_none_left_is_passed_over() {
        let deck = deck(1, 1);
        let first = drawn(deck.next(&[], 0).unwrap(), Fate::Caught);
        assert_eq!(deck.next(&[first], 0).unwrap().target, "console");
    }

    #[test]
    fn what_was_drawn_is_counted_and_kept() {
        let (deck, folder) = (deck(4, 1), tempfile::tempdir().unwrap());
        let mut pile = Pile::open(folder.path()).unwrap();
        for fate in [Fate::Caught, Fate::Caught, Fate::Survived] {
            let next = drawn(deck.next(pile.drawn(), 2).unwrap(), fate);
            pile.add(next).unwrap();
        }
        let path = folder.path().join(NAME);
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{{\"target\":\"fs\",")).unwrap();
        let again = Pile::open(folder.path()).unwrap();
        assert_eq!(again.drawn(), pile.drawn());
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
        let counted = count(again.drawn());
        assert_eq!((&*counted[0].target, counted[0].drawn, counted[0].fates[&Fate::Caught]), ("fs", 3, 2));
    }

    #[test]
    fn names_are_those_of_the_file() {
        for fate in Fate::ALL {
            assert_eq!(serde_json::to_value(fate).unwrap(), fate.name());
        }
    }
}
