//! The fuzzer: makes every system call with arguments that no correct program has.
//!
//! *Role.* One program in several roles, chosen by the manifest's parameter `role`: one with the rights of an ordinary
//! component, one with those of RS, a server, a witness that calls the same services all the while, a prey that is controlled,
//! and bystanders, whose memory the host compares with that of a run without calls.
//!
//! *Rules.*
//! 1. Named cases have one right answer each; another one is a panic that names the case. Random combinations may have any
//!    answer that is a status.
//! 2. What a correct kernel may carry out must not hurt the fuzzer itself: no argument is an address in memory that it
//!    uses (`raw.rs`), so that a damaged canary convicts the kernel.
//! 3. It ends only by `exit`, several times and on purpose, because that call is one of those to be tested.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod cases;
mod combinations;
#[allow(unsafe_code, reason = "a system call with any registers")]
mod raw;
mod witness;

use protocols::progress;
use userlib::{Event, Instant, Start, binding, log, plan, recv, recv_notifications};

userlib::entry!(main);

const WILD: u64 = 1;
const SUPERVISOR: u64 = 2;
const WITNESS: u64 = 3;
const SERVER: u64 = 4;
const BYSTANDER: u64 = 5;

/// Parameter of the plan that lets the fuzzer and the witness begin: the number of random combinations.
const COMBINATIONS: usize = 3;

/// What is reported at the end of a pass.
struct Report {
    /// `WILD`, `SUPERVISOR` or `SERVER`.
    role: u64,
    cases: u32,
    counts: combinations::Counts,
}

fn main(start: Start) -> ! {
    let role = binding!(parameter ? "role");
    if role == Some(SERVER) {
        serve(&raw::Memory::take());
    }
    if role == Some(BYSTANDER) {
        idle();
    }
    let Some((header, _)) = plan::plan() else { idle() };
    let (seed, combinations) = (header.seed, header.parameters[COMBINATIONS] as u32);
    match role {
        Some(role @ (WILD | SUPERVISOR)) => {
            let memory = raw::Memory::take();
            if role == SUPERVISOR {
                cases::start_bystander(&memory);
            }
            if combinations == 0 {
                idle();
            }
            let cases = if role == WILD {
                rights_of_an_ordinary_component();
                cases::exit_in_odd_ways(&memory, start.incarnation);
                cases::ordinary(&memory, start.slot)
            } else {
                cases::supervisor(&memory)
            };
            let counts = combinations::run(&memory, seed, combinations, role == SUPERVISOR);
            Report { role, cases, counts }.send();
            idle()
        }
        Some(WITNESS) if combinations > 0 => witness::run(),
        _ => idle(),
    }
}

/// Answers the witness's requests, after everything has been done to them that must not be done; reports the first time.
fn serve(memory: &raw::Memory) -> ! {
    let mut is_reported = false;
    loop {
        let Event::Request(request) = recv(Instant::NEVER) else { continue };
        let call = request.id.0;
        let cases = cases::serving(memory, call);
        let answered = request.reply(&progress::answer(cases.into()));
        assert!(answered == Ok(()), "the witness waits for its answer: {answered:?}");
        let cases = cases + cases::served(memory, call);
        if !is_reported {
            Report { role: SERVER, cases, counts: combinations::Counts::default() }.send();
            is_reported = true;
        }
    }
}

/// The cases name handles by number: service 0 and device window 0 are what the manifest must give.
fn rights_of_an_ordinary_component() {
    let (service, window) = (binding!(call ? "echo"), binding!(window ? "system-timer"));
    assert!(service.is_some() && window.is_some(), "the manifest gives `echo` and `system-timer`");
}

impl Report {
    /// An event of five words: role, named cases, random combinations, those that were carried out, those refused.
    fn send(&self) {
        let words = [self.role as u32, self.cases, self.counts.all, self.counts.done, self.counts.refused];
        let mut bytes = [0; 20];
        for (to, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        assert!(log::event(&bytes), "the fuzzer needs the right `event`");
    }
}

/// Receives and does nothing, for ever.
fn idle() -> ! {
    loop {
        recv_notifications(Instant::NEVER);
    }
}
