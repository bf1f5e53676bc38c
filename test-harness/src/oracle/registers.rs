//! The judge of shared registers: holds what several clients were told against one register for each file.
//!
//! *Rule.* Each file is a register ([`linearizability`](super::linearizability)), and registers are independent of each
//! other: a history is linearizable if that of each register is. An answer counts like this:
//!
//! | the client was told | the operation |
//! |---|---|
//! | "done" | took place between its invocation and its answer |
//! | "not executed", by the kernel | did not take place: who reads its value has read one from nowhere |
//! | "unknown"; nothing, since it died | takes place at any time after its invocation, or never |
//! | another error, by the server | the same, and the client has lost it |
//!
//! What the card holds when the machine is off is the last read of every register. After a reset of the board an operation
//! that was in service may still take place: that is more than the file server is allowed, and spares the history the reset.

use super::console_lines::{ConsoleLine, LineRefusal, Lines};
use super::linearizability::{Action, Operation, Violation, violation};
use super::workload::status_text;
use super::{Finding, Kind};
use register_core::{
    AFTER_RESET, Answer, Kind as Access, PATHS, REGISTERS, Record, Value, answer, line, step,
};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use workload_core::record::DONE;

/// Who asks, and when in virtual nanoseconds: for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    /// A client's operation.
    Client {
        /// Number of the client.
        client: u8,
        /// When it asked.
        asked: u64,
        /// When it was told that it was done.
        told: Option<u64>,
    },
    /// What is on the card at the end.
    Card,
}

/// Bytes of what is no value that are shown.
const SHOWN: usize = 16;

type Entry = Operation<Version, Name>;

/// A value, for people: client and operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Version(Value);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{}", self.0.client, self.0.operation)
    }
}

/// An operation that its client waits for.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    operation: u32,
    register: usize,
    /// Where it is among the register's operations.
    index: usize,
}

/// What is known of a client.
#[derive(Clone, Debug, Default)]
struct Client {
    has_begun: bool,
    number: u8,
    /// Steps that were done, or refused.
    step: u32,
    /// Number of the first operation that was not asked for.
    operation: u32,
    in_flight: Option<InFlight>,
    /// The board was reset: it reads only.
    is_after_reset: bool,
    is_finished: bool,
}

/// Follows all clients.
#[derive(Clone, Debug)]
pub struct Registers {
    seed: u64,
    /// By slot.
    clients: BTreeMap<u8, Client>,
    /// Slot of the client that writes lines and unmounts.
    last: u8,
    /// By register; `None`: not executed.
    history: [Vec<Option<Entry>>; REGISTERS],
    /// Place of the last event.
    place: u64,
    was_reset: bool,
    is_over: bool,
    is_unmounted: bool,
    lines: Lines,
    findings: Vec<Finding>,
    refusals: Vec<Finding>,
    acknowledged: u32,
    repeated: u32,
}

impl Registers {
    /// Before it begins: clients in these slots, which work with this seed; the `last` one writes lines and unmounts.
    pub fn new(seed: u64, clients: impl IntoIterator<Item = u8>, last: u8) -> Self {
        Self {
            seed,
            clients: clients.into_iter().map(|slot| (slot, Client::default())).collect(),
            last,
            history: Default::default(),
            place: 0,
            was_reset: false,
            is_over: false,
            is_unmounted: false,
            lines: Lines::default(),
            findings: Vec::new(),
            refusals: Vec::new(),
            acknowledged: 0,
            repeated: 0,
        }
    }

    /// Whether the component in this slot is a client.
    pub fn is_client(&self, slot: u8) -> bool {
        self.clients.contains_key(&slot)
    }

    /// What must not be, so far, without the operations that were refused.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Operations of which a client was told that they failed, lines and the unmounting included.
    pub fn refusals(&self) -> &[Finding] {
        &self.refusals
    }

    /// The lines that were written to the console.
    pub fn lines(&self) -> &[ConsoleLine] {
        self.lines.all()
    }

    /// Operations that were done.
    pub const fn acknowledged(&self) -> u32 {
        self.acknowledged
    }

    /// Operations that had to be asked for again.
    pub const fn repeated(&self) -> u32 {
        self.repeated
    }

    /// Whether the workload came to its end.
    pub const fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the file system was unmounted then.
    pub const fn is_unmounted(&self) -> bool {
        self.is_unmounted
    }

    /// Operations on each register, those of unknown outcome among them.
    pub fn operations(&self) -> [usize; REGISTERS] {
        std::array::from_fn(|register| self.history(register).len())
    }

    /// A client died.
    pub fn died(&mut self, slot: u8) {
        if let Some(client) = self.clients.get_mut(&slot) {
            client.in_flight = None;
        }
    }

    /// The board was reset.
    pub fn reset(&mut self) {
        self.was_reset = true;
        for client in self.clients.values_mut() {
            *client = Client { number: client.number, ..Client::default() };
        }
    }

