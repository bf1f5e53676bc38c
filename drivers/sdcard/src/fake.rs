//! An SD host controller of version 3 with a card in it, on the host.
//!
//! The controller behaves as its specification says, with time: responses, blocks and programming take as long as they
//! may, status bits come when they are due. Like the boards' controller it loses the second of two writes to one
//! register that lie less than two card clocks apart. The card is a state machine with a CSD of one's choice.
//!
//! [`Fault`]s break one or the other at a chosen moment. What a driver must not do ends the test (data port touched
//! while it is not ready, clock too fast), or is noted in [`Machine::complaints`] (commands that are illegal in the
//! card's state; an emulator would log them as errors of the guest).

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use userlib::device::{Clock, Registers};

const ACCESS_NS: u64 = 50;
const RESPONSE_NS: u64 = 8_000;
const BLOCK_NS: u64 = 45_000;
const BASE_HZ: u64 = 200_000_000;

pub const RCA: u32 = 0x4567;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A command gets no response, and is not carried out.
    CommandTimeout,
    /// A response arrives with a wrong checksum; the command is carried out.
    CommandCrc,
    /// A response arrives with a wrong end bit.
    CommandEndBit,
    /// A response is to another command.
    CommandIndex,
    /// A block does not come, or is not acknowledged.
    DataTimeout,
    /// A block has a wrong checksum.
    DataCrc,
    /// A block has a wrong end bit.
    DataEndBit,
    /// CMD12, sent by the controller, gets no response.
    Stop,
    /// The card reports CARD_ECC_FAILED.
    CardError,
    /// The controller says nothing any more until it is reset.
    Silence,
    /// The card holds data line 0 low for a second.
    Busy,
    /// The card is pulled.
    Removal,
}

impl Fault {
    pub const ALL: [Self; 12] = [
        Self::CommandTimeout,
        Self::CommandCrc,
        Self::CommandEndBit,
        Self::CommandIndex,
        Self::DataTimeout,
        Self::DataCrc,
        Self::DataEndBit,
        Self::Stop,
        Self::CardError,
        Self::Silence,
        Self::Busy,
        Self::Removal,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Ready,
    Identification,
    StandBy,
    Transfer,
    SendingData,
    ReceivingData,
    Programming,
}

/// An SD card.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wire or a flag of its own")]
pub struct Card {
    pub cid: u128,
    pub csd: u128,
    pub scr: [u8; 8],
    pub version_1: bool,
    pub high_capacity: bool,
    pub blocks: u64,
    /// How often ACMD41 answers "busy".
    pub power_up_polls: u32,
    pub contents: BTreeMap<u64, [u8; 512]>,
    polls_left: u32,
    state: State,
    application: bool,
    errors: u32,
    next_block: u64,
    blocks_left: Option<u32>,
    announced: Option<u32>,
    busy_until_ns: u64,
    pub program_ns: u64,
    four_bits: bool,
}

impl Card {
    fn new(blocks: u64, csd: u128, high_capacity: bool) -> Self {
        Self {
            cid: 0x0353_4453_4C33_3247_8000_1234_5678_0123,
            csd: csd | 0x5A,
            scr: [0x02, 0x35, 0x80, 0x03, 0, 0, 0, 0],
            version_1: false,
            high_capacity,
            blocks,
            power_up_polls: 3,
            contents: BTreeMap::new(),
            polls_left: 0,
            state: State::Idle,
            application: false,
            errors: 0,
            next_block: 0,
            blocks_left: None,
            announced: None,
            busy_until_ns: 0,
            program_ns: 900_000,
            four_bits: false,
        }
    }

    /// A card of standard capacity, `(size + 1) * 1024` blocks (CSD version 1, READ_BL_LEN 10, C_SIZE_MULT 7).
    pub fn standard(size: u16) -> Self {
        assert!(size < 1 << 12);
        Self::new((u64::from(size) + 1) << 10, u128::from(size) << 62 | 7 << 47 | 10 << 80, false)
    }

    /// A card of high capacity, `(size + 1) * 1024` blocks (CSD version 2).
    pub fn high(size: u32) -> Self {
        assert!(size < 1 << 22);
        Self::new((u64::from(size) + 1) << 10, 1 << 126 | u128::from(size) << 48 | 9 << 80, true)
    }

