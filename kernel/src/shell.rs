//! What carries out the core's decisions: registers, address spaces, the trace.
//!
//! Rule: nothing is decided here. What is done has no alternatives: words are moved, tables switched, frames sent.

use crate::arch::context::Frames;
use crate::arch::cpu;
use crate::arch::paging::Space;
use crate::evidence::Evidence;
use crate::interrupts::Lines;
use crate::loader::Progress;
use crate::logs::Ring;
use crate::syscall::checkpoint::Checkpoint;
use crate::syscall::inject::Trigger;
use crate::table::Table;
use abi::image::ImageHeader;
use abi::message::{CallId, Meta};
use abi::plan::Fault;
use abi::record::{Counters, DeathRecord};
use abi::rights::{Rights, SlotRights};
use abi::syscall::{received, trigger};
use abi::trace::Event;
use abi::{SLOTS_MAX, SlotId, Status};
use kernel_core::Effects;
use zerocopy::FromZeros;

/// Everything of the kernel besides its decisions.
#[repr(C)]
pub struct Shell {
    /// Slots whose trigger may be set. First, with the next, since every direct switch asks for both.
    pub armed: u32,
    /// Slots whose death has not been told, or not in whole.
    pub untold: u32,
    /// What nobody runs before: slots whose trigger has fired and whose fault has not been executed; and [`HELD`].
    pub pressing: u64,
    /// Dead slots whose record lacks what their memory still says.
    pub unfinished: u32,
    /// Direct switches by `call`, and by `reply_recv`: what they add to the counters.
    pub direct_calls: u64,
    pub direct_replies: u64,
    pub frames: Frames,
    /// What the manifest gives.
    rights: [&'static SlotRights; SLOTS_MAX],
    /// Of each slot: those that control it.
    pub controllers: [u32; SLOTS_MAX],
    pub counters: Counters,
    pub checkpoints: [Checkpoint; SLOTS_MAX],
    pub rings: [Ring; SLOTS_MAX],
    pub progress: [Progress; SLOTS_MAX],
    pub lines: Lines,
    pub triggers: [Trigger; SLOTS_MAX],
    /// Of the death that is being told: frames that have been made.
    pub frames_told: usize,
    /// Slots whose log records go to their ring only.
    pub muted: u32,
    /// Of spare slots: the image in the store, once it is proved.
    pub stores: [Option<ImageHeader>; SLOTS_MAX],
    spaces: [Space; SLOTS_MAX],
    /// Set at boot and never changed.
    table: Option<Table>,
    pub board: Option<bsp::Board>,
    /// Of each slot: the request that its untold death has poisoned.
    pub poison: [u64; SLOTS_MAX],
    /// Slots that have received for the first time while a death is untold.
    pub ready_untold: u32,
    // The large ones last: what is used often is near.
    pub records: [DeathRecord; SLOTS_MAX],
    pub evidence: Evidence,
}

/// Of [`Shell::pressing`]: the kernel's own frames are not out yet.
const HELD: u64 = 1 << 32;

/// What a slot has that the manifest does not name.
static NO_RIGHTS: SlotRights = zerocopy::transmute!([0u8; size_of::<SlotRights>()]);

const EMPTY_RECORD: DeathRecord = zerocopy::transmute!([0u8; size_of::<DeathRecord>()]);

impl Shell {
    /// A shell that knows of no board yet.
    ///
    /// # Safety
    /// 1. Called once: it makes the one value of [`Frames`].
    #[expect(clippy::large_stack_arrays, reason = "evaluated by the compiler, into a static")]
    pub const unsafe fn new() -> Self {
        Self {
            // SAFETY: 1. by the caller's promise.
            frames: unsafe { Frames::new() },
            counters: zerocopy::transmute!([0u8; size_of::<Counters>()]),
            records: [EMPTY_RECORD; SLOTS_MAX],
            checkpoints: [Checkpoint::EMPTY; SLOTS_MAX],
            rings: [Ring::EMPTY; SLOTS_MAX],
            progress: [Progress::START; SLOTS_MAX],
            lines: Lines::NONE,
            triggers: [Trigger::NONE; SLOTS_MAX],
            armed: 0,
            untold: 0,
            direct_calls: 0,
            direct_replies: 0,
            rights: [&NO_RIGHTS; SLOTS_MAX],
            unfinished: 0,
            frames_told: 0,
            poison: [0; SLOTS_MAX],
            ready_untold: 0,
            evidence: Evidence::EMPTY,
            controllers: [0; SLOTS_MAX],
            pressing: 0,
            muted: 0,
            stores: [None; SLOTS_MAX],
            spaces: [Space::new(0, 0); SLOTS_MAX],
            table: None,
            board: None,
        }
    }

