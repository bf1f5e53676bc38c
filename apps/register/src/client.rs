//! A client: one operation after the other, as long as the plan says, each on the evidence line before it and after it.
//!
//! *Rule.* Before an operation is asked for, its number is used up in the checkpoint. After a restart, and after an answer
//! that leaves open what became of an operation, the step is tried again by the next operation, with another value. After a
//! reset of the board, which takes the checkpoint with it, nothing is written any more: every register is read once.
//!
//! *Why.* The host finds out whether the answers of all clients fit together. It must know of everything that may have had
//! an effect, and must not take one attempt for another.

use crate::files::{Failed, Files};
use defmt::info;
use injector_core::{Plan, parameter};
use protocols::progress;
use register_core::record::RECORD_MAX;
use register_core::{
    AFTER_RESET, Answer, BYTES, CHECKPOINT_MAX, Checkpoint, Kind, REGISTERS, Record, Step, Value, answer,
    line, step,
};
use userlib::abi::message::bits::PEER;
use userlib::supplier::{self, Complaint};
use userlib::{Client as Service, Event, Instant, Peer, checkpoint, log, plan, recv};
use workload_core::line::ATTEMPTS;
use workload_core::record::{DONE, KERNEL_STATUS};

/// Format of the checkpoint.
const VERSION: u16 = 1;

/// Before a step that was not done, or not known to be, is tried again.
const RETRY_NS: u64 = 1_000_000;

/// Between two messages that a client is finished: the one who is told may have died with the last one.
const REMINDER_NS: u64 = 1_000_000;

/// How long after the plan's end the last client waits for the others: for the operation that each may have in service.
const PATIENCE_NS: u64 = 100_000_000;

/// Notification bit of client 0, the others' follow: bits below are those by which servers wake their clients.
const FINISHED_BIT: u32 = 16;

/// One byte more than a register has: who reads sees one that is too long.
const ROOM: usize = BYTES + 1;

/// The console, for a line about each step.
pub struct Lines {
    /// Who writes them.
    pub service: Service,
    /// What becomes of a driver whose receipt is for something else.
    pub complaint: Complaint,
}

/// What a client does when it is finished.
#[derive(Clone, Copy)]
pub enum Role {
    /// It says so to the client that unmounts.
    TellsWhoIsLast(Peer),
    /// It waits for these others, bit n for client n, and unmounts.
    IsLast {
        /// The others.
        others: u32,
    },
}

/// A client of shared registers.
pub struct Client {
    number: u8,
    files: Files,
    lines: Option<Lines>,
    role: Role,
    pause: u64,
    end: Instant,
    state: Checkpoint,
    open: [bool; REGISTERS],
}

impl Client {
    /// The client's life.
    pub fn run(number: u8, files: Files, lines: Option<Lines>, role: Role) -> ! {
        let Some((header, entries)) = plan::plan() else { rest() };
        let end = if header.end == 0 { Instant::NEVER } else { Instant::from_ns(header.end) };
        let pause = header.parameters[parameter::PAUSE];
        let state = Checkpoint { seed: header.seed, step: 0, operation: 0, finished: 0 };
        let mut client = Self { number, files, lines, role, pause, end, state, open: [false; REGISTERS] };
        // The first receive says that this incarnation is ready; whatever it does from now on counts as work.
        client.attend(Instant::from_ticks(0));
        let is_later_boot = Plan { header: *header, entries }.is_later_boot(Instant::now().ns());
        if client.begin(is_later_boot) {
            client.read_all();
        } else {
            let steps = header.parameters[parameter::OPERATIONS];
            while Instant::now() < client.end && (steps == 0 || u64::from(client.state.step) < steps) {
                client.work();
            }
        }
        client.finish()
    }

    /// Goes on from a checkpoint, or begins; true: the board was reset, and nothing is to be written.
    fn begin(&mut self, is_later_boot: bool) -> bool {
        let committed = checkpoint::load_value::<Checkpoint>(VERSION, &mut [0; CHECKPOINT_MAX]);
        let committed = committed.filter(|committed| committed.seed == self.state.seed);
        let fresh = committed.is_none();
        match committed {
            Some(committed) => self.state = committed,
            None if is_later_boot => self.state.operation = AFTER_RESET,
            None => {}
        }
        info!("client {=u8}: begins with operation {=u32}", self.number, self.state.operation);
        let Checkpoint { seed, step, operation, .. } = self.state;
        self.say(&Record::Begin { seed, client: self.number, step, operation, fresh });
        self.close_all();
        operation >= AFTER_RESET
    }

    /// Puts a record on the evidence line; what cannot be said must not be done.
    #[expect(clippy::unused_self, reason = "who has a client may speak for it")]
    fn say(&self, record: &Record) {
        let mut buffer = [0; RECORD_MAX];
        let said = record.encode(&mut buffer).is_some_and(log::event);
        assert!(said, "the evidence line refused a record");
    }

    fn commit(&self) {
        let committed = checkpoint::commit_value(VERSION, &self.state, &mut [0; CHECKPOINT_MAX]);
        assert!(committed.is_ok(), "the checkpoint was refused: {committed:?}");
    }

