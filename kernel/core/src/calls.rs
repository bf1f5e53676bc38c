//! Calls, replies, receives and notifications.
//!
//! Rule: the sets of a server and the activities of its callers are changed together, here and in `lifecycle`, so that no
//! caller is in two sets and none is forgotten.

use crate::slot::{Gate, Request};
use crate::{Core, Effects, bit, members};
use abi::message::{CallId, Meta, NEVER};
use abi::record::Activity;
use abi::syscall::RECV_NOTIFICATIONS;
use abi::{SlotId, Status};

impl<const N: usize> Core<N> {
    /// `caller` calls the service of `server`. On success the caller is blocked until the call is over.
    ///
    /// # Errors
    /// [`Status::Unavailable`] if the service is closed, [`Status::Expired`] if the deadline has come already; the
    /// caller goes on running.
    pub fn call(
        &mut self,
        caller: SlotId,
        server: SlotId,
        label: u8,
        deadline: u64,
        now: u64,
        effects: &mut impl Effects,
    ) -> Result<(), Status> {
        if self.slot(server).is_closed() {
            return Err(Status::Unavailable);
        }
        if deadline <= now {
            return Err(Status::Expired);
        }
        self.charge(caller, now);
        self.block(caller, Activity::Queued, deadline);
        let stamp = self.next_stamp();
        let record = self.slot_mut(caller);
        record.call.0 += 1;
        record.request = Request::new(server, label);
        record.stamp = stamp;
        let service = self.slot_mut(server);
        service.queued |= bit(caller);
        if service.activity() == Activity::Receiving {
            self.receive_request(server, now, effects);
        }
        if self.slot(server).queued == bit(caller) {
            self.mark_asked(server, now);
        }
        Ok(())
    }

    /// `slot` asks to receive; `flags` as in the system call. It goes on running if there is something to receive.
    pub fn recv(&mut self, slot: SlotId, flags: u64, deadline: u64, now: u64, effects: &mut impl Effects) {
        self.charge(slot, now);
        let record = self.slot_mut(slot);
        record.last_receive = now;
        record.cpu_at_receive = record.cpu;
        let only_notifications = flags & RECV_NOTIFICATIONS != 0;
        record.gate.set(Gate::HEARTBEAT, false);
        record.gate.set(Gate::ONLY_NOTIFICATIONS, only_notifications);
        if !record.ready && !(record.settings.serves && only_notifications) {
            record.ready = true;
            self.mark_asked(slot, now);
            effects.ready(slot);
        }
        let record = self.slot_mut(slot);
        if record.notifications != 0 {
            let bits = core::mem::take(&mut record.notifications);
            effects.notified(slot, bits);
            return;
        }
        let has_queue = record.queued != 0;
        // A look that does not wait leaves the timer alone.
        self.block(slot, Activity::Receiving, if deadline > now { deadline } else { NEVER });
        if has_queue {
            self.receive_request(slot, now, effects);
        }
        if self.slot(slot).activity() == Activity::Receiving && deadline <= now {
            self.make_ready(slot);
            effects.timed_out(slot);
        }
    }

    /// Gives the next request to `server`, which is receiving, if there is one that it may have now.
    fn receive_request(&mut self, server: SlotId, now: u64, effects: &mut impl Effects) {
        if self.slot(server).gate.has(Gate::ONLY_NOTIFICATIONS) {
            return;
        }
        let Some(caller) = self.next_request(server) else { return };
        self.charge(server, now);
        self.charge(caller, now);
        self.make_ready(server);
        let clock = self.unexcused(server, now);
        let incarnation = self.slot(caller).incarnation;
        let record = self.slot_mut(caller);
        record.set_activity(Activity::InService);
        record.served_since = clock;
        let meta = Meta { sender: caller, attempt: record.request.attempt(), incarnation };
        let call = record.call_id();
        let service = self.slot_mut(server);
        service.queued &= !bit(caller);
        service.in_service |= bit(caller);
        service.serving = call;
        effects.deliver(server, caller, call, meta);
    }

