//! What a driver's device layer stands on: registers by offset, and time.
//!
//! *Role.* A driver's `device.rs` defines its register block once, with tock-registers. This module carries those
//! definitions over to whatever really reaches the device: a mapped page, the checked `reg` system call, or a fake in
//! a host test.
//!
//! *Rule.* A register is reached only through [`Registers`], by its offset in the block, in words of 32 bits.
//!
//! *Why.* The same device logic then runs unchanged in all three places, it holds no `unsafe`, and the kernel can
//! confine a device that shares its page, or can start DMA, to the `reg` call without the driver noticing.
//!
//! # Resources
//! - tock-registers 0.10, `interfaces::{Readable, Writeable}`: the traits that [`Register`] implements.

use core::marker::PhantomData;
use tock_registers::RegisterLongName;
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{Aliased, ReadOnly, ReadWrite, WriteOnly};

/// Access to the registers of one device, by byte offset from the start of its block.
///
/// Accesses are 32 bits wide, in program order, and never merged, split or repeated. Offsets are multiples of four
/// and inside the block. An implementation that cannot make an access (the right is missing) ends the component, since
/// a driver that does not know what its device did cannot go on.
pub trait Registers {
    /// Reads the register at `offset` bytes.
    fn read(&self, offset: usize) -> u32;

    /// Writes the register at `offset` bytes.
    fn write(&self, offset: usize, value: u32);

    /// Replaces the bits of `mask` in the register at `offset` by those of `value`; the others stay as they are, also where
    /// they cannot be seen: the `reg` call does it in the kernel.
    fn update(&self, offset: usize, mask: u32, value: u32) {
        self.write(offset, self.read(offset) & !mask | value & mask);
    }

    /// Fills `words` from the one register at `offset`: the data port of a FIFO. The `reg` call does it in one entry.
    fn read_words(&self, offset: usize, words: &mut [u32]) {
        for word in words {
            *word = self.read(offset);
        }
    }

    /// Writes all of `words`, in order, to the one register at `offset`: the data port of a FIFO.
    fn write_words(&self, offset: usize, words: &[u32]) {
        for &word in words {
            self.write(offset, word);
        }
    }
}

impl<D: Registers + ?Sized> Registers for &D {
    fn read(&self, offset: usize) -> u32 {
        (**self).read(offset)
    }
    fn write(&self, offset: usize, value: u32) {
        (**self).write(offset, value);
    }
    fn update(&self, offset: usize, mask: u32, value: u32) {
        (**self).update(offset, mask, value);
    }
    fn read_words(&self, offset: usize, words: &mut [u32]) {
        (**self).read_words(offset, words);
    }
    fn write_words(&self, offset: usize, words: &[u32]) {
        (**self).write_words(offset, words);
    }
}

/// Time, for limits on what a device may take.
pub trait Clock {
    /// Nanoseconds since some fixed instant; never goes back.
    fn now_ns(&self) -> u64;

    /// Gives up the processor for at most `limit_ns` nanoseconds; may return at once.
    ///
    /// A process does this with a receive that takes notifications only, so that its heartbeat is answered while its
    /// device is slow, and no second request arrives in the middle of the first.
    fn wait(&self, limit_ns: u64);
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now_ns(&self) -> u64 {
        (**self).now_ns()
    }
    fn wait(&self, limit_ns: u64) {
        (**self).wait(limit_ns);
    }
}

/// One register of a block, reached through `D`. `K` is its kind in the block's definition (`ReadOnly<u32, Status>`,
/// for example) and decides which of tock-registers' traits it has. Made by [`register!`](crate::register).
pub struct Register<'a, D: ?Sized, K> {
    device: &'a D,
    offset: usize,
    kind: PhantomData<fn() -> K>,
}

impl<D: ?Sized, K> Clone for Register<'_, D, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: ?Sized, K> Copy for Register<'_, D, K> {}

impl<'a, D: Registers + ?Sized, K> Register<'a, D, K> {
    /// The register that `field` selects from block `B`; `offset` is that field's offset in bytes. Use
    /// [`register!`](crate::register), which makes the two agree.
    #[inline(always)]
    pub fn new<B>(device: &'a D, offset: usize, _field: fn(&B) -> &K) -> Self {
        Self { device, offset, kind: PhantomData }
    }

    /// Fills `words` from this one register.
    #[inline(always)]
    pub fn read_words(&self, words: &mut [u32])
    where
        Self: Readable<T = u32>,
    {
        self.device.read_words(self.offset, words);
    }

