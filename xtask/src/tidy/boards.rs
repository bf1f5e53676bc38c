//! A new board touches `bsp/`, `qemu/`, `system/` and `docs/`: no other code names a board or knows a device's address.

use super::Finding;
use super::repository::Repository;
use super::rust::{Source, is_test_file};

/// Where boards are described.
const HOMES: [&str; 4] = ["bsp/", "qemu/", "system/", "docs/"];

/// Names of boards and of their chips, in lower case.
const NAMES: [&str; 5] = ["raspi", "rpi3", "rpi4", "bcm27", "bcm28"];

/// Address ranges of peripherals, as (first, last): those of the BCM2837, of the BCM2711, and their bus addresses. Ends
/// are left out where masks are usual.
const PERIPHERALS: [(u64, u64); 4] = [
    (0x3F00_0000, 0x3FFF_EFFF),
    (0xFD50_0000, 0xFEFF_FFFE),
    (0xFF80_0000, 0xFF84_FFFF),
    (0x7E00_0000, 0x7EFF_EFFF),
];

/// Code that gives a board as an example in a message to people.
const EXAMPLES: [&str; 2] = ["xtask/src/manifest/board.rs", "xtask/src/manifest/model.rs"];

pub fn check(repository: &Repository) -> Vec<Finding> {
    repository
        .texts()
        .filter(|(path, _)| is_code(path) && !HOMES.iter().any(|home| path.starts_with(home)))
        .flat_map(|(path, text)| check_file(path, text))
        .collect()
}

/// Tests may name the board that they boot, and this rule must name what it looks for.
fn is_code(path: &str) -> bool {
    let code = [".rs", ".s", ".S", ".ld"].iter().any(|extension| path.ends_with(extension));
    let exempt = is_test_file(path) || EXAMPLES.contains(&path) || path.starts_with("xtask/src/tidy/");
    code && !exempt
}

fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let source = Source::new(text);
    let test = source.test_lines();
    let lines =
        source.code_and_literals.iter().enumerate().filter(|(index, _)| !test.get(*index).unwrap_or(&false));
    lines.filter_map(|(index, line)| Some(Finding::at(path, index, complaint(line)?))).collect()
}

fn complaint(line: &str) -> Option<String> {
    let lower = line.to_lowercase();
    if let Some(name) = NAMES.iter().find(|name| lower.contains(*name)) {
        return Some(format!("the name of a board or chip ({name}...) outside {}", HOMES.join(" ")));
    }
    let address = numbers(&lower)
        .find(|number| PERIPHERALS.iter().any(|(first, last)| (first..=last).contains(&number)))?;
    Some(format!("the address of a peripheral ({address:#x}) outside {}", HOMES.join(" ")))
}

/// The hexadecimal numbers in a line of lower case.
fn numbers(line: &str) -> impl Iterator<Item = u64> {
    line.split("0x").skip(1).filter_map(|rest| {
        let digits: String =
            rest.chars().take_while(|c| c.is_ascii_hexdigit() || *c == '_').filter(|c| *c != '_').collect();
        u64::from_str_radix(&digits, 16).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Repository::of(&[(path, text)])).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn names_and_addresses_are_found_in_code_and_literals() {
        assert_eq!(
            lines("kernel/src/main.rs", "use bsp_raspi3b;\nlet a = 0x3F20_1000;\nlet b = \"BCM2837\";\n"),
            [1, 2, 3]
        );
        assert_eq!(lines("kernel/src/arch/boot.s", "ldr x0, =0xfe201000\n"), [1]);
    }

    #[test]
    fn they_are_at_home_in_bsp_and_in_comments() {
        assert!(lines("bsp/raspi3b/src/lib.rs", "const UART: u64 = 0x3F20_1000;\n").is_empty());
        assert!(lines("drivers/pl011/src/device.rs", "// BCM2835 manual, 0x7E201000\n").is_empty());
    }

    #[test]
    fn masks_and_kernel_addresses_are_no_peripherals() {
        assert!(
            lines(
                "kernel/src/main.rs",
                "0xFFFF_FFFF; 0xFFFF_0000_0000_0000; 0x4000; 0x3F; 0x3FFF_FFFF; 0xFF39_8008\n"
            )
            .is_empty()
        );
    }

    #[test]
    fn tests_may_name_a_board() {
        assert!(lines("xtask/src/manifest/tests.rs", "const A: &str = \"raspi3b\";\n").is_empty());
        assert!(lines("test-harness/tests/boot.rs", "const A: &str = \"raspi3b\";\n").is_empty());
        assert!(
            lines("xtask/src/image.rs", "#[cfg(test)]\nmod tests {\n const A: &str = \"raspi3b\";\n}\n")
                .is_empty()
        );
    }
}
