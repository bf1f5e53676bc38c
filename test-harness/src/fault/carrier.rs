//! Carrying a fault out while the guest stands.

use super::device::{self, DeviceFault, PROGRAM_COUNTER, Step};
use super::interrupt::{self, InterruptFault};
use super::model::{Action, Change};
use super::slot_memory::{SlotFault, WORD};
use super::{TargetImage, state};
use crate::target::{Gdb, Registers};
use abi::layout::USER_END;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;

/// `brk #0xFA17`: takes a component to the kernel's `fault_point` instead of to its death.
pub const PROBE: u32 = 0xD400_0000 | 1 << 21 | 0xFA17 << 5;

/// Where the kernel sees physical memory (kernel/src/arch/aarch64/boot.rs, `KERNEL_OFFSET`).
pub const KERNEL_OFFSET: u64 = 0xFFFF_FF80_0000_0000;

/// Words of the kernel's record of a component's registers: x0 to x30, sp, pc, spsr, tpidr, translation table.
const FRAME_WORDS: usize = 36;

/// Bits of a table entry, and of the translation table register, that are an address.
const ADDRESS: u64 = 0x0000_FFFF_FFFF_F000;

/// What a component will run with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RegistersOfComponent {
    /// x0 to x30.
    pub x: [u64; 31],
    /// Its stack pointer.
    pub sp: u64,
    /// Its program counter.
    pub pc: u64,
}

/// What became of the guest by a stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It goes on.
    GoesOn,
    /// It is to be switched off where it stands.
    PowerCut,
    /// It is left standing, for another debugger.
    HandOver,
}

/// A changed word that nobody has read yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Watch {
    /// Where the kernel sees it.
    address: u64,
    /// What it was made.
    value: u64,
    /// When, in ticks of the board's clock.
    since: u64,
}

/// Carries one fault out.
#[derive(Debug)]
pub struct Carrier<'a> {
    image: &'a TargetImage,
    action: &'a Action,
    /// Translation table of the target, once the fault's time has come.
    space: Option<u64>,
    /// Where probes are.
    armed: BTreeSet<u64>,
    /// Ticks of the board's clock at which it took effect.
    activated: Option<u64>,
    /// What was done, for people.
    notes: Vec<String>,
    /// How often a lasting fault has taken effect.
    times: u32,
    /// Of a fault in the kernel: where the stub has a breakpoint, and since when, in ticks.
    breakpoint: Option<(u64, u64)>,
    /// Of a fault in what outlives the component: the word that the stub watches.
    watch: Option<Watch>,
    /// That word was something else again when it was read: nobody has seen what was changed.
    overwritten: bool,
}

/// Where the guest stands: at the fault point, about a component.
#[derive(Debug)]
pub struct Stop<'a> {
    gdb: &'a mut Gdb,
    frame: u64,
    space: u64,
    /// The component's registers.
    pub registers: RegistersOfComponent,
}

impl Stop<'_> {
    /// Reads what the kernel keeps of the component that the stop is about. Returns the CPU's registers, too, and the ticks of
    /// the board's clock.
    ///
    /// # Errors
    /// The stub fails.
    pub fn here(gdb: &mut Gdb) -> Result<(Stop<'_>, Registers, u64)> {
        let registers = gdb.registers()?;
        let frame = registers.x[0];
        let bytes = gdb.read(frame, FRAME_WORDS * 8)?;
        let words: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()))
            .collect();
        let mut x = [0; 31];
        x.copy_from_slice(&words[..31]);
        let component = RegistersOfComponent { x, sp: words[31], pc: words[32] };
        Ok((Stop { gdb, frame, space: words[35], registers: component }, registers, registers.x[1]))
    }

    /// The component's translation table.
    pub fn space(&self) -> u64 {
        self.space
    }

    /// Where the kernel sees what the component has at this address; `None`: nothing is mapped there.
    fn translate(&mut self, address: u64) -> Result<Option<u64>> {
        if address >= USER_END {
            return Ok(None);
        }
        let upper = self.entry(self.space & ADDRESS, address >> 21 & 511)?;
        let physical = match upper & 3 {
            1 => (upper & ADDRESS & !0x1F_FFFF) | address & 0x1F_FFFF,
            3 => {
                let lower = self.entry(upper & ADDRESS, address >> 12 & 511)?;
                if lower & 3 != 3 {
                    return Ok(None);
                }
                lower & ADDRESS | address & 0xFFF
            }
            _ => return Ok(None),
        };
        Ok(Some(physical + KERNEL_OFFSET))
    }

    fn entry(&mut self, table: u64, index: u64) -> Result<u64> {
        let bytes = self.gdb.read(table + KERNEL_OFFSET + 8 * index, 8)?;
        Ok(u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
    }

    /// Reads memory of the component, which does not cross a page; `None`: nothing is mapped there.
    ///
    /// # Errors
    /// The stub fails.
    pub fn read(&mut self, address: u64, length: usize) -> Result<Option<Vec<u8>>> {
        match self.translate(address)? {
            Some(at) => self.gdb.read(at, length).map(Some),
            None => Ok(None),
        }
    }

    /// Writes memory of the component, which does not cross a page.
    ///
    /// # Errors
    /// Nothing is mapped there, or the stub fails.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        let at = self.translate(address)?.with_context(|| format!("nothing is mapped at {address:#x}"))?;
        self.gdb.write(at, bytes)
    }

    /// The component goes on with another value in a register; 31 is the stack pointer, 32 the program counter.
    ///
    /// # Errors
    /// There is no such register, or the stub fails.
    pub fn set_register(&mut self, number: usize, value: u64) -> Result<()> {
        ensure!(number <= 32, "a component has no register {number}");
        self.gdb.write(self.frame + 8 * number as u64, &value.to_le_bytes())
    }
}

