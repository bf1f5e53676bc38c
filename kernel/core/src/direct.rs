//! The direct switch: a call that its server waits for, and the answer that its caller waits for, in one step each.
//!
//! Rule: nothing new is decided here. Where the conditions hold, the outcome is that of `call`, or of `reply` and `recv`,
//! followed by `pick`, field by field (tests/direct.rs compares); where one does not, nothing has changed and the general
//! way is taken.
//!
//! Why: calls go uphill. Whoever calls has the CPU, so nobody above it wants it but the server that it wakes: no search.

use crate::{Core, bit};
use abi::SlotId;
use abi::message::{CallId, Meta};
use abi::record::Activity;

impl<const N: usize> Core<N> {
    /// `caller`, which has the CPU, calls `server`, which waits for it: the server has the CPU and the request.
    #[inline(always)]
    pub fn call_directly(
        &mut self,
        caller: SlotId,
        server: SlotId,
        label: u8,
        deadline: u64,
        now: u64,
    ) -> Option<(CallId, Meta)> {
        let service = self.slot(server);
        let waits = service.activity == Activity::Receiving && !service.only_notifications && !service.closed;
        let is_idle = service.queued | service.in_service == 0 && service.settings.budget == 0;
        if !waits || !is_idle || !self.may_switch(caller, server, deadline, now) {
            return None;
        }
        self.charge(caller, now);
        self.block(caller, Activity::InService, deadline);
        let stamp = self.next_stamp();
        self.mark_asked(server, now);
        let clock = self.slot(server).asked_since;
        let record = self.slot_mut(caller);
        record.server = server;
        record.call_number += 1;
        record.label = label;
        record.attempt = 0;
        record.signature = None;
        record.stamp = stamp;
        record.served_since = clock;
        let meta = Meta { sender: caller, attempt: 0, incarnation: record.incarnation };
        let call = record.call_id(caller);
        let service = self.slot_mut(server);
        service.in_service = bit(caller);
        service.current = Some(caller);
        self.make_ready(server);
        self.current = Some(server);
        self.idle_since = now;
        Some((call, meta))
    }

    /// `server`, which has the CPU, answers `call` and receives, and nothing is there for it: the caller has the CPU.
    #[inline(always)]
    pub fn reply_directly(
        &mut self,
        server: SlotId,
        call: CallId,
        deadline: u64,
        now: u64,
    ) -> Option<SlotId> {
        let caller = self.in_service(server, call).ok()?;
        let service = self.slot(server);
        let has_more = service.queued != 0 || service.notifications != 0;
        let is_free = self.slot(caller).settings.budget == 0;
        if has_more || !service.ready || !is_free || !self.may_switch(server, caller, deadline, now) {
            return None;
        }
        self.end_service(server, caller);
        self.mark_asked(server, now);
        self.charge(caller, now);
        self.make_ready(caller);
        self.charge(server, now);
        let service = self.slot_mut(server);
        service.last_receive = now;
        service.cpu_at_receive = service.cpu;
        service.heartbeat_pending = false;
        service.only_notifications = false;
        self.block(server, Activity::Receiving, deadline);
        self.current = Some(caller);
        self.idle_since = now;
        Some(caller)
    }

    /// Whether `to` has the CPU once `from`, which has it, waits until `deadline` and `to` is ready; and the timer need
    /// not be told.
    #[inline(always)]
    fn may_switch(&self, from: SlotId, to: SlotId, deadline: u64, now: u64) -> bool {
        let others = self.ready & !bit(from) & self.rivals[usize::from(to) % N];
        from != to && others == 0 && self.current == Some(from) && deadline > now && deadline >= self.timer
    }
}
