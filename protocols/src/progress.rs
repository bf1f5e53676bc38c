//! The `progress` service: how far a program has come.
//!
//! *Role.* For programs that are nobody's server by trade. A program that goes on receiving and does nothing else answers
//! its heartbeats; only a question that it leaves unanswered shows it. Whoever asks now and then makes such a failure one
//! that RS sees: a request in service for too long.
//!
//! *Rule.* The one request is idempotent and answered at once, between two pieces of work.

use crate::Service;
use abi::Message;

const QUERY: u64 = 1;

/// Labels and marks.
pub const SERVICE: Service =
    Service { name: "progress", labels: 1 << QUERY, idempotent: 1 << QUERY, deduplicated: 0 };

/// The question how far it has come.
pub fn query() -> Message {
    Message::new(QUERY, &[])
}

/// Whether a message is that question.
pub fn is_query(message: &Message) -> bool {
    message.label == QUERY
}

/// The answer: pieces of work done since the program first began.
pub fn answer(count: u64) -> Message {
    Message::new(0, &[count])
}

/// The answer to a request that is not of this protocol.
pub fn refusal() -> Message {
    Message::new(1, &[])
}

/// The count in an answer; `None` if it is none.
pub fn count(reply: &Message) -> Option<u64> {
    (reply.label == 0).then_some(reply.words[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_and_answer_round_trip() {
        assert!(is_query(&query()) && !is_query(&answer(7)));
        assert_eq!((count(&answer(7)), count(&refusal())), (Some(7), None));
        assert_ne!(SERVICE.idempotent & 1 << query().label, 0);
    }
}
