//! Which names a new thing may have: that of its folder, package, component and service at once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// Longest name in bytes; the field of the rights table has one more.
const NAME_MAX: usize = 15;

/// Names that mean something to Rust, cargo or this project without being packages of the lock file.
const RESERVED: [&str; 24] = [
    "core",
    "std",
    "alloc",
    "test",
    "tests",
    "src",
    "lib",
    "main",
    "bin",
    "target",
    "build",
    "deps",
    "examples",
    "host",
    "incremental",
    "proc-macro",
    "system",
    "out",
    "docs",
    "drivers",
    "apps",
    "all",
    "con",
    "nul",
];

/// Keywords of the edition 2024, those reserved for later included.
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else enum extern false final \
    fn for gen if impl in let loop macro match mod move mut override priv pub ref return self static struct super trait \
    true try type typeof union unsafe unsized use virtual where while yield";

/// Whether the characters are those of a name.
///
/// # Errors
/// Says what is wrong with them and what to write.
pub fn check(name: &str) -> Result<()> {
    let remedy = "write 1 to 15 of the characters a-z, 0-9 and -, beginning with a letter";
    ensure!(!name.is_empty(), "the name is empty: {remedy}");
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if let Some(bad) = name.chars().find(|c| !plain(*c)) {
        bail!("{name:?} has the character {bad:?}: {remedy}");
    }
    ensure!(name.len() <= NAME_MAX, "{name:?} has {} bytes: {remedy}", name.len());
    ensure!(
        name.starts_with(|c: char| c.is_ascii_lowercase()),
        "{name:?} does not begin with a letter: {remedy}"
    );
    ensure!(!name.ends_with('-') && !name.contains("--"), "{name:?} has a - that joins nothing: {remedy}");
    let another = "choose another name, for example with the device's type";
    ensure!(
        !KEYWORDS.split_whitespace().any(|word| word == name),
        "{name:?} is a keyword of Rust: {another}"
    );
    ensure!(!RESERVED.contains(&name), "{name:?} means something to the tools already: {another}");
    Ok(())
}

/// Whether nothing has this name yet: no package, component, service or folder.
///
/// # Errors
/// Says what has it.
pub fn check_free(root: &Path, name: &str) -> Result<()> {
    let another = "choose another name";
    for place in ["drivers", "apps"] {
        let folder = format!("{place}/{name}");
        ensure!(!root.join(&folder).exists(), "{folder} is there already: {another}, or remove it");
    }
    ensure!(!packages(root)?.contains(name), "{name:?} is a package that the project uses: {another}");
    ensure!(
        !protocols::SERVICES.iter().any(|service| service.name == name),
        "{name:?} is a service already: {another}"
    );
    let manifests = fs::read_dir(root.join("system")).context("reading system/")?;
    for manifest in manifests {
        let path = manifest?.path();
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let header = format!("[component.{name}]");
        if text.lines().any(|line| line.trim() == header) {
            let path = path.strip_prefix(root).unwrap_or(&path);
            bail!("{name:?} is a component in {}: {another}", path.display());
        }
    }
    Ok(())
}

/// The names of all packages: the project's and those of its libraries. A hyphen is an underscore to the compiler.
fn packages(root: &Path) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(root.join("Cargo.lock")).context("reading Cargo.lock")?;
    let names = text.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    Ok(names.map(|name| name.replace('_', "-")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_names_are_refused_with_reason_and_remedy() {
        let refused = [
            ("", "empty"),
            ("..", "character '.'"),
            ("a/b", "character '/'"),
            ("Timer", "character 'T'"),
            ("ti_mer", "character '_'"),
            ("zähler", "character 'ä'"),
            ("a b", "character ' '"),
            ("a\0", "character '\\0'"),
            ("$(x)", "character '$'"),
            ("-x", "begin with a letter"),
            ("3d", "begin with a letter"),
            ("x-", "joins nothing"),
            ("x--y", "joins nothing"),
            ("sixteen-bytes-xx", "16 bytes"),
            ("match", "keyword"),
            ("self", "keyword"),
            ("core", "the tools"),
            ("std", "the tools"),
        ];
        for (name, reason) in refused {
            let text = check(name).expect_err(name).to_string();
            assert!(text.contains(reason) && (text.contains("write 1") || text.contains("choose")), "{text}");
        }
        for name in ["a", "timer", "bmp280", "fifteen-bytes-x"] {
            check(name).unwrap();
        }
    }

    #[test]
    fn names_that_are_taken_are_refused() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for name in
            ["kernel", "fs-server", "userlib", "tock-registers", "serde", "sdcard", "template", "files", "rs"]
        {
            let text = check_free(root, name).expect_err(name).to_string();
            assert!(text.contains("choose another"), "{text}");
        }
        check_free(root, "nothing-has-it").unwrap();
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_a_name_everywhere(name in "\\PC{0,20}|[a-z0-9-]{1,17}") {
            if check(&name).is_ok() {
                prop_assert!((1..=NAME_MAX).contains(&name.len()));
                prop_assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
                prop_assert!(name.as_bytes()[0].is_ascii_lowercase());
            }
        }
    }
}