    fn status(&mut self, now: u64) -> u32 {
        let state = match self.state_at(now) {
            State::Idle => 0,
            State::Ready => 1,
            State::Identification => 2,
            State::StandBy => 3,
            State::Transfer => 4,
            State::SendingData => 5,
            State::ReceivingData => 6,
            State::Programming => 7,
        };
        let ready = u32::from(self.state != State::Programming) << 8;
        let application = u32::from(self.application) << 5;
        state << 9 | ready | application | std::mem::take(&mut self.errors)
    }

    fn state_at(&mut self, now: u64) -> State {
        if self.state == State::Programming && now >= self.busy_until_ns {
            self.state = State::Transfer;
        }
        self.state
    }

    fn first_block(&mut self, address: u32) {
        let address = u64::from(address);
        self.next_block = if self.high_capacity {
            address
        } else {
            assert_eq!(address % 512, 0, "an address that is not aligned");
            address / 512
        };
        self.blocks_left = self.announced.take();
        if self.next_block >= self.blocks {
            self.errors |= 1 << 31;
        }
    }

    /// The next block that the card sends, if there is one.
    fn send_block(&mut self) -> Option<[u8; 512]> {
        if self.state != State::SendingData || self.next_block >= self.blocks {
            return None;
        }
        let block = self.contents.get(&self.next_block).copied().unwrap_or([0; 512]);
        self.advance(State::Transfer);
        Some(block)
    }

    /// Takes a block; says whether it did.
    fn receive_block(&mut self, block: &[u8; 512], now: u64) -> bool {
        let accepted = self.state == State::ReceivingData && self.next_block < self.blocks;
        if accepted && !self.is_protected() {
            self.contents.insert(self.next_block, *block);
            self.busy_until_ns = now + self.program_ns;
            self.advance(State::Programming);
        }
        accepted
    }

    fn is_protected(&self) -> bool {
        self.csd & 3 << 12 != 0
    }

    fn advance(&mut self, end: State) {
        self.next_block += 1;
        if let Some(left) = &mut self.blocks_left {
            *left -= 1;
            if *left == 0 {
                self.state = end;
            }
        }
    }

    /// CMD12; `false` if the card is in no state for it.
    fn stop(&mut self, now: u64) -> bool {
        match self.state {
            State::SendingData => self.state = State::Transfer,
            State::ReceivingData => {
                self.state = State::Programming;
                self.busy_until_ns = self.busy_until_ns.max(now);
            }
            _ => return false,
        }
        self.blocks_left = None;
        true
    }
}

/// What a card does with a command.
#[derive(Clone, Copy)]
enum Answer {
    /// It does not know the command, or not in this state, or not on this address; or it obeys and should not have been
    /// asked, as with CMD0 while it programs.
    Nothing,
    None,
    Short(u32),
    Long(u128),
    /// The card sends these bytes on the data line.
    Data(u32, Option<[u8; 8]>),
}

impl Card {
    fn execute(&mut self, index: u32, argument: u32, now: u64) -> Answer {
        let state = self.state_at(now);
        let addressed = argument >> 16 == RCA;
        if std::mem::take(&mut self.application) && matches!(index, 6 | 41 | 51) {
            self.application = true;
            let answer = self.execute_application(index, argument, now);
            self.application = false;
            return answer;
        }
        match (index, state) {
            (0, _) => {
                let answer = if state == State::Programming { Answer::Nothing } else { Answer::None };
                (self.state, self.polls_left, self.four_bits) = (State::Idle, self.power_up_polls, false);
                (self.announced, self.blocks_left, self.errors) = (None, None, 0);
                return answer;
            }
            (8, State::Idle) if !self.version_1 => return Answer::Short(argument & 0xFFF),
            (55, State::Idle) if argument >> 16 == 0 => self.application = true,
            (55, State::Transfer) if addressed => self.application = true,
            (2, State::Ready) => {
                self.state = State::Identification;
                return Answer::Long(self.cid);
            }
            (3, State::Identification) => {
                self.state = State::StandBy;
                return Answer::Short(RCA << 16 | 0x500);
            }
            (9, State::StandBy) if addressed => return Answer::Long(self.csd),
            (7, State::StandBy) if addressed => self.state = State::Transfer,
            (
                13,
                State::StandBy
                | State::Transfer
                | State::SendingData
                | State::ReceivingData
                | State::Programming,
            ) if addressed => {}
            (12, State::SendingData | State::ReceivingData) => {
                let status = self.status(now);
                self.stop(now);
                return Answer::Short(status);
            }
            (16, State::Transfer) => assert_eq!(argument, 512),
            (23, State::Transfer) if self.scr[3] & 2 != 0 => self.announced = Some(argument),
            (17 | 18 | 24 | 25, State::Transfer) => {
                self.first_block(argument);
                self.blocks_left = if index == 17 || index == 24 { Some(1) } else { self.blocks_left };
                let status = self.status(now);
                self.state = if index < 20 { State::SendingData } else { State::ReceivingData };
                if index >= 20 && self.is_protected() {
                    self.errors |= 1 << 26;
                }
                return Answer::Data(status, None);
            }
            _ => return Answer::Nothing,
        }
        Answer::Short(self.status(now))
    }

