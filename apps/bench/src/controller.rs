//! The controller in RS's place: starts the victim and measures how long the news of its death takes.

use crate::measure::{Block, Operation, run as measure};
use crate::{GROUPS, expect_done, report};
use protocols::bench::{PHASES, Series};
use userlib::abi::message::bits;
use userlib::abi::syscall::received;
use userlib::{DeathClass, Instant, SlotId, Status, binding, control};

/// Where the victim keeps the stamp.
const STAMP: usize = 20;

/// Deadline of each receive: finite, and never reached.
const DEADLINE_MS: u64 = 1_000;

pub fn run() -> ! {
    let victim: SlotId = binding!(slot ? "victim").expect("the controller has a victim");
    for number in 0..GROUPS {
        let mut ticks = [0; PHASES];
        for ticks in &mut ticks {
            *ticks = death(victim);
        }
        report(Series::Fault, number, ticks);
    }
    for number in 0..GROUPS {
        let [mut kill, mut acknowledge] = [[0; PHASES]; 2];
        for shift in 0..PHASES {
            (kill[shift], acknowledge[shift]) = end(victim, shift as u64);
        }
        report(Series::Kill, number, kill);
        report(Series::Acknowledge, number, acknowledge);
    }
    report(Series::Done, 0, [0; PHASES]);
    loop {
        userlib::recv_notifications(Instant::NEVER);
    }
}

/// Lets the victim live and die; ticks from its last instruction until this component runs.
fn death(victim: SlotId) -> u32 {
    start(victim);
    let mut block = Block::new(&[Instant::now().plus_ms(DEADLINE_MS).ticks(), 0], 0);
    measure(Operation::Recv, &mut block);
    assert!(block.registers[0] == received::NOTIFICATION, "received {}", block.registers[0]);
    assert!(block.registers[1] & bits::DEATH != 0, "notified of something else");
    let record = control::death_record(victim).expect("a death has a record");
    assert!(record.class == DeathClass::CpuException as u32, "the victim died of something else");
    control::control(victim, control::slot_ctl::ACKNOWLEDGE).expect("its controller acknowledges a death");
    u32::try_from(block.after - record.registers[STAMP]).expect("stamps in their order")
}

/// Lets the victim live and ends it before it runs; ticks of `kill`, and of acknowledging the death.
fn end(victim: SlotId, shift: u64) -> (u32, u32) {
    start(victim);
    let mut kill = Block::new(&[u64::from(victim), DeathClass::Killed as u64], shift);
    measure(Operation::Kill, &mut kill);
    expect_done(&kill);
    let mut acknowledge = Block::new(&[u64::from(victim), control::slot_ctl::ACKNOWLEDGE], shift);
    measure(Operation::SlotCtl, &mut acknowledge);
    expect_done(&acknowledge);
    (kill.ticks(), acknowledge.ticks())
}

fn start(victim: SlotId) {
    loop {
        match control::start(victim) {
            Status::More => {}
            Status::Ok => break,
            status => panic!("the victim cannot be started: {status:?}"),
        }
    }
}
