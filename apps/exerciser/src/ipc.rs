//! Messages: a server is asked for what any correct one must answer.

use crate::{Ledger, dice};
use protocols::echo::{Crash, Request};
use rand_core::RngCore;

/// Bytes of the largest copy.
pub const COPY_MAX: usize = 1024;

/// What operation `operation` asks: values and windows that come back, and every third time a count.
pub fn request(seed: u64, operation: u32) -> Request {
    let chance = dice(seed, operation).next_u64();
    match operation % 3 {
        0 => Request::Echo(chance),
        1 => Request::Copy((chance % COPY_MAX as u64) as u32 + 1),
        _ => Request::Count(Crash::Never),
    }
}

impl Ledger {
    /// A count of unknown outcome: an incarnation of the client died with it.
    pub const fn count_in_doubt(&mut self) {
        self.most += 1;
    }

    /// The counter said `value` after one more count; false: that cannot be.
    pub fn counted(&mut self, value: u64) -> bool {
        let fits = (self.least + 1..=self.most + 1).contains(&value);
        // Whatever it said: the next ones go on from there.
        (self.least, self.most) = (value, value);
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_counts_once() {
        let mut ledger = Ledger::default();
        assert!(ledger.counted(1) && ledger.counted(2));
        assert!(!ledger.counted(4), "one too many");
        assert!(!ledger.counted(4), "one that was forgotten");
        assert!(ledger.counted(5));
        ledger.count_in_doubt();
        assert!({ ledger }.counted(6) && { ledger }.counted(7));
        assert!(!{ ledger }.counted(8) && !{ ledger }.counted(5));
    }

    #[test]
    fn every_kind_of_request_comes() {
        let copies = (0..300).filter_map(|operation| match request(7, operation) {
            Request::Copy(bytes) => Some(bytes),
            _ => None,
        });
        let copies: Vec<_> = copies.collect();
        assert_eq!(copies.len(), 100);
        assert!(copies.iter().all(|bytes| (1..=COPY_MAX as u32).contains(bytes)));
        assert!(matches!(request(7, 2), Request::Count(Crash::Never)));
        assert!(matches!(request(7, 3), Request::Echo(_)));
    }
}
