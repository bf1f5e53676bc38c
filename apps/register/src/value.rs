//! Values of registers, and their bytes.

use crate::{BYTES, CLIENTS_MAX, REGISTERS};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

/// What a write puts into a register: who wrote it, and by which operation. No two writes have the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Value {
    /// Number of the register that it is for.
    pub register: u8,
    /// Number of the client.
    pub client: u8,
    /// Number of the client's operation.
    pub operation: u32,
}

/// Register, client and operation; all other bytes follow from them and the seed.
const NAME_BYTES: usize = 8;

impl Value {
    /// The bytes of the register.
    pub fn bytes(self, seed: u64) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let (name, rest) = bytes.split_at_mut(NAME_BYTES);
        name[0] = self.register;
        name[1] = self.client;
        name[4..].copy_from_slice(&self.operation.to_le_bytes());
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(self.stream());
        generator.fill_bytes(rest);
        bytes
    }

    /// The value that these bytes are; `None` if they are none, or a mixture.
    pub fn of_bytes(seed: u64, bytes: &[u8]) -> Option<Self> {
        let name: [u8; NAME_BYTES] = bytes.get(..NAME_BYTES)?.try_into().ok()?;
        let operation = u32::from_le_bytes([name[4], name[5], name[6], name[7]]);
        let value = Self { register: name[0], client: name[1], operation };
        let is_known = usize::from(value.register) < REGISTERS && value.client < CLIENTS_MAX;
        (is_known && value.bytes(seed) == bytes).then_some(value)
    }

    /// Odd numbers: even ones are those of [`crate::step`].
    fn stream(self) -> u64 {
        u64::from(self.operation) << 32 | u64::from(self.client) << 16 | u64::from(self.register) << 8 | 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_are_read_back_and_mixtures_are_none(
            seed: u64,
            register in 0..REGISTERS as u8,
            client in 0..CLIENTS_MAX,
            operation: u32,
            other: u32,
            cut in 1..BYTES,
        ) {
            let value = Value { register, client, operation };
            let bytes = value.bytes(seed);
            prop_assert_eq!(Value::of_bytes(seed, &bytes), Some(value));
            prop_assert_eq!(Value::of_bytes(seed, &bytes[..cut]), None);
            let mut mixed = bytes;
            mixed[cut..].copy_from_slice(&Value { operation: other, ..value }.bytes(seed)[cut..]);
            if mixed != bytes {
                prop_assert_eq!(Value::of_bytes(seed, &mixed).filter(|read| *read == value), None);
            }
        }
    }

    #[test]
    fn zeros_and_other_seeds_are_no_value() {
        let bytes = Value { register: 1, client: 2, operation: 3 }.bytes(4);
        assert_eq!(Value::of_bytes(5, &bytes), None);
        assert_eq!(Value::of_bytes(4, &[0; BYTES]), None);
        assert_eq!(Value::of_bytes(4, &[]), None);
    }
}
