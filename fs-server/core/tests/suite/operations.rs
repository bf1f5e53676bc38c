//! Every operation and every refusal, on a card made by `mkfs.ext4`, judged by e2fsprogs.

use crate::support::*;
use fs_core::Sender;
use protocols::files::{Answer, Kind, OpenFlags, Status};

fn path(text: &str) -> String {
    text.into()
}

#[test]
fn a_working_day() {
    let mut world = World::new(&mkfs(4096, &[]));
    world.ok(1, &Op::Mkdir(path("/a")));
    world.ok(1, &Op::Create(0, path("/a/one")));
    let data = pattern(1, 5000);
    assert_eq!(world.ok(1, &Op::Write(0, 0, data.clone())), Answer::Moved { offset: 0, bytes: 5000 });
    assert_eq!(world.ok(1, &Op::Append(0, b"tail".to_vec())), Answer::Moved { offset: 5000, bytes: 4 });
    let (reply, read) = world.request(1, &Op::Read(0, 4990, 100));
    assert_eq!(reply, Ok(Answer::Moved { offset: 4990, bytes: 14 }));
    assert_eq!(read, [&data[4990..], b"tail"].concat());
    world.ok(1, &Op::Truncate(0, 1500));
    world.ok(1, &Op::Truncate(0, 3000));
    world.ok(1, &Op::Truncate(0, 3000));
    world.ok(1, &Op::Fsync(0));
    world.ok(2, &Op::Open(0, CREATE, path("/two")));
    world.ok(2, &Op::Write(0, 100_000, b"far".to_vec()));
    world.ok(1, &Op::Close(0));
    world.ok(1, &Op::Rename(path("/a/one"), path("/three")));
    world.ok(1, &Op::Mkdir(path("/a/b")));
    world.ok(1, &Op::Rename(path("/a/b"), path("/c")));
    world.ok(1, &Op::Rmdir(path("/a")));
    world.ok(1, &Op::Sync);
    let Answer::Facts(facts) = world.ok(1, &Op::Stat(path("/c/../three"))) else {
        panic!();
    };
    assert_eq!((facts.kind, facts.size, facts.links), (Kind::File, 3000, 1));
    assert_eq!(facts.modified_s, noon().as_secs());
    let shown = world.tree();
    world.ok(1, &Op::Unmount);
    let card = world.board.card();
    assert_clean(&card, "after unmount");
    let mut sparse = vec![0; 100_000];
    sparse.extend(b"far");
    let mut three = data[..1500].to_vec();
    three.resize(3000, 0);
    let expected = Tree::from([
        (path("/lost+found"), None),
        (path("/c"), None),
        (path("/two"), Some(sparse)),
        (path("/three"), Some(three)),
    ]);
    assert_eq!(shown, expected);
    assert_eq!(debugfs_tree(&card), expected);
}

