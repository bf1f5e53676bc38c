//! `inject`: makes a component fail, now, when it has received, sent or been answered a number of messages, or at an
//! alarm of the injector.
//!
//! All faults but `Kill` are executed by the target itself: whatever it waits for is given up, and its program counter
//! goes to the fault stub of its image. A component that has not yet received for the first time is left alone.

use super::Done;
use crate::Kernel;
use crate::arch::fault_point;
use crate::death::Demise;
use abi::plan::Fault;
use abi::record::{Activity, DeathClass, SlotState};
use abi::rights::Rights;
use abi::syscall::trigger;
use abi::trace::Event;
use abi::{SlotId, Status};

/// A fault that waits for messages to pass, or for an alarm.
#[derive(Clone, Copy)]
pub struct Trigger {
    kind: u64,
    rest: u64,
    /// What will happen.
    pub fault: Fault,
}

impl Trigger {
    /// Nothing waits.
    pub const NONE: Self = Self { kind: trigger::NOW, rest: 0, fault: Fault::Kill };

    /// Counts an event; true: this was the last one to wait for.
    #[inline(always)]
    pub fn count(&mut self, kind: u64) -> bool {
        if self.kind != kind {
            return false;
        }
        self.rest -= 1;
        if self.rest == 0 {
            self.kind = trigger::NOW;
        }
        self.rest == 0
    }
}

impl Kernel {
    pub(super) fn sys_inject(&mut self, slot: SlotId, now: u64) -> Done {
        let x = &self.shell.frames.get(slot).x;
        let (target, fault, kind, count) = (x[0], x[1], x[2], x[3]);
        if !Rights::from_bits_truncate(self.shell.rights(slot).flags).contains(Rights::INJECT) {
            return Done::Status(Status::Denied);
        }
        let Some(target) = self.shell.slot_argument(target) else { return Done::Status(Status::BadHandle) };
        let fault = u32::try_from(fault).ok().and_then(Fault::from_code);
        let Some(fault) = fault else { return Done::Status(Status::BadArgument) };
        let state = self.core.slot(target);
        if state.state != SlotState::Running || !state.ready {
            return Done::Status(Status::WrongState);
        }
        match kind {
            trigger::NOW if !self.tell_all() => return Done::Again,
            trigger::NOW => {
                self.inject(target, fault, now);
                if target == slot {
                    return Done::Settled;
                }
            }
            kind if trigger::is_known(kind) && count > 0 => {
                self.shell.arm(target, Trigger { kind, rest: count, fault });
            }
            _ => return Done::Status(Status::BadArgument),
        }
        Done::Status(Status::Ok)
    }

    /// Executes the fault of the lowest slot whose trigger has fired.
    pub fn fire_injection(&mut self, now: u64) {
        if let Some((slot, fault)) = self.shell.next_due()
            && self.core.slot(slot).state == SlotState::Running
        {
            self.inject(slot, fault, now);
        }
    }

    fn inject(&mut self, target: SlotId, fault: Fault, now: u64) {
        let state = self.core.slot(target);
        let (incarnation, in_service) = (state.incarnation, state.in_service.count_ones() as u8);
        self.shell.emit(now, Event::Injected { slot: target, incarnation, fault, in_service });
        if fault == Fault::Kill {
            self.die(target, &Demise { class: DeathClass::Killed, text: b"", syndrome: None }, now);
            return;
        }
        if fault == Fault::Outside {
            fault_point::stop(self.shell.frames.get_mut(target));
            return;
        }
        if self.core.slot(target).activity() != Activity::Ready {
            self.core.abandon(target, now, &mut self.shell);
        }
        let stub = self.shell.image(target).map_or(0, |image| image.fault_stub);
        let frame = self.shell.frames.get_mut(target);
        frame.pc = stub;
        frame.x[0] = fault as u64;
    }
}
