//! The process of the injector: carries out the plan that was in memory before boot.
//!
//! *Rule.* It commits which step comes next before it carries a step out, and announces the step on the evidence line
//! before it happens. It calls nobody.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use abi::plan::Fault;
use abi::record::SlotState;
use defmt::{Debug2Format, error, info};
use injector_core::record::RECORD_MAX;
use injector_core::{
    ACCOUNTS_MAX, Account, Action, GRACE, POLL, Plan, PlanError, Progress, Record, Schedule, Target,
    is_joined, parameter,
};
use userlib::{Instant, SlotId, Start, Status, checkpoint, control, log, plan, sleep_until};

userlib::entry!(main);

/// Format of the checkpoint.
const VERSION: u16 = 1;

/// Bytes of an encoded checkpoint at most.
const CHECKPOINT_MAX: usize = 16;

fn main(_start: Start) -> ! {
    let checked = match plan::plan() {
        Some((header, entries)) => Plan::new(*header, entries),
        None => Err(PlanError::Absent),
    };
    match checked {
        Ok(plan) => carry_out(plan),
        Err(PlanError::Absent) => idle(),
        Err(error) => {
            error!("the plan is not carried out: {}", Debug2Format(&error));
            idle()
        }
    }
}

fn carry_out(plan: Plan<'static>) -> ! {
    let mut buffer = [0; CHECKPOINT_MAX];
    let progress = checkpoint::load_value::<Progress>(VERSION, &mut buffer);
    let now = Instant::now().ns();
    let later_boot = progress.is_none() && plan.is_later_boot(now);
    info!("plan of {=u32} entries, begun before: {=bool}", plan.header.count, progress.is_some());
    say(Record::Begin { entries: plan.header.count, later_boot });
    let deadline = deadline(&plan);
    let mut schedule = Schedule::new(plan, progress, now);
    while Instant::now().ns() < deadline {
        match schedule.step(Instant::now().ns(), look) {
            Action::Sleep(until) => {
                sleep_until(Instant::from_ns(until.min(deadline)));
            }
            Action::Inject { entry, overdue } => {
                // What belongs to the step before comes in the middle of what that one does: nothing is to delay it.
                if !overdue && !schedule.entry(entry).is_some_and(is_joined) {
                    take_account();
                }
                inject(&mut schedule, entry, overdue);
            }
            Action::Arm { entry, until } => {
                inject(&mut schedule, entry, false);
                // The end of this sleep is the alarm.
                sleep_until(Instant::from_ns(until));
            }
            Action::Finish => {
                take_account();
                say(Record::Finished);
                info!("the plan is carried out");
                break;
            }
        }
    }
    sleep_until(Instant::from_ns(deadline));
    say(Record::Deadline);
    idle()
}

/// When a workload that is limited by its operations must be over; others have all the time.
fn deadline(plan: &Plan) -> u64 {
    match plan.header.parameters[parameter::OPERATIONS] {
        0 => u64::MAX,
        _ => plan.header.end.saturating_add(GRACE),
    }
}

fn inject(schedule: &mut Schedule, index: usize, overdue: bool) {
    let committed = checkpoint::commit_value(VERSION, &schedule.progress(), &mut [0; CHECKPOINT_MAX]);
    assert!(committed.is_ok(), "the checkpoint was refused: {committed:?}");
    let Some(entry) = schedule.entry(index) else { return };
    say(Record::Step { entry: index as u32, overdue });
    let (trigger, count) =
        if overdue { (control::trigger::NOW, 0) } else { (u64::from(entry.trigger), entry.count) };
    let injected = match Fault::from_code(entry.fault) {
        Some(fault) => control::inject(entry.slot as SlotId, fault, trigger, count),
        None => Err(Status::BadArgument),
    };
    if let Err(status) = injected {
        say(Record::Refused { entry: index as u32, status: status as u32 });
        schedule.refused(index, overdue);
        sleep_until(Instant::now().plus_ns(POLL));
    }
}

/// What the kernel says of a slot. One that may not be looked at is never ready.
fn look(slot: u32) -> Target {
    match control::slot_info(slot as SlotId) {
        Ok(info) => Target {
            incarnation: info.incarnation,
            ready: info.state == SlotState::Running as u32 && info.ready == 1,
        },
        Err(_) => Target { incarnation: 0, ready: false },
    }
}

/// Says what the kernel holds for whom.
fn take_account() {
    let account = (0..ACCOUNTS_MAX).find_map(|_| Account::take(control::counters, control::slot_info));
    if let Some(account) = account {
        say(Record::Account(account));
    }
}

fn say(record: Record) {
    let said = log::event(record.encode(&mut [0; RECORD_MAX]));
    assert!(said, "the evidence line refused a record");
}

fn idle() -> ! {
    loop {
        sleep_until(Instant::NEVER);
    }
}
