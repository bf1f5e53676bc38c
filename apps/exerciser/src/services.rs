//! The services, and how each is asked.

use crate::client::{Client, Exercise};
use exerciser_core::block::{Action, FIRST, action, expected, written};
use exerciser_core::console::{BACK_MAX, LINE, line};
use exerciser_core::ipc::{self, COPY_MAX};
use exerciser_core::{Ledger, Record, Verdict, fill};
use protocols::block::{BLOCK_SIZE, Device};
use protocols::console::{self, NOTIFY_INPUT};
use protocols::echo::{Reply, Request};
use userlib::abi::{Outcome, Status};
use userlib::supplier::{self, Complaint};
use userlib::{CallError, Client as Service, Grant, Instant, Message, NO_GRANTS};

/// Longest that a line may take to come back: many times what the driver's restart takes.
const BACK_NS: u64 = 20_000_000;

/// Reads of what has come late: more than the driver keeps.
const DRAINS_MAX: u32 = 16;

/// Longest wait for a notification of input.
const NOTICE_NS: u64 = 2_000_000;

/// `echo`.
pub struct Echo {
    service: Service,
    sent: [u8; COPY_MAX],
    received: [u8; COPY_MAX],
}

impl Echo {
    /// Behind this handle.
    pub const fn new(service: Service) -> Self {
        Self { service, sent: [0; COPY_MAX], received: [0; COPY_MAX] }
    }

    /// Has bytes copied from one window to another.
    fn copy(&mut self, seed: u64, operation: u32, bytes: usize) -> Verdict {
        let (sent, received) = (&mut self.sent[..bytes], &mut self.received[..bytes]);
        fill(seed, operation, sent);
        received.fill(0);
        let message = Request::Copy(bytes as u32).encode();
        let answer = self.service.call(&message, [Grant::Read(sent), Grant::Write(received)]);
        judge(answer, |reply| reply.done && sent == received)
    }
}

impl Exercise for Echo {
    fn resume(&mut self, seed: u64, ledger: &mut Ledger) {
        if matches!(ipc::request(seed, ledger.operation), Request::Count(_)) {
            ledger.count_in_doubt();
        }
    }

    fn carry_out(&mut self, client: &Client, ledger: &mut Ledger) -> Verdict {
        let request = ipc::request(client.seed, ledger.operation);
        match request {
            Request::Copy(bytes) => self.copy(client.seed, ledger.operation, bytes as usize),
            Request::Count(_) => {
                let answer = self.service.call(&request.encode(), NO_GRANTS);
                if answer.as_ref().is_err_and(|error| error.outcome() == Outcome::Unknown) {
                    ledger.count_in_doubt();
                }
                judge(answer, |reply| reply.done && ledger.counted(reply.value))
            }
            _ => {
                let expected = request.encode().words[0];
                let answer = self.service.call(&request.encode(), NO_GRANTS);
                judge(answer, |reply| reply.done && reply.value == expected)
            }
        }
    }
}

fn judge(answer: Result<Message, CallError>, is_right: impl FnOnce(&Reply) -> bool) -> Verdict {
    match answer {
        Ok(message) if is_right(&Reply::decode(&message)) => Verdict::Done,
        Ok(_) => Verdict::Wrong,
        Err(CallError(status @ (Status::Unavailable | Status::Expired | Status::UnknownDied))) => {
            Verdict::Again(status as u32)
        }
        Err(CallError(status)) => Verdict::Refused(status as u32),
    }
}

/// `block`.
pub struct Blocks<D> {
    device: D,
}

impl<D: Device> Blocks<D> {
    /// On this device.
    pub const fn new(device: D) -> Self {
        Self { device }
    }
}

impl<D: Device> Exercise for Blocks<D> {
    fn carry_out(&mut self, client: &Client, ledger: &mut Ledger) -> Verdict {
        let done = match action(client.seed, ledger.operation) {
            Action::Write(block) => {
                let done = self.device.write(FIRST + block, &written(client.seed, ledger.operation));
                ledger.is_unsure(block, done.is_err());
                done
            }
            Action::Read(block) => {
                let mut found = [0; BLOCK_SIZE];
                let read = self.device.read(FIRST + block, &mut found);
                if read.is_ok() && expected(client.seed, ledger, block).is_some_and(|wanted| wanted != found)
                {
                    return Verdict::Wrong;
                }
                read
            }
            Action::Flush => self.device.flush(),
        };
        done.map_or_else(|error| Verdict::Refused(error as u32), |()| Verdict::Done)
    }
}

/// `console`.
pub struct Lines {
    service: Service,
    complaint: Complaint,
    /// Number of the next byte of input.
    position: u64,
}

impl Lines {
    /// Behind this handle.
    pub const fn new(service: Service, complaint: Complaint) -> Self {
        Self { service, complaint, position: 0 }
    }

    /// Reads what is there into `room`; `None`: the driver did not answer.
    fn read(&mut self, room: &mut [u8]) -> Option<usize> {
        let request = console::Request::Read { position: self.position, room: room.len() as u32 };
        let answer = self.service.call(&request.encode(), [Grant::Write(room), Grant::None]).ok()?;
        match console::Reply::decode(&answer) {
            console::Reply::Input { position, length, .. } => {
                let length = (length as usize).min(room.len());
                self.position = position + length as u64;
                Some(length)
            }
            console::Reply::Again { position } => {
                self.position = position;
                Some(0)
            }
            _ => None,
        }
    }

    /// Forgets what has come back late, or of a line that was written twice; false: the driver does not answer, or goes on for ever.
    fn drain(&mut self, client: &Client) -> bool {
        let mut rest = [0; BACK_MAX];
        for _ in 0..DRAINS_MAX {
            match self.read(&mut rest) {
                Some(0) => return true,
                Some(_) => drop(client.attend(Instant::from_ticks(0))),
                None => return false,
            }
        }
        false
    }

    /// What comes back, until the line is complete or it takes too long; `None`: the driver did not answer.
    fn collect(&mut self, client: &Client, back: &mut [u8; BACK_MAX]) -> Option<usize> {
        let deadline = Instant::now().plus_ns(BACK_NS);
        let mut length = 0;
        while length < BACK_MAX && back[..length].last() != Some(&b'\n') && Instant::now() < deadline {
            match self.read(&mut back[length..])? {
                0 => drop(client.attend_until(Instant::now().plus_ns(NOTICE_NS), NOTIFY_INPUT)),
                more => length += more,
            }
        }
        Some(length)
    }
}

impl Exercise for Lines {
    fn carry_out(&mut self, client: &Client, ledger: &mut Ledger) -> Verdict {
        let line: [u8; LINE] = line(client.seed, ledger.operation);
        let mut back = [0; BACK_MAX];
        let is_written = self.drain(client) && supplier::write(self.service, &line);
        let Some(length) = is_written.then(|| self.collect(client, &mut back)).flatten() else {
            self.complaint.file();
            return Verdict::Again(0);
        };
        client.say(&Record::Back { operation: ledger.operation, bytes: &back[..length] });
        Verdict::Done
    }
}