    /// Answers heartbeats and questions until `deadline`, and hears who is finished.
    fn attend(&mut self, deadline: Instant) {
        while let Some(bits) = next_bits(deadline, self.state.step) {
            self.hear(bits & PEER);
        }
    }

    /// A server that floods sets bits that no client sets: then nothing is believed, and the reminder waited for.
    fn hear(&mut self, bits: u64) {
        let Role::IsLast { others } = self.role else { return };
        if bits & !(u64::from(others) << FINISHED_BIT) == 0 {
            self.state.finished |= (bits >> FINISHED_BIT) as u32;
        }
    }

    /// Tries the next step.
    fn work(&mut self) {
        let number = self.state.step;
        let step = step(self.state.seed, self.number, number);
        self.attend(Instant::now().plus_ns(self.pause * step.pause_eighths / 8));
        match self.operate(&step) {
            Answer::Done => {
                self.state.step += 1;
                self.write_line(number, step.kind);
            }
            // What is refused once is not asked for for ever: the host counts it as lost.
            Answer::Refused => self.state.step += 1,
            Answer::NotExecuted | Answer::Unknown => self.attend(Instant::now().plus_ns(RETRY_NS)),
        }
    }

    /// One operation, with what goes on the evidence line about it.
    fn operate(&mut self, step: &Step) -> Answer {
        let (operation, register) = (self.state.operation, step.register);
        self.state.operation += 1;
        self.commit();
        self.say(&Record::Invoked { operation, register, kind: step.kind });
        let mut buffer = [0; ROOM];
        let done = match step.kind {
            Kind::Read => self.with_open(register, |files| files.read(register, &mut buffer)),
            Kind::Write => {
                let value = Value { register, client: self.number, operation };
                let bytes = value.bytes(self.state.seed);
                self.with_open(register, |files| files.write(register, &bytes).map(|()| 0))
            }
        };
        let (status, length) = done.map_or_else(|status| (status, 0), |length| (DONE, length));
        self.say(&Record::Returned { operation, status, bytes: &buffer[..length] });
        answer(status)
    }

    /// Does something with an open file. After a failure it is opened anew: who knows what the server has of it.
    fn with_open<T>(
        &mut self,
        register: u8,
        act: impl FnOnce(&Files) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let open = &mut self.open[usize::from(register)];
        if !*open {
            self.files.close(register);
            self.files.open(register)?;
        }
        let done = act(&self.files);
        *open = done.is_ok();
        done
    }

    /// The line about a step that was done.
    fn write_line(&mut self, number: u32, kind: Kind) {
        let text = line::line(number, kind);
        for _ in 0..ATTEMPTS {
            let Some(lines) = &self.lines else { return };
            if supplier::write(lines.service, text.as_bytes()) {
                return self.say(&Record::Line { step: number });
            }
            self.say(&Record::LineRefused { step: number });
            lines.complaint.file();
            self.attend(Instant::now().plus_ns(RETRY_NS));
        }
    }

    /// After a reset of the board: what is there.
    fn read_all(&mut self) {
        for register in 0..REGISTERS as u8 {
            let read = Step { register, kind: Kind::Read, pause_eighths: 0 };
            while matches!(self.operate(&read), Answer::NotExecuted | Answer::Unknown) {
                self.attend(Instant::now().plus_ns(RETRY_NS));
            }
        }
    }

    fn close_all(&self) {
        (0..REGISTERS as u8).for_each(|register| self.files.close(register));
    }

    /// Says that it asks for nothing any more, and attends to others for ever.
    fn finish(&mut self) -> ! {
        self.close_all();
        self.say(&Record::Finished);
        match self.role {
            Role::IsLast { others } => self.unmount(others),
            Role::TellsWhoIsLast(last) => loop {
                // One who is dead at the moment hears the next.
                let _ = last.notify(1 << (FINISHED_BIT + u32::from(self.number)));
                self.attend(Instant::now().plus_ns(REMINDER_NS));
            },
        }
    }

    /// Unmounts behind the others, who get no longer than to the end of the plan and a little.
    fn unmount(&mut self, others: u32) -> ! {
        let latest = self.end.plus_ns(PATIENCE_NS);
        while self.state.finished & others != others && Instant::now() < latest {
            self.attend(Instant::now().plus_ns(REMINDER_NS));
        }
        let status = loop {
            match self.files.unmount().err().unwrap_or(DONE) {
                // To unmount twice is to unmount once.
                status if status >= KERNEL_STATUS => self.attend(Instant::now().plus_ns(RETRY_NS)),
                status => break status,
            }
        };
        self.say(&Record::Unmounted { status });
        rest()
    }
}

/// There is nothing to do any more, but whoever asks is answered.
fn rest() -> ! {
    loop {
        let _ = next_bits(Instant::NEVER, 0);
    }
}

/// Answers questions about the number of steps done; returns the next notifications, or `None` at the deadline.
fn next_bits(deadline: Instant, steps: u32) -> Option<u64> {
    loop {
        match recv(deadline) {
            Event::Timeout => return None,
            Event::Notification(bits) => return Some(bits),
            Event::Request(request) => {
                let is_query = progress::is_query(&request.message);
                let count = progress::answer(steps.into());
                // Who asked may have died meanwhile.
                let _ = request.reply(&if is_query { count } else { progress::refusal() });
            }
        }
    }
}