    /// The request to be received next: one that outlived a server first and alone, then by priority and arrival.
    fn next_request(&self, server: SlotId) -> Option<SlotId> {
        let service = self.slot(server);
        if service.queued.is_power_of_two() && service.in_service == 0 {
            return Some(service.queued.trailing_zeros() as SlotId);
        }
        if members(service.in_service).any(|caller| self.slot(caller).request.attempt() > 0) {
            return None;
        }
        let next = members(service.queued).max_by_key(|&caller| {
            let record = self.slot(caller);
            (record.request.attempt() > 0, record.settings.priority, core::cmp::Reverse(record.stamp))
        })?;
        // A death leaves nothing in service, and those that outlived it come first.
        debug_assert!(service.in_service == 0 || self.slot(next).request.attempt() == 0);
        Some(next)
    }

    /// `server` answers `call`; its registers hold the answer.
    ///
    /// # Errors
    /// [`Status::Stale`] if that call is not in service by this incarnation.
    pub fn reply(
        &mut self,
        server: SlotId,
        call: CallId,
        now: u64,
        effects: &mut impl Effects,
    ) -> Result<SlotId, Status> {
        let caller = self.in_service(server, call)?;
        self.end_service(server, caller);
        if self.slot(server).queued != 0 {
            self.mark_asked(server, now);
        }
        self.charge(caller, now);
        self.make_ready(caller);
        effects.answer(server, caller);
        Ok(caller)
    }

    /// The caller of `call`, if that call is in service by `server`.
    ///
    /// # Errors
    /// [`Status::Stale`] if it is not.
    #[inline(always)]
    pub fn in_service(&self, server: SlotId, call: CallId) -> Result<SlotId, Status> {
        let caller = call.slot();
        if usize::from(caller) >= N || self.slot(server).in_service & bit(caller) == 0 {
            return Err(Status::Stale);
        }
        if self.slot(caller).call_id() == call { Ok(caller) } else { Err(Status::Stale) }
    }

    /// Takes `caller` from the requests in service.
    #[inline(always)]
    pub(crate) fn end_service(&mut self, server: SlotId, caller: SlotId) {
        let service = self.slot_mut(server);
        service.in_service &= !bit(caller);
        if service.current() == Some(caller) {
            service.serving = CallId(0);
        }
    }

    /// The wait of `slot` for its own call or receive is over; it is ready again, without any result.
    pub fn abandon(&mut self, slot: SlotId, now: u64, effects: &mut impl Effects) {
        self.charge(slot, now);
        self.leave_server(slot, now, effects);
        self.make_ready(slot);
    }

    /// Takes the call of `slot`, if it has one, away from its server. If that call had to be served alone, others can
    /// be received now.
    pub(crate) fn leave_server(&mut self, slot: SlotId, now: u64, effects: &mut impl Effects) {
        let Some(server) = self.slot(slot).blocked_on() else { return };
        self.charge(slot, now);
        let was_served = self.slot(server).in_service & bit(slot) != 0;
        self.end_service(server, slot);
        if was_served {
            self.mark_asked(server, now);
        }
        self.slot_mut(slot).set_activity(Activity::None);
        let service = self.slot_mut(server);
        service.queued &= !bit(slot);
        if service.activity() == Activity::Receiving && service.queued != 0 {
            self.receive_request(server, now, effects);
        }
    }

    /// Sets bits in the notification word of `target`, and wakes it if it is receiving.
    pub fn notify(&mut self, target: SlotId, bits: u64, now: u64, effects: &mut impl Effects) {
        let record = self.slot_mut(target);
        if bits & abi::message::bits::HEARTBEAT != 0 {
            record.gate.set(Gate::HEARTBEAT, true);
        }
        record.notifications |= bits;
        if record.activity() == Activity::Receiving {
            let bits = core::mem::take(&mut record.notifications);
            self.charge(target, now);
            self.make_ready(target);
            effects.notified(target, bits);
        }
    }

    /// Answers `Unavailable` to queued and new calls of `server`; a call that a server had already is *unknown*.
    pub fn close(&mut self, server: SlotId, now: u64, effects: &mut impl Effects) {
        self.slot_mut(server).gate.set(Gate::CLOSED, true);
        for caller in members(self.slot(server).queued) {
            let status = if self.slot(caller).request.attempt() == 0 {
                Status::Unavailable
            } else {
                Status::UnknownDied
            };
            self.abandon(caller, now, effects);
            effects.fail(caller, status);
        }
    }

    /// Lets calls queue again.
    pub fn open(&mut self, server: SlotId) {
        self.slot_mut(server).gate.set(Gate::CLOSED, false);
    }
}
