//! Registers of components.

use abi::SLOTS_MAX;
use abi::SlotId;
use core::cell::UnsafeCell;

/// The registers of a component that does not have the CPU. exceptions.s knows this layout. The alignment makes an address
/// of an index with one shift.
#[repr(C, align(512))]
pub struct Frame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// SP_EL0.
    pub sp: u64,
    /// ELR_EL1.
    pub pc: u64,
    /// SPSR_EL1.
    pub spsr: u64,
    /// TPIDR_EL0.
    pub tpidr: u64,
    /// TTBR0_EL1: the slot's, for ever.
    space: u64,
    /// What a server is told of this caller at a first delivery: [`abi::message::Meta`] as a word.
    pub meta: u64,
}

impl Frame {
    const EMPTY: Self = Self { x: [0; 31], sp: 0, pc: 0, spsr: 0, tpidr: 0, space: 0, meta: 0 };

    /// The registers of a new incarnation: all zero but these, at EL0 with nothing masked.
    pub fn begin(&mut self, pc: u64, sp: u64, meta: u64) {
        *self = Self { pc, sp, meta, space: self.space, ..Self::EMPTY };
    }

    /// Names the slot's translation table and its identifier.
    pub fn set_space(&mut self, root: usize, asid: u16) {
        self.space = root as u64 | u64::from(asid) << 48;
    }
}

struct Storage(UnsafeCell<[Frame; SLOTS_MAX]>);

// SAFETY: 1. Rust code reaches the frames through the one value of `Frames` only; 2. exceptions.s writes to a frame only
// while its component runs, when no Rust code of the kernel does.
unsafe impl Sync for Storage {}

static STORAGE: Storage = Storage(UnsafeCell::new([const { Frame::EMPTY }; SLOTS_MAX]));

/// The frames of all slots. They lie outside the kernel's state, because an exception writes to the current one.
pub struct Frames(&'static Storage);

impl Frames {
    /// The only value of this type.
    ///
    /// # Safety
    /// 1. Called once.
    pub const unsafe fn new() -> Self {
        Self(&STORAGE)
    }

    /// The frame of `slot`.
    #[inline(always)]
    pub fn get(&self, slot: SlotId) -> &Frame {
        // SAFETY: 1. `self` is the only value and borrowed; 2. no exception from a component is taken inside the kernel.
        unsafe { &(&*self.0.0.get())[usize::from(slot) % SLOTS_MAX] }
    }

    /// The frame of `slot`.
    #[inline(always)]
    pub fn get_mut(&mut self, slot: SlotId) -> &mut Frame {
        // SAFETY: 1. `self` is the only value and borrowed; 2. no exception from a component is taken inside the kernel.
        unsafe { &mut (&mut *self.0.0.get())[usize::from(slot) % SLOTS_MAX] }
    }

    /// Moves label and words of a message, `x2` to `x10`, from one component's registers to another's.
    #[inline(always)]
    pub fn move_message(&mut self, from: SlotId, to: SlotId) {
        let source = self.get(from);
        // Word by word, so that the message goes through registers and not through a copy on the stack.
        let [x2, x3, x4, x5, x6, x7, x8, x9, x10] = *source.x[2..].first_chunk().expect("31 registers");
        let words = [x2, x3, x4, x5, x6, x7, x8, x9, x10];
        *self.get_mut(to).x[2..].first_chunk_mut().expect("31 registers") = words;
    }

    /// Copies `x0` to `x30` of `slot`.
    #[inline(always)]
    pub fn copy_registers(&self, slot: SlotId, to: &mut [u64; 31]) {
        // SAFETY: 1. both are 31 words; 2. a frame is no part of what Rust code has a reference to, see `Frames`.
        unsafe { copy_registers(to, &raw const self.get(slot).x) };
    }

    /// Where exceptions.s finds the frame of `slot`.
    #[inline(always)]
    pub fn pointer(&mut self, slot: SlotId) -> *mut Frame {
        self.get_mut(slot)
    }
}

unsafe extern "C" {
    // In exceptions.s.
    fn copy_registers(to: *mut [u64; 31], from: *const [u64; 31]);
}
