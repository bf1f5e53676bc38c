//! The driver on fake registers with a fake card: contents, faults, deaths, exchanges of cards.

use super::*;
use crate::fake::{Card as FakeCard, Fault, Machine};
use proptest::prelude::*;
use std::collections::BTreeMap;

const SETTINGS: Settings = Settings { base_clock_hz: 200_000_000, service_limit_ns: SERVICE_LIMIT_NS };

type Driver<'a> = SdCard<&'a Machine, &'a Machine>;

fn driver(machine: &Machine) -> Driver<'_> {
    SdCard::new(machine, machine, SETTINGS, None)
}

/// A block whose contents tell its number and its version.
fn block(lba: u64, version: u32) -> Block {
    std::array::from_fn(|i| {
        (lba as u32).wrapping_mul(0x9E37_79B9) ^ version.wrapping_mul(0x85EB_CA6B) ^ i as u32
    })
}

fn bytes(block: &Block) -> [u8; 512] {
    let mut bytes = [0; 512];
    for (to, from) in bytes.chunks_mut(4).zip(block) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    bytes
}

fn cards() -> [FakeCard; 5] {
    let mut version_1 = FakeCard::standard(20);
    version_1.version_1 = true;
    version_1.scr = [0x00, 0x25, 0, 0, 0, 0, 0, 0];
    let mut one_bit = FakeCard::high(20);
    one_bit.scr = [0x02, 0x31, 0x80, 0x02, 0, 0, 0, 0];
    let mut uncounted = FakeCard::high(20);
    uncounted.scr = [0x02, 0x35, 0, 0, 0, 0, 0, 0];
    [FakeCard::standard(20), FakeCard::high(20), version_1, one_bit, uncounted]
}

#[derive(Clone, Debug)]
enum Operation {
    Read { lba: u64, count: usize },
    Write { lba: u64, count: usize },
    Flush,
    Info,
}

fn operations(blocks: u64) -> impl Strategy<Value = Vec<Operation>> {
    // The ends of the card are tried as often as all the rest.
    let lba = prop_oneof![0..blocks, Just(0), blocks - 8..blocks + 2];
    let count = prop_oneof![1..=6_usize, Just(1), Just(128)];
    let operation = (lba, count, 0..8_u32).prop_map(|(lba, count, kind)| match kind {
        0..3 => Operation::Read { lba, count },
        3..6 => Operation::Write { lba, count },
        6 => Operation::Flush,
        _ => Operation::Info,
    });
    prop::collection::vec(operation, 1..20)
}

/// What is on the medium according to the answers: for each block the versions that it may have.
struct Reference {
    end: u64,
    /// Blocks that are not listed were never written.
    blocks: BTreeMap<u64, Vec<u32>>,
    version: u32,
}

impl Reference {
    fn new(blocks: u64) -> Self {
        Self { end: blocks, blocks: BTreeMap::new(), version: 0 }
    }

    fn may_be(&self, lba: u64, found: &[u8; 512]) -> bool {
        self.blocks.get(&lba).unwrap_or(&vec![0]).iter().any(|&version| match version {
            0 => *found == [0; 512],
            _ => *found == bytes(&block(lba, version)),
        })
    }

    /// A write may have taken place.
    fn add(&mut self, lba: u64, version: u32) {
        self.blocks.entry(lba).or_insert_with(|| vec![0]).push(version);
    }

    fn matches(&self, machine: &Machine) -> bool {
        let card = machine.card.borrow();
        let contents = &card.as_ref().expect("the card is there").contents;
        let written = contents.iter().all(|(&lba, found)| self.may_be(lba, found));
        let missing =
            |(lba, versions): (&u64, &Vec<u32>)| !versions.contains(&0) && !contents.contains_key(lba);
        written && !self.blocks.iter().any(missing)
    }

    /// Carries an operation out; what it answers is checked as far as there is no fault.
    fn run(&mut self, driver: &mut Driver, operation: &Operation) -> Result<(), Error> {
        let end = self.end;
        match *operation {
            Operation::Read { lba, count } => {
                let mut read = vec![[0; BLOCK_WORDS]; count];
                let result = driver.read(lba, &mut read);
                if result.is_ok() {
                    assert!(lba + count as u64 <= end);
                    for (lba, block) in (lba..).zip(&read) {
                        assert!(self.may_be(lba, &bytes(block)), "block {lba} is wrong");
                    }
                }
                result
            }
            Operation::Write { lba, count } => {
                self.version += 1;
                let data: Vec<Block> = (lba..).take(count).map(|lba| block(lba, self.version)).collect();
                let result = driver.write(lba, &data);
                for (lba, _) in (lba..end).zip(&data) {
                    match result {
                        Ok(()) => drop(self.blocks.insert(lba, vec![self.version])),
                        Err(Error::OutOfRange | Error::WriteProtected | Error::BadRequest) => {}
                        Err(_) => self.add(lba, self.version),
                    }
                }
                result
            }
            Operation::Flush => driver.flush(),
            Operation::Info => driver.info().map(|info| assert_eq!(info.blocks, end)),
        }
    }
}

