//! Faults in code: one instruction of the target is replaced by another, as a mistake of a programmer or of memory would.
//!
//! *Role.* The seven classes of software faults that campaigns on operating systems use since Ng and Chen, "The Systematic
//! Improvement of Fault Tolerance in the Rio File Cache" (FTCS 1999), table 2, and Swift, Bershad and Levy, "Improving the
//! Reliability of Commodity Operating Systems" (SOSP 2003), 6.1; on A64 code instead of x86 code.
//!
//! *Rule.* The instruction is decoded before and after, by a disassembler: what a class may change is an operand of the same
//! operation, the operation's condition, or the whole instruction. [`Mutation::FlippedBit`] asks nothing.

use super::Dice;
use yaxpeax_arch::{Decoder, U8Reader};
use yaxpeax_arm::armv8::a64::{InstDecoder, Instruction, Opcode, Operand};

/// `nop`.
const NOP: u32 = 0xD503_201F;

/// Where register numbers stand in an instruction (DDI 0487, C4.1): Rd or Rt, Rn, Rt2 or Ra, Rm.
const REGISTER_FIELDS: [u32; 4] = [0, 5, 10, 16];

/// A class of mistakes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mutation {
    /// An operand is read from another register.
    SourceRegister,
    /// The result goes to another register.
    DestinationRegister,
    /// A load or store goes to another address: another offset or another base.
    Address,
    /// A condition is inverted, or a constant that is compared is one more or less.
    Condition,
    /// The condition that leads backward is inverted.
    LoopCondition,
    /// The instruction is left out.
    Dropped,
    /// One bit of the instruction is wrong.
    FlippedBit,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SourceRegister,
        Self::DestinationRegister,
        Self::Address,
        Self::Condition,
        Self::LoopCondition,
        Self::Dropped,
        Self::FlippedBit,
    ];

    /// Its name in scenarios and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SourceRegister => "source-register",
            Self::DestinationRegister => "destination-register",
            Self::Address => "address",
            Self::Condition => "condition",
            Self::LoopCondition => "loop-condition",
            Self::Dropped => "dropped-instruction",
            Self::FlippedBit => "flipped-bit",
        }
    }

    /// `word` with a mistake of this class; `None` if it can have none.
    pub fn apply(self, word: u32, dice: &mut Dice) -> Option<u32> {
        let choices = self.choices(word);
        let chosen = *choices.get(dice.below(choices.len().max(1) as u64) as usize)?;
        (chosen != word).then_some(chosen)
    }

    /// Every word that a mistake of this class can make of `word`.
    fn choices(self, word: u32) -> Vec<u32> {
        match self {
            Self::FlippedBit => (0..u32::BITS).map(|bit| word ^ 1 << bit).collect(),
            Self::Dropped if decode(word).is_some() && word != NOP => vec![NOP],
            Self::Dropped => Vec::new(),
            Self::SourceRegister => registers(word, |index, before| !is_destination(before, index)),
            Self::DestinationRegister => registers(word, |index, before| is_destination(before, index)),
            Self::Address => addresses(word),
            Self::Condition => [inverted(word).filter(|_| !leads_backward(word)), None]
                .into_iter()
                .flatten()
                .chain(off_by_one(word))
                .collect(),
            Self::LoopCondition => inverted(word).filter(|_| leads_backward(word)).into_iter().collect(),
        }
    }
}

/// The instruction that this word is, if it is one.
pub fn decode(word: u32) -> Option<Instruction> {
    InstDecoder::default().decode(&mut U8Reader::new(&word.to_le_bytes())).ok()
}

/// The instruction as people write it.
pub fn listing(word: u32) -> String {
    decode(word).map_or_else(|| format!(".inst {word:#010x}"), |instruction| instruction.to_string())
}

/// Whether this is a load or a store.
pub fn is_access(instruction: &Instruction) -> bool {
    instruction.operands.iter().any(is_address)
}

/// Whether this stores.
pub fn is_store(instruction: &Instruction) -> bool {
    is_access(instruction) && instruction.opcode.to_string().starts_with("st")
}

