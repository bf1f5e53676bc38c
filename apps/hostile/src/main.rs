//! The hostile component: one program that wrongs others in one way at a time, and its honest victims.
//!
//! *Role.* For the tests `unbreakable`, each of which is a promise that no component can break. The manifest's parameter
//! `role` says which part a slot plays; the numbers of the plan say how much.
//!
//! *Rule.* It judges nothing: what it was answered goes on the evidence line as it came, as 64-bit words, and the host
//! compares.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod abuse;
mod borders;
mod clients;
#[allow(unsafe_code, reason = "accesses and registers that no correct program has")]
mod raw;
mod registers;
mod servers;
mod torment;

use raw::Registers;
use userlib::{Instant, Start, binding, log, plan, sleep_until};

/// Most words of one event.
const WORDS_MAX: usize = 8;

/// Bytes whose copies take the same time wherever the compiler puts them.
#[repr(align(64))]
struct Aligned<const N: usize>([u8; N]);

/// `registers`: as they were at the first instruction.
fn main(start: Start, registers: &Registers) -> ! {
    let role = binding!(parameter "role");
    match role {
        1 => servers::gather(),
        2 => clients::one_of_many(start),
        3 => servers::late(),
        4 => clients::hasty(),
        5 => clients::mortal(start),
        6 => torment::run(),
        7 => clients::patient(),
        8 => clients::measured(),
        9 => clients::flood(),
        10 => abuse::misbehave(binding!(parameter ?"kind").expect("a manifest says how it misbehaves")),
        11 => abuse::deaf_driver(),
        12 => borders::wild_access(start.incarnation),
        13 => registers::keep_secrets(start, registers),
        14 => registers::seek_secrets(start),
        15 => servers::slow_copy(),
        16 => clients::generous(),
        17 => abuse::work(),
        18 => borders::checked_registers(start.incarnation),
        19 => registers::peek(start.incarnation),
        20 => clients::steady(),
        21 => servers::doze(),
        role => panic!("there is no role {role}"),
    }
}

/// Number `index` of the plan; without a plan the component sleeps for ever.
fn number(index: usize) -> u64 {
    match plan::plan() {
        Some((header, _)) => header.parameters[index],
        None => idle(),
    }
}

/// Puts words on the evidence line.
fn say(words: &[u64]) {
    let mut bytes = [0; 8 * WORDS_MAX];
    for (to, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    assert!(log::event(&bytes[..8 * words.len()]), "the evidence line refused an event");
}

/// Sleeps for so many microseconds.
fn pause(microseconds: u64) {
    sleep_until(Instant::now().plus_ns(microseconds * 1000));
}

/// Receives and does nothing, for ever.
fn idle() -> ! {
    loop {
        sleep_until(Instant::NEVER);
    }
}

/// What a server answers to `value`, so that an answer to one request is not one to another.
fn answer_to(value: u64) -> u64 {
    value.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17)
}
