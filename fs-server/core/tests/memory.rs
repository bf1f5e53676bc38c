//! How much heap the server needs. The only test of its binary: the meter counts the whole process.

#[path = "suite/support.rs"]
mod support;

use peak_alloc::PeakAlloc;
use protocols::files::Status;
use support::*;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// What the process on the board gets, in bytes.
const HEAP_BYTES: usize = 1024 * 1024;

/// Highest use of the heap above `floor` while the operation ran.
fn peak(world: &mut World, floor: usize, op: &Op) -> (usize, Option<Status>) {
    world.board.0.borrow_mut().forget_undo();
    HEAP.reset_peak_usage();
    let (reply, _) = world.request(1, op);
    (HEAP.peak_usage().saturating_sub(floor), reply.err())
}

#[test]
fn the_heap_suffices() {
    let mut world = World::new(&mkfs(64 * 1024, &[]));
    let floor = HEAP.current_usage();
    HEAP.reset_peak_usage();
    world.server = Some(world.start().unwrap());
    let mount = HEAP.peak_usage() - floor;
    println!("mount: {} KiB", mount / 1024);
    world.ok(1, &Op::Mkdir("/d".into()));
    let mut highest = mount;
    for round in 0..400 {
        let name = format!("/d/file-{round}");
        let renamed = format!("{name}-renamed");
        let data = pattern(round, 32 * 1024);
        let ops = [
            Op::Create(0, name.clone()),
            Op::Append(0, data.clone()),
            Op::Write(0, 1000, data[..10_000].to_vec()),
            Op::Read(0, 0, 32 * 1024),
            Op::Close(0),
            Op::Rename(name, renamed.clone()),
            Op::Unlink(renamed),
        ];
        for op in &ops[..if round % 3 == 0 { 6 } else { 7 }] {
            let (bytes, refused) = peak(&mut world, floor, op);
            assert_eq!(refused, None, "{op:?}");
            highest = highest.max(bytes);
        }
    }
    println!("400 rounds on many small files: {} KiB", highest / 1024);
    let (big, files) = fill(&mut world, floor);
    println!("{files} files of 16 MiB, until the card is full: {} KiB", big / 1024);
    highest = highest.max(big);
    for number in 0..files {
        let (bytes, refused) = peak(&mut world, floor, &Op::Unlink(format!("/big{number}")));
        assert_eq!(refused, None);
        println!("removal of one: {} KiB", bytes / 1024);
        highest = highest.max(bytes);
    }
    assert!(highest < HEAP_BYTES, "{highest} bytes");
}

fn fill(world: &mut World, floor: usize) -> (usize, u32) {
    let (mut highest, mut number) = (0, 0);
    loop {
        world.ok(1, &Op::Create(0, format!("/big{number}")));
        number += 1;
        let refused = loop {
            let (bytes, refused) = peak(world, floor, &Op::Append(0, pattern(7, 32 * 1024)));
            highest = highest.max(bytes);
            if refused.is_some() {
                break refused;
            }
        };
        world.ok(1, &Op::Close(0));
        if refused == Some(Status::NoSpace) {
            return (highest, number);
        }
        assert_eq!(refused, Some(Status::FileTooLarge));
    }
}
