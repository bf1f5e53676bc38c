//! Registers of components.

use abi::SLOTS_MAX;
use abi::SlotId;
use core::cell::UnsafeCell;

/// The registers of a component that does not have the CPU. exceptions.s knows this layout.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
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
    padding: u64,
}

impl Frame {
    /// All registers zero, at EL0 with nothing masked.
    pub const ZERO: Self = Self { x: [0; 31], sp: 0, pc: 0, spsr: 0, tpidr: 0, padding: 0 };
}

/// Bytes of a frame.
pub const FRAME_SIZE: usize = size_of::<Frame>();

struct Storage(UnsafeCell<[Frame; SLOTS_MAX]>);

// SAFETY: 1. Rust code reaches the frames through the one value of `Frames` only; 2. exceptions.s writes to a frame only
// while its component runs, when no Rust code of the kernel does.
unsafe impl Sync for Storage {}

static STORAGE: Storage = Storage(UnsafeCell::new([Frame::ZERO; SLOTS_MAX]));

/// The frames of all slots. They lie outside the kernel's lock, because an exception writes to the current one.
pub struct Frames(());

impl Frames {
    /// The only value of this type.
    ///
    /// # Safety
    /// 1. Called once.
    pub const unsafe fn new() -> Self {
        Self(())
    }

    /// The frame of `slot`.
    #[expect(clippy::unused_self, reason = "who has the one value may touch the frames")]
    #[inline(always)]
    pub fn get(&self, slot: SlotId) -> &Frame {
        // SAFETY: 1. `self` is the only value and borrowed; 2. no exception from a component is taken inside the kernel.
        unsafe { &(&*STORAGE.0.get())[usize::from(slot) % SLOTS_MAX] }
    }

    /// The frame of `slot`.
    #[expect(clippy::unused_self, reason = "who has the one value may touch the frames")]
    #[inline(always)]
    pub fn get_mut(&mut self, slot: SlotId) -> &mut Frame {
        // SAFETY: 1. `self` is the only value and borrowed; 2. no exception from a component is taken inside the kernel.
        unsafe { &mut (&mut *STORAGE.0.get())[usize::from(slot) % SLOTS_MAX] }
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

    /// Where exceptions.s finds the frame of `slot`.
    #[inline(always)]
    pub fn pointer(&mut self, slot: SlotId) -> *mut Frame {
        self.get_mut(slot)
    }
}