impl<'a> Carrier<'a> {
    /// Of a fault that was not carried out yet.
    pub fn new(image: &'a TargetImage, action: &'a Action) -> Self {
        Self {
            image,
            action,
            space: None,
            armed: BTreeSet::new(),
            activated: None,
            notes: Vec::new(),
            times: 0,
            breakpoint: None,
            watch: None,
            overwritten: false,
        }
    }

    /// Ticks of the board's clock at which the fault took effect.
    pub fn activated(&self) -> Option<u64> {
        self.activated
    }

    /// What was done, for people.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// How often it took effect: of a batch, how many of its instructions were reached.
    pub fn effects(&self) -> u32 {
        self.times
    }

    /// Whether the guest stands at a probe of this fault.
    fn is_at_probe(&self, stop: &Stop) -> bool {
        self.armed.contains(&stop.registers.pc) && self.space == Some(stop.space)
    }

    /// The fault's time has come.
    fn begin(&mut self, stop: &mut Stop, ticks: u64) -> Result<Effect> {
        self.space = Some(stop.space);
        match self.action {
            Action::Stub(_) | Action::Medium(_) => {}
            Action::Kernel(Change { address, .. }) => {
                stop.gdb.set_breakpoint(*address)?;
                self.breakpoint = Some((*address, ticks));
            }
            Action::Batch(changes) => changes.iter().try_for_each(|change| self.arm(stop, change.address))?,
            Action::Slot(fault) => self.change_slot_memory(stop.gdb, fault, ticks)?,
            Action::PowerCut => {
                self.activated = Some(ticks);
                return Ok(Effect::PowerCut);
            }
            Action::Text(Change { address, .. })
            | Action::Register { address, .. }
            | Action::Memory { address, .. }
            | Action::Device { address, .. }
            | Action::Interrupt { address, .. } => self.arm(stop, *address)?,
        }
        Ok(Effect::GoesOn)
    }

    /// Puts the probe over an instruction.
    fn arm(&mut self, stop: &mut Stop, address: u64) -> Result<()> {
        let expected = self.image.word(address).with_context(|| format!("no instruction at {address:#x}"))?;
        let found = stop.read(address, 4)?.with_context(|| format!("no page at {address:#x}"))?;
        let is_as_built = found == expected.to_le_bytes();
        ensure!(is_as_built, "{}: the instruction at {address:#x} is not that of its image", self.image.name);
        stop.write(address, &PROBE.to_le_bytes())?;
        self.armed.insert(address);
        Ok(())
    }

    /// The target is about to execute the instruction that the probe covers.
    fn probe_reached(&mut self, stop: &mut Stop, ticks: u64) -> Result<()> {
        let at = stop.registers.pc;
        self.armed.remove(&at);
        let original = self.image.word(at).context("there is no instruction")?;
        let word = match self.action {
            Action::Text(change) => change.to,
            Action::Batch(changes) => {
                changes.iter().find(|change| change.address == at).map_or(original, |change| change.to)
            }
            _ => original,
        };
        stop.write(at, &word.to_le_bytes())?;
        let took_effect = match self.action {
            Action::Text(_) | Action::Batch(_) => {
                self.times += 1;
                true
            }
            Action::Register { register, mask, .. } => {
                state::change_register(stop, *register, *mask)?;
                true
            }
            Action::Memory { mask, .. } => {
                let note = state::change_memory(stop, original, *mask)?;
                let took_effect = note.is_some();
                self.notes.extend(note);
                took_effect
            }
            Action::Device { address, fault } => self.device(stop, at, *address, *fault)?,
            Action::Interrupt { address, fault } => self.interrupt(stop, at, *address, *fault)?,
            Action::Stub(_) | Action::Medium(_) | Action::Kernel(_) | Action::Slot(_) | Action::PowerCut => {
                false
            }
        };
        if took_effect {
            self.activated.get_or_insert(ticks);
        }
        Ok(())
    }

