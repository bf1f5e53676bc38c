//! What a client does next: a function of seed, client and the step's number.

use crate::REGISTERS;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// What is done with a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// It is read.
    Read,
    /// A new value is written.
    Write,
}

impl Kind {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// A step. It takes one operation, or more if the first one is not carried out, or perhaps not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Number of the register.
    pub register: u8,
    /// What is done with it.
    pub kind: Kind,
    /// Pause before it, in parts of the plan's pause: eighths, from half of it to one and a half.
    pub pause_eighths: u64,
}

/// Step `number` of a client.
pub fn step(seed: u64, client: u8, number: u32) -> Step {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(u64::from(number) << 32 | u64::from(client) << 16);
    let register = (generator.next_u32() % REGISTERS as u32) as u8;
    let kind = if generator.next_u32().is_multiple_of(2) { Kind::Write } else { Kind::Read };
    Step { register, kind, pause_eighths: 4 + u64::from(generator.next_u32() % 9) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_reads_and_writes_every_register_at_its_own_pace() {
        for client in 0..3 {
            let steps: Vec<_> = (0..100).map(|number| step(7, client, number)).collect();
            for register in 0..REGISTERS as u8 {
                for kind in [Kind::Read, Kind::Write] {
                    let count =
                        steps.iter().filter(|step| (step.register, step.kind) == (register, kind)).count();
                    assert!(
                        (5..30).contains(&count),
                        "client {client}: {count} times {kind:?} of {register}"
                    );
                }
            }
            assert!(steps.iter().all(|step| (4..=12).contains(&step.pause_eighths)));
            let others: Vec<_> = (0..100).map(|number| step(7, client + 1, number)).collect();
            assert_ne!(steps, others);
        }
    }
}