#[test]
fn refusals_are_what_the_protocol_says() {
    let mut world = World::new(&mkfs(4096, &[]));
    world.ok(1, &Op::Mkdir(path("/d")));
    world.ok(1, &Op::Mkdir(path("/d/e")));
    world.ok(1, &Op::Create(0, path("/d/f")));
    world.ok(1, &Op::Create(1, path("/g")));
    world.ok(1, &Op::Close(1));
    world.ok(1, &Op::Open(2, OpenFlags::READ, path("/g")));
    let long = format!("/{}", "n".repeat(256));
    let deep = "/d".repeat(65);
    for (op, status) in [
        (Op::Open(3, RW, path("/no")), Status::NotFound),
        (Op::Open(3, RW, path("/no/x")), Status::NotFound),
        (Op::Open(3, RW, path("/g/x")), Status::NotDirectory),
        (Op::Open(3, RW, path("/d")), Status::IsDirectory),
        (Op::Open(3, RW, path("/")), Status::IsDirectory),
        (Op::Open(0, RW, path("/g")), Status::DescriptorInUse),
        (Op::Open(3, RW, path("g")), Status::BadName),
        (Op::Open(3, RW, path("")), Status::BadName),
        (Op::Open(3, CREATE, path("/d/..")), Status::BadName),
        (Op::Open(3, CREATE, path("/a\0b")), Status::BadName),
        (Op::Open(3, CREATE, long), Status::BadName),
        (Op::Open(3, CREATE, deep), Status::PathTooLong),
        (Op::Open(3, CREATE, "/".repeat(1025)), Status::PathTooLong),
        (Op::Open(16, RW, path("/g")), Status::BadDescriptor),
        (Op::Create(3, path("/g")), Status::Exists),
        (Op::Create(3, path("/d")), Status::Exists),
        (Op::Create(0, path("/new")), Status::DescriptorInUse),
        (Op::Mkdir(path("/d")), Status::Exists),
        (Op::Mkdir(path("/")), Status::Exists),
        (Op::Mkdir(path("/no/x")), Status::NotFound),
        (Op::Rmdir(path("/d")), Status::NotEmpty),
        (Op::Rmdir(path("/g")), Status::NotDirectory),
        (Op::Rmdir(path("/")), Status::Busy),
        (Op::Rmdir(path("/lost+found")), Status::Busy),
        (Op::Unlink(path("/d")), Status::IsDirectory),
        (Op::Unlink(path("/no")), Status::NotFound),
        (Op::Unlink(path("/d/f")), Status::Busy),
        (Op::Rename(path("/g"), path("/d/f")), Status::Busy),
        (Op::Rename(path("/g"), path("/d")), Status::IsDirectory),
        (Op::Rename(path("/d/e"), path("/g")), Status::NotDirectory),
        (Op::Rename(path("/d/e"), path("/d")), Status::NotEmpty),
        (Op::Rename(path("/d"), path("/d/e/x")), Status::InvalidArgument),
        (Op::Rename(path("/lost+found"), path("/x")), Status::Busy),
        (Op::Rename(path("/no"), path("/x")), Status::NotFound),
        (Op::Rename(path("/"), path("/x")), Status::Busy),
        (Op::Read(9, 0, 1), Status::BadDescriptor),
        (Op::Write(2, 0, vec![1]), Status::NotPermitted),
        (Op::Append(2, vec![1]), Status::NotPermitted),
        (Op::Truncate(2, 0), Status::NotPermitted),
        (Op::Truncate(0, u64::MAX), Status::FileTooLarge),
        (Op::Write(0, u64::MAX, vec![1]), Status::FileTooLarge),
        (Op::Write(0, 16 << 20, vec![1]), Status::FileTooLarge),
        (Op::Truncate(0, (16 << 20) + 1), Status::FileTooLarge),
        (Op::Read(0, 0, 1 << 20), Status::InvalidArgument),
        (Op::List(path("/g")), Status::NotDirectory),
        (Op::Fsync(9), Status::BadDescriptor),
    ] {
        let before = world.board.card();
        assert_eq!(world.refused(1, &op), status, "{op:?}");
        assert!(world.board.card() == before, "{op:?} wrote");
    }
    world.ok(1, &Op::Close(9));
    let (reply, read) = world.request(1, &Op::Read(0, u64::MAX, 8));
    assert!(reply.is_ok() && read.is_empty());
    world.ok(1, &Op::Unmount);
    assert_clean(&world.board.card(), "after refusals");
}

#[test]
fn after_unmount_everything_is_refused_also_by_the_next_incarnation() {
    let mut world = World::new(&mkfs(4096, &[]));
    world.ok(1, &Op::Create(0, path("/f")));
    world.ok(1, &Op::Unmount);
    for round in 0..2 {
        assert_eq!(world.refused(1, &Op::Read(0, 0, 1)), Status::Unmounted, "{round}");
        assert_eq!(world.refused(1, &Op::Mkdir(path("/d"))), Status::Unmounted);
        assert_eq!(world.refused(2, &Op::Stat(path("/"))), Status::Unmounted);
        assert_eq!(world.refused(2, &Op::Sync), Status::Unmounted);
        world.ok(2, &Op::Unmount);
        world.server = None;
    }
    assert_clean(&world.board.card(), "unmounted");
}

