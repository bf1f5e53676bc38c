//! Wrong values in registers and memory of the target.
//!
//! *Role.* What a flipped bit in memory, a wild store of somebody else, or a wrong value out of a computation leaves behind.
//!
//! *Rule.* The value is changed when the target is about to execute an instruction that reads it. So the fault is activated
//! whenever it takes place, and values are hit as often as they are read; a value that nobody reads any more is no fault.

use super::carrier::{RegistersOfComponent, Stop};
use super::text::{decode, is_access, is_store};
use abi::layout::{HEAP_BASE, HEAP_END, IMAGE_BASE, IMAGE_END, STACK_LIMIT, STACK_TOP};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use yaxpeax_arm::armv8::a64::{Instruction, Opcode, Operand, ShiftStyle, SizeCode};

/// The number by which instructions mean the stack pointer.
const SP: u16 = 31;

/// What an address belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Region {
    /// The stack.
    Stack,
    /// The heap.
    Heap,
    /// Constants and variables of the image.
    Statics,
    /// Registers of a device.
    Device,
    /// Anything else.
    Other,
}

impl Region {
    /// The region of an address.
    pub fn of(address: u64) -> Self {
        match address {
            STACK_LIMIT..STACK_TOP => Self::Stack,
            IMAGE_BASE..IMAGE_END => Self::Statics,
            HEAP_BASE..HEAP_END => Self::Heap,
            abi::layout::DEVICE_BASE..abi::layout::USER_END => Self::Device,
            _ => Self::Other,
        }
    }

    /// Its name in scenarios and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::Heap => "heap",
            Self::Statics => "statics",
            Self::Device => "device",
            Self::Other => "other",
        }
    }
}

/// The address that a load or store goes to.
pub fn address(instruction: &Instruction, registers: &RegistersOfComponent) -> Option<u64> {
    let base = |register: u16| match register {
        SP => Some(registers.sp),
        number => registers.x.get(usize::from(number)).copied(),
    };
    let index = |register: u16| if register == SP { Some(0) } else { base(register) };
    instruction.operands.iter().find_map(|operand| match *operand {
        Operand::RegPreIndex(register, offset, _) => {
            Some(base(register)?.wrapping_add_signed(i64::from(offset)))
        }
        Operand::RegPostIndex(register, _) | Operand::RegPostIndexReg(register, _) => base(register),
        Operand::RegRegOffset(register, other, _, style, amount) => {
            Some(base(register)?.wrapping_add(extended(index(other)?, style) << amount))
        }
        _ => None,
    })
}

/// An index register as it is added.
fn extended(value: u64, style: ShiftStyle) -> u64 {
    match style {
        ShiftStyle::UXTW => u64::from(value as u32),
        ShiftStyle::SXTW => i64::from((value as u32).cast_signed()).cast_unsigned(),
        _ => value,
    }
}

/// Bytes of one value that a load reads; `None`: this is no load.
pub fn loaded_bytes(word: u32) -> Option<u32> {
    let instruction = decode(word).filter(|instruction| is_access(instruction) && !is_store(instruction))?;
    let name = instruction.opcode.to_string();
    if !name.starts_with("ld") {
        return None;
    }
    let wide = matches!(instruction.operands[0], Operand::Register(SizeCode::X, _));
    Some(match name.trim_start_matches("ld").trim_start_matches(['u', 'a', 'x', 't', 'r', 'p', 's']) {
        "b" => 1,
        "h" => 2,
        "w" => 4,
        _ if wide => 8,
        _ => 4,
    })
}

/// General registers that an instruction reads.
pub fn read_registers(word: u32) -> Vec<u8> {
    let Some(instruction) = decode(word) else { return Vec::new() };
    let stores = is_store(&instruction);
    let first_is_read = reads_first(&instruction);
    let mut read: Vec<u8> = Vec::new();
    for (index, operand) in instruction.operands.iter().enumerate() {
        let registers: Vec<u16> = match *operand {
            Operand::Register(_, register) | Operand::RegisterOrSP(_, register)
                if index > 0 || first_is_read =>
            {
                vec![register]
            }
            Operand::RegShift(_, _, _, register) => vec![register],
            Operand::RegPreIndex(register, ..) | Operand::RegPostIndex(register, _) => vec![register],
            Operand::RegRegOffset(register, other, ..) | Operand::RegPostIndexReg(register, other) => {
                vec![register, other]
            }
            _ => Vec::new(),
        };
        read.extend(registers.into_iter().filter(|&register| register < SP).map(|register| register as u8));
    }
    let is_pair =
        is_access(&instruction) && !stores && matches!(instruction.operands[1], Operand::Register(..));
    if is_pair && let Operand::Register(_, second) = instruction.operands[1] {
        read.retain(|&register| u16::from(register) != second);
    }
    read.sort_unstable();
    read.dedup();
    read
}

