//! The GIC-400: shared peripheral interrupts (SPIs) to core 0, and the private interrupt of its virtual timer.
//!
//! Lines are numbered as the device tree numbers SPIs: line n is interrupt id 32 + n.
//!
//! Rule: the group registers are never touched, and the two control registers get their lowest bit and no other. The
//! firmware leaves every interrupt in group 1 and the cores in the non-secure state, where bit 0 stands for group 1; the
//! emulated controller has no security extension, and there bit 0 stands for group 0. So this works in both.
//!
//! Every line is level-sensitive. An interrupt is ended as soon as it is taken: the kernel then masks the line, or sets the
//! timer anew, before it lets interrupts through again.
//!
//! # Resources
//! ARM IHI 0048B: 4.3 (distributor), 4.4 (CPU interface), 3.8 (effect of the security extension on the programming).

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};

register_structs! {
    Distributor {
        (0x000 => control: ReadWrite<u32>),
        (0x004 => _identification),
        (0x100 => enable: [ReadWrite<u32>; BANKS]),
        (0x11C => _reserved0),
        (0x180 => disable: [WriteOnly<u32>; BANKS]),
        (0x19C => _reserved1),
        (0x400 => priority: [ReadWrite<u32>; WORDS]),
        (0x4E0 => _reserved2),
        (0x800 => target: [ReadWrite<u32>; WORDS]),
        (0x8E0 => _reserved3),
        (0x1000 => @END),
    }
}

register_structs! {
    CpuInterface {
        (0x00 => control: ReadWrite<u32>),
        (0x04 => priority_mask: ReadWrite<u32>),
        (0x08 => _binary_point),
        (0x0C => acknowledge: ReadOnly<u32>),
        (0x10 => end: WriteOnly<u32>),
        (0x14 => @END),
    }
}

/// The GIC-400 of the BCM2711 has 224 interrupt ids: a bit each in banks of 32, a byte each in words of four.
const BANKS: usize = 7;
const WORDS: usize = 56;

const DISTRIBUTOR: usize = 0xFF84_1000;
const CPU_INTERFACE: usize = 0xFF84_2000;

/// First id of an SPI.
const FIRST_LINE: u32 = 32;
/// Id of the virtual timer's private interrupt (CNTV, PPI 11).
const TIMER: u32 = 27;
/// Number of lines.
pub const LINES: usize = 192;

/// Above the lowest priority that the non-secure view can express (IHI 0048B, 3.8.1), and equal for all.
const PRIORITY: u32 = 0xA0A0_A0A0;
/// Core 0, for each of four interrupts.
const CORE_0: u32 = 0x0101_0101;

/// What interrupts core 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The virtual timer of the core, until it is set anew.
    Timer,
    /// A device line, until it is masked.
    Line(u32),
}

/// The controller, as core 0 sees it.
pub struct Interrupts {
    distributor: &'static Distributor,
    cpu: &'static CpuInterface,
}

impl Interrupts {
    /// Finds the controller at `offset` plus its physical addresses.
    ///
    /// # Safety
    /// 1. Both register pages are mapped there as device memory, for ever.
    pub unsafe fn new(offset: usize) -> Self {
        // SAFETY: 1. by the caller's promise.
        unsafe { Self::at(DISTRIBUTOR + offset, CPU_INTERFACE + offset) }
    }

    /// # Safety
    /// 1. Register blocks, or memory that stands for them, are mapped at both addresses, for ever.
    unsafe fn at(distributor: usize, cpu: usize) -> Self {
        // SAFETY: 1. mapped by the caller's promise; 2. all fields tolerate concurrent access.
        unsafe {
            Self {
                distributor: &*core::ptr::with_exposed_provenance(distributor),
                cpu: &*core::ptr::with_exposed_provenance(cpu),
            }
        }
    }

    /// Masks every device line, routes all to core 0, and lets the virtual timer through.
    pub fn initialise(&mut self) {
        self.distributor.control.set(0);
        for bank in &self.distributor.disable {
            bank.set(u32::MAX);
        }
        for word in &self.distributor.priority {
            word.set(PRIORITY);
        }
        // The first eight words are those of private interrupts, which have no choice.
        for word in &self.distributor.target[FIRST_LINE as usize / 4..] {
            word.set(CORE_0);
        }
        self.distributor.enable[0].set(1 << TIMER);
        self.distributor.control.set(1);
        self.cpu.priority_mask.set(0xFF);
        self.cpu.control.set(1);
    }