    /// Takes over the board and the system's tables.
    #[optimize(size)]
    #[inline(never)]
    pub fn initialise(&mut self, table: Table, board: bsp::Board, frequency: u64) {
        self.table = Some(table);
        for (slot, rights) in table.slots.iter().enumerate() {
            self.rights[slot] = rights;
            let base = rights.bank_base as usize;
            self.spaces[slot] = Space::new(base, base + rights.bank_size as usize);
            self.frames.get_mut(slot as SlotId).set_space(base, crate::asid(slot as SlotId));
            for (controller, other) in (0..).zip(table.slots) {
                if other.controls & abi::rights::slot_bit(slot as SlotId) != 0 {
                    self.controllers[slot] |= abi::rights::slot_bit(controller);
                }
            }
            self.rings[slot] = Ring::new(rights.log_base as usize, rights.log_size as usize);
        }
        self.counters = Counters::new_zeroed();
        self.counters.frequency = frequency;
        self.board = Some(board);
        self.board().uart.initialise();
        self.board().interrupts.initialise();
        self.lines.bind(table.slots, frequency);
    }

    /// The board's devices.
    #[inline(always)]
    pub fn board(&mut self) -> &mut bsp::Board {
        self.board.as_mut().expect("taken over at boot")
    }

    /// The system's tables.
    #[inline(always)]
    pub fn table(&self) -> Table {
        self.table.expect("read at boot")
    }

    /// What the manifest gives to `slot`.
    #[inline(always)]
    pub fn rights(&self, slot: SlotId) -> &'static SlotRights {
        self.rights[usize::from(slot) % SLOTS_MAX]
    }

    /// Address space of `slot`.
    #[inline(always)]
    pub fn space(&self, slot: SlotId) -> &Space {
        &self.spaces[usize::from(slot) % SLOTS_MAX]
    }

    /// Address space of `slot`.
    pub fn space_mut(&mut self, slot: SlotId) -> &mut Space {
        &mut self.spaces[usize::from(slot) % SLOTS_MAX]
    }

    /// The image that `slot` is started from: of the bundle, or the program in its store.
    pub fn image(&self, slot: SlotId) -> Option<ImageHeader> {
        let built = self.table().images.get(self.rights(slot).image as usize);
        built.copied().or(self.stores[usize::from(slot)])
    }

    /// First 4 bytes of the build id of the image of `slot`.
    pub fn build(&self, slot: SlotId) -> u32 {
        let image = self.image(slot);
        let bytes = image.as_ref().and_then(|image| image.build_id.first_chunk());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// Number of slots that the manifest has.
    pub fn slot_count(&self) -> usize {
        self.table().slots.len()
    }

    /// The slot that an argument names.
    pub fn slot_argument(&self, argument: u64) -> Option<SlotId> {
        (argument < self.slot_count() as u64).then_some(argument as SlotId)
    }

    /// Puts an event on the evidence line, behind every death before it; nobody runs before it is out.
    pub fn emit(&mut self, time: u64, event: Event<'_>) {
        while self.untold != 0 {
            self.tell();
        }
        self.press();
        self.record(time, event);
    }

    /// Nobody runs before what waits for the evidence line is out.
    pub const fn press(&mut self) {
        self.pressing |= HELD;
    }

    /// Tells who has received for the first time, unless a death is to be told before: then it is told behind that.
    pub fn tell_ready(&mut self) {
        while self.untold == 0 && self.ready_untold != 0 {
            let slot = self.ready_untold.trailing_zeros() as SlotId;
            self.ready_untold &= self.ready_untold - 1;
            let incarnation = self.progress[usize::from(slot) % SLOTS_MAX].incarnation;
            self.emit(cpu::now(), Event::Ready { slot, incarnation });
        }
    }

    /// Puts a frame on the evidence line that others need not wait for.
    pub fn record(&mut self, time: u64, event: Event<'_>) {
        if let Some(board) = &mut self.board {
            self.evidence.push(board, time, event);
        }
    }

    /// Sends a piece of what waits for the evidence line.
    pub fn send_piece(&mut self) {
        if let Some(board) = &mut self.board {
            self.evidence.send_piece(board);
        }
        if self.evidence.frames.is_empty() {
            self.pressing &= !HELD;
        }
    }

    /// Whether frames of the kernel's own wait.
    pub const fn holds(&self) -> bool {
        self.pressing & HELD != 0
    }

    /// Slots whose trigger has fired.
    pub const fn due(&self) -> u32 {
        self.pressing as u32
    }

    /// Whether a switch has nothing to see to but itself: no trigger counts messages, and no death is to be told before.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.armed | self.untold == 0
    }

