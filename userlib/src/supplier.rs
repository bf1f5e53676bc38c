//! Services below, and what to do when they do not what a correct one does.

use crate::client::{CallError, Client, Grant, NO_GRANTS};
use abi::{Message, SlotId, Status};
use protocols::block::{Device, Doubting, PLAIN_REQUEST, Remote, Window, is_own_fault};
use protocols::console::{self, Receipt, WRITE_MAX};
use protocols::reincarnation::{Reply, Request};

/// How to complain of a server to RS. Without `rs` among the component's calls nobody is there to hear it.
#[derive(Clone, Copy, Debug)]
pub struct Complaint {
    rs: Option<Client>,
    accused: SlotId,
}

impl Complaint {
    /// About `accused`, to `rs`: `Complaint::new(binding!(call ? "reincarnation"), binding!(server "block"))`.
    pub const fn new(rs: Option<Client>, accused: SlotId) -> Self {
        Self { rs, accused }
    }

    /// About nobody, to nobody.
    pub const NONE: Self = Self { rs: None, accused: 0 };

    /// Has the server replaced by a fresh one; false: it was not, since this component has complained just before.
    pub fn file(&self) -> bool {
        let Some(rs) = self.rs else { return false };
        let answer = rs.call(&Request::Complain(self.accused).encode(), NO_GRANTS);
        answer.is_ok_and(|reply| Reply::decode(&reply) == Reply::Done)
    }
}

/// What a server can be the reason of. Any other status says that the call itself was wrong.
const SERVERS: [Status; 6] = [
    Status::Unavailable,
    Status::Expired,
    Status::Refused,
    Status::UnknownExpired,
    Status::UnknownDied,
    Status::Poisoned,
];

/// Calls the block service behind `client`: what [`Remote`] needs.
///
/// It panics where the kernel says that the call was wrong: no server has seen it, so none is to blame.
pub fn caller(client: Client) -> impl FnMut(&Message, Window<'_>) -> Option<Message> {
    move |message, window| {
        let grant = match window {
            Window::None => Grant::None,
            Window::Read(bytes) => Grant::Read(bytes),
            Window::Write(bytes) => Grant::Write(bytes),
        };
        let answer = client.call(message, [grant, Grant::None]);
        if let Err(CallError(status)) = answer {
            assert!(SERVERS.contains(&status), "the call itself was wrong: {status:?}");
        }
        answer.ok()
    }
}

/// The block service behind `client`, doubted once before an error of it is believed. Before it complains this component looks whether
/// it is wrong itself, and ends if so.
pub fn blocks(client: Client, complaint: Complaint) -> impl Device {
    Doubting::new(Remote::new(caller(client)), move || {
        let plain = client.call(&PLAIN_REQUEST, NO_GRANTS).ok();
        let is_own = is_own_fault(plain.as_ref(), &mut Remote::new(caller(client)));
        assert!(!is_own, "the server answers, and what this component makes of it is wrong");
        complaint.file()
    })
}

/// Writes at most [`WRITE_MAX`] bytes to the console behind `client`; false: it did not, or its receipt is for other bytes, so some
/// or all of them may be there, or others.
pub fn write(client: Client, bytes: &[u8]) -> bool {
    debug_assert!(bytes.len() <= WRITE_MAX as usize, "a write of {} bytes", bytes.len());
    let request = console::Request::Write { length: bytes.len() as u32 };
    let answer = client.call(&request.encode(), [Grant::Read(bytes), Grant::None]);
    answer.is_ok_and(|reply| console::Reply::decode(&reply) == console::Reply::Written(Receipt::of(bytes)))
}