fn is_address(operand: &Operand) -> bool {
    matches!(
        operand,
        Operand::RegPreIndex(..)
            | Operand::RegPostIndex(..)
            | Operand::RegRegOffset(..)
            | Operand::RegPostIndexReg(..)
    )
}

fn is_register(operand: &Operand) -> bool {
    matches!(operand, Operand::Register(..) | Operand::RegisterOrSP(..) | Operand::RegShift(..))
}

/// Whether the operand with this index is written. Stores, comparisons that go to the zero register, and branches write none.
fn is_destination(instruction: &Instruction, index: usize) -> bool {
    if is_store(instruction) || is_branch(instruction) {
        return false;
    }
    let is_pair = is_access(instruction) && matches!(instruction.opcode, Opcode::LDP | Opcode::LDPSW);
    index == 0 || is_pair && index == 1
}

fn is_branch(instruction: &Instruction) -> bool {
    use Opcode::{B, BL, BLR, BR, Bcc, CBNZ, CBZ, RET, TBNZ, TBZ};
    matches!(instruction.opcode, B | BL | BLR | BR | Bcc(_) | CBNZ | CBZ | RET | TBNZ | TBZ)
}

/// Words in which one register operand, of those that `is_wanted`, is another register; the rest is the same.
fn registers(word: u32, is_wanted: impl Fn(usize, &Instruction) -> bool) -> Vec<u32> {
    let Some(before) = decode(word) else { return Vec::new() };
    let candidates = REGISTER_FIELDS
        .into_iter()
        .flat_map(|field| (0..31).map(move |register| word & !(31 << field) | register << field));
    let changes = |candidate: &u32| {
        let Some(after) = decode(*candidate) else { return false };
        let changed: Vec<_> =
            (0..4).filter(|&index| before.operands[index] != after.operands[index]).collect();
        let [index] = changed[..] else { return false };
        after.opcode == before.opcode && is_register(&before.operands[index]) && is_wanted(index, &before)
    };
    candidates.filter(changes).collect()
}

/// Words of the same load or store with another address: the bits of base, offset and index register.
fn addresses(word: u32) -> Vec<u32> {
    let Some(before) = decode(word).filter(is_access) else { return Vec::new() };
    let candidates = (5..22).map(|bit| word ^ 1 << bit);
    let changes = |candidate: &u32| {
        let Some(after) = decode(*candidate) else { return false };
        let only_address = before
            .operands
            .iter()
            .zip(&after.operands)
            .all(|(one, two)| one == two || is_address(one) && is_address(two));
        after.opcode == before.opcode && only_address && after.operands != before.operands
    };
    candidates.filter(changes).collect()
}

/// The same with the opposite condition: bit 0 of `b.cond` and of a conditional select, bit 24 of `cbz` and `tbz`
/// (DDI 0487, C4.1.86 and C4.1.95).
fn inverted(word: u32) -> Option<u32> {
    use Opcode::{Bcc, CBNZ, CBZ, CCMN, CCMP, CSEL, CSINC, CSINV, CSNEG, TBNZ, TBZ};
    let candidate = match decode(word)?.opcode {
        Bcc(_) => word ^ 1,
        CBZ | CBNZ | TBZ | TBNZ => word ^ 1 << 24,
        CSEL | CSINC | CSINV | CSNEG | CCMP | CCMN => word ^ 1 << 12,
        _ => return None,
    };
    decode(candidate).map(|_| candidate)
}

/// Comparisons with a constant that is one more, or one less (`subs` and `adds` with 12 bits; DDI 0487, C4.1.87).
fn off_by_one(word: u32) -> Vec<u32> {
    // S = 1, 100010, sh = 0; op is any.
    let is_comparison = word >> 22 & 0xFF == 0b1100_0100;
    let constant = word >> 10 & 0xFFF;
    let with = |constant: u32| word & !(0xFFF << 10) | constant << 10;
    let others = [constant.checked_sub(1), Some(constant + 1).filter(|&more| more <= 0xFFF)];
    others.into_iter().flatten().filter(|_| is_comparison).map(with).collect()
}