    fn execute_application(&mut self, index: u32, argument: u32, now: u64) -> Answer {
        match (index, self.state) {
            (41, State::Idle) => {
                let voltages = 0x00FF_8000;
                if self.polls_left > 0
                    || argument & voltages == 0
                    || (self.high_capacity && argument & 1 << 30 == 0)
                {
                    self.polls_left = self.polls_left.saturating_sub(1);
                    return Answer::Short(voltages);
                }
                self.state = State::Ready;
                Answer::Short(1 << 31 | u32::from(self.high_capacity) << 30 | voltages)
            }
            (6, State::Transfer) => {
                self.four_bits = argument == 2;
                Answer::Short(self.status(now))
            }
            (51, State::Transfer) => Answer::Data(self.status(now), Some(self.scr)),
            _ => Answer::Nothing,
        }
    }
}

/// A data transfer that the controller is in the middle of.
#[expect(clippy::struct_excessive_bools, reason = "each is a bit of the transfer mode register, or a wire")]
struct Transfer {
    read: bool,
    multiple: bool,
    stop: bool,
    blocks_left: u32,
    block_words: usize,
    words: VecDeque<u32>,
    /// The buffer can be read, or written.
    ready: bool,
    scr: Option<[u8; 8]>,
}

#[derive(Default)]
struct Host {
    block_size_count: u32,
    argument: u32,
    response: [u32; 4],
    interrupt: u32,
    interrupt_enable: u32,
    bus_control: u32,
    clock_reset: u32,
    command_inhibit: bool,
    busy: bool,
    transfer: Option<Transfer>,
    /// Status bits on their way: when, and which.
    due: VecDeque<(u64, Event)>,
    silent: bool,
    resetting_until_ns: u64,
    stable_at_ns: u64,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Response(u32),
    BlockReady,
    Complete,
    Error(u32),
}

struct Death;

pub struct Machine {
    pub card: RefCell<Option<Card>>,
    host: RefCell<Host>,
    now_ns: Cell<u64>,
    fuse: Cell<Option<u64>>,
    pub steps: Cell<u64>,
    /// Faults to come: how many events (commands and blocks) are to pass before, and which.
    pub faults: RefCell<VecDeque<(u32, Fault)>>,
    /// This fault repeats for ever once it has come.
    pub forever: Cell<bool>,
    pub complaints: RefCell<Vec<String>>,
    /// Commands as they were sent: number and argument.
    pub commands: RefCell<Vec<(u32, u32)>>,
    /// Everything is ready at once, as on an emulated board.
    pub prompt: Cell<bool>,
    /// This argument of a command arrives as that of the next block of a card of standard capacity.
    pub wrong_argument: Cell<Option<u32>>,
    /// When each register was written last.
    written_ns: RefCell<BTreeMap<usize, u64>>,
    pub base_in_capabilities: Cell<bool>,
    pub version: Cell<u32>,
}

impl Machine {
    pub fn new(card: Option<Card>) -> Self {
        Self {
            card: RefCell::new(card),
            host: RefCell::default(),
            now_ns: Cell::new(1_000_000),
            fuse: Cell::new(None),
            steps: Cell::new(0),
            faults: RefCell::default(),
            forever: Cell::new(false),
            complaints: RefCell::default(),
            commands: RefCell::default(),
            prompt: Cell::new(false),
            wrong_argument: Cell::new(None),
            written_ns: RefCell::default(),
            base_in_capabilities: Cell::new(false),
            version: Cell::new(0x9902_0000),
        }
    }

