//! The direct switch: a call that its server waits for, and the answer that its caller waits for, in one step each.
//!
//! Rule: nothing new is decided here. Where the conditions hold, the outcome is that of `call`, or of `reply` and `recv`,
//! followed by `pick`, field by field (tests/direct.rs compares); where one does not, nothing has changed and the general
//! way is taken. Both begin with a slot that has the CPU: whoever made the system call.
//!
//! Why: calls go uphill. Whoever calls has the CPU, so nobody above it wants it but the server that it wakes: no search.
//! Everything that is unusual (a budget, a closed service, a heartbeat not answered, more requests than one) is left to the
//! general way, so that one comparison finds it.

use crate::slot::{Gate, Request};
use crate::{Core, bit};
use abi::SlotId;
use abi::message::{CallId, NEVER};
use abi::record::Activity;

impl<const N: usize> Core<N> {
    /// The current slot calls `server`, which waits for it and has a higher priority: the server has the CPU and the
    /// request, which is the call returned.
    #[inline(always)]
    pub fn call_directly(&mut self, server: SlotId, label: u8, deadline: u64, now: u64) -> Option<CallId> {
        let caller = self.current as SlotId;
        let to = self.slot(server);
        let waits = to.gate == Gate::RECEIVING && to.queued | to.in_service == 0;
        if !waits || deadline < self.timer || deadline <= now {
            return None;
        }
        let clock = now - to.excused;
        let from = self.slot_mut(caller);
        if from.gate.has(Gate::BUDGETED) {
            return None;
        }
        from.gate = from.gate.doing(Activity::InService);
        from.cpu = from.cpu.wrapping_add(now.wrapping_sub(from.mark));
        from.mark = now;
        from.call.0 += 1;
        let call = from.call;
        from.request = Request::new(server, label);
        from.served_since = clock;
        from.deadline = deadline;
        self.stamp += 2;
        let stamp = self.stamp;
        self.slot_mut(caller).stamp = stamp - 1;
        let to = self.slot_mut(server);
        to.gate = Gate::READY;
        to.in_service = bit(caller);
        to.serving = call;
        to.mark = now;
        to.deadline = NEVER;
        to.stamp = stamp;
        self.ready ^= bit(caller) | bit(server);
        self.current = u32::from(server);
        Some(call)
    }

    /// The current slot answers `call` and receives until `deadline`, and nothing is there for it: the caller, which is
    /// returned, has the CPU.
    #[inline(always)]
    pub fn reply_directly(&mut self, call: CallId, deadline: u64, now: u64) -> Option<SlotId> {
        let server = self.current as SlotId;
        let from = self.slot(server);
        if from.serving != call || from.gate != Gate::READY || from.notifications != 0 {
            return None;
        }
        // The call is in service: its slot exists, and waits for this answer.
        let caller = call.slot();
        if from.queued != 0 || from.in_service != bit(caller) {
            return None;
        }
        let to = self.slot(caller);
        let others = self.ready & to.rivals & !bit(server);
        if others != 0 || to.gate.has(Gate::BUDGETED) || deadline < self.timer || deadline <= now {
            return None;
        }
        let from = self.slot_mut(server);
        from.gate = Gate::RECEIVING;
        from.in_service = 0;
        from.serving = CallId(0);
        from.cpu = from.cpu.wrapping_add(now.wrapping_sub(from.mark));
        from.cpu_at_receive = from.cpu;
        from.mark = now;
        from.last_receive = now;
        from.deadline = deadline;
        self.stamp += 1;
        let stamp = self.stamp;
        let to = self.slot_mut(caller);
        to.gate = to.gate.doing(Activity::Ready);
        to.excused = to.excused.wrapping_add(now.wrapping_sub(to.mark));
        to.mark = now;
        to.deadline = NEVER;
        to.stamp = stamp;
        self.ready ^= bit(caller) | bit(server);
        self.current = u32::from(caller);
        Some(caller)
    }
}
