//! A trial as a story: what came over the evidence line, and when the fault took effect.

use abi::layout::USER_END;
use test_harness::campaign::Account;
use test_harness::evidence::log::LogPrinter;
use test_harness::evidence::symbols::Images;
use test_harness::evidence::{Clock, Item};
use test_harness::system::System;

/// Prints it.
pub fn print(system: &System, account: &Account) {
    let mut images = Images::of(system);
    let mut faults: Vec<_> = account
        .faults
        .iter()
        .filter_map(|fault| {
            let place = fault.place.and_then(|(slot, at)| {
                let image =
                    if at < USER_END { images.of_slot(system, slot) } else { images.of_kernel(system) };
                Some(image?.functions(at, false))
            });
            Some((fault.activated?, format!("{}: {}", fault.title, fault.text), place.unwrap_or_default()))
        })
        .collect();
    faults.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    let mut printer = LogPrinter::new(images);
    let mut clock = Clock { frequency: 0 };
    for item in &account.items {
        if let Item::Frame(frame) = item {
            let frame = frame.view();
            if let abi::trace::Event::Boot { frequency, .. } = frame.event {
                clock = Clock { frequency };
            }
            let now = clock.nanoseconds(frame.time);
            while let Some(fault) = faults.pop_if(|(at, ..)| now > *at) {
                announce(&fault);
            }
        }
        printer.lines(item).iter().for_each(|line| println!("{line}"));
    }
    faults.iter().rev().for_each(announce);
}

/// A fault: when, what, where.
fn announce((at, text, functions): &(u64, String, Vec<String>)) {
    println!("[{:>12.6}] FAULT {text}", *at as f64 / 1e9);
    functions.iter().for_each(|function| println!("    in {function}"));
}
