//! What an SD card says about itself, decoded: registers CSD, SCR and OCR, and the card status.
//!
//! *Rule.* Pure functions of the bits that the card sent; nothing here talks to anything.
//!
//! # Resources
//! - *SD Specifications, Part 1, Physical Layer Simplified Specification*, version 6.00; section numbers below are from
//!   there. Bit numbers of registers are the specification's.

use crate::Error;

/// Size of a block in bytes, as a power of two.
const BLOCK_SHIFT: u32 = 9;

/// Bits `high` to `low`, both included, of a register.
const fn bits(register: u128, high: u32, low: u32) -> u128 {
    register >> low & ((1 << (high - low + 1)) - 1)
}

/// What the Card-Specific Data register says (section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardSpecificData {
    /// Capacity in blocks of 512 bytes.
    pub blocks: u64,
    /// TMP_WRITE_PROTECT or PERM_WRITE_PROTECT is set.
    pub write_protected: bool,
}

impl CardSpecificData {
    /// Decodes the register.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a structure that is neither version 1 (section 5.3.2) nor version 2 (section 5.3.3),
    /// or a capacity that is not made of blocks of 512 bytes.
    pub fn parse(csd: u128) -> Result<Self, Error> {
        let blocks = match bits(csd, 127, 126) {
            0 => Self::blocks_v1(csd)?,
            1 => (bits(csd, 69, 48) as u64 + 1) << (19 - BLOCK_SHIFT),
            _ => return Err(Error::Unsupported),
        };
        Ok(Self { blocks, write_protected: bits(csd, 13, 12) != 0 })
    }

    /// Capacity = (C_SIZE + 1) × 2^(C_SIZE_MULT + 2) × 2^READ_BL_LEN bytes.
    fn blocks_v1(csd: u128) -> Result<u64, Error> {
        let read_block_shift = bits(csd, 83, 80) as u32;
        let shift = bits(csd, 49, 47) as u32 + 2 + read_block_shift;
        if !(9..=11).contains(&read_block_shift) {
            return Err(Error::Unsupported);
        }
        Ok((bits(csd, 73, 62) as u64 + 1) << (shift - BLOCK_SHIFT))
    }
}

/// What the SD Configuration Register says (section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The card has the four-bit bus.
    pub four_bits: bool,
    /// The card knows CMD23, SET_BLOCK_COUNT.
    pub set_block_count: bool,
}

impl Configuration {
    /// Decodes the register from the two words that the data port delivers; the card sends the highest byte first.
    pub fn parse(words: [u32; 2]) -> Self {
        let scr = u128::from(words[0].swap_bytes()) << 32 | u128::from(words[1].swap_bytes());
        Self { four_bits: bits(scr, 50, 50) == 1, set_block_count: bits(scr, 33, 33) == 1 }
    }
}

/// The Operation Conditions Register (section 5.1), as the response to ACMD41.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationConditions(pub u32);

impl OperationConditions {
    /// 2.7 to 3.6 volts.
    pub const VOLTAGES: u32 = 0x00FF_8000;
    /// In the argument of ACMD41: the host knows high capacity cards.
    pub const HOST_CAPACITY: u32 = 1 << 30;

    /// The card has finished its power-up.
    pub fn is_ready(self) -> bool {
        self.0 & 1 << 31 != 0
    }

    /// The card counts addresses in blocks, not in bytes. Valid when ready.
    pub fn counts_blocks(self) -> bool {
        self.0 & 1 << 30 != 0
    }
}

/// The card status in a response R1 (section 4.10.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u32);

/// CURRENT_STATE of the card status: the states that a driver meets (section 4.10.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Ready for the next transfer.
    Transfer,
    /// Sends data until it is stopped.
    SendingData,
    /// Takes data until it is stopped.
    ReceivingData,
    /// Busy with writing.
    Programming,
    /// Any other: not selected, or not identified.
    Other,
}

impl Status {
    const OUT_OF_RANGE: u32 = 1 << 31;
    const ADDRESS_ERROR: u32 = 1 << 30;
    const WP_VIOLATION: u32 = 1 << 26;
    const READY_FOR_DATA: u32 = 1 << 8;
    /// OUT_OF_RANGE to WP_VIOLATION, LOCK_UNLOCK_FAILED, CARD_ECC_FAILED, CC_ERROR, ERROR, CSD_OVERWRITE,
    /// WP_ERASE_SKIP, AKE_SEQ_ERROR, and CARD_IS_LOCKED, since a locked card gives no data. Without COM_CRC_ERROR and
    /// ILLEGAL_COMMAND, which speak of the command before: that one had no response and was dealt with then.
    const ERRORS: u32 = 0xFF39_8008;

