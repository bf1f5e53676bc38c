//! The client's life: operation after operation, whatever the service is.

use defmt::info;
use exerciser_core::record::RECORD_MAX;
use exerciser_core::{Ledger, Record, Verdict};
use injector_core::parameter;
use protocols::progress;
use serde::{Deserialize, Serialize};
use userlib::abi::plan::PlanHeader;
use userlib::{Event, Instant, checkpoint, log, recv};

/// Format of the checkpoint.
const VERSION: u16 = 1;

/// Most bytes of the checkpoint.
const CHECKPOINT_MAX: usize = 64;

/// Before an operation is asked for again.
const RETRY_NS: u64 = 1_000_000;

/// What outlives an incarnation.
#[derive(Serialize, Deserialize)]
struct Kept {
    seed: u64,
    ledger: Ledger,
}

/// A service, and how to ask it.
pub trait Exercise {
    /// A new incarnation goes on with an operation that its predecessor may have asked for.
    fn resume(&mut self, _seed: u64, _ledger: &mut Ledger) {}

    /// Carries out the operation of the ledger, and notes what later ones depend on.
    fn carry_out(&mut self, client: &Client, ledger: &mut Ledger) -> Verdict;
}

/// The client.
pub struct Client {
    /// Seed of the workload.
    pub seed: u64,
    pause: u64,
    operations: u64,
    end: u64,
    done: u32,
}

impl Client {
    /// As the plan says.
    pub fn new(header: &PlanHeader) -> Self {
        Self {
            seed: header.seed,
            pause: header.parameters[parameter::PAUSE],
            operations: header.parameters[parameter::OPERATIONS],
            end: header.end,
            done: 0,
        }
    }

    /// Works until the plan says that it is enough.
    pub fn run(&mut self, exercise: &mut impl Exercise) {
        // The first receive says that this incarnation is ready; whatever it does from now on counts as work.
        self.attend(Instant::from_ticks(0));
        let kept = checkpoint::load_value::<Kept>(VERSION, &mut [0; CHECKPOINT_MAX]);
        let mut ledger = Ledger::default();
        if let Some(kept) = kept.filter(|kept| kept.seed == self.seed) {
            ledger = kept.ledger;
            info!("seed {=u64}: goes on from operation {=u32}", self.seed, ledger.operation);
            exercise.resume(self.seed, &mut ledger);
        }
        self.say(&Record::Begin { seed: self.seed, operation: ledger.operation });
        while u64::from(ledger.operation) < self.operations && Instant::now().ns() < self.end {
            self.done = ledger.operation;
            self.attend(Instant::now().plus_ns(self.pause));
            self.work(exercise, &mut ledger);
        }
    }

    /// The next operation, once.
    fn work(&self, exercise: &mut impl Exercise, ledger: &mut Ledger) {
        let kept = Kept { seed: self.seed, ledger: *ledger };
        let committed = checkpoint::commit_value(VERSION, &kept, &mut [0; CHECKPOINT_MAX]);
        assert!(committed.is_ok(), "the checkpoint was refused: {committed:?}");
        let operation = ledger.operation;
        self.say(&Record::Intent { operation });
        let verdict = exercise.carry_out(self, ledger);
        self.say(&Record::Answered { operation, verdict });
        match verdict {
            Verdict::Again(_) => drop(self.attend(Instant::now().plus_ns(RETRY_NS))),
            Verdict::Done | Verdict::Refused(_) | Verdict::Wrong => ledger.operation += 1,
        }
    }

    /// Says that it is over, and attends to others for ever.
    pub fn finish(&self) -> ! {
        self.say(&Record::Finished);
        loop {
            self.attend(Instant::NEVER);
        }
    }

    /// Puts a record on the evidence line; what cannot be said must not be done.
    #[expect(clippy::unused_self, reason = "who has a client may speak for it")]
    pub fn say(&self, record: &Record) {
        let mut buffer = [0; RECORD_MAX];
        let said = record.encode(&mut buffer).is_some_and(log::event);
        assert!(said, "the evidence line refused a record");
    }

    /// Answers heartbeats, and questions about the number of operations done, until `deadline`; returns the notifications that came.
    pub fn attend(&self, deadline: Instant) -> u64 {
        self.attend_until(deadline, 0)
    }

    /// The same, until one of these notifications comes, if that is earlier.
    pub fn attend_until(&self, deadline: Instant, bits: u64) -> u64 {
        let mut seen = 0;
        loop {
            match recv(deadline) {
                Event::Timeout => return seen,
                Event::Notification(more) => {
                    seen |= more;
                    if more & bits != 0 {
                        return seen;
                    }
                }
                Event::Request(request) => {
                    let is_query = progress::is_query(&request.message);
                    let count = progress::answer(self.done.into());
                    // Who asked may have died meanwhile.
                    let _ = request.reply(&if is_query { count } else { progress::refusal() });
                }
            }
        }
    }
}
