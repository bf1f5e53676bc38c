//! What a system call answers, and who is to blame.
//!
//! A call that fails belongs to one of two families: *not executed* (the server never saw the request, or refused it)
//! and *unknown* (a server had it, and whether its effect took place cannot be told).

/// The kernel's answer in `x0`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u64)]
#[must_use = "an error ignored here is an effect assumed that may not have taken place"]
pub enum Status {
    /// Done.
    Ok = 0,
    /// Caller's fault: no such handle, slot or window.
    BadHandle = 1,
    /// Caller's fault: an argument out of its range.
    BadArgument = 2,
    /// Caller's fault: the manifest does not give this right.
    Denied = 3,
    /// Not executed: the service is closed (quarantined or stopped).
    Unavailable = 4,
    /// Not executed: the deadline came while the request was still queued.
    Expired = 5,
    /// Caller's fault: the memory named is not the caller's, or not with this access.
    BadAddress = 6,
    /// Exhausted: the bank, the heap of the manifest or the checkpoint is full.
    QuotaExceeded = 7,
    /// The slot is not in a state in which this can be done.
    WrongState = 8,
    /// There is more to do: call again.
    More = 9,
    /// There is nothing to give: no checkpoint, no death, no image, no further entry.
    Nothing = 10,
    /// Stored data does not match its checksum: an image in both copies, or the checkpoint.
    Corrupt = 11,
    /// The call named is not in service by this incarnation: it ended, or never was.
    Stale = 12,
    /// The blocked caller's window does not cover this range, or the caller itself may not access it so.
    BadGrant = 13,
    /// No such system call.
    NoSuchCall = 14,
    /// Caller's fault: a server complained of this request.
    Refused = 15,
    /// The board has no device for it, or the kernel does not drive it.
    Unsupported = 16,
    /// No device answers at this register: the bus refused the access.
    NoAnswer = 17,
    /// Unknown: the deadline came while a server had the request, or after one had died with it.
    UnknownExpired = 32,
    /// Unknown: the server died with the request, and its protocol says at most once or its service is closed.
    UnknownDied = 33,
    /// Unknown: this request killed its server twice in the same way.
    Poisoned = 34,
}

impl Status {
    const ALL: [Self; 21] = [
        Self::Ok,
        Self::BadHandle,
        Self::BadArgument,
        Self::Denied,
        Self::Unavailable,
        Self::Expired,
        Self::BadAddress,
        Self::QuotaExceeded,
        Self::WrongState,
        Self::More,
        Self::Nothing,
        Self::Corrupt,
        Self::Stale,
        Self::BadGrant,
        Self::NoSuchCall,
        Self::Refused,
        Self::Unsupported,
        Self::NoAnswer,
        Self::UnknownExpired,
        Self::UnknownDied,
        Self::Poisoned,
    ];

    /// The status with this number, if there is one.
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|status| *status as u64 == code)
    }

    /// Which family a failed call belongs to; `None` for success.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Ok => None,
            Self::UnknownExpired | Self::UnknownDied | Self::Poisoned => Some(Outcome::Unknown),
            _ => Some(Outcome::NotExecuted),
        }
    }
}

/// The two families of failed calls.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// The request had no effect.
    NotExecuted,
    /// The request may have had its effect, or a part of it.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip_and_families_are_told_apart() {
        for status in Status::ALL {
            assert_eq!(Status::from_code(status as u64), Some(status));
        }
        assert_eq!(Status::from_code(31), None);
        assert_eq!(Status::Expired.outcome(), Some(Outcome::NotExecuted));
        assert_eq!(Status::UnknownExpired.outcome(), Some(Outcome::Unknown));
        assert_eq!(Status::Ok.outcome(), None);
    }
}
