//! Whether a history of one register is linearizable: whether some order of all operations, in which each takes place at one
//! instant between its invocation and its return, explains every value that was read.
//!
//! *Rule.* No two writes have the same value, so that each read names its write. The operations of one value, a write and all
//! its reads, must then stand together in any such order: after the write the register has that value until the next write.
//! From the first return among them (`f`) to the last invocation (`s`) the value must be there, if `f` comes first: a *forward*
//! zone. Otherwise all of them can be had at any one instant from `s` to `f`: a *backward* zone. There is an order if no value is
//! read before it is written, no two forward zones overlap, and no backward zone lies within a forward one.
//!
//! *Why.* Searching for an order takes exponential time, and a search that fails has nothing to show. Zones take no time, and
//! two that are in each other's way are the counterexample: at most two writes and the reads that prove where their values were.
//!
//! # Resources
//! P. B. Gibbons, E. Korach: Testing Shared Memories. SIAM Journal on Computing 26 (1997) 1208–1244, section 4.2.

use std::collections::BTreeMap;
use std::fmt;

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action<V> {
    /// Writes a value that no other operation writes.
    Write(V),
    /// Reads a value; `None`: what is there before the first write.
    Read(Option<V>),
}

impl<V: Copy> Action<V> {
    /// The value that is written or read.
    const fn value(self) -> Option<V> {
        match self {
            Self::Write(value) => Some(value),
            Self::Read(value) => value,
        }
    }

    const fn is_write(self) -> bool {
        matches!(self, Self::Write(_))
    }
}

/// An operation on a register. Places are those of events in the history, all different; who asks is a name for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operation<V, N> {
    /// Name.
    pub name: N,
    /// What it does.
    pub action: Action<V>,
    /// Place of its invocation.
    pub invoked: u64,
    /// Place of its return. `None`: nobody was told what became of it. It may take place at any time after its invocation, or
    /// never.
    pub returned: Option<u64>,
}

impl<V, N> Operation<V, N> {
    fn end(&self) -> u64 {
        self.returned.unwrap_or(u64::MAX)
    }
}

/// Why no order explains a history: as few operations as show it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Violation<V, N> {
    /// A read returned a value that nobody has written.
    FromNowhere(Operation<V, N>),
    /// A read returned before the write of its value was invoked.
    FromTheFuture {
        /// The read.
        read: Operation<V, N>,
        /// The write.
        write: Operation<V, N>,
    },
    /// The first value must be there from one operation on until another, and the second one in between.
    Displaced {
        /// The value that must be there; `None`: the one before the first write.
        value: Option<V>,
        /// Its operations that prove from when on and until when.
        held: Vec<Operation<V, N>>,
        /// The other value.
        other: Option<V>,
        /// The operations that prove that it is there in between.
        between: Vec<Operation<V, N>>,
    },
}

impl<V: Copy, N: Copy> Violation<V, N> {
    /// The operations that it is about, each once, in the order of their invocations.
    pub fn operations(&self) -> Vec<Operation<V, N>> {
        let mut operations = match self {
            Self::FromNowhere(read) => vec![*read],
            Self::FromTheFuture { read, write } => vec![*read, *write],
            Self::Displaced { held, between, .. } => [held.as_slice(), between].concat(),
        };
        operations.sort_by_key(|operation| operation.invoked);
        operations
    }
}

impl<V: Copy + fmt::Display, N> fmt::Display for Violation<V, N> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let name = |value: Option<V>| {
            value.map_or_else(|| "the empty value".to_owned(), |value| format!("value {value}"))
        };
        match self {
            Self::FromNowhere(read) => {
                write!(f, "{} was read, which nobody has written", name(read.action.value()))
            }
            Self::FromTheFuture { write, .. } => {
                write!(f, "{} was read before its write was asked for", name(write.action.value()))
            }
            Self::Displaced { value, other, .. } => {
                write!(f, "{} was there while {} must have been", name(*other), name(*value))
            }
        }
    }
}

/// All operations of one value.
#[derive(Debug)]
struct Cluster<'a, V, N> {
    value: Option<V>,
    operations: Vec<&'a Operation<V, N>>,
}

