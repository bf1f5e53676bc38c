//! The monitor: asks programs how far they have come, again and again.
//!
//! *Rule.* It judges nobody. A program that does not answer has a request in service for too long, which RS (or, for RS,
//! root) sees in the kernel's records.

use crate::idle;
use protocols::{progress, reincarnation};
use userlib::{Client, Instant, NO_GRANTS, sleep_until};

/// Between two rounds of questions.
const PERIOD_MS: u64 = 2;

/// Asks `[progress, reincarnation]`, as far as they may be called.
pub fn run(services: &[Option<Client>; 2]) -> ! {
    let [progress, reincarnation] = services;
    if progress.is_none() && reincarnation.is_none() {
        idle();
    }
    loop {
        sleep_until(Instant::now().plus_ms(PERIOD_MS));
        if let Some(client) = progress {
            // No answer is an answer, too: it is RS that draws the conclusion.
            let _ = client.call(&progress::query(), NO_GRANTS);
        }
        if let Some(client) = reincarnation {
            let _ = client.call(&reincarnation::Request::List.encode(), NO_GRANTS);
        }
    }
}
