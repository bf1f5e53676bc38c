//! The kernel's budgets: lines that a person must read to trust it, and bytes of code and constants.

use anyhow::{Context, Result};
use object::{Object, ObjectSection};

use super::Finding;
use super::repository::Repository;
use super::rust::{Source, is_test_file};

/// Lines of the kernel with the part of `bsp` that is linked into it: no blanks, comments or tests; `abi` apart.
pub const KERNEL_LINES_MAX: usize = 6000;

/// Bytes of the kernel's `.text` and `.rodata` together.
pub const KERNEL_BYTES_MAX: u64 = 64 * 1024;

/// The lines of the kernel with the largest board, and a finding if they are too many.
pub fn kernel_lines(repository: &Repository) -> (usize, Option<Finding>) {
    let lines_below = |folder: &str| -> usize {
        repository
            .texts()
            .filter(|(path, _)| path.starts_with(folder) && is_counted(path))
            .map(|(_, text)| code_lines(text))
            .sum()
    };
    let board =
        |path: &str| path.strip_prefix("bsp/")?.split_once('/').map(|(board, _)| format!("bsp/{board}/"));
    let boards = repository.texts().filter_map(|(path, _)| board(path));
    let lines = lines_below("kernel/") + boards.map(|folder| lines_below(&folder)).max().unwrap_or(0);
    let message = || format!("{lines} lines of kernel and board code, {KERNEL_LINES_MAX} are allowed");
    (lines, (lines > KERNEL_LINES_MAX).then(|| Finding::in_file("kernel", message())))
}

/// Sources that are linked; tests in files of their own are not.
fn is_counted(path: &str) -> bool {
    let source = [".rs", ".s", ".S"].iter().any(|extension| path.ends_with(extension));
    source && !is_test_file(path) && !path.contains("/benches/")
}

fn code_lines(text: &str) -> usize {
    let source = Source::new(text);
    let test = source.test_lines();
    let lines = source.code_and_literals.iter().zip(test);
    lines.filter(|(line, test)| !test && !line.trim().is_empty()).count()
}

/// The bytes of the sections whose names begin with `.text` or `.rodata`.
///
/// # Errors
/// Fails when `elf` is no object file.
pub fn text_and_rodata(elf: &[u8]) -> Result<u64> {
    let file = object::File::parse(elf).context("reading the kernel's ELF file")?;
    let counted = |name: &str| name.starts_with(".text") || name.starts_with(".rodata");
    Ok(file
        .sections()
        .filter(|section| section.name().is_ok_and(counted))
        .map(|section| section.size())
        .sum())
}

/// A finding if the kernel has too many bytes.
pub fn kernel_bytes(bytes: u64) -> Option<Finding> {
    let message = || format!(".text and .rodata have {bytes} bytes, {KERNEL_BYTES_MAX} are allowed");
    (bytes > KERNEL_BYTES_MAX).then(|| Finding::in_file("kernel", message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_comments_and_tests_do_not_count() {
        assert_eq!(
            code_lines(
                "//! a\n\nfn b() {\n    // c\n    d(); // e\n}\n#[cfg(test)]\nmod tests {\n    f!();\n}\n"
            ),
            3
        );
    }

    #[test]
    fn the_largest_board_counts_with_the_kernel() {
        let repository = Repository::of(&[
            ("kernel/src/main.rs", "a\n"),
            ("kernel/core/src/lib.rs", "b\nc\n"),
            ("kernel/core/tests/all.rs", "x\n"),
            ("kernel/core/src/ipc/tests.rs", "x\n"),
            ("bsp/one/src/boot.s", "d // e\n"),
            ("bsp/two/src/lib.rs", "f\ng\n"),
            ("bsp/two/README.md", "x\n"),
            ("abi/src/lib.rs", "x\n"),
        ]);
        assert_eq!(kernel_lines(&repository), (5, None));
    }

    #[test]
    fn too_many_lines_and_bytes_are_found() {
        let repository = |lines| Repository::of(&[("kernel/src/main.rs", "a\n".repeat(lines).as_str())]);
        assert!(kernel_lines(&repository(KERNEL_LINES_MAX)).1.is_none());
        assert!(kernel_lines(&repository(KERNEL_LINES_MAX + 1)).1.is_some());
        assert!(kernel_bytes(KERNEL_BYTES_MAX).is_none());
        assert!(kernel_bytes(KERNEL_BYTES_MAX + 1).is_some());
    }

    #[test]
    fn the_kernel_of_this_repository_is_within_its_lines() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let (lines, over) = kernel_lines(&Repository::read(&root).unwrap());
        println!("kernel with the linked part of bsp: {lines} of {KERNEL_LINES_MAX} lines");
        assert!(lines > 1000, "{lines} lines: the kernel was not found");
        assert_eq!(over, None, "{lines} of {KERNEL_LINES_MAX} lines");
    }

    #[test]
    fn sections_are_measured_in_a_real_object_file() {
        let elf = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(text_and_rodata(&elf).unwrap() > 100_000);
        assert!(text_and_rodata(b"no object file").is_err());
    }
}
