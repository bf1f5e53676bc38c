//! What a new incarnation runs is what the build made, whatever the memory of the old one had come to.
//!
//! The host looks and writes through the emulator's debugger: no code of the guest takes part. The place of each page is
//! read from the component's own translation tables, so that nothing is assumed of the loader.

use crate::common::image::{Bank, BootImage};
use crate::common::{Board, Setup, follow, plan, system};
use abi::PAGE_SIZE;
use abi::layout::IMAGE_BASE;
use abi::trace::Event;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use test_harness::oracle::workload::{Follower, Promise};
use test_harness::target::card::{self, CARD_BYTES};

const SEED: u64 = 5;

/// Address of a page of an image in its component.
fn address(page: u32) -> u64 {
    IMAGE_BASE + u64::from(page) * PAGE_SIZE as u64
}

/// Compares text and read-only data of the incarnation that runs with the bundle, and `also_data` if asked for.
pub fn assert_fresh(board: &mut Board, image: &BootImage, component: &str, also_data: bool) {
    let slot = board.slot(component);
    let header = image.image(slot);
    let bank = Bank::dump(board, &image.rights(slot));
    let constant = header.text_pages + header.rodata_pages;
    let compared = if also_data { header.stored_pages() } else { constant };
    assert!(header.text_pages > 0 && header.rodata_pages > 0);
    for page in 0..compared {
        let place =
            bank.translate(address(page)).unwrap_or_else(|| panic!("{component}: page {page} is not mapped"));
        assert_eq!(place.executable, page < header.text_pages, "{component}: page {page}");
        assert_eq!(place.writable, page >= constant, "{component}: page {page}");
        assert!(
            bank.page(place.physical) == image.page(slot, page),
            "{component}: page {page} is not the bundle's"
        );
    }
}

/// Fills text and read-only data of the incarnation that runs with random bytes, and `also_data` if asked for.
fn fill_with_garbage(board: &mut Board, image: &BootImage, component: &str, also_data: bool) {
    let slot = board.slot(component);
    let header = image.image(slot);
    let pages = if also_data { header.stored_pages() } else { header.text_pages + header.rodata_pages };
    let bank = Bank::dump(board, &image.rights(slot));
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut debugger = board.attach();
    for page in 0..pages {
        let mut garbage = [0; PAGE_SIZE];
        random.fill_bytes(&mut garbage);
        debugger.write(bank.translate(address(page)).unwrap().physical, &garbage);
    }
    board.go_on(debugger);
}

#[test]
fn the_fixture_is_as_built_after_its_memory_was_garbage() {
    let system = system("test-wild");
    let image = BootImage::read(&system.kernel());
    let mut board = Board::boot(&system, &Setup { debugger: true, ..Setup::default() });
    let mut incarnation = board.until_ready("echo", 0).0;
    // Nobody calls it: its data are as built, too.
    assert_fresh(&mut board, &image, "echo", true);
    for _ in 0..3 {
        fill_with_garbage(&mut board, &image, "echo", true);
        incarnation = board.until_ready("echo", incarnation).0;
        assert_fresh(&mut board, &image, "echo", true);
    }
    assert_eq!(board.deaths("echo"), 3);
    assert_eq!(board.all_deaths().len(), 3, "{:?}", board.all_deaths());
    board.finish();
}

#[test]
fn a_bundle_that_is_damaged_while_the_board_runs_is_not_trusted() {
    let system = system("test-wild");
    let image = BootImage::read(&system.kernel());
    let mut board = Board::boot(&system, &Setup { debugger: true, ..Setup::default() });
    board.until_ready("echo", 0);
    let echo = board.slot("echo");
    let mut debugger = board.attach();
    debugger.write(image.address(echo, 0, 1) + 77, &[0xEE]);
    debugger.write(image.address(echo, 1, 2) + 78, &[0xEE]);
    board.go_on(debugger);
    fill_with_garbage(&mut board, &image, "echo", true);
    board.until_ready("echo", 1);
    assert_fresh(&mut board, &image, "echo", true);
    let taken = board.all().filter_map(|(_, event)| match event {
        Event::SecondCopy { slot, page } => Some((slot, page)),
        _ => None,
    });
    assert_eq!(taken.collect::<Vec<_>>(), [(echo, image.image(echo).first_page + 1)]);
    board.finish();
}

#[test]
fn every_component_of_the_demo_is_as_built_after_its_code_was_garbage() {
    let system = system("demo");
    let image = BootImage::read(&system.kernel());
    let folder = tempfile::tempdir().unwrap();
    let card = folder.path().join("card.img");
    card::make(&card, CARD_BYTES).unwrap();
    let setup =
        Setup { card: Some(&card), plan: Some(plan(SEED, 0, &[])), debugger: true, ..Setup::default() };
    let mut board = Board::boot(&system, &setup);
    let mut follower = Follower::new(SEED, Promise::Acknowledged);
    let mut seen = 0;
    for component in ["fs", "block", "console", "client", "rs"] {
        work_on(&mut board, &mut follower, &mut seen);
        let incarnation = board.until_ready(component, 0).0;
        assert_fresh(&mut board, &image, component, false);
        fill_with_garbage(&mut board, &image, component, false);
        board.until_ready(component, incarnation);
        assert_fresh(&mut board, &image, component, false);
        assert_eq!(board.deaths(component), 1, "{:?}", board.all_deaths());
    }
    work_on(&mut board, &mut follower, &mut seen);
    assert_eq!(follower.findings(), []);
    board.finish();
}

/// Waits until the client has had some more operations acknowledged.
fn work_on(board: &mut Board, follower: &mut Follower, seen: &mut usize) {
    let goal = follower.acknowledged() + 12;
    board.until("the client is to work", |board| {
        *seen = follow(follower, board.slot("client"), &board.events, *seen);
        follower.acknowledged() >= goal
    });
}
