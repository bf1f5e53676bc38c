//! `irq_ack`: lets an interrupt line through, at first and again after each notification of it.
//!
//! Lines are masked at boot, at the death of their owner, and whenever they fire.

use super::Done;
use crate::Kernel;
use abi::{SlotId, Status};

impl Kernel {
    pub(super) fn sys_irq_ack(&mut self, slot: SlotId) -> Done {
        let handle = self.shell.frames.get(slot).x[0];
        let right = self.shell.rights(slot).irqs.get(handle as usize).filter(|right| right.used != 0);
        let Some(right) = right else { return Done::Status(Status::BadHandle) };
        self.shell.board().interrupts.enable(right.line);
        Done::Status(Status::Ok)
    }
}
