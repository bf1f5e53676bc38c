//! The terminal stays with whoever sits at it: nothing that is typed, and no program from the card, takes it away.
//!
//! Typed input is host I/O: these runs are judged by what must hold, not by their traces.

use crate::common::image::BootImage;
use crate::common::{Board, Setup, system};
use std::time::Duration;
use test_harness::target::card::{self, CARD_BYTES};

/// What the shell shows when it waits for a line.
const PROMPT: &str = "samsara> ";

/// Labels of the services (protocols): `files` unmounts with this one, `console` writes with this one.
const UNMOUNT: u64 = 1 << 18;
const WRITE: u64 = 1 << 1;

/// More deaths than the manifest's other components may have before they are put into quarantine.
const DEATHS: usize = 13;

/// More names than the shell's heap holds, most of them of nearly the greatest length.
fn names() -> Vec<String> {
    let long = (0..550).map(|number| format!("l{number:03}{}", "x".repeat(241)));
    (0..50).map(|number| format!("s{number:02}")).chain(long).collect()
}

#[test]
fn what_the_terminal_hangs_on_is_neither_stopped_nor_put_into_quarantine() {
    let system = system("shell");
    let mut board = Board::boot(&system, &Setup::default());
    board.until("the prompt", |board| board.text(0).contains(PROMPT));
    for component in ["shell", "console"] {
        let said = board.type_line(&format!("service stop {component}"), PROMPT);
        assert!(said.contains("not stopped, since nobody could type its start"), "{said}");
    }
    // A shell that has just come back may not be ready to fail again: the line is typed until it has died often enough.
    for _ in 0..10 * DEATHS {
        if board.deaths("shell") < DEATHS {
            board.type_line("fault shell exit", PROMPT);
            board.watch(Duration::from_millis(200));
        }
    }
    board.type_line("uptime", " s");
    assert_eq!(board.deaths("shell"), DEATHS, "{}", board.story());
    board.finish();
}

#[test]
fn nobody_unmounts_and_programs_do_not_read_the_keyboard() {
    let system = system("shell");
    let image = BootImage::read(&system.kernel());
    for component in ["shell", "app1", "app2"] {
        let rights = image.rights(system.slot(component).unwrap());
        for right in rights.calls.iter().filter(|right| right.used != 0) {
            let server = system.name(right.server as u8);
            assert!(server != "fs" || right.labels & UNMOUNT == 0, "{component} may unmount");
            let writes_only = server != "console" || right.labels == WRITE;
            assert!(component == "shell" || writes_only, "{component} may read the keyboard");
        }
    }
}

#[test]
fn a_directory_larger_than_the_shell_is_listed_and_its_names_completed() {
    let system = system("shell");
    let folder = tempfile::tempdir().unwrap();
    let (card, bin) = (folder.path().join("card.img"), folder.path().join("bin"));
    card::make(&card, CARD_BYTES).unwrap();
    std::fs::create_dir(&bin).unwrap();
    for name in names() {
        std::fs::write(bin.join(name), b"").unwrap();
    }
    card::install(&card, &bin).unwrap();
    let mut board = Board::boot(&system, &Setup { card: Some(&card), ..Setup::default() });
    board.until("the prompt", |board| board.text(0).contains(PROMPT));
    let listed = board.type_line("ls /bin", PROMPT);
    for name in names() {
        assert!(listed.contains(&name), "{name} is not listed");
    }
    let from = board.text(0).len();
    board.type_bytes(b"cat /bin/\t");
    board.until("an answer to the tabulator", |board| board.text(from).contains("more than 200 names"));
    board.type_bytes(b"s4\t");
    board.until("the names to choose from", |board| board.text(from).contains("s40  s41 "));
    assert_eq!(board.deaths("shell"), 0, "{}", board.story());
    board.finish();
}
