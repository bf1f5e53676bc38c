//! Calling a service.
//!
//! *Rule.* A client keeps its handle for life: the port outlives the servers behind it. There is no look-up, no
//! reconnecting, and no retry here: the kernel re-delivers what the protocol allows, and the rest is the caller's to judge
//! by [`CallError::outcome`].

use crate::sys;
use crate::time::{Instant, ticks_from_ns};
use abi::message::{GRANT_WRITABLE, GRANTS};
use abi::{Message, Outcome, Status};

/// A window on the caller's memory for the server, for as long as the call lasts.
#[derive(Debug, Default)]
pub enum Grant<'a> {
    /// No window.
    #[default]
    None,
    /// The server may read this.
    Read(&'a [u8]),
    /// The server may write to this.
    Write(&'a mut [u8]),
}

impl Grant<'_> {
    /// Address and length word.
    fn words(&mut self) -> (u64, u64) {
        match self {
            Self::None => (0, 0),
            Self::Read(window) => (window.as_ptr().expose_provenance() as u64, window.len() as u64),
            Self::Write(window) => {
                (window.as_mut_ptr().expose_provenance() as u64, window.len() as u64 | GRANT_WRITABLE)
            }
        }
    }
}

/// The windows of one call.
pub type Grants<'a> = [Grant<'a>; GRANTS];

/// No windows.
pub const NO_GRANTS: Grants<'static> = [Grant::None, Grant::None];

/// A call that brought no reply.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[must_use = "whether the request took effect depends on the family of this error"]
pub struct CallError(pub Status);

impl CallError {
    /// Whether the request surely had no effect, or may have had one.
    pub fn outcome(self) -> Outcome {
        self.0.outcome().unwrap_or(Outcome::Unknown)
    }
}

/// The right to call one service.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    handle: u32,
    limit_ticks: u64,
}

impl Client {
    /// For [`binding!`](crate::binding): handle and deadline in nanoseconds from the manifest.
    pub(crate) fn new(handle: u32, deadline_ns: u64) -> Self {
        Self { handle, limit_ticks: ticks_from_ns(deadline_ns, sys::frequency()) }
    }

    /// Sends `request` and waits for the reply, for as long as the manifest says, restarts of the server included.
    ///
    /// The grants are the server's while this function runs; whether it has written to a writable one is the protocol's
    /// to say, also when the call fails.
    #[inline]
    pub fn call(&self, request: &Message, grants: Grants<'_>) -> Result<Message, CallError> {
        self.call_until(request, grants, Instant::now().plus_ticks(self.limit_ticks))
    }

    /// [`Client::call`] with a deadline of the caller's own.
    #[inline]
    pub fn call_until(
        &self,
        request: &Message,
        mut grants: Grants<'_>,
        deadline: Instant,
    ) -> Result<Message, CallError> {
        let [first, second] = &mut grants;
        let words = [first.words(), second.words()];
        // SAFETY: 1. A granted range is a slice that `grants` borrows until this function returns: shared for reading,
        //    exclusively for writing. 2. Every byte that the kernel may write is a valid `u8`. 3. A grant ends with the
        //    call: when the kernel returns, nobody has access any more.
        unsafe { sys::call(self.handle, deadline.ticks(), request, words) }.map_err(CallError)
    }
}