#[test]
fn files_stay_open_over_a_restart_and_close_with_a_new_life_of_their_client() {
    let mut world = World::new(&mkfs(4096, &[]));
    world.ok(1, &Op::Create(0, path("/f")));
    world.ok(1, &Op::Append(0, b"before".to_vec()));
    world.server = None;
    world.ok(1, &Op::Append(0, b" after".to_vec()));
    assert_eq!(world.request(1, &Op::Read(0, 0, 64)).1, b"before after");
    assert_eq!(world.refused(2, &Op::Unlink(path("/f"))), Status::Busy);
    let reborn = Sender { slot: 1, incarnation: 2 };
    let (reply, _) = world.request_from(reborn, &Op::Read(0, 0, 1));
    assert_eq!(reply, Err(Status::BadDescriptor));
    assert_eq!(
        world.refused(1, &Op::Read(0, 0, 1)),
        Status::BadDescriptor,
        "nothing of the new life is open, so nothing tells the stray apart"
    );
    world.ok(2, &Op::Unlink(path("/f")));
}

#[test]
fn the_table_of_open_files_is_bounded_per_client_and_in_all() {
    let mut world = World::new(&mkfs(4096, &[]));
    world.ok(1, &Op::Create(0, path("/f")));
    for slot in 1..=4 {
        for descriptor in 0..16 {
            if (slot, descriptor) != (1, 0) {
                world.ok(slot, &Op::Open(descriptor, RW, path("/f")));
            }
        }
    }
    assert_eq!(world.refused(5, &Op::Open(0, RW, path("/f"))), Status::TooManyOpen);
    assert_eq!(world.refused(5, &Op::Create(0, path("/new"))), Status::TooManyOpen);
    assert_eq!(world.refused(5, &Op::Stat(path("/new"))), Status::NotFound);
    world.ok(4, &Op::Close(15));
    world.ok(5, &Op::Create(0, path("/new")));
}

#[test]
fn no_byte_behind_the_end_makes_no_file_longer() {
    let mut world = World::new(&mkfs(4096, &[]));
    world.ok(1, &Op::Create(0, path("/f")));
    world.ok(1, &Op::Append(0, pattern(1, 100)));
    assert_eq!(world.ok(1, &Op::Write(0, 5000, Vec::new())), Answer::Moved { offset: 5000, bytes: 0 });
    world.ok(1, &Op::Write(0, 50, Vec::new()));
    let Answer::Facts(facts) = world.ok(1, &Op::DescriptorStat(0)) else { panic!() };
    assert_eq!((facts.size, world.deaths), (100, 0));
    // A hole, and bytes in front of the end.
    world.ok(1, &Op::Write(0, 5000, pattern(2, 700)));
    world.ok(1, &Op::Write(0, 50, pattern(3, 100)));
    let Answer::Facts(facts) = world.ok(1, &Op::DescriptorStat(0)) else { panic!() };
    assert_eq!((facts.size, world.deaths), (5700, 0));
}

#[test]
fn a_full_card_stays_consistent() {
    let mut world = World::new(&mkfs(4096, &["-N", "64"]));
    world.ok(1, &Op::Create(0, path("/big")));
    world.ok(1, &Op::Create(1, path("/small")));
    let chunk = pattern(3, 32 * 1024);
    let mut size = 0;
    let status = loop {
        match world.request(1, &Op::Append(0, chunk.clone())).0 {
            Ok(_) => size += chunk.len() as u64,
            Err(status) => break status,
        }
    };
    assert_eq!(status, Status::NoSpace);
    let Answer::Facts(facts) = world.ok(1, &Op::DescriptorStat(0)) else {
        panic!();
    };
    assert_eq!(facts.size, size, "an append is whole or nothing");
    while world.request(1, &Op::Append(0, pattern(4, 1024))).0.is_ok() {}
    assert_eq!(world.refused(1, &Op::Write(1, 0, vec![1; 4096])), Status::NoSpace);
    assert_clean(&world.board.card(), "full");
    let mut made = 0;
    while world.request(1, &Op::Mkdir(format!("/d{made}"))).0.is_ok() {
        made += 1;
    }
    let mut files = 0;
    let status = loop {
        match world.request(1, &Op::Create(2, format!("/f{files}"))).0 {
            Ok(_) => files += 1,
            Err(status) => break status,
        }
        world.ok(1, &Op::Close(2));
    };
    assert_eq!(status, Status::NoSpace, "inodes end too");
    assert!(files > 10);
    assert_clean(&world.board.card(), "no inode left");
    world.ok(1, &Op::Close(0));
    world.ok(1, &Op::Unlink(path("/big")));
    world.ok(1, &Op::Write(1, 0, pattern(5, 20_000)));
    world.ok(1, &Op::Unmount);
    assert_clean(&world.board.card(), "after the full card");
    let tree = debugfs_tree(&world.board.card());
    assert_eq!(tree["/small"], Some(pattern(5, 20_000)));
    assert_eq!(tree.len(), 2 + made + files);
}

