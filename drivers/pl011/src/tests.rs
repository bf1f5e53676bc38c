//! The console on fake registers, and its death at every single step.

use super::*;
use crate::fake::{Machine, Make};
use proptest::prelude::*;
use protocols::console::{READ_MAX, Receipt};

const LINE: Line = Line { clock_hz: 48_000_000, baud: 115_200 };
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
    assert_eq!(divisor(Line { clock_hz: 4_000_000, baud: 230_400 }), 64 + 5);
    assert_eq!(divisor(LINE), 26 * 64 + 3);
}
