//! The file client: calls, and says what it was answered. It repeats nothing and looks at nothing.

use crate::{pause, say};
use crc::{CRC_32_ISO_HDLC, Crc};
use probe_core::script::{ACTIONS, READ_MAX, SETUP, Step, byte};
use probe_core::{BEGIN, Record};
use userlib::{Client, Grant, Instant, Message, binding, plan, sleep_until};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Between the last answer and the end of the trial, so that what died of the last message comes back.
const FAREWELL_US: u64 = 100_000;

struct Files {
    server: Client,
    seed: u64,
    data: [u8; READ_MAX],
}

pub fn run() -> ! {
    // The first receive: what comes after it is work, and may take as long as the server takes.
    pause(0);
    if let Some((header, _)) = plan::plan() {
        let mut client = Files {
            server: binding!(call ?"files").expect("the file client calls `files`"),
            seed: header.seed,
            data: [0; READ_MAX],
        };
        let between = binding!(parameter ?"pause_us").unwrap_or(0);
        client.carry_out(0, SETUP, 0);
        say(Record::Prepared);
        sleep_until(Instant::from_ns(header.parameters[BEGIN]));
        client.carry_out(SETUP.len(), ACTIONS, between);
        pause(FAREWELL_US);
        say(Record::Finished);
    }
    loop {
        sleep_until(Instant::NEVER);
    }
}

impl Files {
    fn carry_out(&mut self, first: usize, steps: &[Step], pause_us: u64) {
        for (index, step) in (first..).zip(steps) {
            let answer = self.call(index, step);
            say(answer);
            pause(pause_us);
        }
    }

    fn call(&mut self, index: usize, step: &Step) -> Record {
        let (request, paths) = step.request();
        let message = Message::new(request.label() as u64, &request.registers());
        let grants = match *step {
            Step::Append(_, bytes) => {
                for (position, to) in self.data[..bytes].iter_mut().enumerate() {
                    *to = byte(self.seed, index, position);
                }
                [Grant::Read(&self.data[..bytes]), Grant::None]
            }
            Step::Read(_) => {
                self.data.fill(0);
                [Grant::None, Grant::Write(&mut self.data)]
            }
            _ => paths.map(|path| Grant::Read(path.as_bytes())),
        };
        let reply = self.server.call(&message, grants);
        let status = reply.err().map_or(0, |error| error.0 as u8);
        let Message { label, words } = reply.unwrap_or_default();
        let checksum = if matches!(step, Step::Read(_)) { CRC.checksum(&self.data) } else { 0 };
        Record::Answer { step: index as u8, status, label, words, checksum }
    }
}