fn in_range(operation: &Operation, blocks: u64) -> bool {
    match *operation {
        Operation::Read { lba, count } | Operation::Write { lba, count } => lba + count as u64 <= blocks,
        Operation::Flush | Operation::Info => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn contents_equal_the_reference(script in operations(21 << 10), kind in 0..5_usize, prompt: bool) {
        let card = cards()[kind].clone();
        let blocks = card.blocks;
        let machine = Machine::new(Some(card));
        machine.prompt.set(prompt);
        let mut driver = driver(&machine);
        let mut reference = Reference::new(blocks);
        for operation in &script {
            let expected = if in_range(operation, blocks) { Ok(()) } else { Err(Error::OutOfRange) };
            prop_assert_eq!(reference.run(&mut driver, operation), expected);
        }
        prop_assert!(reference.matches(&machine));
        prop_assert_eq!(&*machine.complaints.borrow(), &[] as &[String]);
    }

    #[test]
    fn a_fault_costs_an_error_at_most_and_the_next_request_recovers(
        script in operations(21 << 10),
        faults in prop::collection::vec((0..60_u32, 0..Fault::ALL.len() - 1), 1..5),
        kind in 0..5_usize,
    ) {
        let card = cards()[kind].clone();
        let machine = Machine::new(Some(card.clone()));
        let mut driver = driver(&machine);
        let mut reference = Reference::new(card.blocks);
        machine.faults.borrow_mut().extend(faults.iter().map(|&(after, fault)| (after, Fault::ALL[fault])));
        for operation in &script {
            let begin = machine.now();
            let result = reference.run(&mut driver, operation);
            prop_assert!(in_range(operation, card.blocks) || result.is_err());
            prop_assert!(machine.now() - begin < SERVICE_LIMIT_NS + 200_000_000, "{operation:?} took too long");
        }
        machine.faults.borrow_mut().clear();
        prop_assert_eq!(reference.run(&mut driver, &Operation::Write { lba: 3, count: 4 }), Ok(()));
        prop_assert_eq!(reference.run(&mut driver, &Operation::Read { lba: 3, count: 4 }), Ok(()));
        prop_assert!(reference.matches(&machine));
    }

    #[test]
    fn a_fault_that_stays_ends_in_time_with_an_error(
        fault in 0..Fault::ALL.len(),
        after in 0..40_u32,
        write: bool,
        limit_ms in 20..2_000_u64,
    ) {
        let machine = Machine::new(Some(FakeCard::high(40)));
        let settings = Settings { service_limit_ns: limit_ms * 1_000_000, ..SETTINGS };
        let mut driver = SdCard::new(&machine, &machine, settings, None);
        machine.forever.set(true);
        machine.faults.borrow_mut().push_back((after, Fault::ALL[fault]));
        for _ in 0..8 {
            let begin = machine.now();
            let mut blocks = [[7; BLOCK_WORDS]; 4];
            let _ = if write { driver.write(9, &blocks) } else { driver.read(9, &mut blocks) };
            // The controller's resets, which are not cut short, and one look at the end of each wait come on top.
            prop_assert!(machine.now() - begin < (limit_ms + 110) * 1_000_000);
        }
        let mut blocks = [[7; BLOCK_WORDS]; 4];
        let result = driver.read(9, &mut blocks);
        // A card that counts needs no stop command, and only writes wait for a busy card.
        let harmless = matches!(Fault::ALL[fault], Fault::Stop | Fault::Busy);
        prop_assert!(harmless || result.is_err(), "{:?} goes unnoticed", Fault::ALL[fault]);
    }
}

#[test]
fn a_restart_at_every_step_of_a_write_finds_a_usable_card() {
    for mut card in cards() {
        // Longer than a restart takes, so that the new incarnation meets a card that is still programming.
        card.program_ns = 5_000_000;
        let machine = Machine::new(Some(card.clone()));
        let mut driver = driver(&machine);
        assert!(driver.info().is_ok());
        let begin = machine.steps.get();
        assert_eq!(driver.write(5, &[block(5, 1), block(6, 1), block(7, 1)]), Ok(()));
        let steps = machine.steps.get() - begin;
        assert!(steps > 400);
        for fuse in (0..steps).step_by(7) {
            restart_in_a_write(&card, fuse);
        }
    }
}

fn restart_in_a_write(card: &FakeCard, fuse: u64) {
    let machine = Machine::new(Some(card.clone()));
    let mut first = driver(&machine);
    let known = first.info().map(|info| info.identity).unwrap();
    let mut reference = Reference::new(card.blocks);
    assert_eq!(reference.run(&mut first, &Operation::Write { lba: 4, count: 5 }), Ok(()));
    let data = [block(5, 2), block(6, 2), block(7, 2)];
    let died = machine.live(Some(fuse), || first.write(5, &data)).is_none();
    assert!(died, "the fuse {fuse} did not burn");
    for lba in 5..8 {
        reference.add(lba, 2);
    }
    assert!(reference.matches(&machine), "a torn block, or one too many");
    let mut second = SdCard::new(&machine, &machine, SETTINGS, Some(known));
    reference.version = 2;
    assert_eq!(second.write(5, &data), Ok(()), "death at step {fuse}");
    assert_eq!(reference.run(&mut second, &Operation::Read { lba: 0, count: 128 }), Ok(()));
    assert_eq!(machine.block(6), bytes(&block(6, 2)));
    assert_eq!(*machine.complaints.borrow(), [] as [String; 0], "death at step {fuse}");
}

#[test]
fn a_restart_at_every_step_of_identification_and_read_finds_a_usable_card() {
    let card = FakeCard::high(40);
    for fuse in (0..).step_by(5) {
        let machine = Machine::new(Some(card.clone()));
        let life = || driver(&machine).read(1, &mut [[0; BLOCK_WORDS]; 2]);
        let completed = machine.live(Some(fuse), life).is_some();
        assert_eq!(driver(&machine).write(1, &[block(1, 1)]), Ok(()));
        assert_eq!(machine.block(1), bytes(&block(1, 1)));
        assert_eq!(*machine.complaints.borrow(), [] as [String; 0], "death at step {fuse}");
        if completed {
            assert!(fuse > 400, "the fuse never burned");
            break;
        }
    }
}

#[test]
fn the_card_says_what_it_is() {
    let machine = Machine::new(Some(FakeCard::standard(4095)));
    let info = driver(&machine).info().unwrap();
    // The checksum, bits 7 to 1, is the controller's business.
    assert_eq!(info.identity, 0x0353_4453_4C33_3247_8000_1234_5678_0100);
    assert_eq!((info.blocks, info.write_protected), (4 << 20, false));
    let machine = Machine::new(Some(FakeCard::high((1 << 22) - 1)));
    assert_eq!(driver(&machine).info().map(|info| info.blocks), Ok(1 << 32));
}

#[test]
fn the_last_block_of_the_largest_cards_is_addressed_right() {
    for (card, lba) in
        [(FakeCard::standard(4095), (4 << 20) - 1), (FakeCard::high((1 << 22) - 1), (1 << 32) - 1)]
    {
        let machine = Machine::new(Some(card));
        assert_eq!(driver(&machine).write(lba, &[block(lba, 1)]), Ok(()));
        assert_eq!(machine.block(lba), bytes(&block(lba, 1)));
        assert_eq!(driver(&machine).write(lba, &[block(lba, 1); 2]), Err(Error::OutOfRange));
        assert_eq!(driver(&machine).read(u64::MAX, &mut [[0; BLOCK_WORDS]; 2]), Err(Error::OutOfRange));
    }
}

#[test]
fn no_blocks_are_a_bad_request() {
    let machine = Machine::new(Some(FakeCard::standard(9)));
    assert_eq!(driver(&machine).read(0, &mut []), Err(Error::BadRequest));
    assert_eq!(driver(&machine).write(0, &[]), Err(Error::BadRequest));
}

#[test]
fn a_write_protected_card_is_read_but_not_written() {
    for protection in [1 << 12, 1 << 13, 3 << 12] {
        let mut card = FakeCard::high(9);
        card.csd |= protection;
        let machine = Machine::new(Some(card));
        let mut driver = driver(&machine);
        assert_eq!(driver.info().map(|info| info.write_protected), Ok(true));
        assert_eq!(driver.write(0, &[block(0, 1)]), Err(Error::WriteProtected));
        assert!(machine.commands.borrow().iter().all(|command| !matches!(command.0, 24 | 25)));
        assert_eq!(driver.read(0, &mut [[0; BLOCK_WORDS]; 3]), Ok(()));
    }
}

#[test]
fn several_blocks_are_one_command() {
    for (card, expected) in cards().iter().zip([vec![23, 25], vec![23, 25], vec![25], vec![23, 25], vec![25]])
    {
        let machine = Machine::new(Some(card.clone()));
        let mut driver = driver(&machine);
        assert!(driver.info().is_ok());
        machine.commands.borrow_mut().clear();
        assert_eq!(driver.write(0, &vec![block(0, 1); 128]), Ok(()));
        let sent: Vec<u32> =
            machine.commands.borrow().iter().map(|command| command.0).filter(|&i| i != 13).collect();
        assert_eq!(sent, expected);
    }
}

#[test]
fn an_empty_slot_is_told_at_once() {
    let machine = Machine::new(None);
    let mut driver = driver(&machine);
    let begin = machine.now();
    assert_eq!(driver.info(), Err(Error::NoCard));
    assert!(machine.now() - begin < 20_000_000);
    machine.card.replace(Some(FakeCard::high(9)));
    assert!(driver.info().is_ok());
}

#[test]
fn a_card_pulled_in_the_middle_is_missing_and_works_when_it_is_back() {
    let card = FakeCard::high(9);
    for after in 0..12 {
        let machine = Machine::new(Some(card.clone()));
        let mut driver = driver(&machine);
        assert!(driver.info().is_ok());
        machine.faults.borrow_mut().push_back((after, Fault::Removal));
        let result = driver.write(0, &[block(0, 1); 6]);
        if machine.card.borrow().is_some() {
            assert_eq!(result, Ok(()));
            continue;
        }
        assert_eq!(result, Err(Error::NoCard), "pulled after {after} events");
        assert_eq!(driver.flush(), Err(Error::NoCard));
        machine.card.replace(Some(card.clone()));
        assert_eq!(driver.write(0, &[block(0, 1); 6]), Ok(()));
    }
}

#[test]
fn another_card_gets_no_write_until_somebody_asks_about_it() {
    let machine = Machine::new(Some(FakeCard::high(9)));
    let mut first = driver(&machine);
    let known = first.info().map(|info| info.identity).unwrap();
    let mut other = FakeCard::high(9);
    other.cid ^= 1 << 40;
    machine.card.replace(Some(other));
    assert_eq!(first.write(0, &[block(0, 1)]), Err(Error::CardChanged));
    assert_eq!(machine.block(0), [0; 512]);
    let mut second = SdCard::new(&machine, &machine, SETTINGS, Some(known));
    assert_eq!(second.read(0, &mut [[0; BLOCK_WORDS]]), Err(Error::CardChanged));
    assert_eq!(second.flush(), Err(Error::CardChanged));
    let info = second.info().unwrap();
    assert_ne!(info.identity, known);
    assert_eq!(second.known(), Some(info.identity));
    assert_eq!(second.write(0, &[block(0, 1)]), Ok(()));
}

#[test]
fn a_failed_question_does_not_make_the_card_unknown() {
    let machine = Machine::new(Some(FakeCard::high(9)));
    let mut driver = driver(&machine);
    let known = driver.info().map(|info| info.identity).ok();
    let card = machine.card.replace(None);
    assert_eq!(driver.info(), Err(Error::NoCard));
    assert_eq!(driver.known(), known);
    machine.card.replace(card);
    assert_eq!(driver.read(0, &mut [[0; BLOCK_WORDS]]), Ok(()));
}

#[test]
fn one_fault_is_repaired_without_the_client_noticing() {
    for fault in Fault::ALL.into_iter().filter(|&fault| fault != Fault::Removal) {
        for after in 0..12 {
            let machine = Machine::new(Some(cards()[4].clone()));
            let mut driver = driver(&machine);
            assert!(driver.info().is_ok());
            machine.faults.borrow_mut().push_back((after, fault));
            assert_eq!(driver.write(3, &[block(3, 1), block(4, 1)]), Ok(()), "{fault:?} after {after}");
            let mut read = [[0; BLOCK_WORDS]; 2];
            assert_eq!(driver.read(3, &mut read), Ok(()), "{fault:?} after {after}");
            assert_eq!(read, [block(3, 1), block(4, 1)]);
        }
    }
}

#[test]
fn a_damaged_block_is_repaired_without_identifying_the_card_again() {
    for fault in [Fault::DataCrc, Fault::DataEndBit] {
        for write in [false, true] {
            let machine = Machine::new(Some(cards()[4].clone()));
            let mut driver = driver(&machine);
            assert!(driver.info().is_ok());
            machine.commands.borrow_mut().clear();
            machine.faults.borrow_mut().push_back((3, fault));
            let mut blocks = [block(3, 1), block(4, 1), block(5, 1), block(6, 1)];
            assert_eq!(if write { driver.write(3, &blocks) } else { driver.read(3, &mut blocks) }, Ok(()));
            let sent: Vec<u32> = machine.commands.borrow().iter().map(|command| command.0).collect();
            assert!(sent.contains(&12) && !sent.contains(&0), "{fault:?}: {sent:?}");
            assert_eq!(*machine.complaints.borrow(), [] as [String; 0]);
        }
    }
}

#[test]
fn cards_of_unknown_kinds_are_refused() {
    let mut card = FakeCard::high(9);
    card.csd = 2 << 126;
    let machine = Machine::new(Some(card));
    assert_eq!(driver(&machine).info(), Err(Error::Unsupported));
}

#[test]
fn a_card_that_never_powers_up_is_given_up() {
    let mut card = FakeCard::high(9);
    card.power_up_polls = u32::MAX;
    let machine = Machine::new(Some(card));
    let begin = machine.now();
    assert_eq!(driver(&machine).info(), Err(Error::Busy));
    assert!(machine.now() - begin < SERVICE_LIMIT_NS);
}

#[test]
fn a_card_that_stays_busy_is_given_up() {
    for card in cards() {
        let machine = Machine::new(Some(card));
        let mut driver = driver(&machine);
        assert!(driver.info().is_ok());
        machine.forever.set(true);
        machine.faults.borrow_mut().push_back((4, Fault::Busy));
        let begin = machine.now();
        let result = driver.write(0, &[block(0, 1); 3]);
        assert!(matches!(result, Err(Error::Busy | Error::DataTimeout)), "{result:?}");
        assert!(machine.now() - begin <= SERVICE_LIMIT_NS + 200_000_000);
        machine.faults.borrow_mut().clear();
        assert_eq!(driver.write(0, &[block(0, 1); 3]), Ok(()));
    }
}

#[test]
fn something_else_than_a_controller_is_refused() {
    let machine = Machine::new(Some(FakeCard::high(9)));
    machine.version.set(0);
    assert_eq!(driver(&machine).info(), Err(Error::Controller));
    assert!(machine.commands.borrow().is_empty());
}

#[test]
fn the_card_clock_is_as_fast_as_allowed_and_no_faster() {
    let machine = Machine::new(Some(FakeCard::high(9)));
    assert!(driver(&machine).info().is_ok());
    assert_eq!(machine.card_clock(), 25_000_000);
    let machine = Machine::new(Some(FakeCard::high(9)));
    machine.base_in_capabilities.set(true);
    assert!(driver(&machine).info().is_ok());
    assert_eq!(machine.card_clock(), 13_000_000, "52 MHz by an even divisor");
}

/// Whether this ends the driver.
fn ends(life: impl FnOnce()) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(life)).is_err()
}

