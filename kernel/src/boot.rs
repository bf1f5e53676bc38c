//! From the first Rust instruction to the first component.
//!
//! Rule: whatever is wrong with the image stops the boot here, in words; what runs later can rely on it.

use crate::arch::{boot, cpu, exceptions};
use crate::table::Table;
use crate::{KERNEL, Kernel, RUNNING};
use abi::rights::SlotRights;
use abi::trace::Event;
use abi::{ROOT, SLOTS_MAX, SlotId, name_text};
use core::sync::atomic::Ordering;
use kernel_core::{Marks, Settings};

/// Microseconds that equals run in turn.
const SLICE_US: u64 = 1000;

/// Called by boot.s at EL1, in the kernel's half, on the kernel's stack, with everything mapped for the moment.
#[unsafe(no_mangle)]
extern "C" fn kernel_main() -> ! {
    exceptions::initialise();
    // SAFETY: 1. this runs once, on the only core, before any component exists.
    unsafe { boot::map_kernel() };
    let table = match Table::read(boot::kernel_end()) {
        Ok(table) => table,
        Err(reason) => panic!("{reason}"),
    };
    // SAFETY: 1. this runs once, behind `map_kernel`; 2. banks lie behind the image, and nothing else is written.
    unsafe { boot::seal(table.end()) };
    cpu::initialise();
    let frame = {
        // SAFETY: 1. no component has run yet, so that nobody else has the state; 2. the reference ends with this block.
        let kernel = unsafe { &mut *KERNEL.0.get() };
        kernel.initialise(table);
        kernel.load_root();
        kernel.resume()
    };
    RUNNING.store(true, Ordering::Relaxed);
    // SAFETY: 1. `resume` returns a frame of `Frames` and has installed its address space.
    unsafe { exceptions::enter(frame) }
}

impl Kernel {
    #[optimize(size)]
    fn initialise(&mut self, table: Table) {
        let frequency = cpu::frequency();
        let ticks =
            |nanoseconds: u64| (u128::from(nanoseconds) * u128::from(frequency) / 1_000_000_000) as u64;
        self.core.set_slice(ticks(SLICE_US * 1000));
        // SAFETY: 1. the final tables map the devices for ever; 2. the kernel makes this one value, and one for a panic.
        let board = unsafe { bsp::board(boot::KERNEL_OFFSET) };
        self.shell.initialise(table, board, frequency);
        for (slot, rights) in (0..SLOTS_MAX as SlotId).zip(table.slots) {
            self.core.configure(slot, settings(rights, ticks));
        }
        let now = cpu::now();
        let slots = table.slots.len() as u8;
        self.shell.emit(now, Event::Boot { board: bsp::NAME, frequency, slots });
        for (slot, rights) in (0..).zip(table.slots) {
            let build = table.images.get(rights.image as usize).map_or([0; 16], |image| image.build_id);
            self.shell.emit(now, Event::Slot { slot, name: name_text(&rights.name), build });
        }
    }

    fn load_root(&mut self) {
        loop {
            match self.load(ROOT, cpu::now()) {
                abi::Status::Ok => return,
                abi::Status::More => {}
                status => panic!("root cannot be loaded: {status:?}"),
            }
        }
    }
}

fn settings(rights: &SlotRights, ticks: impl Fn(u64) -> u64) -> Settings {
    Settings {
        priority: rights.priority as u8,
        marks: Marks { idempotent: rights.idempotent, deduplicated: rights.deduplicated },
        budget: ticks(rights.budget),
        budget_period: ticks(rights.budget_period),
        serves: rights.serves != 0,
    }
}
