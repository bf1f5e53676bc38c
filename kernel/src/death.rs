//! The end of an incarnation: total, bounded, final.
//!
//! Everything goes back by unlinking: the address space is a root pointer, interrupt lines are masked, calls are decided
//! by the core. What remains is the record.
//!
//! Rule: a death is on the evidence line before anything that follows from it can be seen. It is told, frame by frame,
//! before any other frame, before anybody runs but those who control the dead, before the CPU rests, and before the dead's
//! memory is used again; so whoever must act runs first, and is not kept waiting by a slow line.

use crate::Kernel;
use crate::arch::cpu;
use crate::arch::exceptions::{Cause, Syndrome};
use crate::arch::fault_point::{self, PROBE_SYNDROME};
use crate::shell::Shell;
use abi::layout::{STACK_LIMIT, STACK_TOP};
use abi::message::bits;
use abi::record::{BACKTRACE_MAX, DeathClass, TEXT_MAX};
use abi::rights::slot_bit;
use abi::trace::Event;
use abi::{PAGE_SIZE, ROOT, SLOTS_MAX, SlotId, name_text};
use kernel_core::Death;

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
    pub fn fault(&mut self, now: u64) {
        let slot = self.core.current_index() as SlotId;
        if Syndrome::may_be_unknown_instruction() && self.emulate_id_read(slot) {
            return;
        }
        let syndrome = Syndrome::read();
        if syndrome.esr == PROBE_SYNDROME && fault_point::stop(self.shell.frames.get_mut(slot)) {
            return;
        }
        let class = match syndrome.cause() {
            Cause::Abort if self.shell.is_below_stack(slot, syndrome.far) => DeathClass::StackOverflow,
            Cause::Abort => DeathClass::MmuException,
            Cause::Refused => DeathClass::CpuException,
        };
        self.die(slot, &Demise { class, text: b"", syndrome: Some(syndrome) }, now);
    }

    /// Ends the incarnation of `slot`, which runs.
    pub fn die(&mut self, slot: SlotId, cause: &Demise<'_>, now: u64) {
        self.write_record(slot, cause, now);
        let own_fault = cause.class.is_own_fault();
        let signature = if cause.syndrome.is_some() {
            self.shell.place(slot, cause.class)
        } else {
            self.shell.signature(slot, cause.class)
        };
        self.core.die(slot, Death { own_fault, signature }, now, &mut self.shell);
        self.shell.release_lines(slot);
        self.shell.disarm(slot);
        self.shell.counters.deaths += 1;
        // Its tables stay in the MMU until somebody runs: nothing goes through them, and they change only when it is loaded.
        cpu::invalidate_asid(crate::asid(slot));
        self.shell.space_mut(slot).release();
        if slot == ROOT {
            self.shell.reset_board(slot, false, now);
        }
        let mut controllers = self.shell.controllers[usize::from(slot) % SLOTS_MAX];
        while controllers != 0 {
            self.core.notify(controllers.trailing_zeros() as SlotId, bits::DEATH, now, &mut self.shell);
            controllers &= controllers - 1;
        }
    }

    /// Takes down what the death changes. The rest follows from the memory of the dead, see `finish_record`.
    fn write_record(&mut self, slot: SlotId, cause: &Demise<'_>, now: u64) {
        let state = self.core.slot(slot);
        let frame = self.shell.frames.get(slot);
        let record = &mut self.shell.records[usize::from(slot) % SLOTS_MAX];
        record.class = cause.class as u32;
        record.incarnation = state.incarnation;
        record.time = now;
        record.started = state.started;
        record.pc = frame.pc;
        record.sp = frame.sp;
        self.shell.frames.copy_registers(slot, &mut record.registers);
        (record.esr, record.far) = cause.syndrome.map_or((0, 0), |syndrome| (syndrome.esr, syndrome.far));
        (record.request, record.request_label) = (0, 0);
        if let Some(caller) = state.current() {
            let request = self.core.slot(caller);
            record.request = request.call_id().0;
            record.request_label = u64::from(request.label());
        }
        record.in_service = 0;
        if state.in_service != 0 {
            record.in_service = state.in_service.count_ones();
        }
        record.was_ready = u32::from(state.ready);
        record.text_length = 0;
        if !cause.text.is_empty() {
            record.say(cause.text);
        }
        self.shell.unfinished |= slot_bit(slot);
        self.shell.untold |= slot_bit(slot);
    }
}

