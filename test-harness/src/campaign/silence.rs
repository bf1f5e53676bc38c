//! Telling a guest that is slow from one that is dead: by its own clock, not by that of this computer.
//!
//! *Role.* Whoever lives says something within milliseconds of the board's time; how long that takes here depends on what else this
//! computer does. So a guest that has said nothing for a while is asked to stand, its clock is read, and it goes on. One that talks
//! without end is asked now and then: at the end of the scenario the injector would have spoken.
//!
//! *Rule.* Standing and going on changes nothing for the guest: its time is in its instructions.

use crate::target::{Emulator, Gdb, Happening};
use abi::layout::USER_END;
use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Time of this computer after which a silent guest is looked at.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Time of this computer after which one is looked at that talks.
pub const LONG_PATIENCE: Duration = Duration::from_secs(20);

/// Where a board shows that it lives.
#[derive(Clone, Copy, Debug)]
pub struct Vitals {
    /// Physical address of the register that counts microseconds since power-on.
    pub clock_address: u64,
    /// Where the kernel goes back to a component.
    pub resume_point: u64,
    /// What the clock says when the injector has spoken at the latest.
    pub end_us: u32,
}

/// Microseconds of the board for which nobody says anything in a system that is dead. Whatever has become of the others, the injector
/// speaks at the end of the scenario, some hundred milliseconds after the fault and [`injector_core::GRACE`].
const DEAD_US: u32 = 1_000_000;

/// Looks at which the clock stood still, in a row, after which it stands. One may come before the emulator has got to run.
const STANDING: u32 = 3;

/// What a look has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It may still say something.
    Waits,
    /// It will not.
    Mute,
}

/// Why a guest says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mute {
    /// The kernel goes back to components, of which none says anything.
    Components,
    /// The kernel does not.
    Kernel,
}

/// What is known of a guest that says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silence {
    /// The clock at the first look since the last word, and at the last one.
    looks: Option<[u32; 2]>,
    standing: u32,
}

impl Silence {
    /// The guest has said something.
    pub const fn broken(&mut self) {
        *self = Self { looks: None, standing: 0 };
    }

    /// Looks at the guest, which was asked to stand.
    ///
    /// # Errors
    /// The stub fails.
    pub fn look(&mut self, gdb: &mut Gdb, vitals: Vitals) -> Result<Verdict> {
        Ok(self.judge(gdb.read_physical(vitals.clock_address)?, vitals.end_us))
    }

    fn judge(&mut self, now: u32, end: u32) -> Verdict {
        let [first, last] = self.looks.unwrap_or([now, now.wrapping_sub(1)]);
        self.looks = Some([first, now]);
        self.standing = if last == now { self.standing + 1 } else { 0 };
        let is_late = now > end;
        if now.wrapping_sub(first) < DEAD_US && self.standing < STANDING && !is_late {
            return Verdict::Waits;
        }
        Verdict::Mute
    }
}

/// Why the guest, which stands, says nothing. It stands when this returns.
///
/// # Errors
/// The stub or the emulator fails.
pub fn reason(emulator: &mut Emulator, gdb: &mut Gdb, vitals: Vitals) -> Result<Mute> {
    if gdb.registers()?.pc < USER_END {
        return Ok(Mute::Components);
    }
    gdb.set_breakpoint(vitals.resume_point)?;
    gdb.resume()?;
    let is_reached = until_stopped(emulator, gdb, Instant::now() + PATIENCE)? == Some(false);
    if !is_reached {
        gdb.interrupt()?;
        until_stopped(emulator, gdb, Instant::now() + LONG_PATIENCE)?;
    }
    gdb.remove_breakpoint(vitals.resume_point)?;
    Ok(if is_reached { Mute::Components } else { Mute::Kernel })
}

/// Waits until the guest stands; whether it was asked to, and `None` if it does not stand by then.
fn until_stopped(emulator: &mut Emulator, gdb: &mut Gdb, deadline: Instant) -> Result<Option<bool>> {
    loop {
        match emulator.next(deadline) {
            Happening::Stopped(was_asked) => return Ok(Some(was_asked)),
            // It does not say that anybody gets on.
            Happening::Watched(_) => gdb.resume()?,
            Happening::Closed => bail!("the emulator ended while its guest was looked at"),
            Happening::Nothing => return Ok(None),
            _ if Instant::now() > deadline => return Ok(None),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_is_not_mute() {
        let mut silence = Silence::default();
        for now in (100_000..=1_000_000).step_by(100_000) {
            assert_eq!(silence.judge(now, u32::MAX), Verdict::Waits);
        }
        assert_eq!(silence.judge(1_100_000, u32::MAX), Verdict::Mute);
        silence.broken();
        assert_eq!(silence.judge(1_200_000, u32::MAX), Verdict::Waits, "it has said something");
        assert_eq!(silence.judge(2_200_000, u32::MAX), Verdict::Mute);
    }

    #[test]
    fn whoever_talks_for_ever_is_stopped_when_the_scenario_is_over() {
        let mut silence = Silence::default();
        assert_eq!(silence.judge(400_000, 400_000), Verdict::Waits);
        silence.broken();
        assert_eq!(silence.judge(400_001, 400_000), Verdict::Mute);
    }

    #[test]
    fn a_clock_that_stands_is_that_of_a_dead_guest() {
        let mut silence = Silence::default();
        let seen: Vec<_> = [5, 5, 6, 6, 6, 6].iter().map(|now| silence.judge(*now, u32::MAX)).collect();
        assert_eq!(seen[..5], [Verdict::Waits; 5]);
        assert_eq!(seen[5], Verdict::Mute);
    }
}