    /// Takes the next record of a client.
    pub fn record(&mut self, time: u64, slot: u8, record: &Record) {
        self.place += 1;
        match *record {
            Record::Begin { seed, client, step, operation, fresh } => {
                self.begin(
                    time,
                    slot,
                    seed,
                    fresh,
                    &Client { number: client, step, operation, ..Client::default() },
                );
            }
            Record::Invoked { operation, register, kind } => {
                self.invoked(time, slot, operation, usize::from(register), kind);
            }
            Record::Returned { operation, status, bytes } => {
                self.returned(time, slot, operation, status, bytes);
            }
            Record::Line { step } => {
                if !self.lines.acknowledged(time, step) {
                    self.contradiction(time, format!("line {step} was not to be written"));
                }
            }
            Record::LineRefused { step } => self.line_refused(time, step),
            Record::Finished => self.client(slot).is_finished = true,
            Record::Unmounted { status } => self.unmounted(time, slot, status),
        }
    }

    fn client(&mut self, slot: u8) -> &mut Client {
        self.clients.entry(slot).or_default()
    }

    /// The records do not fit together.
    fn contradiction(&mut self, time: u64, text: String) {
        self.findings.push(Finding::at(Kind::Evidence, time, text));
    }

    fn refuse(&mut self, time: u64, text: String) {
        self.refusals.push(Finding::at(Kind::Correctness, time, text));
    }

    fn begin(&mut self, time: u64, slot: u8, seed: u64, fresh: bool, begins: &Client) {
        let number = begins.number;
        if seed != self.seed {
            self.contradiction(time, format!("client {number} works with seed {seed}, not {}", self.seed));
        }
        let known = self.client(slot).clone();
        if fresh && known.has_begun {
            self.findings.push(Finding::at(
                Kind::Correctness,
                time,
                format!("client {number} lost its checkpoint"),
            ));
        }
        // The last step that was done may have been committed, or not.
        let follows = known.step.saturating_sub(1)..=known.step;
        if !fresh && (!follows.contains(&begins.step) || begins.operation < known.operation) {
            let text = format!(
                "client {number} goes on with step {} and operation {}, but had come to {} and {}",
                begins.step, begins.operation, known.step, known.operation
            );
            self.findings.push(Finding::at(Kind::Correctness, time, text));
        }
        let is_after_reset = begins.operation >= AFTER_RESET;
        if is_after_reset && !self.was_reset {
            self.contradiction(time, format!("client {number} takes the board for reset"));
        }
        *self.client(slot) = Client { has_begun: true, is_after_reset, ..begins.clone() };
    }

    fn invoked(&mut self, time: u64, slot: u8, operation: u32, register: usize, access: Access) {
        let (seed, place) = (self.seed, self.place);
        let client = self.client(slot);
        let number = client.number;
        let drawn = step(seed, number, client.step);
        let is_drawn = (register, access) == (usize::from(drawn.register), drawn.kind);
        let is_due = if client.is_after_reset { access == Access::Read } else { is_drawn };
        let fits =
            is_due && client.in_flight.is_none() && operation >= client.operation && register < REGISTERS;
        if !fits {
            let text = format!(
                "client {number} asks for operation {operation}, {} of register {register}",
                access.name()
            );
            return self.contradiction(time, format!("{text}, which is not its next"));
        }
        client.operation = operation + 1;
        let action = match access {
            Access::Read => Action::Read(None),
            Access::Write => {
                Action::Write(Version(Value { register: register as u8, client: number, operation }))
            }
        };
        let name = Name::Client { client: number, asked: time, told: None };
        let index = self.history[register].len();
        self.client(slot).in_flight = Some(InFlight { operation, register, index });
        self.history[register].push(Some(Operation { name, action, invoked: place, returned: None }));
    }

    fn returned(&mut self, time: u64, slot: u8, operation: u32, status: u32, bytes: &[u8]) {
        let client = self.client(slot);
        let number = client.number;
        let Some(asked) = client.in_flight.take().filter(|asked| asked.operation == operation) else {
            let text =
                format!("client {number} was answered operation {operation}, and had not asked for it");
            return self.contradiction(time, text);
        };
        match answer(status) {
            Answer::Done => self.done(time, slot, asked, bytes),
            Answer::NotExecuted => {
                self.repeated += 1;
                self.history[asked.register][asked.index] = None;
            }
            Answer::Unknown => self.repeated += 1,
            Answer::Refused => {
                self.client(slot).step += 1;
                let what = format!("operation {operation} of client {number}");
                self.refuse(time, format!("{what} was answered {}", status_text(status)));
            }
        }
    }

    fn done(&mut self, time: u64, slot: u8, asked: InFlight, bytes: &[u8]) {
        let Some(entry) = &mut self.history[asked.register][asked.index] else { return };
        if let Name::Client { told, .. } = &mut entry.name {
            *told = Some(time);
        }
        let access = if matches!(entry.action, Action::Write(_)) { Access::Write } else { Access::Read };
        let action = if access == Access::Read { read_of(self.seed, bytes) } else { Some(entry.action) };
        match action {
            Some(action) => (entry.action, entry.returned) = (action, Some(self.place)),
            // A read of which nothing can be said stays one that has not returned.
            None => self.torn(time, asked.register, bytes),
        }
        self.acknowledged += 1;
        let client = self.client(slot);
        if client.is_after_reset {
            return;
        }
        let number = client.step;
        client.step += 1;
        if slot == self.last {
            self.lines.push(time, number, line::line(number, access).as_str().to_owned());
        }
    }