    /// # Errors
    /// What the card complains of, the caller's faults first.
    pub fn check(self) -> Result<Self, Error> {
        let errors = self.0 & Self::ERRORS;
        if errors & (Self::OUT_OF_RANGE | Self::ADDRESS_ERROR) != 0 {
            Err(Error::OutOfRange)
        } else if errors & Self::WP_VIOLATION != 0 {
            Err(Error::WriteProtected)
        } else if errors != 0 {
            Err(Error::Card(errors))
        } else {
            Ok(self)
        }
    }

    /// The card can take the next transfer.
    pub fn is_ready(self) -> bool {
        self.0 & Self::READY_FOR_DATA != 0 && self.state() == State::Transfer
    }

    /// The card's state when it received the command.
    pub fn state(self) -> State {
        match self.0 >> 9 & 0xF {
            4 => State::Transfer,
            5 => State::SendingData,
            6 => State::ReceivingData,
            7 => State::Programming,
            _ => State::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn version_1_capacity(size in 0..1_u64 << 12, multiplier in 0..8_u32, length in 0..16_u32) {
            let csd = u128::from(size) << 62 | u128::from(multiplier) << 47 | u128::from(length) << 80;
            let bytes = (size + 1) << (multiplier + 2) << length;
            let parsed = CardSpecificData::parse(csd);
            if (9..=11).contains(&length) {
                prop_assert_eq!(parsed, Ok(CardSpecificData { blocks: bytes / 512, write_protected: false }));
            } else {
                prop_assert_eq!(parsed, Err(Error::Unsupported));
            }
        }

        #[test]
        fn version_2_capacity(size in 0..1_u64 << 22, protection in 0..4_u128, rest: u128) {
            // Bits that have other meanings make no difference.
            let other = rest & !(3 << 126 | ((1 << 22) - 1) << 48 | 3 << 12);
            let csd = other | 1 << 126 | u128::from(size) << 48 | protection << 12;
            let expected = CardSpecificData { blocks: (size + 1) * 1024, write_protected: protection != 0 };
            prop_assert_eq!(CardSpecificData::parse(csd), Ok(expected));
        }

        #[test]
        fn no_register_makes_the_parsers_panic(csd: u128, words: [u32; 2], status: u32) {
            let _ = CardSpecificData::parse(csd);
            let _ = Configuration::parse(words);
            prop_assert_eq!(Status(status).check().is_err(), status & Status::ERRORS != 0);
        }
    }

    #[test]
    fn structures_of_the_future_are_refused() {
        assert_eq!(CardSpecificData::parse(2 << 126), Err(Error::Unsupported));
        assert_eq!(CardSpecificData::parse(3 << 126), Err(Error::Unsupported));
    }

    #[test]
    fn configuration_bits() {
        // As bytes on the line: 02 35 80 02 ...: SD_BUS_WIDTHS 5, CMD_SUPPORT 2.
        let words = [u32::from_le_bytes([0x02, 0x35, 0x80, 0x02]), 0];
        assert_eq!(Configuration::parse(words), Configuration { four_bits: true, set_block_count: true });
        let words = [u32::from_le_bytes([0x00, 0x21, 0x00, 0x01]), 0];
        assert_eq!(Configuration::parse(words), Configuration { four_bits: false, set_block_count: false });
    }

    #[test]
    fn status_errors_are_told_apart() {
        assert_eq!(Status(0x900).check().map(Status::is_ready), Ok(true));
        assert_eq!(Status(0xE00).check().map(Status::is_ready), Ok(false));
        assert_eq!(Status(1 << 31 | 1 << 19).check(), Err(Error::OutOfRange));
        assert_eq!(Status(1 << 26).check(), Err(Error::WriteProtected));
        assert_eq!(Status(1 << 21).check(), Err(Error::Card(1 << 21)));
        assert_eq!(
            Status(0x0040_0920).check(),
            Ok(Status(0x0040_0920)),
            "an illegal command before is no error now"
        );
    }
}
