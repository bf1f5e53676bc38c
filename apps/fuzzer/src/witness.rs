//! The witness: calls services beside and of the fuzzer, and is to notice nothing of what that one does.

use crate::cases::WINDOW;
use protocols::echo::{Reply, Request};
use protocols::progress;
use userlib::{Client, Grant, Instant, NO_GRANTS, binding, log, sleep_until};

/// Between two calls.
const PAUSE_NS: u64 = 100_000;

/// Calls of `echo` between two of `progress`, and between two events.
const CALLS: u64 = 50;

/// What memory holds that is nobody's business.
const UNTOUCHED: u8 = 0xA5;

/// Calls for ever; says with an event how many calls were answered. An answer that is not right is a panic.
pub fn run() -> ! {
    let (Some(echo), Some(server)) = (binding!(call ? "echo"), binding!(call ? "progress")) else {
        panic!("the manifest gives `echo` and `progress`")
    };
    for number in 1.. {
        sleep_until(Instant::now().plus_ns(PAUSE_NS));
        let reply = match echo.call(&Request::Echo(number).encode(), NO_GRANTS) {
            Ok(reply) => Reply::decode(&reply),
            Err(error) => panic!("call {number}: {error:?}"),
        };
        let expected = Reply { done: true, value: number, incarnation: 1, attempt: 0 };
        assert!(reply == expected, "call {number}: {reply:?}");
        if number % CALLS == 0 {
            copy(&server, number as u8);
            assert!(log::event(&number.to_le_bytes()), "the witness needs the right `event`");
        }
    }
    unreachable!("as many calls as numbers")
}

/// The server copies from one window to the other, and nowhere else.
fn copy(server: &Client, value: u8) {
    let window = WINDOW as usize;
    let source = [value; WINDOW as usize];
    let mut target = [UNTOUCHED; 3 * WINDOW as usize];
    let grants = [Grant::Read(&source), Grant::Write(&mut target[window..2 * window])];
    let answer = server.call(&progress::query(), grants);
    assert!(answer.is_ok_and(|reply| progress::count(&reply).is_some()), "the server: {answer:?}");
    let (before, rest) = target.split_at(window);
    let (middle, behind) = rest.split_at(window);
    assert!(
        before.iter().chain(behind).all(|byte| *byte == UNTOUCHED),
        "memory that was not granted has changed"
    );
    assert!(middle.iter().all(|byte| *byte == value), "the window does not hold what was copied");
}
