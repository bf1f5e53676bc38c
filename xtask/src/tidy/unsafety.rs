//! `unsafe` lives in few places, and each use of it says on what numbered premises it rests.

use super::Finding;
use super::repository::Repository;
use super::rust::{Source, Token};

/// Where `unsafe` may stand, and why just there. A folder ends with `/`.
const HOMES: [(&str, &str); 13] = [
    ("apps/bench/src/measure.rs", "system calls between two stamps of the clock, instruction by instruction"),
    ("apps/fuzzer/src/raw.rs", "system calls with arguments that are wrong on purpose"),
    ("apps/hostile/src/raw.rs", "accesses and registers that no correct program has"),
    ("bsp/", "the registers that the kernel itself uses"),
    ("kernel/src/arch/", "what touches the processor"),
    ("kernel/src/boot.rs", "the hand-over from assembly, once, on one core"),
    ("kernel/src/main.rs", "the one kernel state is made"),
    ("kernel/src/panic.rs", "the debug UART is taken from whoever held it"),
    ("kernel/src/shell.rs", "the one set of register frames is made"),
    ("kernel/src/table.rs", "the sealed tables behind the kernel's image"),
    ("test-harness/plugin/src/", "what the emulator calls, and what it provides"),
    ("test-harness/src/target/process.rs", "no emulator outlives the harness: between fork and exec"),
    ("userlib/src/", "system calls, start-up, heap and mapped registers, done once for every component"),
];

/// How far above an `unsafe` its comment may end, when the statement begins on an earlier line.
const STATEMENT_LINES_MAX: usize = 6;

pub fn check(repository: &Repository) -> Vec<Finding> {
    repository.rust().flat_map(|(path, text)| check_file(path, text)).collect()
}

fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let source = Source::new(text);
    let tokens = source.tokens();
    let uses = tokens.windows(2).filter(|pair| pair[0].text == "unsafe");
    uses.filter_map(|pair| Some(Finding::at(path, pair[0].line, complaint(path, &source, pair)?))).collect()
}

/// What is wrong with the `unsafe` that `pair` begins with.
fn complaint(path: &str, source: &Source, pair: &[Token]) -> Option<String> {
    if !HOMES.iter().any(|(home, _)| path.starts_with(home)) {
        let homes: Vec<&str> = HOMES.iter().map(|(home, _)| *home).collect();
        return Some(format!("unsafe outside its homes ({})", homes.join(", ")));
    }
    // The duties of an `unsafe fn` are documented under `# Safety`, which clippy watches.
    if !["{", "impl"].contains(&pair[1].text) {
        return None;
    }
    let comment = comment_above(source, pair[0].line);
    let numbered = comment.split_once("SAFETY:").is_some_and(|(_, premises)| premises.contains("1. "));
    (!numbered).then(|| "unsafe without numbered premises (// SAFETY: 1. ...)".into())
}

/// The comment above the statement that contains `line`.
fn comment_above(source: &Source, line: usize) -> String {
    let is_comment =
        |line: usize| source.code[line].trim().is_empty() && !source.comments[line].trim().is_empty();
    let continues = |line: usize| {
        let code = source.code[line].trim();
        !code.is_empty() && (code.starts_with("#[") || !code.ends_with([';', '{', '}', ',']))
    };
    let mut end = line;
    while end > 0 && line - end < STATEMENT_LINES_MAX && continues(end - 1) {
        end -= 1;
    }
    let first = (0..end).rev().take_while(|line| is_comment(*line)).last().unwrap_or(end);
    source.comments[first..end].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "kernel/src/arch/aarch64/mmu.rs";

    fn complaints(path: &str, text: &str) -> Vec<usize> {
        check_file(path, text).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn unsafe_outside_its_homes_is_found_with_or_without_a_comment() {
        let text = "// SAFETY: 1. a.\nfn a() { unsafe { b() } }\n#[unsafe(no_mangle)]\nfn c() {}\n";
        assert_eq!(complaints("drivers/pl011/src/lib.rs", text), [2, 3]);
    }

    #[test]
    fn premises_are_numbered_and_stand_above_the_statement() {
        assert!(
            complaints(HOME, "fn a() {\n    // SAFETY: 1. b.\n    // 2. c.\n    unsafe { d() }\n}\n")
                .is_empty()
        );
        assert!(
            complaints(HOME, "fn a() {\n    // SAFETY: 1. b.\n    let c =\n        unsafe { d() };\n}\n")
                .is_empty()
        );
        assert!(complaints(HOME, "// SAFETY: 1. b.\n#[cold]\nunsafe impl Send for A {}\n").is_empty());
    }

    #[test]
    fn missing_distant_or_unnumbered_premises_are_found() {
        assert_eq!(complaints(HOME, "fn a() {\n    unsafe { d() }\n}\n"), [2]);
        assert_eq!(complaints(HOME, "// SAFETY: 1. b.\nfn a() {\n    c();\n    unsafe { d() }\n}\n"), [4]);
        assert_eq!(complaints(HOME, "// SAFETY: it is fine.\nunsafe impl Send for A {}\n"), [2]);
    }

    #[test]
    fn words_in_text_and_lint_names_are_not_unsafe() {
        assert!(
            complaints(
                "abi/src/lib.rs",
                "#![forbid(unsafe_code)]\n// unsafe\nconst A: &str = \"unsafe {\";\n"
            )
            .is_empty()
        );
    }

    #[test]
    fn an_unsafe_function_needs_no_premises_of_its_own() {
        assert!(complaints(HOME, "/// # Safety\n/// The MMU is off.\npub unsafe fn a() {}\n").is_empty());
    }
}
