//! Receiving and answering: what a server does, and how everybody sleeps.
//!
//! *Rule.* A request is answered by the incarnation that received it, at most once; the kernel refuses everything else.
//! A server holds no request while it waits for an event from outside: it answers "again" and notifies later.

use crate::sys;
use crate::time::Instant;
use abi::message::{GRANT_WRITABLE, GRANTS, Meta};
use abi::syscall::{RECV_NOTIFICATIONS, received, reply};
use abi::{CallId, Message, Status};

/// A received request. To drop it is to leave its sender blocked until the deadline.
#[derive(Debug)]
#[must_use = "the sender is blocked until this request is answered"]
pub struct Request {
    /// Identity of the call, the same at every delivery: what a server that deduplicates remembers.
    pub id: CallId,
    /// Who sent it, and how often it was delivered before.
    pub meta: Meta,
    /// What is asked.
    pub message: Message,
    grants: [u64; GRANTS],
}

/// Why a receive returned.
#[derive(Debug)]
#[must_use = "a request may be in it"]
pub enum Event {
    /// A request.
    Request(Request),
    /// These bits of the notification word were set; they are clear now.
    Notification(u64),
    /// The deadline came.
    Timeout,
}

impl Event {
    fn from_registers(registers: &sys::Registers) -> Self {
        match registers[0] {
            received::REQUEST => Self::Request(Request {
                id: CallId(registers[1]),
                meta: Meta::from_word(registers[11]),
                message: sys::message(registers),
                grants: [registers[12], registers[13]],
            }),
            received::NOTIFICATION => Self::Notification(registers[1]),
            received::TIMEOUT => Self::Timeout,
            code => panic!("receive refused: {code:#x}"),
        }
    }
}

/// Waits for a request or a notification until `deadline`. This is also the answer to a heartbeat.
#[inline]
pub fn recv(deadline: Instant) -> Event {
    Event::from_registers(&sys::recv(deadline.ticks(), 0))
}

/// Waits for notifications only, and leaves requests queued: for a driver in the middle of an operation. `None` at the
/// deadline.
#[inline]
pub fn recv_notifications(deadline: Instant) -> Option<u64> {
    match Event::from_registers(&sys::recv(deadline.ticks(), RECV_NOTIFICATIONS)) {
        Event::Notification(bits) => Some(bits),
        Event::Request(_) | Event::Timeout => None,
    }
}

/// Sleeps until `deadline`, whatever notifications come; returns these.
pub fn sleep_until(deadline: Instant) -> u64 {
    let mut bits = 0;
    while let Some(more) = recv_notifications(deadline) {
        bits |= more;
    }
    bits
}

impl Request {
    /// Bytes of grant `index`; 0 if there is none.
    pub fn grant_length(&self, index: usize) -> usize {
        self.grants.get(index).map_or(0, |word| (word & !GRANT_WRITABLE) as usize)
    }

    /// Whether grant `index` is one to write to.
    pub fn grant_is_writable(&self, index: usize) -> bool {
        self.grants.get(index).is_some_and(|word| word & GRANT_WRITABLE != 0)
    }

    /// Fills `buffer` from `offset` of the sender's window `index`. [`Status::BadGrant`] if the window is not one to read
    /// from or is too short; [`Status::Stale`] if the call has ended meanwhile.
    #[inline]
    pub fn copy_in(&self, index: usize, offset: usize, buffer: &mut [u8]) -> Result<(), Status> {
        if self.grant_is_writable(index) {
            return Err(Status::BadGrant);
        }
        // SAFETY: 1. `buffer` is borrowed exclusively. 2. The window is not writable, so the kernel copies into `buffer`.
        unsafe { sys::copy(self.id.0, index, offset, buffer.as_mut_ptr(), buffer.len()) }
    }

    /// Writes `data` to `offset` of the sender's window `index`. Errors as [`Request::copy_in`].
    #[inline]
    pub fn copy_out(&self, index: usize, offset: usize, data: &[u8]) -> Result<(), Status> {
        if !self.grant_is_writable(index) {
            return Err(Status::BadGrant);
        }
        // SAFETY: 1. `data` is borrowed. 2. The window is writable, so the kernel only reads `data`.
        unsafe { sys::copy(self.id.0, index, offset, data.as_ptr().cast_mut(), data.len()) }
    }

    /// Answers. [`Status::Stale`] if the call has ended meanwhile.
    pub fn reply(self, message: &Message) -> Result<(), Status> {
        sys::reply(reply::ANSWER, self.id.0, message)
    }

    /// Answers and receives: one entry into the kernel. An answer to a call that has ended is dropped.
    #[inline]
    pub fn reply_recv(self, message: &Message, deadline: Instant) -> Event {
        Event::from_registers(&sys::reply_recv(deadline.ticks(), self.id.0, message))
    }

    /// Complains of the sender: the request breaks the protocol. The sender gets [`Status::Refused`], or dies if the
    /// manifest gives this server the right to say so.
    pub fn blame(self) -> Result<(), Status> {
        sys::reply(reply::BLAME, self.id.0, &Message::default())
    }
}

/// What a server makes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// This reply.
    Reply(Message),
    /// A complaint of the sender.
    Blame,
}

impl From<Message> for Answer {
    fn from(message: Message) -> Self {
        Self::Reply(message)
    }
}

/// What a server does; [`serve`] drives it. A closure over a request is the simplest one.
pub trait Server {
    /// Handles one request.
    fn request(&mut self, request: &Request) -> Answer;

    /// Handles notifications. Heartbeats need no handling: to receive them was the answer.
    fn notified(&mut self, bits: u64) {
        let _ = bits;
    }

    /// When [`Server::elapsed`] is due.
    fn deadline(&self) -> Instant {
        Instant::NEVER
    }

    /// The deadline has come.
    fn elapsed(&mut self) {}
}

impl<F: FnMut(&Request) -> Answer> Server for F {
    fn request(&mut self, request: &Request) -> Answer {
        self(request)
    }
}

/// The server loop.
pub fn serve(server: &mut impl Server) -> ! {
    let mut event = recv(server.deadline());
    loop {
        event = match event {
            Event::Request(request) => match server.request(&request) {
                Answer::Reply(message) => request.reply_recv(&message, server.deadline()),
                Answer::Blame => {
                    // A complaint about a call that has ended meanwhile is as void as an answer to it.
                    let _ = request.blame();
                    recv(server.deadline())
                }
            },
            Event::Notification(bits) => {
                server.notified(bits);
                recv(server.deadline())
            }
            Event::Timeout => {
                server.elapsed();
                recv(server.deadline())
            }
        };
    }
}
