//! The hands of the supervisor: its actions as system calls. RS and root share them.
//!
//! *Rule.* Nothing is decided here, and no component is ever called: only the kernel is.
//!
//! *Why.* Who waits for a component that it is to restart waits for ever.

#![no_std]
#![forbid(unsafe_code)]

use abi::record::{SlotInfo, SlotState};
use abi::rights::Rights;
use abi::{SlotId, Status};
use core::fmt;
use reincarnation_core::{
    Action, Cause, Death, Found, History, Policy, Report, ReportKind, Standing, Supervisor, Ticks,
};
use userlib::control::{self, slot_ctl};
use userlib::{DeathClass, log_text, sys, time};

/// Takes charge of `slot` as it is found. [`Status::Denied`] if the manifest gives no control of it,
/// [`Status::BadHandle`] if there is no such slot.
pub fn take_charge<const N: usize>(
    supervisor: &mut Supervisor<N>,
    slot: SlotId,
    checkpoint: Option<&[u8]>,
) -> Result<(), Status> {
    // A heartbeat harms nobody, and the answer says whether the slot is ours.
    match control::control(slot, slot_ctl::HEARTBEAT) {
        Ok(()) | Err(Status::WrongState) => {}
        refused => return refused,
    }
    let info = control::slot_info(slot)?;
    let policy = control::policy(slot)?;
    let found = Found {
        state: SlotState::from_code(info.state).unwrap_or(SlotState::Empty),
        incarnation: info.incarnation,
        closed: info.closed != 0,
        unacknowledged: info.unacknowledged != 0,
        priority: info.priority as u8,
        manual: Rights::from_bits_truncate(info.flags).contains(Rights::MANUAL),
    };
    let policy = Policy::from_rights(&policy, sys::frequency());
    supervisor.adopt(sys::counter(), slot, &found, policy, checkpoint);
    Ok(())
}

/// Tells the supervisor of every death that is not acknowledged.
pub fn notice<const N: usize>(supervisor: &mut Supervisor<N>) {
    let mut from = 0;
    while let Some(slot) = control::next_dead(from) {
        from = slot + 1;
        let Ok(record) = control::death_record(slot) else {
            continue;
        };
        let death = Death {
            class: DeathClass::from_code(record.class).unwrap_or(DeathClass::Exit),
            incarnation: record.incarnation,
            was_ready: record.was_ready != 0,
            started: record.started,
            time: record.time,
        };
        supervisor.died(sys::counter(), slot, &death);
    }
}

/// Carries out an action on a slot. Commits, reports, doubts and waits are the caller's.
pub fn perform<const N: usize>(supervisor: &mut Supervisor<N>, action: Action) {
    // What a slot refuses because its state has changed meanwhile is told by a death or seen at the next look.
    let _ = match action {
        Action::Commit | Action::Report(_) | Action::DoubtItself(_) | Action::Wait(_) => Ok(()),
        Action::Kill(slot, class) => control::kill(slot, class),
        Action::Acknowledge(slot) => control::control(slot, slot_ctl::ACKNOWLEDGE),
        Action::Close(slot) => control::control(slot, slot_ctl::CLOSE),
        Action::Open(slot) => control::control(slot, slot_ctl::OPEN),
        Action::DropCheckpoint(slot) => control::control(slot, slot_ctl::DROP_CHECKPOINT),
        Action::Heartbeat(slot) => control::control(slot, slot_ctl::HEARTBEAT),
        Action::Start(slot) => {
            let answer = control::start(slot);
            supervisor.started(sys::counter(), slot, answer);
            Ok(())
        }
        Action::Look(slot) => {
            control::slot_info(slot).map(|info| supervisor.observed(sys::counter(), slot, &info))
        }
        Action::Confirm(slot) => control::slot_info(slot).map(|info| supervisor.confirmed(slot, &info)),
    };
}

/// Writes a report as a line of plain text.
///
/// Plain, because this is what remains to be read where no image is at hand; what died and why is also an event of the
/// kernel's, which `./x log` shows with a backtrace.
pub fn write_report<const N: usize>(supervisor: &Supervisor<N>, report: Report) {
    let (Ok(info), Some(history)) = (control::slot_info(report.slot), supervisor.history(report.slot)) else {
        return;
    };
    let name = abi::name_text(&info.name);
    match report.kind {
        ReportKind::Died(incarnation, class) => {
            let Ok(record) = control::death_record(report.slot) else {
                return;
            };
            let text = record.text.get(..record.text_length as usize).unwrap_or(&[]);
            let text = core::str::from_utf8(text).unwrap_or("");
            let (class, next) = (class.name(), Next(&info, history));
            if text.is_empty() {
                log_text!("{name}: incarnation {incarnation} died: {class} at {:#x}; {next}", record.pc);
            } else {
                // A record is cut where it ends: the text is bounded, so that what becomes of the component is told.
                log_text!("{name}: incarnation {incarnation} died: {class}: {text:.80}; {next}");
            }
        }
        ReportKind::Started(incarnation) => log_text!("{name}: incarnation {incarnation} started"),
        ReportKind::Quarantined(cause) => log_text!("{name}: in quarantine: {}", cause_text(cause)),
        ReportKind::Accused(by) => {
            let by = control::slot_info(by).ok();
            let by = by.as_ref().map_or("", |info| abi::name_text(&info.name));
            log_text!("{name}: {by} complains of it: it is started afresh");
        }
        ReportKind::Starved(by) => {
            let by = control::slot_info(by).ok();
            let by = by.as_ref().map_or("", |info| abi::name_text(&info.name));
            log_text!("{name}: waits for the CPU, which {by} has used most");
        }
        ReportKind::LeftOut(count) => log_text!("{count} reports left out"),
        ReportKind::NotCommitted => log_text!("restart history not saved: the checkpoint is too small"),
    }
}

fn cause_text(cause: Cause) -> &'static str {
    match cause {
        Cause::Intensity => "too many failures in a short time",
        Cause::NeverReady => "it fails before its first receive, without its checkpoint too",
        Cause::Image => "both copies of its image are damaged",
        Cause::Refused => "the kernel refuses to start it",
    }
}

/// What becomes of a component after a death, in words.
struct Next<'a>(&'a SlotInfo, &'a History);

impl fmt::Display for Next<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(info, history) = self;
        match history.standing {
            Standing::Supervised if info.state == SlotState::Running as u32 => {
                write!(formatter, "incarnation {} runs", info.incarnation)
            }
            Standing::Supervised => {
                let pause: Ticks = history.not_before.saturating_sub(info.now);
                let pause_ms = time::ns_from_ticks(pause, sys::frequency()) / 1_000_000;
                write!(formatter, "next start in {pause_ms} ms")
            }
            Standing::Manual | Standing::Finished => formatter.write_str("finished"),
            Standing::Stopped => formatter.write_str("stopped"),
            Standing::Quarantined(_) => formatter.write_str("not started again"),
        }
    }
}
