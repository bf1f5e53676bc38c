//! All effects, in order, for tests that say what one event must bring about.

// Not every program of tests looks at all of them.
#![allow(dead_code)]

use abi::message::{CallId, Meta};
use abi::{SlotId, Status};
use kernel_core::{Core, Death, Effects};

/// A death from outside.
pub const KILLED: Death = Death { own_fault: false, signature: 1 };

/// What the core told the kernel to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// To whom, of whom, with which attempt.
    Deliver(SlotId, SlotId, u8),
    Answer(SlotId, SlotId),
    Fail(SlotId, Status),
    Notified(SlotId, u64),
    TimedOut(SlotId),
    Ready(SlotId),
    Poisoned(SlotId),
}

/// The effects since they were last taken.
#[derive(Default)]
pub struct Notes(Vec<Effect>);

impl Notes {
    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.0)
    }
}

impl Effects for Notes {
    fn deliver(&mut self, server: SlotId, caller: SlotId, _: CallId, meta: Meta) {
        self.0.push(Effect::Deliver(server, caller, meta.attempt));
    }

    fn answer(&mut self, server: SlotId, caller: SlotId) {
        self.0.push(Effect::Answer(server, caller));
    }

    fn fail(&mut self, caller: SlotId, status: Status) {
        self.0.push(Effect::Fail(caller, status));
    }

    fn notified(&mut self, slot: SlotId, bits: u64) {
        self.0.push(Effect::Notified(slot, bits));
    }

    fn timed_out(&mut self, slot: SlotId) {
        self.0.push(Effect::TimedOut(slot));
    }

    fn ready(&mut self, slot: SlotId) {
        self.0.push(Effect::Ready(slot));
    }

    fn poisoned(&mut self, server: SlotId, _: CallId) {
        self.0.push(Effect::Poisoned(server));
    }
}

/// The next incarnation of `slot` begins.
pub fn start<const N: usize>(core: &mut Core<N>, slot: SlotId, now: u64) {
    core.begin_loading(slot).expect("nothing of it lives");
    core.begin_running(slot, now);
}
