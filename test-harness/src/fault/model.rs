//! Names of models, and drawing a fault from one.

use super::device::{DeviceFault, FOR_EVER};
use super::interrupt::InterruptFault;
use super::medium::Medium;
use super::slot_memory::{Part, SlotFault};
use super::state::{Region, loaded_bytes, read_registers};
use super::text::{Mutation, listing};
use super::{Dice, TargetImage, batch, behaviour, device, interrupt, kernel};
use crate::campaign::profile::Profile;
use abi::plan::Fault;
use anyhow::{Result, bail};
use interposer_core::{Lie, Order};
use std::fmt;

/// A fault model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model {
    /// One instruction is another.
    Text(Mutation),
    /// One instruction of the kernel is another.
    Kernel(Mutation),
    /// One bit of a register is wrong when it is read.
    RegisterFlip,
    /// A register has any other value when it is read.
    RegisterWild,
    /// One bit of memory is wrong when it is read.
    MemoryFlip(Region),
    /// A value in memory is any other when it is read.
    MemoryWild(Region),
    /// One bit is wrong in what outlives the component.
    SlotFlip(Part),
    /// A word is any other in what outlives the component.
    SlotWild(Part),
    /// A register of a device reads wrong, once or for ever.
    DeviceRead {
        /// Until the driver is replaced.
        lasting: bool,
    },
    /// A write to a register of a device gets lost.
    DeviceWrite,
    /// An interrupt does not come, comes twice, or does not go away.
    Interrupt(InterruptFault),
    /// The component fails by its own instructions.
    Behaviour(Fault),
    /// A driver or a medium lies about blocks.
    Medium(Medium),
    /// A hundred instructions are others.
    Batch,
    /// The power fails.
    PowerCut,
}

/// Regions whose memory can be changed.
const REGIONS: [Region; 3] = [Region::Stack, Region::Heap, Region::Statics];

impl Model {
    /// All models.
    pub fn all() -> Vec<Self> {
        let mut models: Vec<_> = Mutation::ALL.into_iter().map(Self::Text).collect();
        models.extend([Self::RegisterFlip, Self::RegisterWild]);
        models.extend(REGIONS.map(Self::MemoryFlip));
        models.extend(REGIONS.map(Self::MemoryWild));
        models.extend(Part::ALL.map(Self::SlotFlip));
        models.extend(Part::ALL.map(Self::SlotWild));
        models.extend([
            Self::DeviceRead { lasting: false },
            Self::DeviceRead { lasting: true },
            Self::DeviceWrite,
        ]);
        models.extend(InterruptFault::ALL.map(Self::Interrupt));
        models.extend(Fault::ALL.map(Self::Behaviour));
        models.extend(Medium::all().map(Self::Medium));
        models.extend(Mutation::ALL.map(Self::Kernel));
        models.extend([Self::Batch, Self::PowerCut]);
        models
    }

    /// The model with this name.
    ///
    /// # Errors
    /// Says which models there are.
    pub fn named(name: &str) -> Result<Self> {
        let all = Self::all();
        if let Some(model) = all.iter().find(|model| model.to_string() == name) {
            return Ok(*model);
        }
        let names: Vec<_> = all.iter().map(Self::to_string).collect();
        bail!("no fault model {name:?}: there is {}", names.join(", "))
    }

    /// Whether the fault changes a copy of the bundle, which nobody on the board can.
    pub const fn is_in_bundle(self) -> bool {
        matches!(self, Self::SlotFlip(Part::Bundle) | Self::SlotWild(Part::Bundle))
    }

    /// Whether a fault is drawn from what the target executes.
    pub const fn is_drawn_from_profile(self) -> bool {
        match self {
            Self::Text(_)
            | Self::RegisterFlip
            | Self::RegisterWild
            | Self::MemoryFlip(_)
            | Self::MemoryWild(_)
            | Self::DeviceRead { .. }
            | Self::DeviceWrite
            | Self::Interrupt(_)
            | Self::Batch => true,
            Self::SlotFlip(_)
            | Self::SlotWild(_)
            | Self::Behaviour(_)
            | Self::Medium(_)
            | Self::Kernel(_)
            | Self::PowerCut => false,
        }
    }

    /// Whether a fault can be ready before a restart and take effect in it.
    pub const fn fits_recovery(self) -> bool {
        matches!(
            self,
            Self::Text(_)
                | Self::RegisterFlip
                | Self::RegisterWild
                | Self::MemoryFlip(_)
                | Self::MemoryWild(_)
                | Self::SlotFlip(_)
                | Self::SlotWild(_)
        )
    }

    /// Whether it changes what outlives its target.
    pub const fn is_of_slot(self) -> bool {
        matches!(self, Self::SlotFlip(_) | Self::SlotWild(_))
    }