    /// Runs a driver's life, which dies at the step number `fuse`; `None` if it did.
    pub fn live<T>(&self, fuse: Option<u64>, life: impl FnOnce() -> T) -> Option<T> {
        self.fuse.set(fuse);
        let result = catch_unwind(AssertUnwindSafe(life));
        self.fuse.set(None);
        match result {
            Ok(value) => Some(value),
            Err(cause) if cause.is::<Death>() => None,
            Err(cause) => resume_unwind(cause),
        }
    }

    pub fn now(&self) -> u64 {
        self.now_ns.get()
    }

    pub fn block(&self, lba: u64) -> [u8; 512] {
        let card = self.card.borrow();
        card.as_ref().and_then(|card| card.contents.get(&lba).copied()).unwrap_or([0; 512])
    }

    /// Card clock in hertz; 0 when it is off.
    pub fn card_clock(&self) -> u64 {
        self.host.borrow().card_clock(self.base())
    }

    fn base(&self) -> u64 {
        if self.base_in_capabilities.get() { 52_000_000 } else { BASE_HZ }
    }

    fn step(&self) {
        self.steps.set(self.steps.get() + 1);
        match self.fuse.get() {
            Some(0) => resume_unwind(Box::new(Death)),
            left => self.fuse.set(left.map(|steps| steps - 1)),
        }
    }

    /// The fault that is due at this event, if any.
    fn fault(&self) -> Option<Fault> {
        let mut faults = self.faults.borrow_mut();
        let (before, fault) = faults.front_mut()?;
        if *before > 0 {
            *before -= 1;
            return None;
        }
        let fault = *fault;
        if !self.forever.get() {
            faults.pop_front();
        }
        match fault {
            Fault::Removal => {
                self.card.replace(None);
                faults.clear();
            }
            Fault::Busy => {
                if let Some(card) = self.card.borrow_mut().as_mut() {
                    card.busy_until_ns = self.now() + 1_000_000_000;
                }
            }
            Fault::CardError => {
                if let Some(card) = self.card.borrow_mut().as_mut() {
                    card.errors |= 1 << 21;
                }
            }
            _ => {}
        }
        Some(fault)
    }

    fn pass(&self, nanoseconds: u64) {
        self.now_ns.set(self.now_ns.get() + nanoseconds);
        let mut host = self.host.borrow_mut();
        if self.now() >= host.stable_at_ns && host.clock_reset & 1 != 0 {
            host.clock_reset |= 2;
        }
        if self.now() >= host.resetting_until_ns {
            host.clock_reset &= !(7 << 24);
        }
        while let Some(event) = host.due.pop_front_if(|event| event.0 <= self.now()) {
            host.happen(event.1);
        }
    }

    fn schedule(&self, host: &mut Host, delay_ns: u64, event: Event) {
        let prompt = self.prompt.get() && delay_ns < 1_000_000_000;
        let at = self.now().max(host.due.back().map_or(0, |last| last.0)) + if prompt { 0 } else { delay_ns };
        host.due.push_back((at, event));
    }

    fn start_command(&self, host: &mut Host, value: u32) {
        let (index, kind) = (value >> 24 & 0x3F, value >> 16 & 3);
        let abort = value >> 22 & 3 == 3;
        assert!(!host.command_inhibit, "CMD{index} while a command is under way");
        assert!(
            abort || !(value & 1 << 21 != 0 || kind == 3) || host.transfer.is_none() && !host.busy,
            "CMD{index}"
        );
        self.commands.borrow_mut().push((index, host.argument));
        let clock = host.card_clock(self.base());
        assert!(clock <= 25_000_000, "card clock of {clock} Hz");
        if clock == 0 || host.silent || host.bus_control & 0xF00 != 0xF00 {
            return;
        }
        host.command_inhibit = true;
        let fault = self.fault();
        if fault == Some(Fault::Silence) {
            host.silent = true;
            return;
        }
        let answer = self.answer(host, index, clock, fault);
        self.respond(host, value, answer, fault);
    }

