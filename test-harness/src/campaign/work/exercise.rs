//! The workloads `block`, `ipc` and `console`: one client that talks to one service and knows every answer (`apps/exerciser`).
//!
//! *Rule.* The client says what it asked and whether the answer was right; what is left on the card, and what came back of a line, is
//! compared here.

use super::{Leftovers, Traces, Work};
use anyhow::{Context, Result};
use exerciser_core::block::{Action, BLOCKS, FIRST, action, written};
use exerciser_core::console::{is_back, line};
use exerciser_core::{Kind, Record, Verdict};
use protocols::block::BLOCK_SIZE;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What came back of a line.
#[derive(Clone, Debug)]
struct Back {
    operation: u32,
    /// When it was asked for, and when it had come back.
    times: [u64; 2],
    bytes: Vec<u8>,
}

/// Follows it.
#[derive(Clone, Debug)]
pub struct Exercise {
    client: u8,
    kind: Kind,
    seed: u64,
    /// Operations that there are to be.
    operations: u32,
    /// The operation that is next, or under way.
    operation: u32,
    /// When it was first asked for, while it is not answered.
    asked: Option<u64>,
    acknowledged: u32,
    repeated: u32,
    refused: u32,
    is_finished: bool,
    wrong: Vec<String>,
    backs: Vec<Back>,
    /// Blocks of the range: what is acceptable there, by the operation that wrote it; nothing: anything is.
    blocks: Vec<Option<BTreeSet<u32>>>,
}

impl Exercise {
    /// Of the client in this slot, which works with this seed.
    pub fn new(client: u8, kind: Kind, seed: u64, operations: u32) -> Self {
        Self {
            client,
            kind,
            seed,
            operations,
            operation: 0,
            asked: None,
            acknowledged: 0,
            repeated: 0,
            refused: 0,
            is_finished: false,
            wrong: Vec::new(),
            backs: Vec::new(),
            blocks: vec![None; BLOCKS as usize],
        }
    }

    fn record(&mut self, time: u64, record: &Record) {
        match *record {
            Record::Begin { seed, operation } => self.begin(seed, operation),
            Record::Intent { operation } => self.intent(time, operation),
            Record::Back { operation, bytes } => {
                let times = [self.asked.unwrap_or(time), time];
                self.backs.push(Back { operation, times, bytes: bytes.to_vec() });
            }
            Record::Answered { operation, verdict } => self.answered(operation, verdict),
            // A client whose time was up before it had done its work has waited for somebody.
            Record::Finished => self.is_finished = self.operation >= self.operations,
        }
    }

    fn begin(&mut self, seed: u64, operation: u32) {
        let goes_on = [self.operation, self.operation.saturating_sub(1)].contains(&operation);
        if seed != self.seed || !goes_on {
            let text = format!(
                "the client goes on with operation {operation} of seed {seed}, and had come to {}",
                self.operation
            );
            self.wrong.push(text);
        }
        self.operation = operation;
    }

    fn intent(&mut self, time: u64, operation: u32) {
        if operation != self.operation {
            self.wrong.push(format!("operation {operation} is asked for, not {}", self.operation));
        }
        self.repeated += u32::from(self.asked.is_some());
        self.asked.get_or_insert(time);
        if let (Kind::Block, Action::Write(block)) = (self.kind, action(self.seed, operation))
            && let Some(acceptable) = &mut self.blocks[block as usize]
        {
            acceptable.insert(operation);
        }
    }

    fn answered(&mut self, operation: u32, verdict: Verdict) {
        match verdict {
            Verdict::Again(_) => return,
            Verdict::Done => {
                let is_told = self.backs.last().is_some_and(|back| back.operation == operation);
                if self.kind == Kind::Console && !is_told {
                    self.wrong.push(format!(
                        "operation {operation} is called done, and nobody says what came back"
                    ));
                }
                self.acknowledged += 1;
            }
            Verdict::Refused(_) => self.refused += 1,
            Verdict::Wrong => self.wrong.push(format!("operation {operation} got a wrong answer")),
        }
        if let (Kind::Block, Action::Write(block)) = (self.kind, action(self.seed, operation)) {
            let is_done = verdict == Verdict::Done;
            self.blocks[block as usize] = is_done.then(|| BTreeSet::from([operation]));
        }
        self.operation = operation + 1;
        self.asked = None;
    }

    /// Blocks that are not what was written there last.
    fn on_card(&self, card: &Path) -> Result<Vec<String>> {
        let reading = || format!("reading {}", card.display());
        let file = File::open(card).with_context(reading)?;
        let mut findings = Vec::new();
        for (block, acceptable) in (FIRST..).zip(&self.blocks) {
            let Some(acceptable) = acceptable else { continue };
            let mut found = [0; BLOCK_SIZE];
            file.read_exact_at(&mut found, block * BLOCK_SIZE as u64).with_context(reading)?;
            if !acceptable.iter().any(|&operation| written(self.seed, operation) == found) {
                findings
                    .push(format!("card: block {block} is not what operation {acceptable:?} has written"));
            }
        }
        Ok(findings)
    }

    /// Lines that came back as something else than a driver that died so often makes of them.
    fn on_line(&self, deaths: &[u64]) -> Vec<String> {
        let wrong = self.backs.iter().filter(|back| {
            let [from, to] = back.times;
            let deaths = deaths.iter().filter(|death| (from..=to).contains(death)).count();
            !is_back(&line(self.seed, back.operation), &back.bytes, deaths)
        });
        wrong
            .map(|back| {
                let text = String::from_utf8_lossy(&back.bytes);
                format!("console: of line {} came back {text:?}", back.operation)
            })
            .collect()
    }
}

