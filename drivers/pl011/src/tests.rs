//! The console on fake registers, and its death at every single step.

use super::*;
use crate::fake::{CHARACTER_NS, Machine, Make};
use proptest::prelude::*;
use protocols::console::{READ_MAX, Receipt};

const LINE: Line = Line { clock_hz: 48_000_000, baud: 115_200, loopback: false };
const MAKES: [Make; 2] = [Make::Board, Make::Emulator];

type Driver<'a> = Console<&'a Machine, &'a Machine>;

/// The answer to a write of these bytes.
fn answer_to(bytes: &[u8]) -> Reply {
    Reply::Written(Receipt::of(bytes))
}

fn start(machine: &Machine, incarnation: u32) -> Driver<'_> {
    let saved = machine.checkpoint.borrow().clone();
    Console::start(machine, machine, LINE, incarnation, saved.as_deref())
}

/// A reader as the shell is one: it attaches, reads on from where it was, and is woken by notifications only.
struct Reader {
    position: u64,
    input: Vec<u8>,
    notified: u32,
}

impl Reader {
    fn new(console: &Driver) -> Self {
        let Reply::Attached { position } = console.attach() else { panic!("attach was refused") };
        Self { position, input: Vec::new(), notified: 0 }
    }

    /// Reads until there is nothing left.
    fn read_all(&mut self, console: &mut Driver, room: u32) {
        loop {
            let mut bytes = Vec::new();
            let reply = console.read(self.position, room, |input| {
                bytes.extend_from_slice(input);
                true
            });
            match reply {
                Reply::Input { position, length, .. } => {
                    assert_eq!((position, length as usize), (self.position, bytes.len()));
                    self.position += u64::from(length);
                    self.input.extend(bytes);
                }
                Reply::Again { position } => return assert_eq!(position, self.position),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads if there was a notification since the last time.
    fn read_if_notified(&mut self, console: &mut Driver, machine: &Machine) {
        if self.notified != machine.notifications.get() {
            self.notified = machine.notifications.get();
            self.read_all(console, READ_MAX);
        }
    }
}

/// What the process does while nothing is asked of it: serve interrupts for some milliseconds.
fn idle(console: &mut Driver, machine: &Machine, steps: u32) {
    for _ in 0..steps {
        if machine.interrupt() {
            console.interrupt();
        }
        machine.elapse(200_000);
    }
}

/// Whether `sent` is `acknowledged` followed by a prefix of `flight` of which at most 16 bytes stand twice, at each of
/// at most `deaths` places.
fn is_output(sent: &[u8], whole: &[u8], deaths: usize) -> bool {
    fn matches(sent: &[u8], whole: &[u8], at: usize, deaths: usize) -> bool {
        match (sent.split_first(), whole.get(at)) {
            (None, next) => next.is_none(),
            (Some((byte, rest)), next) => {
                (next == Some(byte) && matches(rest, whole, at + 1, deaths))
                    || (deaths > 0
                        && (at.saturating_sub(REPEAT_MAX)..at)
                            .any(|back| whole[back] == *byte && matches(rest, whole, back + 1, deaths - 1)))
            }
        }
    }
    matches(sent, whole, 0, deaths)
}

/// Bytes that differ from their neighbours at every distance below 251, so that a repetition cannot hide.
fn text(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i % 251) as u8).collect()
}

proptest! {
    #[test]
    fn writes_come_out_once_and_in_order(lengths in prop::collection::vec(1..=256_usize, 1..6)) {
        for make in MAKES {
            let machine = Machine::new(make);
            let mut console = start(&machine, 1);
            let mut expected = Vec::new();
            for (number, &length) in lengths.iter().enumerate() {
                let bytes = text(length);
                prop_assert_eq!(console.write(CallId(number as u64), &bytes), answer_to(&bytes));
                expected.extend(bytes);
            }
            machine.settle();
            prop_assert_eq!(&machine.uart().sent, &expected);
        }
    }

    /// At any phase of the line, with others on the processor at any step, for any time.
    #[test]
    fn no_byte_is_given_up_that_the_transmitter_took(
        writes in prop::collection::vec((1..=256_usize, 0..20 * CHARACTER_NS), 1..4),
        preemptions in prop::collection::vec(
            prop_oneof![9 => Just(0), 3 => 0..2 * CHARACTER_NS, 1 => 0..2 * STALL_LIMIT_NS],
            0..2_000,
        ),
        busy_delay_ns in 0..SETTLED_NS,
    ) {
        for make in MAKES {
            let machine = Machine::new(make);
            let mut console = start(&machine, 1);
            machine.uart().busy_delay_ns = busy_delay_ns;
            *machine.preemptions.borrow_mut() = preemptions.iter().copied().collect();
            let mut expected = Vec::new();
            for (number, &(length, pause_ns)) in writes.iter().enumerate() {
                let bytes = text(length);
                prop_assert_eq!(console.write(CallId(number as u64), &bytes), answer_to(&bytes));
                machine.elapse(pause_ns);
                expected.extend(bytes);
            }
            machine.settle();
            prop_assert_eq!(&machine.uart().sent, &expected);
        }
    }

    #[test]
    fn typed_input_reaches_the_reader_once_and_in_order(
        chunks in prop::collection::vec((1..40_usize, 0..60_u32, 1..=READ_MAX), 1..12),
    ) {
        for make in MAKES {
            let machine = Machine::new(make);
            let mut console = start(&machine, 1);
            let mut reader = Reader::new(&console);
            let mut typed = Vec::new();
            for &(length, pause, room) in &chunks {
                let bytes = text(length);
                machine.type_in(&bytes);
                typed.extend(bytes);
                idle(&mut console, &machine, pause);
                reader.read_all(&mut console, room);
            }
            idle(&mut console, &machine, 500);
            reader.read_if_notified(&mut console, &machine);
            prop_assert_eq!(&reader.input, &typed);
        }
    }

    #[test]
    fn any_mix_survives_any_deaths(
        script in prop::collection::vec((1..=80_usize, 0..30_usize, 1..400_u64), 1..8),
    ) {
        for make in MAKES {
            survive(make, &script)?;
        }
    }

    #[test]
    fn a_checkpoint_of_any_content_does_no_harm(mut saved: Vec<u8>, sensible: bool) {
        if let Some(version) = saved.first_mut().filter(|_| sensible) {
            *version = STATE_VERSION;
        }
        let machine = Machine::new(Make::Emulator);
        let mut console = Console::start(&machine, &machine, LINE, 1, Some(&saved));
        prop_assert_eq!(console.write(CallId(5), b"hello"), answer_to(b"hello"));
        machine.type_in(b"x");
        idle(&mut console, &machine, 50);
        prop_assert_eq!(console.state.input.back(), Some(&b'x'));
    }

    #[test]
    fn every_state_fits_and_is_restored(
        input in prop::collection::vec(any::<u8>(), 0..=INPUT_MAX),
        first in 0..1_u64 << 63,
        given in 0..INPUT_MAX as u64,
    ) {
        let given = first + given.min(input.len() as u64);
        let mut kept = Deque::new();
        kept.extend(input.iter().copied());
        let state = State {
            version: STATE_VERSION,
            input: kept,
            first,
            given,
            lost: u64::MAX,
            write: u64::MAX,
            written: u32::MAX,
            receipt: Receipt::EMPTY,
        };
        let mut buffer = [0; STATE_MAX];
        let saved = postcard::to_slice(&state, &mut buffer).unwrap();
        let restored = State::restore(saved).unwrap();
        prop_assert_eq!(restored.input.iter().copied().collect::<Vec<_>>(), input);
        prop_assert_eq!((restored.first, restored.given, restored.written), (first, given, u32::MAX));
    }
}

/// Writes, types and reads by script; each write is interrupted by a death after so many steps and delivered again.
fn survive(make: Make, script: &[(usize, usize, u64)]) -> Result<(), TestCaseError> {
    let machine = Machine::new(make);
    let mut incarnation = 1;
    let (mut written, mut typed, mut deaths, mut lost_max) = (Vec::new(), Vec::new(), 0, 0);
    let mut reader = Reader { position: 1 << 32, input: Vec::new(), notified: 0 };
    for (number, &(length, keys, fuse)) in script.iter().enumerate() {
        let bytes: Vec<u8> = text(251).into_iter().cycle().skip(written.len() % 251).take(length).collect();
        let keystrokes: Vec<u8> = text(251).into_iter().cycle().skip(typed.len() % 251).take(keys).collect();
        machine.type_in(&keystrokes);
        typed.extend(keystrokes);
        let mut fuse = Some(fuse);
        while machine
            .live(fuse.take(), || {
                let mut console = start(&machine, incarnation);
                assert_eq!(console.write(CallId(number as u64), &bytes), answer_to(&bytes));
                idle(&mut console, &machine, 10);
            })
            .is_none()
        {
            (incarnation, deaths, lost_max) =
                (incarnation + 1, deaths + 1, lost_max + machine.uncommitted.get());
        }
        written.extend(bytes);
        let mut console = start(&machine, incarnation);
        reader.read_if_notified(&mut console, &machine);
    }
    let mut console = start(&machine, incarnation + 1);
    idle(&mut console, &machine, 300);
    reader.read_if_notified(&mut console, &machine);
    machine.settle();
    prop_assert!(is_output(&machine.uart().sent, &written, deaths), "{:?}", machine.uart().sent);
    // The board's receiver is off for some instants of a restart, in which at most one character is missed.
    let restarts = if make == Make::Board { 2 * (deaths + 2 * script.len() + 1) } else { 0 };
    prop_assert!(typed.len() - reader.input.len() <= lost_max + restarts);
    let mut rest = typed.iter();
    prop_assert!(
        reader.input.iter().all(|byte| rest.any(|typed| typed == byte)),
        "input out of order or twice"
    );
    Ok(())
}

#[test]
fn a_write_survives_death_at_every_step() {
    for make in MAKES {
        let whole: Vec<u8> = text(100);
        let (first, second) = whole.split_at(40);
        for fuse in 0.. {
            let machine = Machine::new(make);
            let acknowledged = std::cell::Cell::new(0);
            let life = |incarnation| {
                let mut console = start(&machine, incarnation);
                for (number, part) in [(0, first), (1, second)] {
                    if acknowledged.get() <= number {
                        assert_eq!(console.write(CallId(number), part), answer_to(part));
                        acknowledged.set(number + 1);
                    }
                }
            };
            let completed = machine.live(Some(fuse), || life(1)).is_some();
            if !completed {
                machine.live(None, || life(2)).expect("nothing kills the second incarnation");
            }
            machine.settle();
            let sent = &machine.uart().sent;
            assert!(
                is_output(sent, &whole, usize::from(!completed)),
                "{make:?}, death at step {fuse}: {sent:?}"
            );
            if completed {
                assert!(fuse > 200, "the fuse never burned");
                assert_eq!(sent, &whole);
                break;
            }
        }
    }
}

/// How many of the first data writes of a write into an idle transmitter can be missed when they are lost: on a board
/// the next ones find the FIFO in use.
fn traceable(make: Make, length: u64) -> u64 {
    if make == Make::Board { 1 } else { length }
}

/// Writes `bytes` as a client does whose complaint ends an incarnation: to one after the other. The first one loses its
/// data write number `lost`. Says how many there were.
fn write_to_the_end(machine: &Machine, first: u32, bytes: &[u8], lost: Option<u64>) -> u32 {
    machine.lost_write.set(lost);
    for incarnation in first.. {
        let reply = start(machine, incarnation).write(CallId(1), bytes);
        if reply == answer_to(bytes) {
            return incarnation - first + 1;
        }
        assert_eq!(reply, Reply::Failed(Error::Device));
        assert_eq!(machine.lost_write.get(), None, "given up for nothing");
    }
    unreachable!("incarnations without end")
}

#[test]
fn a_byte_that_does_not_reach_an_idle_transmitter_is_found_and_written_by_the_next_incarnation() {
    for make in MAKES {
        for lost in 0..traceable(make, 100) {
            let machine = Machine::new(make);
            let mut console = start(&machine, 1);
            machine.lost_write.set(Some(lost));
            assert_eq!(console.write(CallId(1), &text(100)), Reply::Failed(Error::Device));
            assert_eq!(u64::from(console.state.written), lost, "what is before that byte");
            assert_eq!(console.state.receipt, Receipt::of(&text(lost as usize)), "is on the receipt");
            drop(console);
            machine.settle();
            assert_eq!(machine.uart().sent, text(lost as usize), "written again by the same incarnation");
            assert_eq!(start(&machine, 2).write(CallId(1), &text(100)), answer_to(&text(100)));
            machine.settle();
            assert_eq!(machine.uart().sent, text(100), "{make:?}, write {lost}");
        }
    }
}

/// As rule 5 of the crate says.
#[test]
fn a_byte_that_does_not_reach_a_busy_board_is_not_found() {
    let machine = Machine::new(Make::Board);
    let mut console = start(&machine, 1);
    machine.lost_write.set(Some(5));
    assert_eq!(console.write(CallId(1), &text(10)), answer_to(&text(10)));
    machine.settle();
    assert_eq!(machine.uart().sent, [0, 1, 2, 3, 4, 6, 7, 8, 9]);
}

/// Whatever was preempted: the look ends, and only what may have left counts as taken.
#[test]
fn a_lost_byte_is_found_unless_it_may_have_left() {
    for make in MAKES {
        for step in 0..20 {
            for preempted_ns in [0, 100, 1_000, SETTLED_NS, 40_000, CHARACTER_NS, STALL_LIMIT_NS] {
                let machine = Machine::new(make);
                let mut console = start(&machine, 1);
                machine.lost_write.set(Some(0));
                machine.preemptions.borrow_mut().extend(vec![0; step]);
                machine.preemptions.borrow_mut().push_back(preempted_ns);
                let begin = machine.now_ns();
                let reply = console.write(CallId(1), b"x");
                assert!(machine.now_ns() - begin <= preempted_ns + CHARACTER_NS / 2 + 1_000);
                let found = reply == Reply::Failed(Error::Device);
                assert!(found || reply == answer_to(b"x"));
                assert!(found || preempted_ns > 40_000, "{make:?}, {preempted_ns} ns at step {step}");
            }
        }
    }
}

#[test]
fn a_preemption_at_any_step_gives_no_byte_up() {
    for make in MAKES {
        for preempted_ns in
            [SETTLED_NS, CHARACTER_NS / 2, CHARACTER_NS, 16 * CHARACTER_NS, 2 * STALL_LIMIT_NS]
        {
            for step in 0.. {
                let machine = Machine::new(make);
                let mut console = start(&machine, 1);
                machine.preemptions.borrow_mut().extend(vec![0; step]);
                machine.preemptions.borrow_mut().push_back(preempted_ns);
                let reply = console.write(CallId(1), &text(40));
                assert_eq!(reply, answer_to(&text(40)), "{make:?}, {preempted_ns} ns at step {step}");
                machine.settle();
                assert_eq!(machine.uart().sent, text(40));
                if !machine.preemptions.borrow().is_empty() {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_line_too_fast_to_tell_gives_no_byte_up() {
    // A character of 3.3 µs: half of it is over before a write surely shows.
    let line = Line { baud: 3_000_000, ..LINE };
    let machine = Machine::new(Make::Emulator);
    let mut console = start(&machine, 1);
    console.line = line;
    machine.lost_write.set(Some(0));
    assert_eq!(console.write(CallId(1), b"x"), answer_to(b"x"));
}

#[test]
fn a_write_with_a_lost_byte_survives_death_at_every_step() {
    let whole = text(40);
    for make in MAKES {
        // The one that dies loses a byte, or its successor, which takes over a FIFO in use.
        for (lost, later) in (0..traceable(make, 40)).map(Some).flat_map(|lost| [(lost, None), (None, lost)])
        {
            for fuse in 0.. {
                let machine = Machine::new(make);
                let completed = machine.live(Some(fuse), || write_to_the_end(&machine, 1, &whole, lost));
                if completed.is_none() {
                    machine
                        .live(None, || write_to_the_end(&machine, 3, &whole, later))
                        .expect("no fuse burns");
                }
                machine.settle();
                let sent = &machine.uart().sent;
                assert!(
                    is_output(sent, &whole, usize::from(completed.is_none())),
                    "{make:?}, lost {lost:?} or {later:?}, death at step {fuse}: {sent:?}"
                );
                if let Some(incarnations) = completed {
                    assert_eq!((incarnations, sent), (1 + u32::from(lost.is_some()), &whole));
                    assert!(fuse > 100, "the fuse never burned");
                    break;
                }
            }
        }
    }
}

#[test]
fn input_survives_death_at_every_step_but_between_fifo_and_commit() {
    for make in MAKES {
        let mut losses = 0;
        for fuse in 0.. {
            let machine = Machine::new(make);
            drop(start(&machine, 1));
            let mut reader = Reader { position: 1 << 32, input: Vec::new(), notified: 0 };
            machine.type_in(b"cat /etc/motd\r");
            let completed = machine
                .live(Some(fuse), || {
                    let mut console = start(&machine, 1);
                    idle(&mut console, &machine, 20);
                    let mut dying = Reader { position: 1 << 32, input: Vec::new(), notified: 0 };
                    dying.read_all(&mut console, 5);
                })
                .is_some();
            let lost = machine.uncommitted.get();
            assert!(lost <= REPEAT_MAX);
            let mut console = start(&machine, 2);
            idle(&mut console, &machine, 50);
            reader.position = match console.read(reader.position, 0, |_| true) {
                Reply::Input { position, .. } => position,
                other => panic!("{other:?}"),
            };
            reader.read_if_notified(&mut console, &machine);
            let consumed = (reader.position - (1 << 32)) as usize - reader.input.len();
            let mut whole = b"cat /etc/motd\r"[..consumed].to_vec();
            whole.extend(&reader.input);
            if lost == 0 {
                assert_eq!(whole, b"cat /etc/motd\r", "{make:?}, death at step {fuse}");
            }
            losses += usize::from(lost > 0);
            if completed {
                assert!(fuse > 50, "the fuse never burned");
                break;
            }
        }
        assert!(losses > 0, "the window that this test leaves out was never hit");
    }
}

#[test]
fn a_byte_at_any_instant_is_announced() {
    for make in MAKES {
        for instant in 0..40_u64 {
            let machine = Machine::new(make);
            let mut console = start(&machine, 1);
            let mut reader = Reader::new(&console);
            reader.read_all(&mut console, READ_MAX);
            machine.arrive_now(u32::from(b'a'));
            // The second byte comes while the first is being served: access by access later.
            let later = machine.now_ns() + instant * 25;
            machine.uart().line.push_back((later, u32::from(b'b')));
            idle(&mut console, &machine, 100);
            reader.read_if_notified(&mut console, &machine);
            idle(&mut console, &machine, 100);
            reader.read_if_notified(&mut console, &machine);
            assert_eq!(reader.input, b"ab", "{make:?}, second byte {instant}");
        }
    }
}

/// The same while the reader is being told that there is nothing: the last chance to see the byte without an interrupt.
#[test]
fn a_byte_at_any_instant_of_a_read_is_announced() {
    for make in MAKES {
        for instant in 0..40_u64 {
            let machine = Machine::new(make);
            let mut console = start(&machine, 1);
            let mut reader = Reader::new(&console);
            reader.notified = machine.notifications.get();
            let later = machine.now_ns() + instant * 25;
            machine.uart().line.push_back((later, u32::from(b'a')));
            reader.read_all(&mut console, READ_MAX);
            idle(&mut console, &machine, 100);
            reader.read_if_notified(&mut console, &machine);
            assert_eq!(reader.input, b"a", "{make:?}, byte {instant}");
        }
    }
}

/// The trap that rule 3 of the crate avoids is in the fake: drained first and cleared then, the line falls silent.
#[test]
fn the_emulated_uart_loses_interrupts_that_are_cleared_after_draining() {
    let machine = Machine::new(Make::Emulator);
    let console = start(&machine, 1);
    machine.arrive_now(u32::from(b'a'));
    assert!(machine.interrupt());
    assert_eq!(register!(&console.device, Block, data).get(), u32::from(b'a'));
    machine.arrive_now(u32::from(b'b'));
    register!(&console.device, Block, interrupt_clear).write(Interrupt::ALL::SET);
    machine.arrive_now(u32::from(b'c'));
    machine.settle();
    assert!(!machine.interrupt());
}

#[test]
fn a_full_buffer_silences_the_receiver_and_reading_wakes_it() {
    let machine = Machine::new(Make::Emulator);
    let mut console = start(&machine, 1);
    let mut reader = Reader::new(&console);
    reader.read_all(&mut console, READ_MAX);
    let typed = text(INPUT_MAX + 100);
    machine.type_in(&typed);
    idle(&mut console, &machine, 1_000);
    assert!(console.state.input.is_full());
    assert!(!machine.interrupt(), "an interrupt that cannot be served would be a storm");
    reader.read_all(&mut console, 7);
    idle(&mut console, &machine, 1_000);
    reader.read_if_notified(&mut console, &machine);
    assert_eq!(reader.input, typed);
}

#[test]
fn a_full_board_fifo_counts_what_it_lost() {
    let machine = Machine::new(Make::Board);
    let mut console = start(&machine, 1);
    machine.type_in(&text(INPUT_MAX + 100));
    idle(&mut console, &machine, 1_000);
    machine.type_in(b"x");
    let mut reader = Reader::new(&console);
    reader.read_all(&mut console, READ_MAX);
    idle(&mut console, &machine, 10);
    assert!(console.state.lost > 0);
    assert_eq!(reader.input[..INPUT_MAX], text(INPUT_MAX));
}

/// A long write lasts longer than the receive FIFO does; nothing else serves the receiver meanwhile.
#[test]
fn input_that_arrives_during_a_write_is_kept() {
    let machine = Machine::new(Make::Board);
    let mut console = start(&machine, 1);
    let mut reader = Reader::new(&console);
    machine.type_in(&text(100));
    assert_eq!(console.write(CallId(1), &text(256)), answer_to(&text(256)));
    idle(&mut console, &machine, 50);
    reader.read_all(&mut console, READ_MAX);
    assert_eq!(reader.input, text(100));
    assert_eq!(console.state.lost, 0);
}

#[test]
fn damaged_characters_are_counted_and_left_out() {
    let machine = Machine::new(Make::Emulator);
    let mut console = start(&machine, 1);
    for character in [0x61, 0x162, 0x263, 0x400, 0x64] {
        machine.arrive_now(character);
        console.interrupt();
    }
    let mut input = Vec::new();
    let reply = console.read(1 << 32, READ_MAX, |bytes| {
        input.extend_from_slice(bytes);
        true
    });
    assert_eq!(input, [0x61, 0x64]);
    assert_eq!(reply, Reply::Input { position: 1 << 32, length: 2, lost: 3 });
}

#[test]
fn acknowledged_output_in_the_fifo_outlives_the_driver() {
    let machine = Machine::new(Make::Board);
    let answer = machine.live(None, || start(&machine, 1).write(CallId(1), &text(16)));
    assert_eq!(answer, Some(answer_to(&text(16))));
    assert!(machine.uart().sent.len() < 16, "the fake has no FIFO");
    drop(start(&machine, 2));
    machine.settle();
    assert_eq!(machine.uart().sent, text(16));
}

#[test]
fn a_stuck_transmitter_costs_an_error_in_time_and_no_restart() {
    let machine = Machine::new(Make::Board);
    let mut console = start(&machine, 1);
    machine.stuck.set(true);
    let begin = machine.now_ns();
    assert_eq!(console.write(CallId(1), &text(100)), Reply::Failed(Error::Device));
    assert!(machine.now_ns() - begin < 2 * STALL_LIMIT_NS);
    drop(console);
    let begin = machine.now_ns();
    machine.uart().control = 0;
    drop(start(&machine, 2));
    assert!(machine.now_ns() - begin < 10_000_000, "the start waited for a dead transmitter");
}

#[test]
fn registers_left_wild_are_put_right() {
    for make in MAKES {
        let machine = Machine::new(make);
        machine.uart().control = 0xFFFE;
        machine.uart().line_control = 0xEF;
        machine.uart().divisors = (1, 1);
        machine.uart().mask = 0x7FF;
        let mut console = start(&machine, 2);
        assert_eq!(console.write(CallId(9), b"hello"), answer_to(b"hello"));
        machine.settle();
        assert_eq!(machine.uart().sent, b"hello");
        let uart = machine.uart();
        assert_eq!((uart.control, uart.line_control, uart.mask), (0x301, 0x70, 0x50));
    }
}

#[test]
fn a_new_reader_sees_no_input_that_another_was_given() {
    let machine = Machine::new(Make::Emulator);
    let mut console = start(&machine, 1);
    machine.type_in(b"kill shell\rls");
    idle(&mut console, &machine, 50);
    let first = Reader::new(&console);
    assert!(matches!(console.read(first.position, 11, |_| true), Reply::Input { length: 11, .. }));
    drop(console);
    let mut console = start(&machine, 2);
    let mut second = Reader::new(&console);
    second.read_all(&mut console, READ_MAX);
    assert_eq!(second.input, b"ls");
}

#[test]
fn a_reader_that_is_gone_takes_no_input_with_it() {
    let machine = Machine::new(Make::Emulator);
    let mut console = start(&machine, 1);
    machine.type_in(b"ls\r");
    idle(&mut console, &machine, 50);
    assert_eq!(console.read(1 << 32, READ_MAX, |_| false), Reply::Failed(Error::BadRequest));
    let mut reader = Reader::new(&console);
    reader.read_all(&mut console, READ_MAX);
    assert_eq!(reader.input, b"ls\r");
}

#[test]
fn positions_from_before_a_lost_checkpoint_are_not_mistaken() {
    let machine = Machine::new(Make::Emulator);
    let mut console = start(&machine, 1);
    machine.type_in(b"abcdef");
    idle(&mut console, &machine, 50);
    let mut reader = Reader::new(&console);
    reader.read_all(&mut console, READ_MAX);
    drop(console);
    *machine.checkpoint.borrow_mut() = None;
    let mut console = start(&machine, 2);
    machine.type_in(b"uvwxyz0123");
    idle(&mut console, &machine, 50);
    let mut input = Vec::new();
    let reply = console.read(reader.position, READ_MAX, |bytes| {
        input.extend_from_slice(bytes);
        true
    });
    assert_eq!(reply, Reply::Input { position: 2 << 32, length: 10, lost: 0 });
    assert_eq!(input, b"uvwxyz0123");
}

#[test]
fn a_state_that_nobody_committed_is_not_restored() {
    let restored = |change: fn(&mut State)| {
        let mut state = State::new(1);
        change(&mut state);
        let mut buffer = [0; STATE_MAX];
        State::restore(postcard::to_slice(&state, &mut buffer).unwrap()).is_some()
    };
    assert!(restored(|_| {}));
    assert!(!restored(|state| state.version += 1));
    assert!(!restored(|state| (state.first, state.given) = (u64::MAX, u64::MAX)));
    assert!(!restored(|state| state.given += 1));
    assert!(!restored(|state| state.given -= 1));
}

#[test]
fn the_divisor_is_the_manuals() {
    // ARM DDI 0183, section 3.3.6: 4 MHz and 230400 baud give 1 and 5/64.
    assert_eq!(divisor(Line { clock_hz: 4_000_000, baud: 230_400, ..LINE }), 64 + 5);
    assert_eq!(divisor(LINE), 26 * 64 + 3);
}

#[test]
fn a_state_that_does_not_come_back_is_not_committed_and_the_last_one_serves() {
    let machine = Machine::new(Make::Emulator);
    let bytes = text(40);
    let mut wrong = start(&machine, 1);
    let before = machine.checkpoint.borrow().clone();
    // As one wrong instruction where the state is encoded leaves it.
    wrong.state.version += 1;
    let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wrong.write(CallId(1), &bytes)));
    assert!(died.is_err());
    assert_eq!(*machine.checkpoint.borrow(), before);
    assert_eq!(start(&machine, 2).write(CallId(1), &bytes), answer_to(&bytes));
    machine.settle();
    let sent = machine.uart().sent.clone();
    assert!(is_output(&sent, &bytes, 1), "{sent:?}");
}

#[test]
fn who_does_not_write_what_it_means_to_ends_before_that_counts_as_output() {
    for make in MAKES {
        let machine = Machine::new(make);
        let bytes = text(40);
        let mut wrong = start(&machine, 1);
        // As one wrong register in the instruction that stores leaves it.
        machine.garbled.set(1);
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wrong.write(CallId(1), &bytes)));
        assert!(died.is_err());
        machine.garbled.set(0);
        machine.settle();
        let noise = machine.uart().sent.len();
        assert!((1..=REPEAT_MAX).contains(&noise), "{noise} bytes");
        assert_eq!(start(&machine, 2).write(CallId(1), &bytes), answer_to(&bytes));
        machine.settle();
        assert_eq!(machine.uart().sent[noise..], bytes, "none of it was counted as output");
    }
}

#[test]
fn no_more_than_a_batch_goes_out_at_once() {
    for make in MAKES {
        let machine = Machine::new(make);
        let mut wrong = start(&machine, 1);
        // As one wrong bit in the end of a slice leaves it.
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wrong.transmit(&[7; 2 * REPEAT_MAX]).taken
        }));
        assert!(died.is_err());
        machine.settle();
        assert_eq!(machine.uart().sent, [7; REPEAT_MAX]);
    }
}