    fn answer(&self, host: &Host, index: u32, clock: u64, fault: Option<Fault>) -> Answer {
        let mut card = self.card.borrow_mut();
        let Some(card) = card.as_mut().filter(|_| fault != Some(Fault::CommandTimeout)) else {
            return Answer::Nothing;
        };
        let identifying = matches!(card.state, State::Idle | State::Ready | State::Identification);
        if identifying && clock > 400_000 && index != 0 {
            return Answer::Nothing;
        }
        let before = card.state;
        let answer = card.execute(index, host.argument, self.now());
        let probe = card.version_1 && index == 8;
        if matches!(answer, Answer::Nothing) && !probe {
            self.complaints.borrow_mut().push(format!("CMD{index}({:#x}) in {before:?}", host.argument));
        }
        answer
    }

    fn respond(&self, host: &mut Host, value: u32, answer: Answer, fault: Option<Fault>) {
        const ERROR: u32 = 1 << 15;
        let (kind, has_data) = (value >> 16 & 3, value & 1 << 21 != 0);
        let mut flags = match fault {
            Some(Fault::CommandCrc) if kind != 0 => ERROR | 1 << 17 | 1,
            Some(Fault::CommandEndBit) if kind != 0 => ERROR | 1 << 18 | 1,
            Some(Fault::CommandIndex) if kind != 0 => ERROR | 1 << 19 | 1,
            _ => 1,
        };
        let mut scr = None;
        match answer {
            Answer::Nothing if kind != 0 => flags = ERROR | 1 << 16 | 1,
            Answer::Nothing | Answer::None => {}
            Answer::Short(response) => host.response[0] = response,
            Answer::Long(register) => {
                let shifted = register >> 8;
                host.response = [0, 32, 64, 96].map(|shift| (shifted >> shift) as u32);
            }
            Answer::Data(response, bytes) => (host.response[0], scr) = (response, bytes),
        }
        self.schedule(host, RESPONSE_NS, Event::Response(flags));
        if flags & ERROR != 0 {
            return;
        }
        if has_data {
            self.start_transfer(host, value, scr);
        } else if kind == 3 {
            host.busy = true;
            let busy_ns =
                self.card.borrow().as_ref().map_or(0, |card| card.busy_until_ns.saturating_sub(self.now()));
            self.schedule(host, busy_ns + 1_000, Event::Complete);
        }
    }

    fn start_transfer(&self, host: &mut Host, value: u32, scr: Option<[u8; 8]>) {
        let multiple = value & 1 << 5 != 0;
        assert!(!multiple || value & 2 != 0, "several blocks that are not counted");
        host.transfer = Some(Transfer {
            read: value & 1 << 4 != 0,
            multiple,
            stop: value >> 2 & 3 == 1,
            blocks_left: if multiple { host.block_size_count >> 16 } else { 1 },
            block_words: (host.block_size_count & 0x3FF) as usize / 4,
            words: VecDeque::new(),
            ready: false,
            scr,
        });
        self.next_block(host);
    }

    /// Fetches the next block from the card, or makes room for it.
    fn next_block(&self, host: &mut Host) {
        const ERROR: u32 = 1 << 15;
        let fault = self.fault();
        let error = match fault {
            Some(Fault::DataTimeout) => Some(1 << 20),
            Some(Fault::DataCrc) => Some(1 << 21),
            Some(Fault::DataEndBit) => Some(1 << 22),
            Some(Fault::Silence) => {
                host.silent = true;
                return;
            }
            _ => None,
        };
        let transfer = host.transfer.as_mut().expect("a block belongs to a transfer");
        let mut card = self.card.borrow_mut();
        let bytes: Option<Vec<u8>> = match (&transfer.scr, card.as_mut()) {
            (Some(scr), Some(_)) => Some(scr.to_vec()),
            (None, Some(card)) if transfer.read => card.send_block().map(|block| block.to_vec()),
            (None, Some(_)) => Some(Vec::new()),
            _ => None,
        };
        drop(card);
        match bytes.filter(|_| error.is_none()) {
            Some(bytes) => {
                let words = bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
                transfer.words = words.collect();
                assert!(!transfer.read || transfer.words.len() == transfer.block_words, "block size");
                self.schedule(host, BLOCK_NS, Event::BlockReady);
            }
            // The controller's own limit: 2^27 card clocks are longer than anybody waits.
            None if error.is_none() || error == Some(1 << 20) => {
                self.schedule(host, 5_000_000_000, Event::Error(ERROR | 1 << 20));
            }
            None => self.schedule(host, BLOCK_NS, Event::Error(ERROR | error.unwrap())),
        }
    }