/// Whether the first operand is read: what is stored, compared or tested, where a branch goes, what keeps some of its bits.
fn reads_first(instruction: &Instruction) -> bool {
    use Opcode::{
        ADR, ADRP, BFM, CCMN, CCMP, LDR, LDRSW, MOVK, MSR, STLXP, STLXR, STLXRB, STLXRH, STXP, STXR, STXRB,
        STXRH, TBNZ, TBZ,
    };
    match instruction.opcode {
        // Addresses of code; whether an exclusive store was carried out.
        ADR | ADRP | STLXP | STLXR | STLXRB | STLXRH | STXP | STXR | STXRB | STXRH => false,
        BFM | CCMN | CCMP | MOVK | MSR | TBNZ | TBZ => true,
        _ if is_access(instruction) => is_store(instruction),
        // The load of a constant in the code.
        LDR | LDRSW => false,
        // A branch to a register, or one that compares it with zero.
        _ => instruction.operands[1..]
            .iter()
            .all(|operand| matches!(operand, Operand::Nothing | Operand::PCOffset(_))),
    }
}

/// Changes a register that the target is about to read.
pub(super) fn change_register(stop: &mut Stop, register: u8, mask: u64) -> Result<()> {
    let number = usize::from(register);
    let value = match number {
        31 => stop.registers.sp,
        32 => stop.registers.pc,
        _ => stop.registers.x[number],
    };
    stop.set_register(number, value ^ mask)
}

/// Changes the memory that the target is about to read by `word`; `None`: it is not memory this time.
pub(super) fn change_memory(stop: &mut Stop, word: u32, mask: u64) -> Result<Option<String>> {
    let place = decode(word).and_then(|instruction| address(&instruction, &stop.registers));
    let (Some(place), Some(length)) = (place, loaded_bytes(word)) else { return Ok(None) };
    let region = Region::of(place);
    let crosses = place % 0x1000 + u64::from(length) > 0x1000;
    if matches!(region, Region::Device | Region::Other) || crosses {
        return Ok(None);
    }
    let Some(before) = stop.read(place, length as usize)? else { return Ok(None) };
    let after: Vec<u8> = before.iter().zip(mask.to_le_bytes()).map(|(byte, mask)| byte ^ mask).collect();
    stop.write(place, &after)?;
    Ok(Some(format!("{} at {place:#x}: {before:02x?} became {after:02x?}", region.name())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTERS: RegistersOfComponent = RegistersOfComponent { x: [0x1000; 31], sp: 0x20_2000, pc: 0 };

    fn where_to(word: u32) -> Option<u64> {
        address(&decode(word)?, &REGISTERS)
    }

    #[test]
    fn addresses_of_accesses() {
        assert_eq!(where_to(0xF940_0420), Some(0x1008), "ldr x0, [x1, #8]");
        assert_eq!(where_to(0xF84F_8FE0), Some(0x20_20F8), "ldr x0, [sp, #0xf8]!");
        assert_eq!(where_to(0xF840_87E0), Some(0x20_2000), "ldr x0, [sp], #8");
        assert_eq!(where_to(0xF862_7820), Some(0x1000 + 0x8000), "ldr x0, [x1, x2, lsl #3]");
        assert_eq!(where_to(0x8B02_0020), None, "add");
    }

    #[test]
    fn loads_and_their_lengths() {
        let lengths =
            [0xF940_0420, 0xB940_0420, 0x3940_0420, 0x7940_0420, 0xF900_0420, 0xA940_0820, 0x3840_1420];
        let expected = [Some(8), Some(4), Some(1), Some(2), None, Some(8), Some(1)];
        assert_eq!(lengths.map(loaded_bytes), expected);
    }

    #[test]
    fn registers_that_are_read() {
        assert_eq!(read_registers(0x8B02_0020), [1, 2], "add x0, x1, x2");
        assert_eq!(read_registers(0xF940_0420), [1], "ldr x0, [x1, #8]");
        assert_eq!(read_registers(0xF900_0420), [0, 1], "str x0, [x1, #8]");
        assert_eq!(read_registers(0xB400_0040), [0], "cbz x0");
        assert_eq!(read_registers(0xA940_0820), [1], "ldp x0, x2, [x1]");
        assert_eq!(read_registers(0xD503_201F), [0_u8; 0], "nop");
        assert_eq!(read_registers(0x9000_0001), [0_u8; 0], "adrp x1, 0");
        assert_eq!(read_registers(0x1000_0001), [0_u8; 0], "adr x1, 0");
        assert_eq!(read_registers(0x5800_0041), [0_u8; 0], "ldr x1, #8");
        assert_eq!(read_registers(0x3708_0043), [3], "tbnz w3, #1, #8");
        assert_eq!(read_registers(0xF280_0022), [2], "movk x2, #1");
        assert_eq!(read_registers(0xFA42_0020), [1, 2], "ccmp x1, x2, #0, eq");
        assert_eq!(read_registers(0xB340_1C20), [0, 1], "bfxil x0, x1, #0, #8");
        assert_eq!(read_registers(0xC803_7C20), [0, 1], "stxr w3, x0, [x1]");
        assert_eq!(read_registers(0xD61F_0040), [2], "br x2");
    }

    #[test]
    fn regions() {
        assert_eq!(Region::of(STACK_TOP - 8), Region::Stack);
        assert_eq!(Region::of(IMAGE_BASE), Region::Statics);
        assert_eq!(Region::of(HEAP_BASE), Region::Heap);
        assert_eq!(Region::of(abi::layout::DEVICE_BASE), Region::Device);
        assert_eq!(Region::of(0), Region::Other);
    }
}
