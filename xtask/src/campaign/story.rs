//! A trial as a story: what came over the evidence line, and when the fault took effect.

use test_harness::campaign::Account;
use test_harness::evidence::log::LogPrinter;
use test_harness::evidence::symbols::Images;
use test_harness::evidence::{Clock, Item};
use test_harness::system::System;

/// Prints it.
pub fn print(system: &System, account: &Account) {
    let mut images = Images::of(system);
    let place = account.place.and_then(|(slot, at)| {
        let image = images.of_slot(system, slot)?;
        Some((at, image.functions(at, false)))
    });
    let mut printer = LogPrinter::new(images);
    let mut fault = account.activated;
    let mut clock = Clock { frequency: 0 };
    for item in &account.items {
        if let Item::Frame(frame) = item {
            let frame = frame.view();
            if let abi::trace::Event::Boot { frequency, .. } = frame.event {
                clock = Clock { frequency };
            }
            if fault.is_some_and(|at| clock.nanoseconds(frame.time) > at) {
                announce(account, fault.take(), place.as_ref());
            }
        }
        printer.lines(item).iter().for_each(|line| println!("{line}"));
    }
    announce(account, fault, place.as_ref());
}

fn announce(account: &Account, at: Option<u64>, place: Option<&(u64, Vec<String>)>) {
    let Some(at) = at else { return };
    let line = &account.line;
    println!("[{:>12.6}] FAULT in {}: {} ({})", at as f64 / 1e9, line.target, line.fault, line.model);
    for function in place.iter().flat_map(|(_, functions)| functions) {
        println!("    in {function}");
    }
}
