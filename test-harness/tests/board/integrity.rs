//! Blocks between driver and file server: a layer with checksums over something that lies.
//!
//! The layer is judged by what the client saw: contents follow from the seed. A lie that can be mended must not be noticed; one
//! that cannot may make the client fail, but never show it anything wrong. At the end the table on the card is compared
//! with the card.

use crate::common::{Board, Setup, follow, kill, plan, system};
use abi::plan::PlanEntry;
use abi::trace::Event;
use interposer_core::orders::{self, READS, WRITES};
use interposer_core::{Done, Lie, Order};
use std::path::PathBuf;
use test_harness::oracle::card as card_oracle;
use test_harness::oracle::workload::{Follower, Promise};
use test_harness::system::System;
use test_harness::target::card::{self, CARD_BYTES};

const MS: u64 = 1_000_000;

/// When the client ends, if nothing keeps it from that.
const END: u64 = 250 * MS;

/// Time after which a client is given up that something keeps from its end.
const GIVEN_UP: u64 = END + 150 * MS;

/// From here on there are lies: the file system is mounted.
const BEGIN: u64 = 20 * MS;

/// What a run came to.
struct Run {
    follower: Follower,
    lies: Vec<Done>,
    deaths: Vec<String>,
    fs_deaths: usize,
    card: PathBuf,
    _folder: tempfile::TempDir,
}

/// Runs the client on a card with a table, until it has finished or is given up.
fn run(system: &System, what: &str, entries: &[PlanEntry], orders: &[Order]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let card = folder.path().join("card.img");
    card::make_checked(&card, CARD_BYTES).unwrap();
    let mut bytes = plan(1, END, entries);
    orders::add(&mut bytes, orders);
    let mut board = Board::boot(system, &Setup { card: Some(&card), plan: Some(bytes), ..Setup::default() });
    let (client, interposer) = (system.slot("client").unwrap(), system.slot("interposer").unwrap());
    let (mut follower, mut seen) = (Follower::new(1, Promise::Acknowledged), 0);
    board.until(what, |board| {
        seen = follow(&mut follower, client, &board.events, seen);
        follower.is_finished() || board.events.last().is_some_and(|(time, _)| *time > GIVEN_UP)
    });
    let lie = |(_, event): (u64, Event<'_>)| match event {
        Event::Application { slot, data, .. } if slot == interposer => Done::decode(data),
        _ => None,
    };
    let lies = board.all().filter_map(lie).collect();
    let (deaths, fs_deaths) = (board.all_deaths(), board.deaths("fs"));
    board.finish();
    Run { follower, lies, deaths, fs_deaths, card, _folder: folder }
}

impl Run {
    /// The client has noticed nothing, and the card is as it must be.
    fn is_clean(&self, what: &str) {
        assert!(self.follower.is_finished(), "{what}: the client did not finish; {:?}", self.deaths);
        assert_eq!(self.follower.findings(), [], "{what}: {:?}", self.deaths);
        assert!(self.follower.walks().last().is_some_and(|walk| walk.intact), "{what}");
        let checked = card_oracle::check(&self.card).unwrap();
        assert!(checked.clean, "{what}: {}", checked.output);
        let contents = card_oracle::read(&self.card).unwrap();
        assert_eq!(card_oracle::compare(&contents, &self.follower.possible_trees()), [], "{what}");
        assert_eq!(card::scrub(&self.card).unwrap(), Vec::<u64>::new(), "{what}");
    }

    /// What the client was shown that is neither right nor an error.
    fn wrong(&self) -> Vec<String> {
        let is_error = |text: &str| {
            text.contains("was answered") || text.contains("unreadable") || text.contains("Unreadable")
        };
        let findings = self.follower.findings().iter().map(ToString::to_string);
        findings.filter(|text| !is_error(text)).collect()
    }

    fn report(&self, what: &str) {
        println!(
            "{what}: {} operations acknowledged, {} repeated, {} lies, {} deaths of fs, finished: {}, {} findings, {} \
             blocks of the card wrong",
            self.follower.acknowledged(),
            self.follower.repeated(),
            self.lies.len(),
            self.fs_deaths,
            self.follower.is_finished(),
            self.follower.findings().len(),
            card::scrub(&self.card).map_or(0, |blocks| blocks.len()),
        );
    }
}

fn order(system: &System, lie: Lie, requests: u32, every: u32, count: u32, argument: u64) -> Order {
    let slot = system.slot("interposer").unwrap().into();
    Order { at: BEGIN, requests, every, count, argument, ..Order::new(slot, lie) }
}