    /// The kernel is about to execute the instruction that becomes another.
    fn breakpoint_reached(&mut self, gdb: &mut Gdb) -> Result<()> {
        let (Some((address, ticks)), Action::Kernel(change)) = (self.breakpoint, self.action) else {
            return Ok(());
        };
        let found = gdb.read(address, 4)?;
        ensure!(found == change.from.to_le_bytes(), "the kernel's instruction at {address:#x} is another");
        self.forget_breakpoint(gdb)?;
        gdb.write(address, &change.to.to_le_bytes())?;
        // Nobody can be asked for the time in the middle of the kernel: it took effect at this moment or later.
        self.activated = Some(ticks);
        self.times = 1;
        Ok(())
    }

    /// Changes a word of what outlives the component, and has it watched.
    fn change_slot_memory(&mut self, gdb: &mut Gdb, fault: &SlotFault, ticks: u64) -> Result<()> {
        let range = &fault.range;
        let bytes = gdb.read(range.start + KERNEL_OFFSET, (range.end - range.start) as usize)?;
        let Some(place) = fault.place(&bytes) else { return Ok(()) };
        let address = place + KERNEL_OFFSET;
        let before = word(gdb, address)?;
        let value = before ^ fault.mask;
        gdb.write(address, &value.to_le_bytes())?;
        gdb.watch_reads(address, WORD)?;
        self.watch = Some(Watch { address, value, since: ticks });
        self.notes.push(format!("{} at {place:#x}: {before:#x} became {value:#x}", fault.part.name()));
        Ok(())
    }

    /// The kernel has read the word that is watched.
    fn watch_reached(&mut self, gdb: &mut Gdb) -> Result<()> {
        let Some(watch) = self.watch else { return Ok(()) };
        self.forget_breakpoint(gdb)?;
        self.overwritten = word(gdb, watch.address)? != watch.value;
        if !self.overwritten {
            // Nobody can be asked for the time in the middle of the kernel: it took effect at this moment or later.
            self.activated = Some(watch.since);
            self.times = 1;
        }
        Ok(())
    }

    fn forget_breakpoint(&mut self, gdb: &mut Gdb) -> Result<()> {
        self.breakpoint.take().map_or(Ok(()), |(address, _)| gdb.remove_breakpoint(address))?;
        self.watch.take().map_or(Ok(()), |watch| gdb.forget_reads(watch.address, WORD))
    }

    /// A step of a device's fault; true: it took effect.
    fn device(&mut self, stop: &mut Stop, at: u64, home: u64, fault: DeviceFault) -> Result<bool> {
        let word = self.image.word(home).context("there is no instruction")?;
        if at == home {
            match device::access_reached(stop, home, word, fault)? {
                Step::NoDevice => return Ok(false),
                Step::Behind => {
                    self.arm(stop, home + 4)?;
                    return Ok(false);
                }
                Step::Done => {}
            }
        } else {
            device::load_done(stop, word, fault)?;
        }
        self.times += 1;
        if self.times < fault.count() {
            self.arm(stop, home)?;
        }
        Ok(true)
    }
}

impl Carrier<'_> {
    /// A step of an interrupt's fault, at the receive at `home` or behind it; true: it took effect.
    fn interrupt(&mut self, stop: &mut Stop, at: u64, home: u64, fault: InterruptFault) -> Result<bool> {
        let lines = self.image.interrupts;
        let instead = if at == home {
            let Some(instead) = fault.without_kernel(lines) else {
                return self.arm(stop, home + 4).map(|()| false);
            };
            stop.set_register(PROGRAM_COUNTER, home + 4)?;
            if fault.is_lasting() {
                self.arm(stop, home)?;
            }
            instead
        } else {
            let [x0, x1, ..] = stop.registers.x;
            match interrupt::without_interrupt([x0, x1], lines) {
                Some(instead) => instead,
                None => return self.arm(stop, home).map(|()| false),
            }
        };
        for (register, value) in instead.into_iter().enumerate() {
            stop.set_register(register, value)?;
        }
        self.times += 1;
        Ok(true)
    }
}

/// Carries out the faults of one trial from outside, which begin in their order.
#[derive(Debug)]
pub struct Carriers<'a> {
    /// One for each of them.
    pub all: Vec<Carrier<'a>>,
    begun: usize,
    for_debugger: bool,
    /// The last stop was at a read that was watched.
    stands_at_read: bool,
}

impl<'a> Carriers<'a> {
    /// Of faults that were not carried out yet.
    pub fn new(all: Vec<Carrier<'a>>) -> Self {
        Self { all, begun: 0, for_debugger: false, stands_at_read: false }
    }

