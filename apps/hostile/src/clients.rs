//! Clients of `echo`: honest ones who are to notice nothing, and greedy ones.

use crate::{Aligned, idle, number, pause, say};
use protocols::echo::{Reply, Request};
use protocols::progress;
use userlib::{Client, Grant, Instant, NO_GRANTS, SlotId, Start, binding, control, sleep_until, sys};

/// When clients that begin together do, in nanoseconds since power-on.
const BEGIN_NS: u64 = 40_000_000;
/// Between the calls of two clients that begin together.
const STAGGER_NS: u64 = 20_000;
/// Bits of number 1 of the plan: there is a flood, and all calls are for the server that takes its time.
const FLOOD: u64 = 1;
const DOZING: u64 = 2;
/// What a server that answers the wrong call writes to nobody's window.
const UNTOUCHED: u64 = 0x7361_6D73_6172_6121;

fn echo() -> Client {
    binding!(call ?"echo").expect("it calls `echo`")
}

fn progress() -> Client {
    binding!(call ?"progress").expect("it calls `progress`")
}

/// Asks a server that takes its time; whether it answered.
fn query(progress: &Client) -> bool {
    progress.call(&progress::query(), NO_GRANTS).is_ok_and(|reply| progress::count(&reply).is_some())
}

/// Number of the status of a call (0: there was an answer), and the answer's value.
fn ask(echo: &Client, request: Request) -> [u64; 2] {
    match echo.call(&request.encode(), NO_GRANTS) {
        Ok(reply) => [0, Reply::decode(&reply).value],
        Err(error) => [error.0 as u64, 0],
    }
}

/// One call among those of many slots, at its turn; the slot that the plan names asks for a crash.
pub fn one_of_many(start: Start) -> ! {
    let (echo, slot) = (echo(), u64::from(start.slot));
    let request = if number(0) == slot { Request::Crash } else { Request::Echo(slot) };
    sleep_until(Instant::from_ns(BEGIN_NS + slot * STAGGER_NS));
    let [status, value] = ask(&echo, request);
    say(&[status, value, u64::from(start.incarnation)]);
    idle()
}

/// A call that it gives up after a millisecond, another one at once, and again: says what each was answered and what is
/// in the window of the second.
pub fn hasty() -> ! {
    let echo = echo();
    for round in 0..number(3) {
        let mut gone = UNTOUCHED.to_le_bytes();
        let (old, until) = (Request::Echo(2 * round).encode(), Instant::now().plus_ms(1));
        let first = echo.call_until(&old, [Grant::Write(&mut gone), Grant::None], until);
        let first = first.err().map_or(0, |error| error.0 as u64);
        let mut window = UNTOUCHED.to_le_bytes();
        let grants = [Grant::Write(&mut window), Grant::None];
        let (status, value) = match echo.call(&Request::Echo(2 * round + 1).encode(), grants) {
            Ok(reply) => (0, Reply::decode(&reply).value),
            Err(error) => (error.0 as u64, 0),
        };
        say(&[round, first, status, value, u64::from_le_bytes(window)]);
    }
    say(&[]);
    idle()
}

/// One call in each life, and word of its answer. Lives of odd number are ended while the call is in service.
pub fn mortal(start: Start) -> ! {
    let echo = echo();
    if number(2) == 0 {
        idle();
    }
    // The first receive: from here on it counts as ready, and may be killed.
    pause(0);
    let value = u64::from(start.incarnation);
    let mut window = UNTOUCHED.to_le_bytes();
    let grants = [Grant::Write(&mut window), Grant::None];
    let (status, answer) = match echo.call(&Request::Echo(value).encode(), grants) {
        Ok(reply) => (0, Reply::decode(&reply).value),
        Err(error) => (error.0 as u64, 0),
    };
    say(&[value, status, answer, u64::from_le_bytes(window)]);
    idle()
}

/// Asks for 100 ms of work, twice: the answer, or why there is none, and how long it took.
pub fn patient() -> ! {
    let (echo, work) = (echo(), number(3));
    if work == 0 {
        idle();
    }
    sleep_until(Instant::from_ns(BEGIN_NS));
    for _ in 0..2 {
        let begin = Instant::now();
        let [status, value] = ask(&echo, Request::Hold(work));
        say(&[status, value, Instant::now().ns_since(begin)]);
    }
    idle()
}

