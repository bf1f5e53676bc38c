//! The fault stub: how a component fails on request, for real.
//!
//! *Role.* To inject a behaviour fault the kernel redirects the component's program counter here, wherever it was.
//!
//! *Rule.* The stub is entered in the middle of anything: it neither allocates nor logs, and never comes back.

mod byzantine;

use crate::server::{Event, recv, recv_notifications};
use crate::time::Instant;
use crate::{exit, sys};
use abi::layout::STACK_LIMIT;
use abi::plan::Fault;
use abi::record::DeathClass;
use core::hint::black_box;
use core::ptr;

/// Where the wild write goes: in the megabyte below all stacks, which is never mapped.
const WILD: usize = STACK_LIMIT as usize - 0x10_0000;

/// Executes the fault with this number. `Kill` and `Outside` never come here: the kernel or a debugger does them.
#[unsafe(no_mangle)]
extern "C" fn samsara_fault_stub(fault: u64) -> ! {
    match Fault::from_code(fault as u32) {
        Some(Fault::Panic) => panic!("injected panic"),
        Some(Fault::WildWrite) => wild_write(),
        Some(Fault::IllegalInstruction) => sys::undefined_instruction(),
        Some(Fault::Loop) => endless(),
        Some(Fault::Mute) => mute(),
        Some(Fault::Deaf) => deaf(),
        Some(Fault::StackOverflow) => {
            exit(DeathClass::Exit, if descend(0) == 0 { "no" } else { "stack without end" })
        }
        Some(Fault::Leak) => leak(),
        Some(Fault::Flood) => byzantine::flood(),
        Some(Fault::Garbage) => byzantine::garbage(),
        Some(Fault::Plausible) => byzantine::plausible(),
        Some(Fault::Forge) => byzantine::forge(),
        Some(Fault::Accuse) => byzantine::accuse(),
        Some(Fault::Exit | Fault::Kill | Fault::Outside) | None => exit(DeathClass::Exit, "injected exit"),
    }
}

fn wild_write() -> ! {
    // SAFETY: 1. No Rust object lies at this address: no page is ever mapped there. 2. The MMU refuses the access and
    //    the kernel ends the component, so nothing is written and nothing follows.
    unsafe { ptr::with_exposed_provenance_mut::<u64>(WILD).write_volatile(0xDEAD_BEEF) };
    exit(DeathClass::Exit, "a wild write was not refused")
}

fn endless() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Answers heartbeats, by receiving, and never a request.
fn mute() -> ! {
    loop {
        match recv(Instant::NEVER) {
            Event::Request(_unanswered) => {}
            Event::Notification(_) | Event::Timeout => {}
        }
    }
}

/// Answers heartbeats, and takes no request.
fn deaf() -> ! {
    loop {
        let _heartbeat = recv_notifications(Instant::NEVER);
    }
}

/// Uses 256 bytes of stack and more at each level; the guard page ends it.
#[inline(never)]
#[expect(unconditional_recursion, reason = "that is the fault")]
fn descend(depth: u64) -> u64 {
    let mut frame = [depth; 32];
    black_box(&mut frame);
    descend(depth + 1).wrapping_add(black_box(&frame)[(depth % 32) as usize])
}

/// Takes memory by pages, as a leak does in the end, until there is no more.
fn leak() -> ! {
    while sys::map(1).is_ok() {}
    exit(DeathClass::QuotaExceeded, "leaked all its memory")
}