    /// Kill, exit and panic: never in one denominator with faults that have to be found.
    pub const fn is_fail_stop(self) -> bool {
        matches!(self, Self::Behaviour(fault) if behaviour::is_fail_stop(fault))
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(mutation) => write!(f, "text/{}", mutation.name()),
            Self::Kernel(mutation) => write!(f, "kernel/{}", mutation.name()),
            Self::RegisterFlip => f.write_str("state/register-flip"),
            Self::RegisterWild => f.write_str("state/register-wild"),
            Self::MemoryFlip(region) => write!(f, "state/{}-flip", region.name()),
            Self::MemoryWild(region) => write!(f, "state/{}-wild", region.name()),
            Self::SlotFlip(part) => write!(f, "state/{}-flip", part.name()),
            Self::SlotWild(part) => write!(f, "state/{}-wild", part.name()),
            Self::DeviceRead { lasting: false } => f.write_str("device/read-wrong"),
            Self::DeviceRead { lasting: true } => f.write_str("device/read-stuck"),
            Self::DeviceWrite => f.write_str("device/write-lost"),
            Self::Interrupt(fault) => write!(f, "device/{}", fault.name()),
            Self::Behaviour(fault) => write!(f, "behaviour/{}", fault.name()),
            Self::Medium(medium) => write!(f, "medium/{}", medium.name()),
            Self::Batch => f.write_str("batch/text"),
            Self::PowerCut => f.write_str("power/cut"),
        }
    }
}

/// One instruction that is another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// Where.
    pub address: u64,
    /// What was there.
    pub from: u32,
    /// What is there now.
    pub to: u32,
}

/// What is done, in full.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// The guest does it: a number of [`Fault`].
    Stub(Fault),
    /// The instruction at this address is another.
    Text(Change),
    /// The kernel's instruction at this address is another.
    Kernel(Change),
    /// Many instructions are others.
    Batch(Vec<Change>),
    /// The interposer is ordered to lie.
    Medium(Order),
    /// A register is changed before the instruction at this address.
    Register {
        /// Where.
        address: u64,
        /// 0 to 30, 31 the stack pointer, 32 the program counter.
        register: u8,
        /// Bits that are turned round.
        mask: u64,
    },
    /// What the load at this address reads is changed before it.
    Memory {
        /// Where.
        address: u64,
        /// Bits that are turned round.
        mask: u64,
    },
    /// What outlives the component is changed.
    Slot(SlotFault),
    /// The device lies at the access at this address.
    Device {
        /// Where.
        address: u64,
        /// What it does.
        fault: DeviceFault,
    },
    /// What becomes of interrupts at the receive at this address.
    Interrupt {
        /// Where.
        address: u64,
        /// What happens.
        fault: InterruptFault,
    },
    /// The machine is gone.
    PowerCut,
}

impl Action {
    /// The instruction that it is about.
    pub const fn address(&self) -> Option<u64> {
        match self {
            Self::Text(Change { address, .. })
            | Self::Kernel(Change { address, .. })
            | Self::Register { address, .. }
            | Self::Memory { address, .. }
            | Self::Device { address, .. }
            | Self::Interrupt { address, .. } => Some(*address),
            Self::Stub(_) | Self::Batch(_) | Self::Medium(_) | Self::Slot(_) | Self::PowerCut => None,
        }
    }

    /// All instructions that it puts probes over.
    pub fn places(&self) -> Vec<u64> {
        match self {
            Self::Batch(changes) => changes.iter().map(|change| change.address).collect(),
            action => action.address().into_iter().collect(),
        }
    }

    /// Whether it is done while the guest stands at its fault point.
    pub const fn is_from_outside(&self) -> bool {
        !matches!(self, Self::Stub(_) | Self::Medium(_))
    }

    /// For people.
    pub fn describe(&self, image: &TargetImage) -> String {
        let code = |address: u64| image.word(address).map_or_else(String::new, listing);
        match self {
            Self::Stub(fault) => fault.name().to_owned(),
            Self::Batch(changes) => format!("{} instructions became others", changes.len()),
            Self::Medium(order) => describe_order(order),
            Self::Slot(fault) => fault.describe(),
            Self::Text(Change { address, from, to }) | Self::Kernel(Change { address, from, to }) => {
                format!("{address:#x}: `{}` became `{}`", listing(*from), listing(*to))
            }
            Self::Register { address, register, mask } => {
                let name = match register {
                    31 => "sp".to_owned(),
                    32 => "pc".to_owned(),
                    number => format!("x{number}"),
                };
                format!("{address:#x}: {name} ^= {mask:#x} before `{}`", code(*address))
            }
            Self::Memory { address, mask } => {
                format!("{address:#x}: memory ^= {mask:#x} before `{}`", code(*address))
            }
            Self::Device { address, fault } => format!("{address:#x}: {fault:?} at `{}`", code(*address)),
            Self::Interrupt { address, fault } => {
                format!("{address:#x}: {} at `{}`", fault.name(), code(*address))
            }
            Self::PowerCut => "power cut".to_owned(),
        }
    }
}