impl Shell {
    /// Whether `address` lies where the stack of `slot` would grow to.
    fn is_below_stack(&self, slot: SlotId, address: u64) -> bool {
        let bottom = STACK_TOP - self.rights(slot).stack_size;
        (STACK_LIMIT - PAGE_SIZE as u64..bottom).contains(&address)
    }

    /// Completes the record of a death: before anybody reads it, and before the memory of the dead is used again.
    pub fn finish_record(&mut self, slot: SlotId) {
        if self.unfinished & slot_bit(slot) == 0 {
            return;
        }
        self.unfinished &= !slot_bit(slot);
        let build = self.build(slot);
        let mut backtrace = [0; BACKTRACE_MAX];
        let record = &self.records[usize::from(slot)];
        if DeathClass::from_code(record.class).is_some_and(DeathClass::is_own_fault) {
            self.backtrace(slot, record.registers[29], &mut backtrace);
        }
        let record = &mut self.records[usize::from(slot)];
        record.text[(record.text_length as usize).min(TEXT_MAX)..].fill(0);
        (record.build, record.backtrace) = (build, backtrace);
    }

    /// Follows the frame records (AAPCS64, 6.4.6: x29 points to the previous x29 and the return address).
    fn backtrace(&self, slot: SlotId, first: u64, out: &mut [u64; BACKTRACE_MAX]) {
        let mut at = first;
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

    /// Equal for two deaths of the same kind at the same place.
    #[inline(always)]
    fn place(&self, slot: SlotId, class: DeathClass) -> u64 {
        self.frames.get(slot).pc << 8 | class as u64
    }

    /// The same, where the program counter need not be the place. A hang has none.
    #[inline(never)]
    fn signature(&self, slot: SlotId, class: DeathClass) -> u64 {
        match class {
            DeathClass::Hang | DeathClass::HeartbeatMissed => class as u64,
            DeathClass::Panic | DeathClass::Exit | DeathClass::QuotaExceeded => {
                let record = &self.records[usize::from(slot)];
                let text = &record.text[..record.text_length as usize];
                u64::from(crate::arch::memory::checksum(text)) << 8 | class as u64
            }
            _ => self.place(slot, class),
        }
    }

    /// Makes the next frame about the oldest death that is not told in whole: the death, then one return address each, then
    /// the request that is taken away from whom it killed.
    #[inline(never)]
    pub fn tell(&mut self) {
        let untold = (0..SLOTS_MAX as SlotId).filter(|&slot| self.untold & slot_bit(slot) != 0);
        let Some(slot) = untold.min_by_key(|&slot| self.records[usize::from(slot)].time) else { return };
        self.finish_record(slot);
        let record = &self.records[usize::from(slot)];
        let (time, told) = (record.time, self.frames_told);
        let address = |index: usize| record.backtrace.get(index).copied().filter(|&address| address != 0);
        let last = address(told).is_none();
        let event = match told.checked_sub(1) {
            None => Event::Died {
                slot,
                incarnation: record.incarnation,
                class: DeathClass::from_code(record.class).unwrap_or(DeathClass::Exit),
                pc: record.pc,
                esr: record.esr,
                far: record.far,
                in_service: record.in_service as u8,
                text: name_text(&record.text),
            },
            Some(index) => Event::Backtrace { slot, address: address(index).unwrap_or_default() },
        };
        if let Some(board) = &mut self.board {
            self.evidence.push(board, time, event);
        }
        self.frames_told += 1;
        if last {
            self.untold &= !slot_bit(slot);
            self.frames_told = 0;
            let call = core::mem::take(&mut self.poison[usize::from(slot)]);
            if call != 0 {
                self.record(time, Event::Poisoned { slot, call });
            }
        }
        self.press();
        self.tell_ready();
    }

    /// Resets the board or switches it off, on behalf of `slot`.
    pub fn reset_board(&mut self, slot: SlotId, power_off: bool, now: u64) -> ! {
        self.emit(now, Event::Reset { slot, power_off });
        while self.holds() {
            self.send_piece();
        }
        cpu::stop_timer();
        if power_off {
            self.board().power.power_off();
        } else {
            self.board().power.reset();
        }
        cpu::halt()
    }
}
