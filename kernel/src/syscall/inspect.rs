//! `inspect`: what the kernel knows of a slot, or of itself. Changes nothing.
//!
//! A component may look at itself, at what it controls, and with the right `inspect` at everything. A shorter buffer gets
//! the beginning.

use super::Done;
use crate::Kernel;
use crate::arch::cpu;
use abi::record::{Counters, NO_SLOT, SlotInfo};
use abi::rights::{Rights, slot_bit};
use abi::syscall::inspect::{COUNTERS, DEATH, LOG, NEXT_DEAD, POLICY, SLOT};
use abi::{PAGE_SIZE, SlotId, Status};
use zerocopy::{FromZeros, IntoBytes};

impl Kernel {
    pub(super) fn sys_inspect(&mut self, slot: SlotId, now: u64) -> Result<Done, Status> {
        let x = &self.shell.frames.get(slot).x;
        let (what, index, buffer, length) = (x[0], x[1], x[2], x[3]);
        if what == COUNTERS {
            let counters = self.counters(now);
            return self.give(slot, buffer, length, counters.as_bytes());
        }
        let target = self.shell.slot_argument(index).ok_or(Status::BadHandle)?;
        let rights = self.shell.rights(slot);
        if what == NEXT_DEAD {
            let next = self.core.next_dead(target, rights.controls).ok_or(Status::Nothing)?;
            return Ok(Done::Value(Status::Ok, u64::from(next)));
        }
        let sees_all = Rights::from_bits_truncate(rights.flags).contains(Rights::INSPECT);
        if !sees_all && target != slot && rights.controls & slot_bit(target) == 0 {
            return Err(Status::Denied);
        }
        match what {
            SLOT => {
                let info = self.slot_info(target, now);
                self.give(slot, buffer, length, info.as_bytes())
            }
            DEATH if self.core.slot(target).deaths == 0 => Err(Status::Nothing),
            DEATH => {
                self.shell.finish_record(target);
                let record = self.shell.records[usize::from(target)];
                self.give(slot, buffer, length, record.as_bytes())
            }
            POLICY => self.give(slot, buffer, length, self.shell.rights(target).policy.as_bytes()),
            LOG => Ok(match self.give_log(slot, target, buffer, length)? {
                Some(count) => Done::Value(Status::Ok, count as u64),
                None => Done::Again,
            }),
            _ => Err(Status::BadArgument),
        }
    }

    /// Copies a structure, or its beginning if the buffer is shorter.
    fn give(&mut self, slot: SlotId, buffer: u64, length: u64, data: &[u8]) -> Result<Done, Status> {
        let count = data.len().min(length as usize);
        self.shell.write_user(slot, buffer, &data[..count])?;
        Ok(Done::Value(Status::Ok, count as u64))
    }

    /// Copies the log ring. An interrupt that comes between is served: the call is then made again with what is done in `x4`
    /// and the ring's version in `x5`; it begins anew if the ring has changed.
    #[inline(never)]
    fn give_log(
        &mut self,
        slot: SlotId,
        target: SlotId,
        buffer: u64,
        length: u64,
    ) -> Result<Option<usize>, Status> {
        let ring = self.shell.rings[usize::from(target)];
        let count = ring.used().min(length as usize).min(4 * PAGE_SIZE);
        let x = &self.shell.frames.get(slot).x;
        let mut done = if x[5] == ring.version() { x[4] as usize } else { 0 };
        let mut chunk = [0; 256];
        while done < count {
            let part = &mut chunk[..256.min(count - done)];
            ring.read(done, part);
            self.shell.write_user(slot, buffer.wrapping_add(done as u64), part)?;
            done += part.len();
            if done < count && cpu::interrupt_pending() {
                let x = &mut self.shell.frames.get_mut(slot).x;
                (x[4], x[5]) = (done as u64, ring.version());
                return Ok(None);
            }
        }
        Ok(Some(count))
    }

    /// For how long a death has waited for `controller` to take note of it, as far as this incarnation could have: work that is not
    /// done, as a request that is not taken.
    fn unattended(&self, controller: SlotId, now: u64) -> u64 {
        let (controls, state) = (self.shell.rights(controller).controls, self.core.slot(controller));
        let (mut longest, mut rest) = (0, if state.ready { controls } else { 0 });
        while rest != 0 {
            let charge = rest.trailing_zeros() as SlotId;
            rest &= rest - 1;
            if self.core.slot(charge).unacknowledged {
                let since = self.shell.records[usize::from(charge)].time.max(state.started);
                longest = longest.max(now.saturating_sub(since));
            }
        }
        longest
    }

    fn slot_info(&mut self, target: SlotId, now: u64) -> SlotInfo {
        let mut info = SlotInfo::new_zeroed();
        info.cpu_since_receive = self.core.cpu_since_receive(target, now);
        info.service_age = self.core.service_age(target, now).max(self.unattended(target, now));
        let rights = self.shell.rights(target);
        let state = self.core.slot(target);
        info.name = rights.name;
        info.state = state.state as u32;
        info.activity = state.activity() as u32;
        info.incarnation = state.incarnation;
        info.blocked_on = state.blocked_on().map_or(NO_SLOT, u32::from);
        info.priority = u32::from(state.priority());
        info.in_service = state.in_service.count_ones();
        info.queued = state.queued.count_ones();
        info.clients = state.in_service | state.queued;
        info.closed = u32::from(state.is_closed());
        info.unacknowledged = u32::from(state.unacknowledged);
        info.ready = u32::from(state.ready);
        info.heartbeat_pending = u32::from(state.heartbeat_pending());
        info.started = state.started;
        info.now = now;
        info.last_receive = state.last_receive;
        info.cpu = state.cpu;
        info.starved = state.starved;
        info.deaths = state.deaths;
        info.flags = rights.flags;
        info.memory_used = self.shell.space(target).used() as u64;
        info.memory_size = rights.bank_size;
        info.loaded_pages = self.shell.progress[usize::from(target)].pages;
        info.has_checkpoint = u32::from(self.shell.checkpoints[usize::from(target)].exists());
        info
    }

    fn counters(&mut self, now: u64) -> Counters {
        let mut counters = self.shell.counters;
        counters.syscalls += self.shell.direct_calls + self.shell.direct_replies;
        counters.switches += self.shell.direct_calls + self.shell.direct_replies;
        counters.requests += self.shell.direct_calls;
        counters.now = now;
        counters.idle = self.core.idle(now);
        counters.irqs_enabled = self.shell.board().interrupts.enabled_count();
        for slot in 0..self.shell.slot_count() as SlotId {
            let state = self.core.slot(slot);
            let runs = state.state == abi::record::SlotState::Running;
            counters.running += u32::from(runs);
            counters.asids += u32::from(runs);
            counters.deadlines += u32::from(state.has_deadline());
            counters.queued += state.queued.count_ones();
            counters.in_service += state.in_service.count_ones();
            counters.bank_bytes += self.shell.space(slot).used() as u64;
        }
        counters
    }
}