impl<'a, V: Copy, N: Copy> Cluster<'a, V, N> {
    /// The one that returns first; `None`: what is there before the first write has been there since before everything.
    fn first_return(&self) -> Option<&'a Operation<V, N>> {
        let first = self.operations.iter().copied().min_by_key(|operation| operation.end());
        first.filter(|_| self.value.is_some())
    }

    /// The one that is invoked last.
    fn last_invocation(&self) -> Option<&'a Operation<V, N>> {
        self.operations.iter().copied().max_by_key(|operation| operation.invoked)
    }

    /// First return and last invocation, in places. Events begin at place 1.
    fn bounds(&self) -> (u64, u64) {
        let first = self.first_return().map_or(0, Operation::end);
        (first, self.last_invocation().map_or(0, |operation| operation.invoked))
    }

    fn is_forward(&self) -> bool {
        let (first_return, last_invocation) = self.bounds();
        first_return < last_invocation
    }

    /// The zone, lower place first.
    fn zone(&self) -> (u64, u64) {
        let (first_return, last_invocation) = self.bounds();
        (first_return.min(last_invocation), first_return.max(last_invocation))
    }

    /// Whether the value of `other` must be in the middle of this one's, whose zone is forward.
    fn is_broken_by(&self, other: &Self) -> bool {
        let (low, high) = self.zone();
        let (other_low, other_high) = other.zone();
        if other.is_forward() {
            low < other_high && other_low < high
        } else {
            low < other_low && other_high < high
        }
    }

    /// Its write and the operations that bound its zone, each once.
    fn proof(&self) -> Vec<Operation<V, N>> {
        let write = self.operations.iter().copied().find(|operation| operation.action.is_write());
        let mut proof: Vec<Operation<V, N>> = Vec::new();
        for operation in [write, self.first_return(), self.last_invocation()].into_iter().flatten() {
            if proof.iter().all(|known| known.invoked != operation.invoked) {
                proof.push(*operation);
            }
        }
        proof
    }
}

/// Says why the history of a register is not linearizable; `None`: it is.
pub fn violation<V: Copy + Ord, N: Copy>(history: &[Operation<V, N>]) -> Option<Violation<V, N>> {
    // A read that has not returned says nothing.
    let told = history.iter().filter(|operation| operation.action.is_write() || operation.returned.is_some());
    let mut clusters = BTreeMap::<Option<V>, Vec<&Operation<V, N>>>::new();
    for operation in told {
        clusters.entry(operation.action.value()).or_default().push(operation);
    }
    // A write of which nobody was told anything, and whose value nobody has read, may as well not have taken place.
    clusters.retain(|_, operations| operations.iter().any(|operation| operation.returned.is_some()));
    let clusters: Vec<_> =
        clusters.into_iter().map(|(value, operations)| Cluster { value, operations }).collect();
    clusters.iter().find_map(misread).or_else(|| displaced(&clusters))
}

/// A read of a value that was not written, or not yet.
fn misread<V: Copy, N: Copy>(cluster: &Cluster<V, N>) -> Option<Violation<V, N>> {
    cluster.value?;
    let first = **cluster.operations.iter().min_by_key(|operation| operation.end())?;
    let Some(write) = cluster.operations.iter().find(|operation| operation.action.is_write()) else {
        return Some(Violation::FromNowhere(first));
    };
    (first.end() < write.invoked).then_some(Violation::FromTheFuture { read: first, write: **write })
}

/// Two values of which one must be in the middle of the other. The one that is written later is named last.
fn displaced<V: Copy, N: Copy>(clusters: &[Cluster<V, N>]) -> Option<Violation<V, N>> {
    let forward = clusters.iter().filter(|cluster| cluster.is_forward());
    forward.flat_map(|held| clusters.iter().map(move |other| (held, other))).find_map(|(held, other)| {
        let breaks = !std::ptr::eq(held, other) && held.is_broken_by(other);
        breaks.then(|| Violation::Displaced {
            value: held.value,
            held: held.proof(),
            other: other.value,
            between: other.proof(),
        })
    })
}

#[cfg(test)]
mod tests;