/// Calls some twice in a millisecond, half as often as the plan has kills, so that some of them find a request; says how many
/// were answered wrongly. It waits for something before and after, as it does in between. The pauses differ, so that they never
/// keep time with the kills.
pub fn steady() -> ! {
    let echo = echo();
    let (kills, work) = (number(0), number(3));
    let calls = if work == 0 { kills / 2 } else { 0 };
    sleep_until(Instant::from_ns(BEGIN_NS + 15_000_000));
    let mut wrong = 0;
    for call in 0..calls {
        pause(450 + call % 101);
        wrong += u64::from(ask(&echo, Request::Hold(20_000)) != [0, 20_000]);
    }
    say(&[calls, wrong]);
    loop {
        pause(3_600_000_000);
    }
}

/// Calls every 300 us; says of each call how many ticks it took, how many ticks too late it began, whether the answer
/// was wrong, and whether RS ran while it waited for the alarm and while it waited for the answer.
pub fn measured() -> ! {
    let (echo, progress) = (echo(), progress());
    let supervisor: SlotId = binding!(slot ?"rs").expect("there is RS");
    let dozing = number(1) & DOZING != 0;
    sleep_until(Instant::from_ns(BEGIN_NS));
    for call in 0.. {
        let before = cpu_of(supervisor);
        let due = Instant::now().plus_ns(1000 * (300 + call % 7));
        sleep_until(due);
        let woken = sys::counter();
        let between = cpu_of(supervisor);
        let begin = sys::counter();
        let right = if dozing { query(&progress) } else { ask(&echo, Request::Echo(call)) == [0, call] };
        let ticks = sys::counter() - begin;
        let ran = [before != between, between != cpu_of(supervisor)].map(u64::from);
        say(&[call, ticks, woken - due.ticks(), u64::from(!right), ran[0], ran[1]]);
    }
    unreachable!("as many calls as numbers")
}

/// CPU time of a component: it has run if that is not what it was.
fn cpu_of(slot: SlotId) -> u64 {
    control::slot_info(slot).expect("the manifest gives the right `inspect`").cpu
}

/// Calls without a pause, half of the time with two windows to copy; without a plan that says so, never. Says how often.
pub fn flood() -> ! {
    let (echo, progress) = (echo(), progress());
    if number(1) & FLOOD == 0 {
        idle();
    }
    let dozing = number(1) & DOZING != 0;
    let (from, mut to) = ([0x5A; 64], [0; 64]);
    sleep_until(Instant::from_ns(BEGIN_NS));
    for count in 1_u64.. {
        if dozing {
            query(&progress);
            query(&progress);
        } else {
            ask(&echo, Request::Echo(count));
            let grants = [Grant::Read(&from), Grant::Write(&mut to)];
            let _answer = echo.call(&Request::Copy(64).encode(), grants);
        }
        if count.is_multiple_of(16) {
            say(&[2 * count]);
        }
    }
    unreachable!("as many calls as numbers")
}

/// Calls with a window of 64 KiB and a deadline of 1 ms, as often as the plan says; says what came of them.
pub fn generous() -> ! {
    static WINDOW: Aligned<65_536> = Aligned([0; 65_536]);
    let echo = echo();
    let (mut whole, mut expired, mut other, mut last) = (0, 0, 0, [0; 2]);
    for _ in 0..number(0) {
        // The server is done with the last call, also with one that expired.
        pause(300);
        let grants = [Grant::Read(&WINDOW.0), Grant::None];
        match echo.call_until(&Request::Copy(4096).encode(), grants, Instant::now().plus_ms(1)) {
            Ok(reply) if Reply::decode(&reply).value == 65_536 => whole += 1,
            Err(error) if error.0 == userlib::Status::UnknownExpired => expired += 1,
            answer => {
                other += 1;
                last =
                    answer.map_or_else(|error| [error.0 as u64, 0], |reply| [0, Reply::decode(&reply).value]);
            }
        }
    }
    say(&[whole, expired, other, last[0], last[1]]);
    idle()
}
