//! Cards that cannot be mounted: each has its own error with its remedy, and nothing is written to it.

use crate::support::*;
use fs_core::{Call, DeviceError, Fatal, FeatureSet, FileServer, MountError, Sender};
use protocols::files::{OpenFlags, Request, Status};

fn mount_error(card: &[u8]) -> MountError {
    let world = World::new(card);
    let error = world.start().err().expect("this card must be refused");
    let board = world.board.0.borrow();
    assert!(board.card == card, "{error}: the card was written");
    assert_eq!(board.checkpoint, None, "{error}: nothing to remember");
    error
}

fn without_journal(card: &[u8]) -> Vec<u8> {
    let file = Scratch::with(card);
    let status = std::process::Command::new("tune2fs")
        .args(["-O", "^has_journal"])
        .arg(&file.0)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read(&file.0).unwrap()
}

#[test]
fn each_unfit_card_has_its_own_error_and_remedy() {
    let good = mkfs(16 * 1024, &[]);
    let mut errors = vec![
        (mount_error(&[]), MountError::NoCard, Status::NoCard),
        (mount_error(&vec![0; 1 << 20]), MountError::Empty, Status::EmptyCard),
        (mount_error(&pattern(1, 1 << 20)), MountError::NotExt4, Status::NotExt4),
        (mount_error(&vec![7; 512]), MountError::NotExt4, Status::NotExt4),
    ];
    let no_journal = without_journal(&good);
    errors.push((mount_error(&no_journal), MountError::NoJournal, Status::UnsupportedFormat));
    let features = format!("{FEATURES},inline_data");
    let inline = mkfs(16 * 1024, &["-O", &features]);
    errors.push((
        mount_error(&inline),
        MountError::Unsupported { set: FeatureSet::Incompatible, bits: 0x8000 },
        Status::UnsupportedFormat,
    ));
    let mut marked = good.clone();
    marked[1024 + 58] |= 2;
    errors.push((
        mount_error(&marked),
        MountError::Damaged("errors were recorded in the superblock"),
        Status::Damaged,
    ));
    let mut sizes = good.clone();
    sizes[1024 + 40] ^= 8;
    errors.push((mount_error(&sizes), MountError::Damaged("superblock checksum"), Status::Damaged));
    let mut rootless = good.clone();
    let table = u32::from_le_bytes(good[2048 + 8..2048 + 12].try_into().unwrap()) as usize * 1024;
    rootless[table + 256..table + 512].fill(0);
    errors.push((mount_error(&rootless), MountError::Damaged("root directory"), Status::Damaged));
    for (error, expected, status) in &errors {
        assert_eq!(error, expected);
        assert_eq!(error.status(), *status);
        assert!(!error.is_transient());
        let text = error.to_string();
        assert!(text.contains(':'), "no remedy: {text}");
    }
    let short = &good[..8 << 20];
    assert!(matches!(mount_error(short), MountError::Damaged(_)));
    let mut groups = good.clone();
    groups[2048..3072].copy_from_slice(&pattern(2, 1024));
    assert!(matches!(mount_error(&groups), MountError::Damaged(_)));
}

#[test]
fn a_failing_or_write_protected_card_is_told_apart() {
    let good = mkfs(4096, &[]);
    let world = World::new(&good);
    {
        let mut board = world.board.0.borrow_mut();
        board.fuse = Some(0);
        board.error = Some(DeviceError::Failed);
    }
    let error = world.start().err().unwrap();
    assert_eq!(error, MountError::DeviceFailed);
    assert!(error.is_transient(), "worth another incarnation");
    world.board.0.borrow_mut().error = Some(DeviceError::NoCard);
    assert_eq!(world.start().err(), Some(MountError::NoCard));
    let world = World::new(&good);
    world.board.0.borrow_mut().write_protected = true;
    assert_eq!(world.start().err(), Some(MountError::WriteProtected));
}

#[test]
fn a_file_system_in_a_partition_is_found_and_served() {
    let inner = mkfs(4096, &[]);
    let first = 2048_u32;
    let mut card = vec![0; first as usize * 512];
    card.extend(&inner);
    let entry = 446 + 16;
    card[entry + 4] = 0x83;
    card[entry + 8..entry + 12].copy_from_slice(&first.to_le_bytes());
    card[entry + 12..entry + 16].copy_from_slice(&(inner.len() as u32 / 512).to_le_bytes());
    card[510..512].copy_from_slice(&[0x55, 0xaa]);
    let mut world = World::new(&card);
    world.ok(1, &Op::Create(0, "/f".into()));
    world.ok(1, &Op::Append(0, b"in a partition".to_vec()));
    world.ok(1, &Op::Unmount);
    let after = world.board.card();
    let split = first as usize * 512;
    assert!(after[..split] == card[..split], "outside the partition");
    assert_clean(&after[split..], "partition");
    assert_eq!(debugfs_tree(&after[split..])["/f"], Some(b"in a partition".to_vec()));
    let mut beyond = card.clone();
    beyond.truncate(split + 4096);
    assert_eq!(mount_error(&beyond), MountError::Damaged("partition table"));
}

