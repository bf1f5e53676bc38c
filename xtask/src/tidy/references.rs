//! The reference pages have one section for each thing in `abi` that they are the reference of, with all its parts, and
//! none for anything else: an interface that changes without its document is found.

use std::collections::BTreeSet;

use abi::plan::Fault;
use abi::record::DeathClass;
use abi::syscall::Call;

use super::Finding;
use super::repository::Repository;

/// What each section about a system call has, each at the beginning of a line; the number is added.
const CALL_PARTS: [&str; 6] =
    ["**Arguments.**", "**Returns.**", "**Rights.**", "**Faults.**", "**Cost.**", "**Notes.**"];

const FAULT_PARTS: [&str; 5] =
    ["**What happens.**", "**Detected.**", "**Class.**", "**Detection time.**", "**Requests in service.**"];

const CLASS_PARTS: [&str; 3] = ["**Recorded.**", "**Then.**", "**Poison.**"];

/// A heading that must be there, and the beginnings of lines that must follow it.
struct Section {
    heading: String,
    parts: Vec<String>,
}

/// The sections of one kind in a page: all headings that begin with `mark`.
struct Reference {
    page: &'static str,
    mark: &'static str,
    sections: Vec<Section>,
}

pub fn check(repository: &Repository) -> Vec<Finding> {
    let references = [calls(), faults(), classes()];
    references
        .iter()
        .flat_map(|reference| compare(reference, repository.text(reference.page).unwrap_or_default()))
        .collect()
}

fn calls() -> Reference {
    let section = |call: Call| {
        let number = format!("**Number.** {}", call as u16);
        let parts = std::iter::once(number).chain(CALL_PARTS.map(String::from)).collect();
        Section { heading: format!("## `{}`", snake_case(&format!("{call:?}"))), parts }
    };
    let sections = (0..=u16::MAX).filter_map(Call::from_immediate).map(section).collect();
    Reference { page: "docs/syscalls.md", mark: "## `", sections }
}

fn faults() -> Reference {
    let section = |fault: Fault| Section {
        heading: format!("### `{}`", fault.name()),
        parts: FAULT_PARTS.map(String::from).into(),
    };
    Reference { page: "docs/faults.md", mark: "### `", sections: Fault::ALL.map(section).into() }
}

fn classes() -> Reference {
    let section = |class: DeathClass| Section {
        heading: format!("### *{}*", class.name()),
        parts: CLASS_PARTS.map(String::from).into(),
    };
    let sections = (0..=u32::from(u8::MAX)).filter_map(DeathClass::from_code).map(section).collect();
    Reference { page: "docs/faults.md", mark: "### *", sections }
}

/// `ReplyRecv` as `reply_recv`.
fn snake_case(name: &str) -> String {
    let mut text = String::new();
    for (index, letter) in name.char_indices() {
        if index > 0 && letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

fn compare(reference: &Reference, text: &str) -> Vec<Finding> {
    let page = reference.page;
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let mut findings = Vec::new();
    for Section { heading, parts } in &reference.sections {
        let Some(at) = lines.iter().position(|line| line == heading) else {
            findings.push(Finding::in_file(page, format!("no section {heading}, which abi knows")));
            continue;
        };
        let body: Vec<_> = lines[at + 1..].iter().take_while(|line| !line.starts_with('#')).collect();
        let has = |part: &str| {
            body.iter().any(|line| {
                line.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            })
        };
        let missing = parts.iter().filter(|part| !has(part));
        findings.extend(missing.map(|part| Finding::at(page, at, format!("{heading} lacks {part}"))));
    }
    let known: BTreeSet<&str> = reference.sections.iter().map(|section| section.heading.as_str()).collect();
    let mut seen = BTreeSet::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.starts_with(reference.mark)) {
        if !known.contains(line) {
            findings.push(Finding::at(
                page,
                index,
                format!("the section {line} is of nothing that abi knows"),
            ));
        } else if !seen.insert(*line) {
            findings.push(Finding::at(page, index, format!("the section {line} is there twice")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page with every section and part.
    fn page(references: &[Reference]) -> String {
        let sections = references.iter().flat_map(|reference| &reference.sections);
        let text = |section: &Section| format!("{}\n{} x\n", section.heading, section.parts.join(" x\n"));
        sections.map(text).collect::<Vec<_>>().concat()
    }

    /// The messages about pages of which that of the calls was changed.
    fn messages(change: impl FnOnce(String) -> String) -> Vec<String> {
        let (calls, faults) = (change(page(&[calls()])), page(&[faults(), classes()]));
        let files = [("docs/syscalls.md", calls.as_str()), ("docs/faults.md", faults.as_str())];
        check(&Repository::of(&files)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn whole_pages_pass_and_absent_ones_lack_everything() {
        assert!(messages(|page| page).is_empty());
        let sections = 18 + Fault::ALL.len() + 14;
        assert_eq!(check(&Repository::default()).len(), sections);
    }

    #[test]
    fn a_call_without_a_section_and_a_section_without_a_call_are_found() {
        let found = messages(|page| page.replace("## `reply_recv`", "## `reply_wait`"));
        let expected = [
            "no section ## `reply_recv`, which abi knows",
            "the section ## `reply_wait` is of nothing that abi knows",
        ];
        assert_eq!(found, expected);
        let found = messages(|page| page + "## `map`\n");
        assert_eq!(found, ["the section ## `map` is there twice"]);
    }

    #[test]
    fn a_wrong_number_and_a_missing_part_are_found() {
        let found = messages(|page| page.replace("**Number.** 1 x", "**Number.** 19 x"));
        assert_eq!(found, ["## `call` lacks **Number.** 1"]);
        let found = messages(|page| page.replacen("**Rights.** x\n", "", 1));
        assert_eq!(found, ["## `call` lacks **Rights.**"]);
    }

    #[test]
    fn the_pages_in_the_tree_are_whole() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for reference in [calls(), faults(), classes()] {
            let text = std::fs::read_to_string(root.join(reference.page)).unwrap();
            let findings = compare(&reference, &text);
            assert!(findings.is_empty(), "{findings:?}");
        }
    }
}