#[test]
fn nothing_is_written_to_a_block_that_the_card_was_not_meant_to_be_told() {
    let machine = Machine::new(Some(FakeCard::standard(20)));
    let mut wrong = driver(&machine);
    wrong.write(5, &[block(5, 1)]).unwrap();
    machine.wrong_argument.set(Some(5 * 512));
    assert!(ends(|| wrong.write(5, &[block(5, 2)]).unwrap()));
    assert!(ends(|| driver(&machine).write(5, &[block(5, 2), block(6, 2)]).unwrap()));
    machine.wrong_argument.set(None);
    let written: Vec<_> = machine.card.borrow().as_ref().unwrap().contents.clone().into_iter().collect();
    assert_eq!(written, [(5, bytes(&block(5, 1)))]);
    driver(&machine).write(5, &[block(5, 2)]).unwrap();
    assert_eq!(machine.card.borrow().as_ref().unwrap().contents[&5], bytes(&block(5, 2)));
}

#[test]
fn commands_that_no_restart_makes_up_for_are_not_sent() {
    let machine = Machine::new(Some(FakeCard::standard(20)));
    let controller = Controller::new(&machine, &machine, SETTINGS.base_clock_hz);
    // Program the CSD, write protection, erase, go inactive, lock, transfers of unknown length, and what is reserved.
    for index in [1, 11, 15, 20, 26, 27, 28, 29, 32, 33, 38, 42, 56, 63] {
        let command = Command { index, argument: 0, response: Response::Short };
        assert!(ends(|| assert_ne!(controller.command(command), Ok(u128::MAX))), "CMD{index}");
    }
    assert_eq!(*machine.commands.borrow(), []);
}