/// Another card, with the same checkpoint: descriptors of the old card must not mean files of the new one.
#[test]
fn a_changed_card_closes_all_files() {
    let mut world = World::new(&mkfs(4096, &[]));
    world.ok(1, &Op::Create(0, "/f".into()));
    world.server = None;
    let other = mkfs(4096, &["-U", "ffffffff-0000-1111-2222-333333333333"]);
    world.board.0.borrow_mut().card = other;
    assert_eq!(world.refused(1, &Op::Read(0, 0, 1)), Status::BadDescriptor);
}

/// Damage that shows only in use is an answer, not a death: the next request is served.
#[test]
fn damage_in_a_directory_is_answered() {
    let mut world = World::new(&mkfs(4096, &[]));
    world.ok(1, &Op::Mkdir("/d".into()));
    world.ok(1, &Op::Create(0, "/d/marker-name".into()));
    world.ok(1, &Op::Create(1, "/ok".into()));
    world.ok(1, &Op::Close(0));
    world.ok(1, &Op::Unmount);
    world.server = None;
    {
        let mut board = world.board.0.borrow_mut();
        board.checkpoint = None;
        let name = b"marker-name";
        let places: Vec<_> = (0..board.card.len() - name.len())
            .filter(|at| &board.card[*at..at + name.len()] == name)
            .collect();
        for at in places {
            board.card[at] ^= 1;
        }
    }
    assert_eq!(world.refused(1, &Op::List("/d".into())), Status::Damaged);
    assert_eq!(world.refused(1, &Op::Create(2, "/d/new".into())), Status::Damaged);
    world.ok(1, &Op::Create(3, "/also".into()));
    assert_eq!(world.deaths, 1, "a fresh incarnation has looked, and only one");
}

/// Once: the card may have what the audit does not know.
#[test]
fn a_contradiction_ends_the_server_before_it_is_on_the_card_and_is_the_cards_own_the_second_time() {
    let mut world = World::new(&mkfs(4096, &[]));
    world.ok(1, &Op::Create(0, "/f".to_owned()));
    world.ok(1, &Op::Append(0, pattern(1, 3000)));
    world.ok(1, &Op::Unmount);
    // A file that counts other blocks than it has, with the right checksum.
    let file = Scratch::with(&world.board.card());
    let changed = std::process::Command::new("debugfs")
        .args(["-w", "-R", "set_inode_field /f blocks 60"])
        .arg(&file.0)
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(changed.success());
    let board = Shared::new(&std::fs::read(&file.0).unwrap());
    let mount = || FileServer::mount(board.clone(), board.clone(), noon).unwrap();
    let ask = |server: &mut Server, id: u64, attempt: u32, op: &Op| {
        let (request, input) = op.parts();
        let request = Request::decode(request.label() as u32, &request.registers()).unwrap();
        let call = Call { id, attempt, sender: Sender { slot: 1, incarnation: 1 } };
        server.handle(&call, &request, input, &mut vec![0; request.output_length()])
    };
    let mut server = mount();
    let open = Op::Open(0, OpenFlags::READ.with(OpenFlags::WRITE), "/f".to_owned());
    assert!(ask(&mut server, 1, 0, &open).unwrap().is_ok());
    let append = Op::Append(0, pattern(2, 3000));
    let end = ask(&mut server, 2, 0, &append);
    assert!(matches!(end, Err(Fatal::Contradiction(_))), "{end:?}");
    drop(server);
    assert_eq!(debugfs_tree(&board.card())["/f"], Some(pattern(1, 3000)));
    let mut server = mount();
    assert!(ask(&mut server, 2, 1, &append).unwrap().is_ok());
    assert!(ask(&mut server, 3, 0, &append).unwrap().is_ok());
    assert_eq!(server.device_counters().contradictions, 1);
}

#[test]
fn cards_of_other_make_are_no_contradiction() {
    let wide = format!("{FEATURES},metadata_csum_seed");
    let lazy: &[&str] = &["-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=0"];
    for (kib, more) in [
        (4096, lazy),
        (8192, &["-O", &wide][..]),
        (32 * 1024, &["-b", "4096", "-J", "size=4"]),
        (4096, &["-I", "128"]),
    ] {
        // What was on the card before it was formatted.
        let card = mkfs_over(kib, more, 0xFF);
        let table = u32::from_le_bytes(card[2048 + 8..2048 + 12].try_into().unwrap()) as usize * 1024;
        assert!(more != lazy || card[table + 64 * 256] == 0xFF, "an inode that nobody has written");
        let mut world = World::new(&card);
        for number in 0..20_u8 {
            world.ok(1, &Op::Mkdir(format!("/d{number}")));
            world.ok(1, &Op::Create(number % 4, format!("/d{number}/f")));
            world.ok(1, &Op::Append(number % 4, pattern(number.into(), 1000)));
            world.ok(1, &Op::Close(number % 4));
        }
        world.ok(1, &Op::Unlink("/d3/f".to_owned()));
        world.ok(1, &Op::Rmdir("/d3".to_owned()));
        world.ok(1, &Op::Unmount);
        assert_eq!(world.deaths, 0, "{more:?}");
        assert_clean(&world.board.card(), &format!("{more:?}"));
    }
}
