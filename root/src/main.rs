//! Root: starts RS, watches it as RS watches the others, starts it again, and tells the watchdog, where the board has one
//! that the kernel drives, that all is well.
//!
//! *Rule.* Root has one component to look after, calls nobody, allocates nothing, keeps no state, and does nothing else.
//! When RS cannot be brought back, root resets the board.
//!
//! *Why.* Root is the one component that nobody restarts: its death resets the board. So it is the smallest.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use defmt::{info, warn};
use reincarnation_core::{Action, ReportKind, Supervisor};
use reincarnation_server::{notice, perform, take_charge, write_report};
use userlib::abi::message::bits;
use userlib::control::{reset, reset_board};
use userlib::{DeathClass, Instant, Start, Status, binding, exit, log_text, recv_notifications, sys};

userlib::entry!(main);

/// Root says so often that it is alive, where a watchdog listens, which counts seconds.
const PET_PERIOD_MS: u64 = 500;

/// RS is among the first slots of every manifest: root comes first, and RS is what root starts.
const SLOTS: usize = 8;

fn main(_start: Start) -> ! {
    let rs = binding!(slot "rs");
    let mut supervisor = Supervisor::<SLOTS>::new(0).of_moments();
    assert!(usize::from(rs) < SLOTS, "rs must be among the first {SLOTS} entries of the manifest");
    assert!(take_charge(&mut supervisor, rs, None).is_ok(), "root must control rs");
    info!("in charge of rs, which is slot {=u8}", rs);
    let mut next_pet = Instant::now();
    loop {
        let deadline = work(&mut supervisor);
        if Instant::now() >= next_pet {
            next_pet = pet();
        }
        let notifications = recv_notifications(deadline.min(next_pet)).unwrap_or(0);
        if notifications & bits::DEATH != 0 {
            notice(&mut supervisor);
        }
    }
}

/// Tells the watchdog that root is alive, and returns when it must hear so again.
fn pet() -> Instant {
    match reset_board(reset::PET) {
        Ok(()) => Instant::now().plus_ms(PET_PERIOD_MS),
        Err(Status::Unsupported) => {
            warn!("no watchdog stands above root: this image is not for a real card");
            Instant::NEVER
        }
        Err(status) => panic!("root must have the right to reset: {status:?}"),
    }
}

/// Does all that there is to do, and returns when there will be more.
fn work(supervisor: &mut Supervisor<SLOTS>) -> Instant {
    loop {
        match supervisor.next(sys::counter()) {
            Action::Wait(until) => return Instant::from_ticks(until),
            // Root's history ends with root, and the board with it: there is nobody to commit it for.
            Action::Commit => supervisor.committed(sys::counter(), true),
            Action::Report(report) => {
                write_report(supervisor, report);
                if matches!(report.kind, ReportKind::Quarantined(_)) {
                    give_up();
                }
            }
            action => perform(supervisor, action),
        }
    }
}

/// Nothing is left that could restart anything.
fn give_up() -> ! {
    log_text!("root: rs cannot be brought back: the board is reset");
    let refused = reset_board(reset::RESET);
    // The kernel resets the board for root's death too.
    exit(DeathClass::Exit, if refused.is_err() { "reset refused" } else { "board did not reset" })
}