    /// Masks every interrupt line of `slot`.
    #[inline(always)]
    pub fn release_lines(&mut self, slot: SlotId) {
        if self.lines.owners & abi::rights::slot_bit(slot) != 0
            && let Some(board) = &mut self.board
        {
            self.lines.release(self.rights[usize::from(slot) % SLOTS_MAX], board);
        }
    }

    /// Sets the trigger of `slot`.
    pub fn arm(&mut self, slot: SlotId, trigger: Trigger) {
        self.triggers[usize::from(slot)] = trigger;
        self.armed |= abi::rights::slot_bit(slot);
    }

    /// Forgets the trigger of `slot`, if it has one.
    #[inline(always)]
    pub fn disarm(&mut self, slot: SlotId) {
        if (self.armed | self.due()) & abi::rights::slot_bit(slot) == 0 {
            return;
        }
        self.triggers[usize::from(slot)] = Trigger::NONE;
        self.armed &= !abi::rights::slot_bit(slot);
        self.pressing &= !u64::from(abi::rights::slot_bit(slot));
    }

    /// Counts messages for the triggers that are set.
    #[inline(always)]
    fn count_messages(&mut self, first: (SlotId, u64), second: (SlotId, u64)) {
        if self.armed != 0 {
            self.count_message(first.0, first.1);
            self.count_message(second.0, second.1);
        }
    }

    /// Counts an event for the trigger of `slot`, if one is set.
    fn count_message(&mut self, slot: SlotId, kind: u64) {
        if self.triggers[usize::from(slot)].count(kind) {
            self.pressing |= u64::from(abi::rights::slot_bit(slot));
        }
    }

    /// A receive of `slot` ran into its deadline: counts it for those that wait for this alarm.
    fn count_alarm(&mut self, slot: SlotId) {
        if self.armed != 0 && Rights::from_bits_truncate(self.rights(slot).flags).contains(Rights::INJECT) {
            for target in 0..self.slot_count() as SlotId {
                self.count_message(target, trigger::ALARM);
            }
        }
    }

    /// Takes the fault of the lowest slot whose trigger has fired.
    pub fn next_due(&mut self) -> Option<(SlotId, Fault)> {
        if self.due() == 0 {
            return None;
        }
        let slot = self.due().trailing_zeros() as SlotId;
        let fault = self.triggers[usize::from(slot)].fault;
        self.disarm(slot);
        Some((slot, fault))
    }
}

impl Effects for Shell {
    fn deliver(&mut self, server: SlotId, caller: SlotId, call: CallId, meta: Meta) {
        self.frames.move_message(caller, server);
        let from = self.frames.get(caller);
        let grants = [from.x[12], from.x[14]];
        let to = self.frames.get_mut(server);
        to.x[0] = received::REQUEST;
        to.x[1] = call.0;
        to.x[11] = meta.to_word();
        [to.x[12], to.x[13]] = grants;
        self.counters.requests += 1;
        self.count_messages((caller, trigger::SENT), (server, trigger::RECEIVED));
    }

    fn answer(&mut self, server: SlotId, caller: SlotId) {
        self.frames.move_message(server, caller);
        self.frames.get_mut(caller).x[0] = Status::Ok as u64;
        self.count_messages((server, trigger::SENT), (caller, trigger::ANSWERED));
    }

    fn fail(&mut self, caller: SlotId, status: Status) {
        self.frames.get_mut(caller).x[0] = status as u64;
    }

    fn notified(&mut self, slot: SlotId, bits: u64) {
        let frame = self.frames.get_mut(slot);
        frame.x[0] = received::NOTIFICATION;
        frame.x[1] = bits;
    }

    fn timed_out(&mut self, slot: SlotId) {
        self.frames.get_mut(slot).x[0] = received::TIMEOUT;
        self.count_alarm(slot);
    }

    fn ready(&mut self, slot: SlotId) {
        self.ready_untold |= abi::rights::slot_bit(slot);
        self.tell_ready();
    }

    fn poisoned(&mut self, server: SlotId, call: CallId) {
        // The server is dying: told with its death.
        self.poison[usize::from(server) % SLOTS_MAX] = call.0;
    }
}
