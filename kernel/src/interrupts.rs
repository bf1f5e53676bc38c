//! Interrupts: the timer, and device lines on their way to drivers.
//!
//! A line is masked when it fires and let through again by the driver's `irq_ack`. A line that fires too often is a
//! storm, and its driver dies.

use crate::Kernel;
use crate::death::Demise;
use abi::SlotId;
use abi::message::bits;
use abi::record::DeathClass;
use abi::rights::SlotRights;
use bsp::interrupts::{Interrupt, LINES};

#[derive(Clone, Copy)]
struct Line {
    owner: Option<SlotId>,
    /// Position in the owner's manifest entry.
    index: u8,
    storm_count: u32,
    /// Ticks.
    storm_window: u64,
    window_ends: u64,
    count: u32,
}

/// All device lines.
pub struct Lines([Line; LINES]);

impl Lines {
    /// Nobody has a right to any line.
    pub const NONE: Self = Self(
        [Line { owner: None, index: 0, storm_count: 0, storm_window: 0, window_ends: 0, count: 0 }; LINES],
    );

    /// Takes the rights from the table; `frequency` is that of the clock.
    #[optimize(size)]
    pub fn bind(&mut self, slots: &[SlotRights], frequency: u64) {
        for (slot, rights) in (0..).zip(slots) {
            for (index, right) in (0..).zip(&rights.irqs).filter(|(_, right)| right.used != 0) {
                if let Some(line) = self.0.get_mut(right.line as usize) {
                    let ticks = u128::from(right.storm_window) * u128::from(frequency) / 1_000_000_000;
                    line.owner = Some(slot);
                    line.index = index;
                    line.storm_count = right.storm_count;
                    line.storm_window = ticks as u64;
                }
            }
        }
    }

    /// Masks the lines that these rights give.
    pub fn release(&mut self, rights: &SlotRights, board: &mut bsp::Board) {
        for right in rights.irqs.iter().filter(|right| right.used != 0) {
            if let Some(line) = self.0.get_mut(right.line as usize) {
                board.interrupts.disable(right.line);
                line.count = 0;
                line.window_ends = 0;
            }
        }
    }
}

impl Line {
    /// Counts an interrupt; true: this is a storm.
    fn is_storm(&mut self, now: u64) -> bool {
        if now >= self.window_ends {
            self.window_ends = now + self.storm_window;
            self.count = 0;
        }
        self.count += 1;
        self.storm_count != 0 && self.count > self.storm_count
    }
}

impl Kernel {
    /// Deals with one interrupt; if more are pending, the next exception follows at once.
    pub fn interrupts(&mut self, now: u64) {
        self.shell.counters.interrupts += 1;
        match self.shell.board().interrupts.take() {
            Some(Interrupt::Timer) => self.core.tick(now, &mut self.shell),
            Some(Interrupt::Line(number)) => self.device_interrupt(number, now),
            None => {}
        }
    }

    fn device_interrupt(&mut self, number: u32, now: u64) {
        self.shell.board().interrupts.disable(number);
        let line = &mut self.shell.lines.0[number as usize];
        let Some(owner) = line.owner else { return };
        let bit = 1 << (bits::IRQ_FIRST + u32::from(line.index));
        if line.is_storm(now) {
            self.die(owner, &Demise { class: DeathClass::InterruptStorm, text: b"", syndrome: None }, now);
        } else {
            self.core.notify(owner, bit, now, &mut self.shell);
        }
    }
}