#[test]
fn the_client_works_on_a_card_with_a_table() {
    let run = run(&system("campaign-medium"), "nothing happens", &[], &[]);
    run.report("no lies, no deaths");
    run.is_clean("nothing happens");
    assert_eq!(run.deaths, Vec::<String>::new());
}

/// The same client in the same time with the driver alone, and with an interposer that is idle and the layer between.
#[test]
fn what_the_layer_costs_the_client() {
    let folder = tempfile::tempdir().unwrap();
    let card = folder.path().join("card.img");
    card::make(&card, CARD_BYTES).unwrap();
    let demo = system("demo");
    let setup = Setup { card: Some(&card), plan: Some(plan(1, END, &[])), ..Setup::default() };
    let mut board = Board::boot(&demo, &setup);
    let (mut alone, mut seen) = (Follower::new(1, Promise::Acknowledged), 0);
    board.until("the demo", |board| {
        seen = follow(&mut alone, demo.slot("client").unwrap(), &board.events, seen);
        alone.is_finished()
    });
    board.finish();
    let checked = run(&system("campaign-medium"), "the campaign", &[], &[]).follower;
    println!(
        "operations in {} ms: {} alone, {} checked",
        END / MS,
        alone.acknowledged(),
        checked.acknowledged()
    );
    assert!(checked.acknowledged() * 3 > alone.acknowledged());
}

#[test]
fn everything_between_client_and_card_may_die() {
    let system = system("campaign-medium");
    let slots =
        ["integrity", "interposer", "block", "integrity", "fs"].map(|name| system.slot(name).unwrap());
    let entries: Vec<_> =
        slots.iter().cycle().take(15).zip(3..).map(|(slot, time)| kill(*slot, time * 10 * MS)).collect();
    let run = run(&system, "kills", &entries, &[]);
    run.report("15 kills");
    run.is_clean("kills");
    assert_eq!(run.deaths.len(), 15, "{:?}", run.deaths);
}

#[test]
fn lies_about_reads_and_late_answers_are_not_noticed() {
    let system = system("campaign-medium");
    for (lie, requests, every, argument) in [
        (Lie::Rot, READS, 5, 1000),
        (Lie::Misdirected, READS, 5, 2),
        (Lie::Stale, READS, 5, 0),
        (Lie::HeldBack, WRITES, 1, 1),
        (Lie::Delay, Lie::Delay.requests(), 9, 100_000),
        (Lie::Error, READS | WRITES, 200, 0),
        (Lie::Busy, READS | WRITES, 100, 0),
    ] {
        // A second time it would be the same request, which the kernel takes for poison then: an error for the layer.
        let count = match lie {
            Lie::Busy => 1,
            Lie::Error => 2,
            _ => 0,
        };
        let what = format!("{lie:?}");
        let run = run(&system, &what, &[], &[order(&system, lie, requests, every, count, argument)]);
        run.report(&what);
        assert!(!run.lies.is_empty(), "{what}: no lie was told");
        run.is_clean(&what);
        // Of an error whoever hears it complains first, and asks a fresh server.
        assert_eq!(run.fs_deaths, 0, "{what}: {:?}", run.deaths);
    }
}

/// A file server that died of each of them before it served anybody would start without its checkpoint after the third, and would no
/// longer know what its client has open.
#[test]
fn errors_while_the_file_server_mounts_cost_it_no_open_file() {
    let system = system("campaign-medium");
    let dies = kill(system.slot("fs").unwrap(), BEGIN);
    // An error is doubted once: two of them are one that is believed.
    let errors = Order { at: BEGIN + MS / 100, ..order(&system, Lie::Error, READS, 3, 6, 0) };
    let run = run(&system, "errors while mounting", &[dies], &[errors]);
    run.report("errors while mounting");
    assert_eq!(run.lies.len(), 6, "{:?}", run.deaths);
    run.is_clean("errors while mounting");
    assert_eq!(run.fs_deaths, 1, "{:?}", run.deaths);
}

/// Blocks by which a misdirected write goes astray: to where nothing is. Whatever it hits is destroyed, and nobody has it twice.
const ASTRAY: u64 = 8_000;

#[test]
fn lies_about_writes_never_show_the_client_anything_wrong() {
    let system = system("campaign-medium");
    for (lie, argument) in
        [(Lie::Lost, 0), (Lie::Torn, 0b10), (Lie::Short, 1), (Lie::Misdirected, ASTRAY), (Lie::Rot, 77)]
    {
        let what = format!("{lie:?} while writing");
        let run = run(&system, &what, &[], &[order(&system, lie, WRITES, 60, 3, argument)]);
        run.report(&what);
        assert!(!run.lies.is_empty(), "{what}: no lie was told");
        assert_eq!(run.wrong(), Vec::<String>::new(), "{what}");
    }
}
