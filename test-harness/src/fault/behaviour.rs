//! Components that fail by their own instructions, on the kernel's word: see docs/faults.md.

use abi::plan::Fault;
use abi::syscall::trigger;

/// Longest count of messages that a fault waits for.
pub const COUNT_MAX: u64 = 8;

/// What a fault of this kind may wait for: nothing, a request received, a message sent.
pub const TRIGGERS: [u64; 3] = [trigger::NOW, trigger::RECEIVED, trigger::SENT];

/// Failures that the target announces itself, or that come from outside: they never share a denominator with others.
pub const fn is_fail_stop(fault: Fault) -> bool {
    matches!(fault, Fault::Kill | Fault::Exit | Fault::Panic)
}
