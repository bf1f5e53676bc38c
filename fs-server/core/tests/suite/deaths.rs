//! Death at every sector, flush and commit: answers and tree must equal those of a single execution.

use std::cell::Cell;
use std::rc::Rc;

use crate::support::*;
use fs_core::DeviceError;
use protocols::files::{Answer, OpenFlags};

/// Every kind of change, two clients, in an order that leaves interesting states behind.
fn script() -> Vec<(u8, Op)> {
    let p = |text: &str| -> String { text.into() };
    let truncate = CREATE.with(OpenFlags::TRUNCATE);
    vec![
        (1, Op::Mkdir(p("/a"))),
        (1, Op::Create(0, p("/a/one"))),
        (1, Op::Append(0, pattern(1, 700))),
        (1, Op::Append(0, pattern(2, 5000))),
        (2, Op::Open(0, CREATE, p("/two"))),
        (2, Op::Write(0, 300, pattern(3, 2500))),
        (2, Op::Write(0, 0, pattern(4, 1000))),
        (1, Op::Create(1, p("/a/one"))),
        (1, Op::Read(0, 0, 9000)),
        (1, Op::Truncate(0, 900)),
        (1, Op::Truncate(0, 4000)),
        (1, Op::Fsync(0)),
        (2, Op::Unlink(p("/a/one"))),
        (1, Op::Close(0)),
        (1, Op::Rename(p("/a/one"), p("/three"))),
        (2, Op::Close(0)),
        (2, Op::Rename(p("/three"), p("/two"))),
        (1, Op::Mkdir(p("/a/b"))),
        (1, Op::Mkdir(p("/c"))),
        (1, Op::Rename(p("/a/b"), p("/c"))),
        (1, Op::Rmdir(p("/a"))),
        (1, Op::Rename(p("/c"), p("/c/../d"))),
        (2, Op::Open(3, truncate, p("/two"))),
        (2, Op::Append(3, pattern(5, 3000))),
        (2, Op::Stat(p("/two"))),
        (1, Op::Create(2, p("/d/x"))),
        (1, Op::Write(2, 50_000, pattern(6, 100))),
        (1, Op::Close(2)),
        (1, Op::Unlink(p("/d/x"))),
        (1, Op::Rmdir(p("/d/../d"))),
        (2, Op::Sync),
        (2, Op::List(p("/"))),
        (1, Op::Space),
        (2, Op::Unmount),
    ]
}

struct Run {
    heard: Vec<Heard>,
    tree: Tree,
    card: Vec<u8>,
    events: u64,
    deaths: u32,
}

/// Runs the script; the fuse is set before the mount.
fn run(mut world: World, script: &[(u8, Op)], fuse: Option<u64>) -> Run {
    world.board.0.borrow_mut().fuse = fuse;
    let mut heard = Vec::new();
    let mut tree = Tree::new();
    for (slot, op) in script {
        if *op == Op::Unmount {
            tree = world.tree();
        }
        heard.push(world.request(*slot, op));
    }
    let card = world.board.card();
    let events = world.board.0.borrow().events;
    Run { heard, tree, card, events, deaths: world.deaths }
}

fn assert_same(run: &Run, single: &Run, script: &[(u8, Op)], context: &str) {
    for (((slot, op), heard), expected) in script.iter().zip(&run.heard).zip(&single.heard) {
        assert_eq!(heard, expected, "{context}: client {slot} {op:?}");
    }
    assert!(run.tree == single.tree, "{context}: another tree");
}

#[test]
fn the_single_execution_is_what_the_script_means() {
    let single = run(World::new(&mkfs(4096, &[])), &script(), None);
    assert_eq!(single.deaths, 0);
    let two = [&pattern(5, 3000)[..]].concat();
    let expected = Tree::from([("/lost+found".into(), None), ("/two".into(), Some(two))]);
    assert_eq!(single.tree, expected);
    assert_clean(&single.card, "single");
    assert_eq!(debugfs_tree(&single.card), expected);
    let refused = single.heard.iter().filter(|heard| heard.0.is_err()).count();
    assert_eq!(refused, 2, "create exclusive of a file that exists, unlink of an open one");
}

#[test]
fn death_at_every_sector_flush_and_commit() {
    let card = mkfs(4096, &[]);
    let script = script();
    let single = run(World::new(&card), &script, None);
    let mut died = 0;
    let torn = Rc::new(Cell::new(0));
    for fuse in 0..single.events {
        let mut world = World::new(&card);
        let context = format!("fuse {fuse}");
        let at = context.clone();
        let count = Rc::clone(&torn);
        world.at_death = Box::new(move |board| {
            let card = board.card();
            count.set(count.get() + u32::from(superblock_is_torn(&card)));
            assert_clean(&card, &at);
        });
        let run = run(world, &script, Some(fuse));
        assert_same(&run, &single, &script, &context);
        died += run.deaths;
        if fuse % 16 == 0 {
            assert_clean(&run.card, &context);
            assert_eq!(debugfs_tree(&run.card), single.tree, "{context}");
        }
    }
    assert_eq!(u64::from(died), single.events, "every fuse but none killed");
    println!("{died} deaths, {} with a torn superblock", torn.get());
    assert!((1..10).contains(&torn.get()), "seldom, and yet seen");
}