    /// One interrupt that is pending and not masked. `None`: it went away again.
    pub fn take(&mut self) -> Option<Interrupt> {
        let taken = self.cpu.acknowledge.get();
        let id = taken & 0x3FF;
        let interrupt = match id {
            TIMER => Interrupt::Timer,
            FIRST_LINE..224 => Interrupt::Line(id - FIRST_LINE),
            // 1022 and 1023: nothing, or nothing of ours. They must not be ended.
            _ => return None,
        };
        self.cpu.end.set(taken);
        Some(interrupt)
    }

    /// Lets a line through.
    pub fn enable(&mut self, line: u32) {
        let id = line + FIRST_LINE;
        self.distributor.enable[id as usize / 32].set(1 << (id % 32));
    }

    /// Masks a line.
    pub fn disable(&mut self, line: u32) {
        let id = line + FIRST_LINE;
        self.distributor.disable[id as usize / 32].set(1 << (id % 32));
    }

    /// Number of lines let through.
    pub fn enabled_count(&self) -> u32 {
        self.distributor.enable[1..].iter().map(|bank| bank.get().count_ones()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::UnsafeCell;

    /// Memory that stands for registers: what is written stays, and nothing else happens.
    struct Fake(&'static UnsafeCell<[u32; 1024]>);

    impl Fake {
        fn new() -> Self {
            Self(Box::leak(Box::new(UnsafeCell::new([0; 1024]))))
        }

        fn address(&self) -> usize {
            self.0.get().expose_provenance()
        }

        fn get(&self, offset: usize) -> u32 {
            // SAFETY: 1. the memory lives for ever; 2. a test has one thread.
            unsafe { (*self.0.get())[offset / 4] }
        }

        fn set(&self, offset: usize, value: u32) {
            // SAFETY: 1. the memory lives for ever; 2. a test has one thread.
            unsafe { (*self.0.get())[offset / 4] = value };
        }
    }

    fn fakes() -> (Fake, Fake, Interrupts) {
        let (distributor, cpu) = (Fake::new(), Fake::new());
        // SAFETY: 1. both addresses are of memory that lives for ever.
        let interrupts = unsafe { Interrupts::at(distributor.address(), cpu.address()) };
        (distributor, cpu, interrupts)
    }

    #[test]
    fn only_the_timer_is_let_through_at_first_and_no_group_is_touched() {
        let (distributor, cpu, mut interrupts) = fakes();
        for bank in 0..7 {
            distributor.set(0x080 + bank * 4, 0x5555_5555);
        }
        interrupts.initialise();
        assert_eq!(distributor.get(0x100), 1 << 27);
        for bank in 0..7 {
            assert_eq!(distributor.get(0x180 + bank * 4), u32::MAX, "GICD_ICENABLER{bank}");
            assert_eq!(distributor.get(0x080 + bank * 4), 0x5555_5555, "GICD_IGROUPR{bank}");
        }
        // IHI 0048B, table 4-1: GICD_ITARGETSR0 to 7 are read-only.
        assert_eq!(
            (distributor.get(0x81C), distributor.get(0x820), distributor.get(0x8DC)),
            (0, CORE_0, CORE_0)
        );
        assert_eq!((distributor.get(0x400), distributor.get(0x4DC)), (PRIORITY, PRIORITY));
        assert_eq!((distributor.get(0x000), cpu.get(0x00), cpu.get(0x04)), (1, 1, 0xFF));
    }

    #[test]
    fn what_is_taken_is_ended_and_what_is_spurious_is_not() {
        let (_, cpu, mut interrupts) = fakes();
        for (id, expected) in [
            (27, Interrupt::Timer),
            (32, Interrupt::Line(0)),
            (153, Interrupt::Line(121)),
            (223, Interrupt::Line(191)),
        ] {
            cpu.set(0x0C, id);
            assert_eq!(interrupts.take(), Some(expected));
            assert_eq!(cpu.get(0x10), id);
        }
        cpu.set(0x10, 0);
        for id in [1022, 1023, 224, 30] {
            cpu.set(0x0C, id);
            assert_eq!(interrupts.take(), None);
            assert_eq!(cpu.get(0x10), 0);
        }
    }

    #[test]
    fn a_line_is_one_bit_of_its_bank() {
        let (distributor, _, mut interrupts) = fakes();
        interrupts.enable(121);
        assert_eq!(distributor.get(0x100 + 4 * 4), 1 << (153 - 128));
        assert_eq!(interrupts.enabled_count(), 1);
        interrupts.disable(121);
        assert_eq!(distributor.get(0x180 + 4 * 4), 1 << (153 - 128));
    }
}
