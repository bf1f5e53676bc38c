//! The lines that a client writes to the console: one for each operation that was acknowledged, again if the driver refuses it.

use workload_core::line::ATTEMPTS;

/// A line that the client writes to the console.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsoleLine {
    /// The operation that it is about.
    pub operation: u32,
    /// Its text.
    pub text: String,
    /// When the driver acknowledged it, if it did.
    pub acknowledged: Option<u64>,
    /// It did not, and the client knows that: what came of it is nobody's word.
    pub refused: bool,
    /// When the operation was acknowledged: the line was written after that.
    pub time: u64,
}

/// What it means that the driver refused a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineRefusal {
    /// It is not the line that was to be written.
    OfNothing,
    /// The client writes it again.
    WrittenAgain,
    /// The client does not write it again.
    OfTheLastAttempt,
}

/// The lines of a client, in their order, those that were written again among them.
#[derive(Clone, Debug, Default)]
pub struct Lines(Vec<ConsoleLine>);

impl Lines {
    /// All of them.
    pub fn all(&self) -> &[ConsoleLine] {
        &self.0
    }

    /// A line is to be written.
    pub fn push(&mut self, time: u64, operation: u32, text: String) {
        self.0.push(ConsoleLine { operation, text, acknowledged: None, refused: false, time });
    }

    /// The driver acknowledged it; false: it was not to be written.
    pub fn acknowledged(&mut self, time: u64, operation: u32) -> bool {
        let last = self.0.last_mut().filter(|line| line.operation == operation);
        last.map(|line| line.acknowledged = Some(time)).is_some()
    }

    /// The driver refused it.
    pub fn refused(&mut self, time: u64, operation: u32) -> LineRefusal {
        let Some(line) = self.0.last_mut().filter(|line| line.operation == operation) else {
            return LineRefusal::OfNothing;
        };
        line.refused = true;
        let again = ConsoleLine { refused: false, time, ..line.clone() };
        let attempts = self.0.iter().rev().take_while(|line| line.operation == operation).count();
        if attempts as u32 == ATTEMPTS {
            return LineRefusal::OfTheLastAttempt;
        }
        self.0.push(again);
        LineRefusal::WrittenAgain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_line_is_written_again_but_not_for_ever() {
        let mut lines = Lines::default();
        assert_eq!(lines.refused(1, 7), LineRefusal::OfNothing);
        lines.push(1, 7, "seven".to_owned());
        assert!(!lines.acknowledged(2, 6));
        let refusals: Vec<_> = (2..2 + u64::from(ATTEMPTS)).map(|time| lines.refused(time, 7)).collect();
        assert_eq!(refusals[..refusals.len() - 1], vec![LineRefusal::WrittenAgain; refusals.len() - 1]);
        assert_eq!(refusals.last(), Some(&LineRefusal::OfTheLastAttempt));
        assert_eq!(lines.all().len(), ATTEMPTS as usize);
        lines.push(9, 8, "eight".to_owned());
        assert!(lines.acknowledged(10, 8));
        assert_eq!(lines.all().last().unwrap().acknowledged, Some(10));
    }
}
