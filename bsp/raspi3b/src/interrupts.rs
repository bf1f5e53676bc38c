//! The two interrupt controllers: the BCM2836 local one of core 0, and the BCM2835 one behind its "GPU" input.
//!
//! Lines are numbered as the board's data says: 0 to 63 are the GPU interrupts, 64 to 71 the ARM's own (basic pending
//! bits 0 to 7).
//!
//! # Resources
//! BCM2835 ARM Peripherals, 7.5; QA7 rev 3.4, 4.6 and 4.10.

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

register_bitfields! {
    u32,
    TimerControl [CNTV_IRQ OFFSET(3) NUMBITS(1) []],
    Source [CNTV OFFSET(3) NUMBITS(1) [], GPU OFFSET(8) NUMBITS(1) []],
}

register_structs! {
    Legacy {
        (0x00 => basic_pending: ReadOnly<u32>),
        (0x04 => pending: [ReadOnly<u32>; 2]),
        (0x0C => _fiq),
        (0x10 => enable: [WriteOnly<u32>; 2]),
        (0x18 => enable_basic: WriteOnly<u32>),
        (0x1C => disable: [WriteOnly<u32>; 2]),
        (0x24 => disable_basic: WriteOnly<u32>),
        (0x28 => @END),
    }
}

register_structs! {
    Local {
        (0x00 => _control),
        (0x40 => timer_control: ReadWrite<u32, TimerControl::Register>),
        (0x44 => _others),
        (0x60 => source: ReadOnly<u32, Source::Register>),
        (0x64 => @END),
    }
}

const LEGACY_BASE: usize = 0x3F00_B200;
const LOCAL_BASE: usize = 0x4000_0000;

/// First line that is not behind one of the two 32-bit banks.
const FIRST_BASIC: u32 = 64;

/// Number of lines.
pub const LINES: usize = 72;

/// What interrupts core 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// The virtual timer of the core, until it is set anew.
    Timer,
    /// A device line, until it is masked.
    Line(u32),
}

/// Both controllers, as core 0 sees them.
pub struct Interrupts {
    legacy: &'static Legacy,
    local: &'static Local,
    /// Lines that are not masked: pending bits show masked ones, too.
    enabled: u128,
}

impl Interrupts {
    /// Finds the controllers at `offset` plus their physical addresses.
    ///
    /// # Safety
    /// 1. Both register pages are mapped there as device memory, for ever.
    pub unsafe fn new(offset: usize) -> Self {
        // SAFETY: 1. the pages are mapped by the caller's promise; 2. all fields tolerate concurrent access.
        unsafe {
            Self {
                legacy: &*((LEGACY_BASE + offset) as *const Legacy),
                local: &*((LOCAL_BASE + offset) as *const Local),
                enabled: 0,
            }
        }
    }

    /// Masks every device line and lets the virtual timer through.
    pub fn initialise(&mut self) {
        for bank in &self.legacy.disable {
            bank.set(u32::MAX);
        }
        self.legacy.disable_basic.set(0xFF);
        self.enabled = 0;
        self.local.timer_control.write(TimerControl::CNTV_IRQ::SET);
    }

    /// One interrupt that is pending and not masked; device lines first, lowest number first. `None`: it went away again.
    pub fn take(&mut self) -> Option<Interrupt> {
        let source = self.local.source.extract();
        if source.is_set(Source::GPU) {
            let banks =
                u128::from(self.legacy.pending[0].get()) | u128::from(self.legacy.pending[1].get()) << 32;
            let basic = u128::from(self.legacy.basic_pending.get() & 0xFF) << FIRST_BASIC;
            let lines = (banks | basic) & self.enabled;
            if lines != 0 {
                return Some(Interrupt::Line(lines.trailing_zeros()));
            }
        }
        source.is_set(Source::CNTV).then_some(Interrupt::Timer)
    }

    /// Lets a line through.
    pub fn enable(&mut self, line: u32) {
        self.enabled |= 1 << line;
        match line {
            0..FIRST_BASIC => self.legacy.enable[line as usize / 32].set(1 << (line % 32)),
            _ => self.legacy.enable_basic.set(1 << (line - FIRST_BASIC)),
        }
    }

    /// Masks a line.
    pub fn disable(&mut self, line: u32) {
        self.enabled &= !(1 << line);
        match line {
            0..FIRST_BASIC => self.legacy.disable[line as usize / 32].set(1 << (line % 32)),
            _ => self.legacy.disable_basic.set(1 << (line - FIRST_BASIC)),
        }
    }

    /// Number of lines let through.
    pub fn enabled_count(&self) -> u32 {
        self.enabled.count_ones()
    }
}
