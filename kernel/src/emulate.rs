//! Reads of identification registers by components.
//!
//! ARMv8.0 leaves `mrs` of an ID register undefined at EL0, and libraries execute it all the same to find out about CRC
//! instructions, since Linux answers it. So does this kernel, for what all boards have; everything else reads as absent.
//!
//! # Resources
//! DDI 0487, C5.1.2 (encoding of MRS), D24.2.86 (ID_AA64ISAR0_EL1).

use crate::Kernel;
use abi::SlotId;

/// `mrs Xt, S3_0_C0_Cm_op2`, with `Cm`, `op2` and `Xt` left out.
const MRS_ID: u32 = 0xD538_0000;
const MRS_ID_MASK: u32 = 0xFFFF_F000;
/// `Cm` and `op2` of ID_AA64ISAR0_EL1.
const ISAR0: u32 = 0b011_0000;
/// CRC32 instructions are implemented: true of the Cortex-A53 and A72.
const ISAR0_CRC32: u64 = 1 << 16;

impl Kernel {
    /// Executes the instruction at which `slot` stopped, if it reads an ID register.
    pub fn emulate_id_read(&mut self, slot: SlotId) -> bool {
        let pc = self.shell.frames.get(slot).pc;
        // The word of memory that the instruction is one half of. With a misaligned counter there is none.
        let Some(word) = self.shell.read_user_word(slot, pc & !4) else { return false };
        let instruction = (word >> (pc % 8 * 8)) as u32;
        let register = instruction >> 5 & 0x7F;
        if instruction & MRS_ID_MASK != MRS_ID || register < 0b010_0000 {
            return false;
        }
        let frame = self.shell.frames.get_mut(slot);
        if let Some(target) = frame.x.get_mut((instruction & 0x1F) as usize) {
            *target = if register == ISAR0 { ISAR0_CRC32 } else { 0 };
        }
        frame.pc += 4;
        true
    }
}
