//! The second copy of the bundle: a damaged page is taken from it, and what is damaged in both is quarantined.

use crate::common::image::BootImage;
use crate::common::{Board, Setup, kill, plan, system};
use abi::trace::Event;

/// When `echo` is killed, in nanoseconds of the board.
const FIRST_NS: u64 = 50_000_000;

/// When the witness is killed, which tells that time has passed: heartbeats leave no trace.
const SECOND_NS: u64 = 250_000_000;

/// Boots the system with `damaged` pages (component, copy, page of the image); `killed` at their times.
fn boot(damaged: &[(&str, usize, u32)], killed: &[(&str, u64)]) -> Board {
    let system = system("test-wild");
    let mut image = BootImage::read(&system.kernel());
    for (component, copy, page) in damaged {
        image.damage(system.slot(component).unwrap(), *copy, *page);
    }
    let folder = tempfile::tempdir().unwrap();
    let entries: Vec<_> = killed.iter().map(|(name, at)| kill(system.slot(name).unwrap(), *at)).collect();
    let setup = Setup {
        kernel: Some(image.write(folder.path())),
        plan: Some(plan(1, 0, &entries)),
        ..Setup::default()
    };
    Board::boot(&system, &setup)
}

/// The pages that were taken from the second copy: slots and pages of the bundle.
fn second_copies(board: &Board) -> Vec<(u8, u32)> {
    let taken = |(_, event): (u64, Event)| match event {
        Event::SecondCopy { slot, page } => Some((slot, page)),
        _ => None,
    };
    board.all().filter_map(taken).collect()
}

/// Where a page of a component's image lies in the bundle.
fn in_bundle(board: &Board, component: &str, page: u32) -> (u8, u32) {
    let slot = board.slot(component);
    (slot, BootImage::read(&board.system.kernel()).image(slot).first_page + page)
}

/// What is killed in most runs, and nobody else dies.
const KILLED: [(&str, u64); 2] = [("echo", FIRST_NS), ("witness", SECOND_NS)];

/// Waits until those who are killed are back.
fn until_back(board: &mut Board, killed: &[(&str, u64)]) {
    for (component, _) in killed {
        board.until_ready(component, 1);
    }
    for slot in board.system.slots.clone() {
        if !killed.iter().any(|(name, _)| *name == slot.name) && slot.name != "echo" {
            assert_eq!(board.until_ready(&slot.name, 0).0, 1);
        }
    }
    assert_eq!(board.all_deaths().len(), killed.len(), "{:?}", board.all_deaths());
}

#[test]
fn a_damaged_page_of_root_is_taken_from_the_second_copy() {
    let mut board = boot(&[("root", 0, 0)], &KILLED);
    until_back(&mut board, &KILLED);
    assert_eq!(second_copies(&board), [in_bundle(&board, "root", 0)]);
    board.finish();
}

#[test]
fn a_damaged_page_of_rs_is_taken_from_the_second_copy() {
    let mut board = boot(&[("rs", 0, 3)], &KILLED);
    until_back(&mut board, &KILLED);
    assert_eq!(second_copies(&board), [in_bundle(&board, "rs", 3)]);
    board.finish();
}

#[test]
fn damaged_pages_of_a_component_are_taken_from_the_second_copy_at_every_start() {
    let image = BootImage::read(&system("test-wild").kernel());
    let last = image.image(system("test-wild").slot("echo").unwrap()).stored_pages() - 1;
    let mut board = boot(&[("echo", 0, 0), ("echo", 0, last)], &KILLED);
    until_back(&mut board, &KILLED);
    let pages = [in_bundle(&board, "echo", 0), in_bundle(&board, "echo", last)];
    assert_eq!(second_copies(&board), [pages, pages].concat());
    board.finish();
}

#[test]
fn a_damaged_second_copy_is_not_missed() {
    let mut board = boot(&[("root", 1, 0), ("rs", 1, 0), ("echo", 1, 0)], &KILLED);
    until_back(&mut board, &KILLED);
    assert_eq!(second_copies(&board), []);
    board.finish();
}

#[test]
fn a_component_that_is_damaged_in_both_copies_is_quarantined_and_the_others_live() {
    let killed = [("witness", SECOND_NS)];
    let mut board = boot(&[("echo", 0, 2), ("echo", 1, 2)], &killed);
    let echo = board.slot("echo");
    let closed = |event: &Event| matches!(*event, Event::Closed { slot } if slot == echo);
    board.until_event(0, "echo is to be closed", closed);
    until_back(&mut board, &killed);
    assert!(!board.all().any(|(_, event)| matches!(event, Event::Started { slot, .. } if slot == echo)));
    assert_eq!(board.all().filter(|(_, event)| closed(event)).count(), 1);
    let told =
        board.logged("rs").into_iter().filter(|line| line.starts_with("echo") && line.contains("image"));
    assert_eq!(told.count(), 1, "{:?}", board.logged("rs"));
    board.finish();
}