impl Work for Exercise {
    fn boxed_clone(&self) -> Box<dyn Work> {
        Box::new(self.clone())
    }

    fn is_client(&self, slot: u8) -> bool {
        slot == self.client
    }

    fn said(&mut self, time: u64, _slot: u8, data: &[u8]) -> bool {
        let record = Record::decode(data);
        if let Some(record) = &record {
            self.record(time, record);
        }
        record.is_some()
    }

    fn died(&mut self, _slot: u8) {}

    fn reset(&mut self) {}

    fn acknowledged(&self) -> u32 {
        self.acknowledged
    }

    fn repeated(&self) -> u32 {
        self.repeated
    }

    fn refused(&self) -> u32 {
        self.refused
    }

    fn is_finished(&self) -> bool {
        self.is_finished
    }

    fn complaints(&self) -> (Vec<String>, bool) {
        let refused = (self.refused > 0).then(|| format!("{} operations were refused", self.refused));
        (self.wrong.iter().cloned().chain(refused).collect(), !self.wrong.is_empty())
    }

    fn leftovers(&self, traces: &Traces) -> Result<Leftovers> {
        let wrong = match self.kind {
            Kind::Block => self.on_card(traces.card)?,
            Kind::Console => self.on_line(traces.console_deaths),
            Kind::Ipc => Vec::new(),
        };
        Ok(Leftovers { wrong, ..Leftovers::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use exerciser_core::record::RECORD_MAX;

    const SEED: u64 = 3;

    struct Client(Exercise);

    impl Client {
        fn new(kind: Kind) -> Self {
            let mut client = Self(Exercise::new(5, kind, SEED, 4));
            client.says(0, &Record::Begin { seed: SEED, operation: 0 });
            client
        }

        fn says(&mut self, time: u64, record: &Record) {
            assert!(self.0.said(time, 5, record.encode(&mut [0; RECORD_MAX]).unwrap()));
        }

        fn does(&mut self, operation: u32, verdict: Verdict) {
            self.says(operation.into(), &Record::Intent { operation });
            self.says(operation.into(), &Record::Answered { operation, verdict });
        }
    }

    #[test]
    fn wrong_answers_and_lost_places_are_complained_of() {
        let mut client = Client::new(Kind::Ipc);
        client.does(0, Verdict::Done);
        client.does(1, Verdict::Again(3));
        client.does(1, Verdict::Done);
        assert_eq!((client.0.acknowledged(), client.0.repeated()), (2, 1));
        assert_eq!(client.0.complaints(), (vec![], false));
        client.does(2, Verdict::Refused(4));
        assert!(!client.0.complaints().1);
        client.does(3, Verdict::Wrong);
        client.says(9, &Record::Begin { seed: SEED, operation: 1 });
        let (complaints, is_wrong) = client.0.complaints();
        assert!(is_wrong && complaints.len() == 3, "{complaints:?}");
        client.says(9, &Record::Finished);
        assert!(!client.0.is_finished(), "there are more to do");
        for operation in 1..4 {
            client.does(operation, Verdict::Done);
        }
        client.says(9, &Record::Finished);
        assert!(client.0.is_finished() && !client.0.said(9, 5, &[99]));
    }

    #[test]
    fn a_block_must_have_what_was_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("card.img");
        let mut bytes = vec![0; ((FIRST + BLOCKS) as usize) * BLOCK_SIZE];
        let mut client = Client::new(Kind::Block);
        let writes: Vec<_> = (0..200).filter(|&n| matches!(action(SEED, n), Action::Write(_))).collect();
        for operation in 0..200 {
            client.does(operation, Verdict::Done);
        }
        for &operation in &writes {
            let Action::Write(block) = action(SEED, operation) else { unreachable!() };
            let at = (FIRST + block) as usize * BLOCK_SIZE;
            bytes[at..at + BLOCK_SIZE].copy_from_slice(&written(SEED, operation));
        }
        std::fs::write(&card, &bytes).unwrap();
        assert_eq!(client.0.on_card(&card).unwrap(), [""; 0]);
        let Action::Write(block) = action(SEED, writes[0]) else { unreachable!() };
        bytes[(FIRST + block) as usize * BLOCK_SIZE + 7] ^= 1;
        std::fs::write(&card, &bytes).unwrap();
        assert_eq!(client.0.on_card(&card).unwrap().len(), 1);
    }

    #[test]
    fn what_came_back_is_compared_with_the_line() {
        let mut client = Client::new(Kind::Console);
        let mut comes_back = |operation: u32, bytes: &[u8]| {
            client.says(operation.into(), &Record::Intent { operation });
            client.says(operation.into(), &Record::Back { operation, bytes });
            client.says(operation.into(), &Record::Answered { operation, verdict: Verdict::Done });
        };
        comes_back(0, &line(SEED, 0));
        comes_back(1, &line(SEED, 1)[2..]);
        comes_back(2, b"");
        assert_eq!(client.0.on_line(&[]).len(), 2);
        assert_eq!(client.0.on_line(&[1]).len(), 1);
        assert_eq!(client.0.on_line(&[1, 2]).len(), 0);
    }
}
