//! *Unbreakable*: what no component can do to the others, line by line. The tests' names begin with the line's number.
//!
//! The components are those of `apps/hostile`; the judgement rests on the kernel's records, and on what the victims were
//! answered, compared with what the host knows to be right.

mod borders;
mod calls;
mod others;
mod restarts;
mod syscalls;

use crate::common::{Board, Setup, system};
use abi::plan::{PARAMETERS, PlanHeader};
use abi::record::DeathClass;
use abi::trace::Event;
use zerocopy::IntoBytes;

/// Boots `system/test-unbreakable-<name>.toml` with these numbers in its plan.
fn boot(name: &str, numbers: [u64; 4]) -> Board {
    let mut parameters = [0; PARAMETERS];
    parameters[..numbers.len()].copy_from_slice(&numbers);
    let header = PlanHeader { magic: 0, crc: 0, count: 0, seed: 1, end: 0, parameters };
    let plan = injector_core::plan::sealed(header, &[]).as_bytes().to_vec();
    Board::boot(&system(&format!("test-unbreakable-{name}")), &Setup { plan: Some(plan), ..Setup::default() })
}

/// The words of each event of a component.
fn words(board: &Board, component: &str) -> Vec<Vec<u64>> {
    let wanted = board.slot(component);
    let words = board.all().filter_map(|(_, event)| match event {
        Event::Application { slot, data, .. } if slot == wanted => Some(words_of(data)),
        _ => None,
    });
    words.collect()
}

/// The words of one event.
fn words_of(data: &[u8]) -> Vec<u64> {
    data.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

/// Waits until a component has put so many events on the evidence line.
fn until_words(board: &mut Board, component: &str, count: usize) -> Vec<Vec<u64>> {
    let wanted = board.slot(component);
    let (mut judged, mut found) = (0, 0);
    board.until(&format!("{count} events of {component}"), |board| {
        let of = |event: &Event| matches!(*event, Event::Application { slot, .. } if slot == wanted);
        found += board.since(judged).filter(|(_, event)| of(event)).count();
        judged = board.events.len();
        found >= count
    });
    words(board, component)
}

/// One death as the kernel recorded it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Death {
    time: u64,
    class: DeathClass,
    esr: u64,
    far: u64,
    in_service: u8,
}

/// The deaths of a component.
fn deaths(board: &Board, component: &str) -> Vec<Death> {
    let wanted = board.slot(component);
    let deaths = board.all().filter_map(|(time, event)| match event {
        Event::Died { slot, class, esr, far, in_service, .. } if slot == wanted => {
            Some(Death { time, class, esr, far, in_service })
        }
        _ => None,
    });
    deaths.collect()
}

/// What `apps/hostile` answers to a value.
fn answer_to(value: u64) -> u64 {
    value.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17)
}