/// An order, for people.
fn describe_order(order: &Order) -> String {
    let lie = Lie::from_code(order.lie).map_or_else(|| "?".to_owned(), |lie| format!("{lie:?}"));
    let Order { skip, every, count, argument, .. } = order;
    format!("{lie}, argument {argument:#x}, of {count} requests, every {every}, behind {skip}")
}

/// Draws a fault of this model that takes place at `at` nanoseconds or later, for a target whose executed instructions are known;
/// `None`: the target has no place for it.
pub fn draw(
    model: Model,
    image: &TargetImage,
    profile: &Profile,
    at: u64,
    dice: &mut Dice,
) -> Option<Action> {
    if image.is_kernel != matches!(model, Model::Kernel(_)) {
        return None;
    }
    match model {
        Model::Kernel(mutation) => kernel::draw(mutation, image, dice).map(Action::Kernel),
        Model::Behaviour(fault) => Some(Action::Stub(fault)),
        Model::PowerCut => Some(Action::PowerCut),
        Model::Medium(medium) => Some(Action::Medium(medium.draw(image.slot, at, dice))),
        Model::Batch => batch::draw(image, profile, dice).map(Action::Batch),
        Model::Text(mutation) => {
            let places: Vec<_> = profile.executed().collect();
            // Not every instruction can have every mistake: others are tried, the first one drawn first.
            let first = dice.below(places.len().max(1) as u64) as usize;
            places.iter().cycle().skip(first).take(places.len()).find_map(|&address| {
                let from = image.word(address)?;
                let to = mutation.apply(from, dice)?;
                Some(Action::Text(Change { address, from, to }))
            })
        }
        Model::RegisterFlip | Model::RegisterWild => {
            let places: Vec<_> = profile.executed().filter(|&at| has_registers(image, at)).collect();
            let address = pick(&places, dice)?;
            let register = pick(&readable(image.word(address)?), dice)?;
            let mask = if model == Model::RegisterFlip { 1 << dice.below(64) } else { dice.word() | 1 };
            Some(Action::Register { address, register, mask })
        }
        Model::MemoryFlip(region) | Model::MemoryWild(region) => {
            let loads =
                profile.accesses(region).filter(|&at| image.word(at).and_then(loaded_bytes).is_some());
            let address = pick(&loads.collect::<Vec<_>>(), dice)?;
            let bits = u64::from(loaded_bytes(image.word(address)?)? * 8);
            let flip = matches!(model, Model::MemoryFlip(_));
            let mask =
                if flip { 1 << dice.below(bits) } else { (dice.word() | 1) & (u64::MAX >> (64 - bits)) };
            Some(Action::Memory { address, mask })
        }
        Model::SlotFlip(part) => image.slot_memory.draw(part, 1 << dice.below(64), dice).map(Action::Slot),
        Model::SlotWild(part) => image.slot_memory.draw(part, dice.word() | 1, dice).map(Action::Slot),
        Model::DeviceRead { lasting } => {
            let loads = profile.accesses(Region::Device).filter(|&at| {
                image
                    .word(at)
                    .is_some_and(|word| loaded_bytes(word).is_some() && device::destination(word).is_some())
            });
            let address = pick(&loads.collect::<Vec<_>>(), dice)?;
            let count = if lasting { FOR_EVER } else { 1 };
            let fault = DeviceFault::ReadWrong { mask: 1 << dice.below(32), count };
            Some(Action::Device { address, fault })
        }
        Model::DeviceWrite => {
            let stores = profile
                .accesses(Region::Device)
                .filter(|&at| image.word(at).is_some_and(|word| loaded_bytes(word).is_none()));
            let address = pick(&stores.collect::<Vec<_>>(), dice)?;
            Some(Action::Device { address, fault: DeviceFault::WriteLost { count: 1 } })
        }
        Model::Interrupt(fault) => {
            let address = pick(&interrupt::places(fault, image, profile.executed()), dice)?;
            Some(Action::Interrupt { address, fault })
        }
    }
}

fn pick<T: Copy>(items: &[T], dice: &mut Dice) -> Option<T> {
    items.get(dice.below(items.len().max(1) as u64) as usize).copied()
}

fn has_registers(image: &TargetImage, address: u64) -> bool {
    image.word(address).is_some_and(|word| !read_registers(word).is_empty())
}

/// Registers of which a wrong value is met by this instruction: those that it reads, and the program counter.
fn readable(word: u32) -> Vec<u8> {
    let mut registers = read_registers(word);
    registers.push(32);
    registers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_a_name_of_its_own_and_is_found_by_it() {
        let all = Model::all();
        for model in &all {
            assert_eq!(Model::named(&model.to_string()).unwrap(), *model);
        }
        assert!(Model::named("text/typo").unwrap_err().to_string().contains("text/condition"));
    }
}