    /// When one has taken effect, the guest is left standing.
    #[must_use]
    pub fn for_debugger(self) -> Self {
        Self { for_debugger: true, ..self }
    }

    /// The guest stands at the fault point: does what is to be done, and lets it go on.
    ///
    /// # Errors
    /// The stub fails, or the target's memory is not what its image says.
    pub fn stopped(&mut self, gdb: &mut Gdb) -> Result<Effect> {
        let pc = gdb.registers()?.pc;
        self.stands_at_read = false;
        let in_kernel = |carrier: &&mut Carrier| carrier.breakpoint.is_some_and(|(at, _)| at == pc);
        if let Some(carrier) = self.all.iter_mut().find(in_kernel) {
            carrier.breakpoint_reached(gdb)?;
            return self.go_on(gdb, Effect::GoesOn);
        }
        let (mut stop, registers, ticks) = Stop::here(gdb)?;
        let reached = self.all.iter_mut().find(|carrier| carrier.is_at_probe(&stop));
        let at_probe = reached.is_some();
        let mut effect = Effect::GoesOn;
        if let Some(carrier) = reached {
            carrier.probe_reached(&mut stop, ticks)?;
        } else if let Some(carrier) = self.all.get_mut(self.begun) {
            self.begun += 1;
            effect = carrier.begin(&mut stop, ticks)?;
        }
        gdb.answer(&registers, u64::from(at_probe))?;
        self.go_on(gdb, effect)
    }

    /// The guest goes on, unless it is to be switched off or left to a debugger.
    fn go_on(&self, gdb: &mut Gdb, mut effect: Effect) -> Result<Effect> {
        if self.for_debugger && self.all.iter().any(|carrier| carrier.activated().is_some()) {
            effect = Effect::HandOver;
        }
        if effect == Effect::GoesOn {
            gdb.resume()?;
        }
        Ok(effect)
    }
}

impl Carriers<'_> {
    /// The guest stands behind a read of a word that is watched.
    ///
    /// # Errors
    /// The stub fails.
    pub fn watch_reached(&mut self, gdb: &mut Gdb, address: u64) -> Result<Effect> {
        self.stands_at_read = true;
        let is_there = |watch: Watch| (watch.address..watch.address + WORD).contains(&address);
        if let Some(carrier) = self.all.iter_mut().find(|carrier| carrier.watch.is_some_and(is_there)) {
            carrier.watch_reached(gdb)?;
        }
        self.go_on(gdb, Effect::GoesOn)
    }

    /// Whether the guest is as it would be without any fault, and was last seen at a read that was watched: QEMU 10.0.2 may not go on from
    /// there, nor stand when it is asked to (one trial, each time that it was run; without the watch its guest goes on).
    pub fn are_overwritten(&self) -> bool {
        self.stands_at_read
            && self.all.iter().all(|carrier| carrier.overwritten && carrier.activated.is_none())
    }

    /// The trial is over and the guest stands: takes breakpoints back that were not reached.
    ///
    /// # Errors
    /// The stub fails.
    pub fn over(&mut self, gdb: &mut Gdb) -> Result<()> {
        self.all.iter_mut().try_for_each(|carrier| carrier.forget_breakpoint(gdb))
    }
}

/// A word of the kernel's memory.
fn word(gdb: &mut Gdb, address: u64) -> Result<u64> {
    let bytes = gdb.read(address, WORD as usize)?;
    Ok(u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_is_the_instruction_that_the_kernel_knows() {
        assert_eq!(super::super::text::listing(PROBE), "brk #0xfa17");
        assert_eq!(PROBE, 0xD43F_42E0);
    }

    #[test]
    fn a_guest_is_undisturbed_when_all_that_was_changed_was_overwritten() {
        let image = TargetImage {
            name: "fs".to_owned(),
            slot: 1,
            start: 0,
            words: Vec::new(),
            is_kernel: false,
            slot_memory: crate::fault::slot_memory::SlotMemory::default(),
            interrupts: 0,
        };
        let carrier = |overwritten, activated| Carrier {
            activated,
            overwritten,
            ..Carrier::new(&image, &Action::PowerCut)
        };
        let are = |all| Carriers { stands_at_read: true, ..Carriers::new(all) }.are_overwritten();
        assert!(are(vec![carrier(true, None)]));
        assert!(!are(vec![carrier(false, None)]), "it may still be read");
        assert!(!are(vec![carrier(false, Some(1))]));
        assert!(!are(vec![carrier(true, None), carrier(false, Some(1))]));
        let elsewhere = Carriers::new(vec![carrier(true, None)]);
        assert!(!elsewhere.are_overwritten(), "it has stopped somewhere else since");
    }
}
