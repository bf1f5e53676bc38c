//! Registers full of secrets in one component, and another one that looks for them.

use crate::raw::{self, Registers};
use crate::{number, say};
use abi::Status;
use userlib::{DeathClass, Instant, Start};

/// Upper half of every secret; `number` is in the lower half.
const SECRET: u64 = 0x5EC2_E75E_0000_0000;
/// What the seeker fills its own registers with.
const OWN: u64 = 0x0000_0BED_0000_0000;
/// Begins the address of everything of the kernel's.
const KERNEL: u64 = 0xFFFF_FF80_0000_0000;
/// Index of TPIDR_EL0 and NZCV.
const TPIDR: usize = 31;
const NZCV: usize = 32;

fn filled(mark: u64, nzcv: u64) -> Registers {
    let mut registers: Registers = core::array::from_fn(|index| mark | index as u64);
    registers[NZCV] = nzcv;
    registers
}

/// Says which registers of a new incarnation are not zero. Fills every register with secrets and sleeps for 50 us, runs for a while, calls what does not exist; dies of it now
/// and then.
pub fn keep_secrets(start: Start, found: &Registers) -> ! {
    number(0);
    // x0 to x2 are the kernel's to give, x29 and x30 userlib's to set.
    let left = (3..29).chain([TPIDR]).fold(0, |mask, index| mask | u64::from(found[index] != 0) << index);
    say(&[start.incarnation.into(), left]);
    for round in 1_u64.. {
        let mut registers = filled(SECRET, 0xF000_0000);
        match round {
            400 => raw::die(&mut registers),
            _ if round % 3 == 0 => raw::null(&mut registers),
            _ if round % 3 == 1 => raw::spin(&mut registers),
            _ => {
                registers[0] = Instant::now().plus_ns(50_000).ticks();
                registers[1] = 0;
                raw::recv(&mut registers);
            }
        }
    }
    unreachable!("it dies before")
}

/// Which registers of `after` are neither as in `before` nor among the `outputs`, and which hold a secret or an address
/// of the kernel, as masks.
fn compare(before: &Registers, after: &Registers, outputs: u64) -> [u64; 2] {
    let (mut changed, mut foreign) = (0, 0);
    for (index, (old, new)) in before.iter().zip(after).enumerate() {
        let output = outputs & 1 << index != 0;
        changed |= u64::from(old != new && !output) << index;
        let is_foreign = new & 0xFFFF_FFFF_0000_0000 == SECRET || new & KERNEL == KERNEL;
        foreign |= u64::from(is_foreign && old != new) << index;
    }
    [changed, foreign]
}

/// Makes calls and runs with known registers as often as the plan says, and says which ones came back changed.
pub fn seek_secrets(start: Start) -> ! {
    let (mut changed, mut foreign, mut preempted) = (0, 0, 0);
    let mut note = |before: &Registers, after: &Registers, outputs: u64| {
        let [one, other] = compare(before, after, outputs);
        changed |= one;
        foreign |= other;
    };
    for round in 0..number(0) {
        let mut registers = filled(OWN, (round & 0xF) << 28);
        let begin = userlib::sys::counter();
        let before = registers;
        raw::spin(&mut registers);
        // 2,000 instructions are 125 ticks; whoever needs twice as many has been interrupted.
        preempted += u64::from(userlib::sys::counter() - begin > 250);
        note(&before, &registers, 0);
        raw::null(&mut registers);
        assert!(registers[0] == Status::NoSuchCall as u64, "a call that does not exist: {:#x}", registers[0]);
        note(&before, &registers, 1);
        if round % 8 == 0 {
            let mut registers = filled(OWN, 0x6000_0000);
            (registers[0], registers[1]) = (Instant::now().plus_ns(30_000).ticks(), 1);
            let before = registers;
            raw::recv(&mut registers);
            // A kind, and the bits of a heartbeat.
            note(&before, &registers, 0b11);
            call_and_compare(&mut note);
        }
    }
    say(&[changed, foreign, preempted, start.incarnation.into(), TPIDR as u64]);
    crate::idle()
}

/// A call that is refused at once, and one that waits for its deadline: nothing but the status changes.
fn call_and_compare(note: &mut impl FnMut(&Registers, &Registers, u64)) {
    for (handle, wait_ns) in [(99, 0), (0, 20_000)] {
        let mut registers = filled(OWN, 0x9000_0000);
        registers[0] = handle;
        registers[1] = Instant::now().plus_ns(wait_ns).ticks();
        registers[2] = 1;
        (registers[12], registers[14]) = (0, 0);
        let before = registers;
        raw::call(&mut registers);
        let outputs = if registers[0] == 0 { 0x7FF } else { 1 };
        note(&before, &registers, outputs);
    }
}

/// A register that is nobody's in each life: says what was in it, if there comes an answer.
pub fn peek(incarnation: u32) -> ! {
    // The first receive: who dies before it, again and again, ends in quarantine.
    crate::pause(0);
    let register = u64::from(incarnation) - 1;
    if register == raw::PEEKS {
        say(&[]);
        crate::idle();
    }
    say(&[register, raw::peek(register)]);
    userlib::exit(DeathClass::Exit, "it was readable")
}
