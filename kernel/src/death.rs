//! The end of an incarnation: total, bounded, final.
//!
//! Everything goes back by unlinking: the address space is a root pointer, interrupt lines are masked, calls are decided
//! by the core. What remains is the record.

use crate::Kernel;
use crate::arch::exceptions::{Cause, Syndrome};
use crate::arch::{boot, cpu};
use crate::shell::Shell;
use abi::layout::{STACK_LIMIT, STACK_TOP};
use abi::message::bits;
use abi::record::{BACKTRACE_MAX, DeathClass, DeathRecord, TEXT_MAX};
use abi::trace::Event;
use abi::{PAGE_SIZE, ROOT, SlotId, name_text};
use kernel_core::Death;
use zerocopy::FromZeros;

/// Why an incarnation has to go.
pub struct Demise<'a> {
    /// Class of failure.
    pub class: DeathClass,
    /// Message, for those who left one.
    pub text: &'a [u8],
    /// ESR and FAR, for exceptions.
    pub syndrome: Option<Syndrome>,
}

impl Kernel {
    /// The running component caused an exception that is not a system call.
    pub fn fault(&mut self, syndrome: &Syndrome, now: u64) {
        let Some(slot) = self.core.current() else { return };
        if syndrome.cause() == Cause::Refused && self.emulate_id_read(slot) {
            return;
        }
        let class = match syndrome.cause() {
            Cause::Abort if self.shell.is_below_stack(slot, syndrome.far) => DeathClass::StackOverflow,
            Cause::Abort => DeathClass::MmuException,
            _ => DeathClass::CpuException,
        };
        self.die(slot, &Demise { class, text: b"", syndrome: Some(*syndrome) }, now);
    }

    /// Ends the incarnation of `slot`, which runs.
    pub fn die(&mut self, slot: SlotId, cause: &Demise<'_>, now: u64) {
        self.write_record(slot, cause, now);
        let own_fault = cause.class.is_own_fault();
        let signature = self.shell.signature(slot);
        self.core.die(slot, Death { own_fault, signature }, now, &mut self.shell);
        self.shell.release_lines(slot);
        self.shell.disarm(slot);
        self.shell.counters.deaths += 1;
        if self.mapped == Some(slot) {
            self.mapped = None;
            cpu::set_address_space(boot::empty_table(), 0);
        }
        cpu::invalidate_asid(crate::asid(slot));
        self.shell.space_mut(slot).release();
        self.shell.report_death(slot, cause.class, now);
        if slot == ROOT {
            self.shell.reset_board(slot, false, now);
        }
        self.notify_controllers(slot, now);
    }

    #[inline(never)]
    fn notify_controllers(&mut self, dead: SlotId, now: u64) {
        for slot in 0..self.shell.slot_count() as SlotId {
            if self.shell.rights(slot).controls & abi::rights::slot_bit(dead) != 0 {
                self.core.notify(slot, bits::DEATH, now, &mut self.shell);
            }
        }
    }

    fn write_record(&mut self, slot: SlotId, cause: &Demise<'_>, now: u64) {
        let state = self.core.slot(slot);
        let frame = self.shell.frames.get(slot);
        let mut record = DeathRecord::new_zeroed();
        record.class = cause.class as u32;
        record.incarnation = state.incarnation;
        record.time = now;
        record.started = state.started;
        record.pc = frame.pc;
        record.sp = frame.sp;
        record.registers = frame.x;
        record.esr = cause.syndrome.map_or(0, |syndrome| syndrome.esr);
        record.far = cause.syndrome.map_or(0, |syndrome| syndrome.far);
        if let Some(caller) = state.current {
            let request = self.core.slot(caller);
            record.request = request.call_id(caller).0;
            record.request_label = u64::from(request.label);
        }
        record.in_service = state.in_service.count_ones();
        record.was_ready = u32::from(state.ready);
        record.build = self.shell.build(slot);
        let length = cause.text.len().min(TEXT_MAX);
        record.text[..length].copy_from_slice(&cause.text[..length]);
        record.text_length = length as u32;
        if cause.class.is_own_fault() {
            self.shell.backtrace(slot, &mut record.backtrace);
        }
        self.shell.records[usize::from(slot)] = record;
    }
}

impl Shell {
    /// Whether `address` lies where the stack of `slot` would grow to.
    fn is_below_stack(&self, slot: SlotId, address: u64) -> bool {
        let bottom = STACK_TOP - self.rights(slot).stack_size;
        (STACK_LIMIT - PAGE_SIZE as u64..bottom).contains(&address)
    }

    /// Follows the frame records (AAPCS64, 6.4.6: x29 points to the previous x29 and the return address).
    fn backtrace(&self, slot: SlotId, out: &mut [u64; BACKTRACE_MAX]) {
        let mut at = self.frames.get(slot).x[29];
        for address in out {
            let (Some(next), Some(link)) =
                (self.read_user_word(slot, at), self.read_user_word(slot, at.wrapping_add(8)))
            else {
                return;
            };
            *address = link;
            if next <= at {
                return;
            }
            at = next;
        }
    }

    /// Equal for two deaths of the same kind at the same place. A hang has no place.
    fn signature(&self, slot: SlotId) -> u64 {
        let record = &self.records[usize::from(slot)];
        let class = u64::from(record.class);
        match DeathClass::from_code(record.class) {
            Some(DeathClass::Hang | DeathClass::HeartbeatMissed) => class,
            Some(DeathClass::Panic | DeathClass::Exit | DeathClass::QuotaExceeded) => {
                let text = &record.text[..record.text_length as usize];
                u64::from(crate::arch::memory::checksum(text)) << 8 | class
            }
            _ => record.pc << 8 | class,
        }
    }

    fn report_death(&mut self, slot: SlotId, class: DeathClass, now: u64) {
        let record = self.records[usize::from(slot)];
        let text = name_text(&record.text);
        let in_service = record.in_service as u8;
        let (incarnation, pc, esr, far) = (record.incarnation, record.pc, record.esr, record.far);
        self.emit(now, Event::Died { slot, incarnation, class, pc, esr, far, in_service, text });
        for address in record.backtrace.into_iter().take_while(|&address| address != 0) {
            self.emit(now, Event::Backtrace { slot, address });
        }
    }

    /// Resets the board or switches it off, on behalf of `slot`.
    pub fn reset_board(&mut self, slot: SlotId, power_off: bool, now: u64) -> ! {
        self.emit(now, Event::Reset { slot, power_off });
        cpu::stop_timer();
        if power_off {
            self.board().power.power_off();
        } else {
            self.board().power.reset();
        }
        cpu::halt()
    }
}
