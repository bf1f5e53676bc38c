//! Random combinations: any call, any registers. Any status is right, as long as there is one and the system goes on.

use crate::cases::{BYSTANDER, PREY};
use crate::raw::{IMMEDIATES, Memory, Registers};
use abi::layout::{ARENA_BASE, DEVICE_BASE, IMAGE_BASE, PLAN_BASE, STACK_TOP, USER_END};
use abi::message::GRANT_WRITABLE;
use abi::syscall::{Call, RECV_NOTIFICATIONS, log, received, reset, trigger};
use userlib::{Status, sys};

/// Labels of `echo` that make the fixture fail or keep others waiting, because that is what they are for.
const HARMFUL_LABELS: [u64; 5] = [3, 5, 6, 7, 9];
/// A label of `echo` that copies from grant 0 to grant 1.
const ECHO_COPY: u64 = 4;
/// A label of `echo` that does neither.
const HARMLESS_LABEL: u64 = 1;

/// What came of the combinations.
#[derive(Default)]
pub struct Counts {
    /// All that were made.
    pub all: u32,
    /// Those that were carried out.
    pub done: u32,
    /// Those that were refused or came to nothing.
    pub refused: u32,
}

/// SplitMix64 (Steele, Lea, Flood: *Fast splittable pseudorandom number generators*, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A value of a kind that means something to some call, or to none.
    fn value(&mut self, memory: &Memory) -> u64 {
        let edges = [
            0,
            IMAGE_BASE,
            memory.constant,
            STACK_TOP,
            memory.end,
            ARENA_BASE,
            PLAN_BASE,
            DEVICE_BASE,
            USER_END,
        ];
        match self.below(8) {
            0 => edges[self.below(9) as usize].wrapping_add(self.below(17)).wrapping_sub(8),
            1 => (1_u64 << self.below(64)).wrapping_add(self.below(3)).wrapping_sub(1),
            2 => self.below(40),
            3 => self.next(),
            4 => self.below(8) << 56 | self.below(2000),
            5 => memory.scratch + self.below(memory.end - memory.scratch),
            6 => 0xFFFF_FF80_0000_0000 | self.below(1 << 30),
            _ => self.below(5000),
        }
    }

    /// Registers for a call: half of the time all random, else right ones of which up to three are not.
    fn registers(&mut self, immediate: u16, memory: &Memory) -> Registers {
        let wild = self.below(2) == 0;
        let mut registers = [0; 15];
        match Call::from_immediate(immediate) {
            Some(call) if !wild => self.plausible(call, memory, &mut registers),
            _ => registers.fill_with(|| self.value(memory)),
        }
        for _ in 0..self.below(4) {
            registers[self.below(15) as usize] = self.value(memory);
        }
        for register in &mut registers {
            *register = if memory.is_harmless(*register) { *register } else { 0 };
        }
        registers
    }

    /// Arguments that a correct program could have.
    fn plausible(&mut self, call: Call, memory: &Memory, registers: &mut Registers) {
        let (scratch, slot, length) = (memory.scratch, self.below(6), self.below(128));
        let arguments: [u64; 5] = match call {
            Call::Call => {
                registers[11..].copy_from_slice(&[scratch, length, scratch + 1024, length | GRANT_WRITABLE]);
                [0, 0, ECHO_COPY, length, 0]
            }
            Call::ReplyRecv | Call::Recv => [0, self.below(2), 0, 0, 0],
            Call::Reply => [0, slot << 56 | length, 0, 0, 0],
            Call::Notify | Call::IrqAck => [slot, 1, 0, 0, 0],
            Call::Copy => [slot << 56 | length, 0, 0, scratch, length],
            Call::Map => [1, 0, 0, 0, 0],
            Call::Reg => [0, self.below(4), 4 * self.below(8), scratch, length],
            Call::Checkpoint => [self.below(2), scratch + length, length, 0, 0],
            Call::Log => [log::TEXT, scratch, length / 8, 0, 0],
            Call::Start | Call::Exit | Call::Reset => [slot, 0, 0, 0, 0],
            Call::Kill => [slot, 1 + self.below(14), 0, 0, 0],
            Call::Inspect => [self.below(6), slot, scratch, 16 * length, 0],
            Call::SlotCtl => [slot, self.below(7), 0, 0, 0],
            Call::Inject => [PREY, 1 + self.below(9), self.below(trigger::ALARM + 1), self.below(4), 0],
        };
        registers[..5].copy_from_slice(&arguments);
    }
}

/// Makes `count` calls. `controls`: with the rights of a supervisor.
pub fn run(memory: &Memory, seed: u64, count: u32, controls: bool) -> Counts {
    let mut random = Random(seed);
    let mut counts = Counts::default();
    while counts.all < count {
        let immediate = IMMEDIATES[random.below(IMMEDIATES.len() as u64) as usize];
        // Half of the calls are those that exist.
        let immediate = if random.below(2) == 0 { 1 + random.below(18) as u16 } else { immediate };
        let mut registers = random.registers(immediate, memory);
        if !tame(immediate, &mut registers, &mut random, controls) {
            continue;
        }
        let status = memory.attempt(immediate, &registers)[0];
        let is_receive = [Call::Recv as u16, Call::ReplyRecv as u16].contains(&immediate);
        let known = if is_receive { status <= received::TIMEOUT } else { is_status(status) };
        assert!(known, "call {immediate} with {registers:x?}: {status:#x} is no answer");
        counts.all += 1;
        counts.done += u32::from(status == 0);
        counts.refused += u32::from(status != 0);
        if counts.all % 16 == 0 {
            memory.check();
            sys::recv(0, RECV_NOTIFICATIONS);
        }
    }
    memory.check();
    counts
}

fn is_status(code: u64) -> bool {
    code == Status::Ok as u64 || Status::from_code(code).is_some()
}

/// Takes out what would end the run although the kernel does what it should; `false`: the whole call.
fn tame(immediate: u16, registers: &mut Registers, random: &mut Random, controls: bool) -> bool {
    let soon = sys::counter() + random.below(2000);
    match Call::from_immediate(immediate) {
        Some(Call::Exit) => return false,
        Some(Call::Call) => {
            registers[1] = soon;
            registers[0] = if random.below(2) == 0 { 0 } else { registers[0] };
            registers[2] = if random.below(2) == 0 { random.below(70) } else { registers[2] };
            if HARMFUL_LABELS.contains(&registers[2]) {
                registers[2] = HARMLESS_LABEL;
            }
        }
        Some(Call::Recv | Call::ReplyRecv) => registers[0] = soon,
        // Only the report is an event.
        Some(Call::Log) if registers[0] == log::EVENT => registers[0] = log::TEXT,
        Some(Call::Start | Call::Kill | Call::SlotCtl) if controls => {
            let slot = random.below(4);
            registers[0] = if slot == BYSTANDER { BYSTANDER + 1 } else { slot };
        }
        Some(Call::Inject) if controls && (registers[0] < PREY || registers[0] == BYSTANDER) => {
            registers[0] = PREY;
        }
        Some(Call::Reset) if [reset::RESET, reset::POWER_OFF].contains(&registers[0]) => {
            registers[0] = reset::PET;
        }
        _ => {}
    }
    true
}