    /// The buffer was emptied, or filled.
    fn block_done(&self, host: &mut Host) {
        let transfer = host.transfer.as_mut().expect("a block belongs to a transfer");
        transfer.ready = false;
        let mut programming_ns = 0;
        if !transfer.read {
            let bytes: Vec<u8> = transfer.words.drain(..).flat_map(u32::to_le_bytes).collect();
            let mut card = self.card.borrow_mut();
            let taken =
                card.as_mut().is_some_and(|card| card.receive_block(&bytes.try_into().unwrap(), self.now()));
            if !taken {
                self.schedule(host, 5_000_000_000, Event::Error(1 << 15 | 1 << 20));
                return;
            }
            programming_ns = card.as_ref().map_or(0, |card| card.busy_until_ns.saturating_sub(self.now()));
        }
        transfer.blocks_left -= 1;
        if transfer.blocks_left > 0 {
            return self.next_block(host);
        }
        if transfer.multiple && transfer.stop {
            let stopped = self.fault() != Some(Fault::Stop)
                && self.card.borrow_mut().as_mut().is_some_and(|card| card.stop(self.now()));
            if !stopped {
                return self.schedule(host, RESPONSE_NS, Event::Error(1 << 15 | 1 << 24));
            }
        }
        // A card is still programming when the last block has been acknowledged; the busy time of CMD12 is waited for.
        let busy_ns =
            if host.transfer.as_ref().is_some_and(|transfer| transfer.stop) { programming_ns } else { 0 };
        self.schedule(host, busy_ns + 1_000, Event::Complete);
    }

    fn reset(&self, host: &mut Host, bits: u32) {
        if bits & 1 << 24 != 0 {
            let (stable, enable) = (host.stable_at_ns, host.clock_reset & 7 << 24);
            *host = Host { clock_reset: enable, stable_at_ns: stable, ..Host::default() };
        }
        if bits & 1 << 25 != 0 {
            host.command_inhibit = false;
        }
        if bits & 1 << 26 != 0 {
            (host.transfer, host.busy) = (None, false);
        }
        host.due.clear();
        host.silent = false;
        host.resetting_until_ns = self.now() + 2_000;
    }

    fn write_clock_reset(&self, host: &mut Host, value: u32) {
        if host.clock_reset & 4 != 0 && value & 4 != 0 {
            assert_eq!(
                host.clock_reset & 0xFFC0,
                value & 0xFFC0,
                "divisor changed while the card's clock runs"
            );
        }
        assert!(value & 4 == 0 || host.clock_reset & 2 != 0, "card clock switched on before it is stable");
        if value & 1 != 0 && (host.clock_reset ^ value) & 0xFFC1 != 0 {
            host.stable_at_ns = self.now() + 10_000;
            host.clock_reset &= !2;
        }
        host.clock_reset = value & !2 | host.clock_reset & 2;
        if value >> 24 & 7 != 0 {
            self.reset(host, value);
        }
    }

    /// Whether the controller takes this write. It forgets the second of two to one register within two card clocks.
    fn takes_write(&self, offset: usize) -> bool {
        let last = self.written_ns.borrow_mut().insert(offset, self.now());
        let clock = self.card_clock();
        offset == 0x20 || clock == 0 || last.is_none_or(|last| self.now() - last >= 2_000_000_000 / clock)
    }