fn large_directory(world: &mut World) -> Tree {
    world.ok(1, &Op::Mkdir(path("/many")));
    let mut expected = Tree::from([(path("/lost+found"), None), (path("/many"), None)]);
    for index in 0..300 {
        let name = format!("/many/{index:03}-{}", "x".repeat(index % 40));
        world.ok(1, &Op::Create(0, name.clone()));
        world.ok(1, &Op::Close(0));
        expected.insert(name, Some(Vec::new()));
    }
    assert_eq!(world.tree(), expected);
    for index in (0..300).step_by(2) {
        let name = format!("/many/{index:03}-{}", "x".repeat(index % 40));
        expected.remove(&name);
        if index % 4 == 0 {
            world.ok(1, &Op::Unlink(name));
        } else {
            let renamed = format!("/many/renamed-{index}-{}", "y".repeat(index % 50));
            world.ok(1, &Op::Rename(name, renamed.clone()));
            expected.insert(renamed, Some(Vec::new()));
        }
    }
    for index in 0..20 {
        let (first, second) = (format!("/many/d{index}"), format!("/many/e{index}"));
        world.ok(1, &Op::Mkdir(first.clone()));
        world.ok(1, &Op::Rename(first, second.clone()));
        expected.insert(second, None);
    }
    expected
}

#[test]
fn large_directories_are_listed_once_and_whole() {
    let indexed = format!("{FEATURES},dir_index");
    for features in [FEATURES, &indexed] {
        let mut world = World::new(&mkfs(4096, &["-N", "512", "-O", features]));
        let expected = large_directory(&mut world);
        assert_eq!(world.tree(), expected, "{features}");
        world.ok(1, &Op::Unmount);
        assert_clean(&world.board.card(), features);
        assert_eq!(debugfs_tree(&world.board.card()), expected, "{features}");
    }
}

/// Renames in an indexed directory, all the way through its splits, with a death in every one of them.
#[test]
fn renames_that_split_an_indexed_directory() {
    let features = format!("{FEATURES},dir_index");
    let mut world = World::new(&mkfs(4096, &["-N", "512", "-O", &features]));
    world.ok(1, &Op::Mkdir(path("/d")));
    let mut expected = Tree::from([(path("/lost+found"), None), (path("/d"), None)]);
    for index in 0..160_u64 {
        let (old, new) = (format!("/d/file-{index}"), format!("/d/file-{index}-renamed"));
        world.ok(1, &Op::Create(0, old.clone()));
        world.ok(1, &Op::Close(0));
        world.board.0.borrow_mut().fuse = Some(index % 23);
        world.ok(1, &Op::Rename(old, new.clone()));
        world.board.0.borrow_mut().fuse = None;
        if index % 3 == 0 {
            expected.insert(new, Some(Vec::new()));
        } else {
            world.ok(1, &Op::Unlink(new));
        }
    }
    assert!(world.deaths > 100);
    assert_eq!(world.tree(), expected);
    world.ok(1, &Op::Unmount);
    assert_clean(&world.board.card(), "splits");
    assert_eq!(debugfs_tree(&world.board.card()), expected);
}