    fn torn(&mut self, time: u64, register: usize, bytes: &[u8]) {
        let text = format!("register {register} was read, and holds no value: {}", hexadecimal(bytes));
        self.findings.push(Finding::at(Kind::Correctness, time, text));
    }

    fn line_refused(&mut self, time: u64, step: u32) {
        match self.lines.refused(time, step) {
            LineRefusal::OfNothing => self.contradiction(time, format!("line {step} was not to be written")),
            LineRefusal::WrittenAgain => self.repeated += 1,
            LineRefusal::OfTheLastAttempt => self.refuse(time, format!("line {step} was never acknowledged")),
        }
    }

    fn unmounted(&mut self, time: u64, slot: u8, status: u32) {
        if slot != self.last {
            return self.contradiction(time, format!("the client in slot {slot} was not to unmount"));
        }
        (self.is_over, self.is_unmounted) = (true, status == DONE);
        if status != DONE {
            self.refuse(time, format!("unmounting was answered {}", status_text(status)));
        }
        let unfinished = self.clients.iter().filter(|(_, client)| !client.is_finished);
        let unfinished: Vec<_> = unfinished.map(|(slot, _)| *slot).collect();
        for slot in unfinished {
            self.refuse(time, format!("the client in slot {slot} had not come to its end"));
        }
    }

    /// The operations on a register.
    fn history(&self, register: usize) -> Vec<Entry> {
        self.history[register].iter().flatten().copied().collect()
    }

    /// Why what the clients were told cannot be: nothing, or a counterexample for each register.
    pub fn violations(&self) -> Vec<Finding> {
        (0..REGISTERS).filter_map(|register| told(register, violation(&self.history(register)))).collect()
    }

    /// The same with what was found on the card, by register (`None`: no such file), of registers without a violation before.
    pub fn violations_of_card(&self, found: &[Option<Vec<u8>>; REGISTERS]) -> Vec<Finding> {
        let of_register = |(register, found): (usize, &Option<Vec<u8>>)| {
            let bytes = found.as_deref().unwrap_or_default();
            let Some(action) = read_of(self.seed, bytes) else {
                let text = format!("card: {} holds no value: {}", PATHS[register], hexadecimal(bytes));
                return Some(Finding::overall(Kind::Correctness, text));
            };
            let mut history = self.history(register);
            if violation(&history).is_some() {
                return None;
            }
            let (invoked, returned) = (self.place + 1, Some(self.place + 2));
            history.push(Operation { name: Name::Card, action, invoked, returned });
            told(register, violation(&history))
        };
        found.iter().enumerate().filter_map(of_register).collect()
    }
}

/// What was read, if these bytes are a value, or there are none.
fn read_of(seed: u64, bytes: &[u8]) -> Option<Action<Version>> {
    if bytes.is_empty() {
        return Some(Action::Read(None));
    }
    Value::of_bytes(seed, bytes).map(|value| Action::Read(Some(Version(value))))
}

/// A counterexample for people.
fn told(register: usize, violation: Option<Violation<Version, Name>>) -> Option<Finding> {
    let violation = violation?;
    let mut text = format!("register {register} is not linearizable: {violation}");
    for operation in violation.operations() {
        // A string takes everything.
        let _ = write!(text, "; {}", sentence(&operation));
    }
    Some(Finding::overall(Kind::Correctness, text))
}

/// "client 1 wrote 1.7, 8.104 to 8.342 ms".
fn sentence(operation: &Entry) -> String {
    let what = match (operation.action, operation.returned) {
        (Action::Write(value), Some(_)) => format!("wrote {value}"),
        (Action::Write(value), None) => format!("was not told whether it wrote {value}"),
        (Action::Read(Some(value)), _) => format!("read {value}"),
        (Action::Read(None), _) => "read the empty value".to_owned(),
    };
    let milliseconds = |time: u64| time as f64 / 1e6;
    match operation.name {
        Name::Card => format!("the card at the end: {what}"),
        Name::Client { client, asked, told: Some(told) } => {
            format!("client {client} {what}, {:.3} to {:.3} ms", milliseconds(asked), milliseconds(told))
        }
        Name::Client { client, asked, told: None } => {
            format!("client {client} {what}, from {:.3} ms on", milliseconds(asked))
        }
    }
}

/// The first bytes, for people.
fn hexadecimal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().take(SHOWN).map(|byte| format!("{byte:02x}")).collect();
    let more = if bytes.len() > SHOWN { " ..." } else { "" };
    format!("{} bytes, {digits}{more}", bytes.len())
}

#[cfg(test)]
mod tests;