    fn present_state(&self, host: &Host) -> u32 {
        let mut card = self.card.borrow_mut();
        let card_busy = card.as_mut().is_some_and(|card| card.state_at(self.now()) == State::Programming);
        let transfer = host.transfer.as_ref();
        u32::from(host.command_inhibit)
            | u32::from(transfer.is_some() || host.busy) << 1
            | u32::from(transfer.is_some_and(|transfer| !transfer.read)) << 8
            | u32::from(transfer.is_some_and(|transfer| transfer.read)) << 9
            | u32::from(!card_busy) << 20
            | 0x01E0_0000
    }
}

impl Host {
    fn happen(&mut self, event: Event) {
        if self.silent {
            return;
        }
        match event {
            Event::Response(flags) => {
                self.command_inhibit = false;
                self.raise(flags);
            }
            Event::BlockReady => {
                let Some(transfer) = &mut self.transfer else {
                    return;
                };
                transfer.ready = true;
                let flag = if transfer.read { 1 << 5 } else { 1 << 4 };
                self.raise(flag);
            }
            Event::Complete => {
                (self.transfer, self.busy) = (None, false);
                self.raise(2);
            }
            Event::Error(bits) => self.raise(bits),
        }
    }

    fn card_clock(&self, base: u64) -> u64 {
        let divisor = u64::from(self.clock_reset >> 8 & 0xFF | (self.clock_reset >> 6 & 3) << 8);
        match (self.clock_reset & 4, divisor) {
            (0, _) => 0,
            (_, 0) => base,
            _ => base / (2 * divisor),
        }
    }

    fn raise(&mut self, flags: u32) {
        self.interrupt |= flags & self.interrupt_enable;
    }
}

impl Registers for Machine {
    fn read(&self, offset: usize) -> u32 {
        self.step();
        self.pass(ACCESS_NS);
        let value = self.read_register(offset);
        self.pass(0);
        value
    }

    fn write(&self, offset: usize, value: u32) {
        self.step();
        self.pass(ACCESS_NS);
        if self.takes_write(offset) {
            self.write_register(offset, value);
        }
        self.pass(0);
    }
}

impl Machine {
    fn read_register(&self, offset: usize) -> u32 {
        let mut host: RefMut<Host> = self.host.borrow_mut();
        match offset {
            0x08 => host.argument,
            0x10 | 0x14 | 0x18 | 0x1C => host.response[(offset - 0x10) / 4],
            0x20 => {
                let transfer = host.transfer.as_mut().expect("data port read outside of a transfer");
                assert!(transfer.ready && transfer.read, "data port read while no block is ready");
                let word = transfer.words.pop_front().expect("a ready block has words");
                if transfer.words.is_empty() {
                    self.block_done(&mut host);
                }
                word
            }
            0x24 => self.present_state(&host),
            0x28 => host.bus_control,
            0x2C => host.clock_reset,
            0x30 => host.interrupt,
            0x40 if self.base_in_capabilities.get() => 0x0521_34B4,
            0x40 => 0,
            0xFC => self.version.get(),
            _ => panic!("read of offset {offset:#x}"),
        }
    }

    fn write_register(&self, offset: usize, value: u32) {
        let mut host = self.host.borrow_mut();
        match offset {
            0x04 => host.block_size_count = value,
            0x08 if self.wrong_argument.get() == Some(value) => host.argument = value + 512,
            0x08 => host.argument = value,
            0x0C => self.start_command(&mut host, value),
            0x20 => {
                let transfer = host.transfer.as_mut().expect("data port written outside of a transfer");
                assert!(transfer.ready && !transfer.read, "data port written while there is no room");
                transfer.words.push_back(value);
                if transfer.words.len() == transfer.block_words {
                    self.block_done(&mut host);
                }
            }
            0x28 => {
                let card = self.card.borrow();
                let four_bits = card.as_ref().is_some_and(|card| card.four_bits);
                assert!(value & 2 == 0 || four_bits || card.is_none(), "four lines to a card that uses one");
                host.bus_control = value;
            }
            0x2C => self.write_clock_reset(&mut host, value),
            0x30 => host.interrupt &= !value,
            0x34 => host.interrupt_enable = value,
            0x38 => assert_eq!(value, 0, "an interrupt that nobody serves"),
            _ => panic!("write of offset {offset:#x}"),
        }
    }
}

impl Clock for Machine {
    fn now_ns(&self) -> u64 {
        self.pass(100);
        self.now()
    }

    fn wait(&self, limit_ns: u64) {
        self.step();
        self.pass(limit_ns);
    }
}