    /// Writes all of `words` to this one register.
    #[inline(always)]
    pub fn write_words(&self, words: &[u32])
    where
        Self: Writeable<T = u32>,
    {
        self.device.write_words(self.offset, words);
    }
}

macro_rules! readable {
    ($kind:ty, $name:ident $(, $parameter:ident)*) => {
        impl<D: Registers + ?Sized, $name: RegisterLongName $(, $parameter: RegisterLongName)*> Readable
            for Register<'_, D, $kind>
        {
            type T = u32;
            type R = $name;
            #[inline(always)]
            fn get(&self) -> u32 {
                self.device.read(self.offset)
            }
        }
    };
}

macro_rules! writeable {
    ($kind:ty, $name:ident $(, $parameter:ident)*) => {
        impl<D: Registers + ?Sized, $name: RegisterLongName $(, $parameter: RegisterLongName)*> Writeable
            for Register<'_, D, $kind>
        {
            type T = u32;
            type R = $name;
            #[inline(always)]
            fn set(&self, value: u32) {
                self.device.write(self.offset, value);
            }
        }
    };
}

readable!(ReadOnly<u32, R>, R);
readable!(ReadWrite<u32, R>, R);
readable!(Aliased<u32, R, W>, R, W);
writeable!(WriteOnly<u32, R>, R);
writeable!(ReadWrite<u32, R>, R);
writeable!(Aliased<u32, R, W>, W, R);

/// The register `field` of the block type `Block` on `device`: offset and kind both come from the block's definition.
///
/// ```
/// use tock_registers::{interfaces::Readable, register_structs, registers::ReadOnly};
/// use userlib::{device::Registers, register};
///
/// register_structs! {
///     Block {
///         (0x00 => _reserved),
///         (0x04 => status: ReadOnly<u32>),
///         (0x08 => @END),
///     }
/// }
/// struct Fake;
/// impl Registers for Fake {
///     fn read(&self, offset: usize) -> u32 { offset as u32 }
///     fn write(&self, _: usize, _: u32) {}
/// }
/// assert_eq!(register!(&Fake, Block, status).get(), 4);
/// ```
#[macro_export]
macro_rules! register {
    ($device:expr, $block:ty, $field:ident) => {
        $crate::device::Register::new($device, ::core::mem::offset_of!($block, $field), |block: &$block| {
            &block.$field
        })
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;
    use tock_registers::interfaces::ReadWriteable;
    use tock_registers::{register_bitfields, register_structs};

    register_bitfields! { u32, Control [ ENABLE OFFSET(0) NUMBITS(1) [], MODE OFFSET(4) NUMBITS(2) [] ] }
    register_structs! {
        Block {
            (0x00 => control: ReadWrite<u32, Control::Register>),
            (0x04 => status: ReadOnly<u32>),
            (0x08 => _reserved),
            (0x10 => data: Aliased<u32>),
            (0x14 => clear: WriteOnly<u32>),
            (0x18 => @END),
        }
    }

    #[derive(Default)]
    struct Memory([Cell<u32>; 6], Cell<usize>);

    impl Registers for Memory {
        fn read(&self, offset: usize) -> u32 {
            self.1.set(self.1.get() + 1);
            self.0[offset / 4].get()
        }
        fn write(&self, offset: usize, value: u32) {
            self.1.set(self.1.get() + 1);
            self.0[offset / 4].set(value);
        }
    }

    #[test]
    fn offsets_and_fields_come_from_the_block() {
        let memory = Memory::default();
        register!(&memory, Block, control).write(Control::ENABLE::SET + Control::MODE.val(2));
        register!(&memory, Block, control).modify(Control::ENABLE::CLEAR);
        register!(&memory, Block, clear).set(7);
        assert_eq!(memory.0.each_ref().map(Cell::get), [0x20, 0, 0, 0, 0, 7]);
        memory.0[1].set(9);
        assert_eq!(register!(&memory, Block, status).get(), 9);
        assert_eq!(register!(&memory, Block, control).read(Control::MODE), 2);
    }

    #[test]
    fn words_go_to_one_register_one_access_each() {
        let memory = Memory::default();
        register!(&memory, Block, data).write_words(&[1, 2, 3]);
        assert_eq!((memory.0[4].get(), memory.1.get()), (3, 3));
        let mut words = [0; 4];
        register!(&&memory, Block, data).read_words(&mut words);
        assert_eq!((words, memory.1.get()), ([3; 4], 7));
    }
}