/// The second death falls into the recovery from the first, or shortly after it.
#[test]
fn death_during_recovery() {
    let card = mkfs(4096, &[]);
    let script = script();
    let single = run(World::new(&card), &script, None);
    let mut died = 0;
    for first in (0..single.events).step_by(7) {
        for second in [0, 1, 3, 6, 11, 17, 24, 32] {
            let mut world = World::new(&card);
            let context = format!("fuses {first}, {second}");
            world.second_fuse = Some(second);
            let run = run(world, &script, Some(first));
            assert_same(&run, &single, &script, &context);
            if second == 6 {
                assert_clean(&run.card, &context);
            }
            died += run.deaths;
        }
    }
    println!("{died} deaths");
    assert!(died > 1000);
}

/// The driver dies or the card fails: an error instead of silence, and the same care afterwards.
#[test]
fn a_device_error_is_fatal_and_leaves_no_mark_on_the_card() {
    let card = mkfs(4096, &[]);
    let script = script();
    let single = run(World::new(&card), &script, None);
    for fuse in (0..single.events).step_by(3) {
        let world = World::new(&card);
        world.board.0.borrow_mut().error = Some(DeviceError::Failed);
        let run = run(world, &script, Some(fuse));
        assert_same(&run, &single, &script, &format!("error {fuse}"));
        assert!(run.deaths >= 1);
        let state = &run.card[1024 + 58..][..2];
        assert_eq!(state, [1, 0], "error {fuse}: the superblock says clean");
    }
}

/// A journal that fills up many times, with deaths at each event around the moment when it is emptied.
#[test]
fn death_while_the_journal_is_emptied() {
    let card = mkfs(4096, &[]);
    let mut world = World::new(&card);
    world.ok(1, &Op::Create(0, "/f".into()));
    let mut fuses = Vec::new();
    let mut last = world.board.0.borrow().events;
    for round in 0..400 {
        world.ok(1, &Op::Write(0, 0, pattern(round, 1024)));
        let now = world.board.0.borrow().events;
        if now - last > 30 {
            fuses.push((round, now - last));
        }
        last = now;
    }
    assert!(fuses.len() >= 2, "emptied {} times", fuses.len());
    println!("emptied in rounds {fuses:?}");
    let (fatal_round, events) = fuses[0];
    for fuse in 0..events {
        let mut world = World::new(&card);
        let context = format!("emptying, fuse {fuse}");
        let at = context.clone();
        world.at_death = Box::new(move |board| assert_clean(&board.card(), &at));
        world.ok(1, &Op::Create(0, "/f".into()));
        for round in 0..fatal_round + 3 {
            if round == fatal_round {
                world.board.0.borrow_mut().fuse = Some(fuse);
            }
            world.ok(1, &Op::Write(0, 0, pattern(round, 1024)));
        }
        assert!(world.deaths == 1, "{context}");
        let (_, data) = world.request(1, &Op::Read(0, 0, 4096));
        assert!(data == pattern(fatal_round + 2, 1024), "{context}");
    }
}

#[test]
fn without_its_record_the_server_says_that_it_does_not_know() {
    use fs_core::{Call, Sender};
    use protocols::files::{Request, Status};
    let mut world = World::new(&mkfs(4096, &[]));
    world.ok(1, &Op::Create(0, "/f".into()));
    world.ok(1, &Op::Close(0));
    world.server = None;
    world.board.0.borrow_mut().checkpoint = None;
    let mut server = world.start().unwrap();
    let sender = Sender { slot: 1, incarnation: 1 };
    let mut call = Call { id: 77, attempt: 1, sender };
    let request = Request::Unlink { path_bytes: 2 };
    let reply = server.handle(&call, &request, [b"/f", b""], &mut []);
    assert_eq!(reply, Ok(Err(Status::OutcomeUnknown)));
    call.attempt = 0;
    call.id = 78;
    let reply = server.handle(&call, &request, [b"/f", b""], &mut []);
    assert_eq!(reply, Ok(Ok(Answer::Done)));
    call.attempt = 1;
    let reply = server.handle(&call, &request, [b"/f", b""], &mut []);
    assert_eq!(reply, Ok(Ok(Answer::Done)), "finished before: the stored reply");
    let reply = server.handle(&call, &request, [b"/g", b""], &mut []);
    assert_eq!(reply, Ok(Err(Status::Malformed)), "same call, other path");
}