/// Whether this is a conditional branch to an earlier instruction.
fn leads_backward(word: u32) -> bool {
    use Opcode::{Bcc, CBNZ, CBZ, TBNZ, TBZ};
    decode(word).is_some_and(|instruction| {
        matches!(instruction.opcode, Bcc(_) | CBZ | CBNZ | TBZ | TBNZ)
            && instruction
                .operands
                .iter()
                .any(|operand| matches!(operand, Operand::PCOffset(offset) if *offset < 0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ADD: u32 = 0x8B02_0020; // add x0, x1, x2
    const LDR: u32 = 0xF940_0420; // ldr x0, [x1, #8]
    const STR: u32 = 0xF900_0420; // str x0, [x1, #8]
    const CMP: u32 = 0xF100_141F; // cmp x0, #5
    const B_NE_BACK: u32 = 0x54FF_FFC1; // b.ne -8
    const B_NE_AHEAD: u32 = 0x5400_0041; // b.ne +8
    const CBZ_AHEAD: u32 = 0xB400_0040; // cbz x0, +8

    fn texts(mutation: Mutation, word: u32) -> Vec<String> {
        mutation.choices(word).into_iter().map(listing).collect()
    }

    #[test]
    fn registers_are_exchanged_on_their_side() {
        let sources = texts(Mutation::SourceRegister, ADD);
        assert!(
            sources.contains(&"add x0, x7, x2".to_owned()) && sources.contains(&"add x0, x1, x7".to_owned())
        );
        assert!(sources.iter().all(|text| text.starts_with("add x0, ")), "{sources:?}");
        let destinations = texts(Mutation::DestinationRegister, ADD);
        assert!(destinations.iter().all(|text| text.ends_with(", x1, x2")), "{destinations:?}");
        assert_eq!(destinations.len(), 30);
        assert!(texts(Mutation::SourceRegister, STR).contains(&"str x9, [x1, #0x8]".to_owned()));
        assert!(texts(Mutation::DestinationRegister, STR).is_empty());
        assert!(texts(Mutation::DestinationRegister, LDR).contains(&"ldr x9, [x1, #0x8]".to_owned()));
    }

    #[test]
    fn addresses_change_by_base_or_offset() {
        let texts = texts(Mutation::Address, LDR);
        assert!(
            texts.contains(&"ldr x0, [x1]".to_owned()) && texts.contains(&"ldr x0, [x0, #0x8]".to_owned())
        );
        assert!(texts.iter().all(|text| text.starts_with("ldr x0, [")), "{texts:?}");
        assert!(Mutation::Address.choices(ADD).is_empty());
    }

    #[test]
    fn conditions_are_inverted_and_comparisons_off_by_one() {
        assert_eq!(Mutation::Condition.choices(B_NE_AHEAD), [B_NE_AHEAD ^ 1]);
        assert_eq!(Mutation::Condition.choices(CBZ_AHEAD), [CBZ_AHEAD | 1 << 24]);
        assert_eq!(Mutation::Condition.choices(CMP).len(), 2);
        assert!(Mutation::Condition.choices(B_NE_BACK).is_empty());
        assert_eq!(Mutation::LoopCondition.choices(B_NE_BACK), [B_NE_BACK ^ 1]);
        assert!(Mutation::LoopCondition.choices(B_NE_AHEAD).is_empty());
        assert!(Mutation::LoopCondition.choices(ADD).is_empty());
    }

    #[test]
    fn an_instruction_is_left_out_once() {
        assert_eq!(Mutation::Dropped.choices(ADD), [NOP]);
        assert!(Mutation::Dropped.choices(NOP).is_empty());
    }

    proptest! {
        #[test]
        fn a_mutation_changes_the_word_and_is_a_function_of_the_dice(word: u32, seed: u64) {
            for mutation in Mutation::ALL {
                let first = mutation.apply(word, &mut Dice::new(seed, 0));
                prop_assert_eq!(first, mutation.apply(word, &mut Dice::new(seed, 0)));
                prop_assert_ne!(first, Some(word));
            }
        }
    }
}
