//! Interrupts that do not come, come twice, or do not go away.
//!
//! *Role.* What an interrupt line or its controller does, as a driver sees it: done at a receive of the driver, in what the kernel has said
//! there, or in its place ([`abi::syscall::received`]). Device, controller and kernel go on as ever: of an interrupt that is lost the line
//! stays masked, since nobody acknowledges it, and the receive may end with nothing in it.
//!
//! *Rule.* A fault is about one receive of the driver, by the address of its `svc`, and takes effect there once; a stuck line until the
//! driver is replaced.

use super::TargetImage;
use abi::message::bits::IRQ_FIRST;
use abi::rights::SlotRights;
use abi::syscall::{Call, received};

/// What becomes of interrupts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum InterruptFault {
    /// The next one is not seen.
    Lost,
    /// The last one comes again: a receive ends at once with an interrupt that the device has not raised.
    Doubled,
    /// The line is raised for ever: each receive ends at once with an interrupt.
    Stuck,
}

impl InterruptFault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lost, Self::Doubled, Self::Stuck];

    /// Its name in a model's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "irq-lost",
            Self::Doubled => "irq-doubled",
            Self::Stuck => "irq-stuck",
        }
    }

    /// Whether a fault of this kind can be at an instruction. A receive that the kernel never sees must be one that answers nobody: an
    /// answer that does not arrive would be another fault.
    pub fn fits(self, word: u32) -> bool {
        word == svc(Call::Recv) || self == Self::Lost && word == svc(Call::ReplyRecv)
    }

    /// Whether it goes on after it has taken effect.
    pub(super) const fn is_lasting(self) -> bool {
        matches!(self, Self::Stuck)
    }

    /// What a receive returns that the kernel never sees; `lines` are the bits of the target's interrupts. `None`: the kernel sees it.
    pub(super) const fn without_kernel(self, lines: u64) -> Option<[u64; 2]> {
        match self {
            Self::Doubled | Self::Stuck => Some([received::NOTIFICATION, lines]),
            Self::Lost => None,
        }
    }
}

/// A receive has returned this in `x0` and `x1`: what it returns instead if an interrupt is lost, and `None` if it was none.
pub(super) const fn without_interrupt([kind, value]: [u64; 2], lines: u64) -> Option<[u64; 2]> {
    if kind == received::NOTIFICATION && value & lines != 0 { Some([kind, value & !lines]) } else { None }
}

/// The instruction of a system call.
const fn svc(call: Call) -> u32 {
    0xD400_0001 | (call as u32) << 5
}

/// Notification bits of a component's interrupt lines.
pub(super) fn lines(rights: &SlotRights) -> u64 {
    let used = |(line, right): (u32, &abi::rights::IrqRight)| u64::from(right.used) << (IRQ_FIRST + line);
    (0..).zip(&rights.irqs).map(used).sum()
}

/// Those of the executed instructions at which the target can be told of interrupts.
pub(super) fn places(
    fault: InterruptFault,
    image: &TargetImage,
    executed: impl Iterator<Item = u64>,
) -> Vec<u64> {
    let fits = |at: &u64| image.word(*at).is_some_and(|word| fault.fits(word));
    executed.filter(fits).filter(|_| image.interrupts != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::message::bits::HEARTBEAT;

    const LINES: u64 = 1 << IRQ_FIRST;

    #[test]
    fn a_lost_interrupt_is_the_only_thing_that_is_lost() {
        let returned = |kind, value| without_interrupt([kind, value], LINES);
        let both = returned(received::NOTIFICATION, LINES | HEARTBEAT);
        assert_eq!(both, Some([received::NOTIFICATION, HEARTBEAT]));
        assert_eq!(returned(received::NOTIFICATION, HEARTBEAT), None);
        // The number of a call looks like anything.
        assert_eq!(returned(received::REQUEST, LINES), None);
        assert_eq!(returned(received::TIMEOUT, LINES), None);
    }

    #[test]
    fn an_interrupt_that_nobody_raised_comes_where_nobody_is_answered() {
        let [recv, reply_recv, call] = [Call::Recv, Call::ReplyRecv, Call::Call].map(svc);
        assert_eq!(recv, 0xD400_0061, "svc #3");
        for fault in InterruptFault::ALL {
            let is_lost = fault == InterruptFault::Lost;
            assert_eq!([recv, reply_recv, call].map(|word| fault.fits(word)), [true, is_lost, false]);
            assert_eq!(fault.without_kernel(LINES).is_some(), !is_lost);
        }
    }
}
