//! The service as a trait, for logic that stands between a client and a driver, and a stub that calls the service.
//!
//! *Rule.* No retry here but [`Doubting`]'s: the kernel delivers a request again when its server dies, and what a driver could not mend
//! its caller has to judge.

use super::{BLOCK_SIZE, Error, Info, OK, Request, done};
use abi::Message;

/// What serves blocks: a driver's service, a layer over it, or a simulated medium in a test.
///
/// Slices are whole blocks, at most [`BLOCKS_MAX`](super::BLOCKS_MAX) of them. Errors as in [`Error`].
pub trait Device {
    /// As [`Request::Info`].
    fn info(&mut self) -> Result<Info, Error>;

    /// Fills `buffer` from block `lba` on.
    fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), Error>;

    /// Writes `data` from block `lba` on.
    fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), Error>;

    /// Returns when everything written before is on the medium.
    fn flush(&mut self) -> Result<(), Error>;
}

impl<D: Device + ?Sized> Device for &mut D {
    fn info(&mut self) -> Result<Info, Error> {
        (**self).info()
    }

    fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), Error> {
        (**self).read(lba, buffer)
    }

    fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), Error> {
        (**self).write(lba, data)
    }

    fn flush(&mut self) -> Result<(), Error> {
        (**self).flush()
    }
}

/// What a request lets the server see of the caller's memory.
#[derive(Debug)]
pub enum Window<'a> {
    /// Nothing.
    None,
    /// Data to be written to the medium.
    Read(&'a [u8]),
    /// Room for what is read from the medium.
    Write(&'a mut [u8]),
}

/// A service behind calls: `call` sends a message with one window and returns the reply, or `None` if there was none.
#[derive(Debug)]
pub struct Remote<C> {
    call: C,
}

impl<C: FnMut(&Message, Window<'_>) -> Option<Message>> Remote<C> {
    /// The service that `call` reaches.
    pub const fn new(call: C) -> Self {
        Self { call }
    }

    /// Without a reply nobody knows what has become of the request: [`Error::Device`].
    fn ask(&mut self, request: Request, window: Window<'_>) -> Result<Message, Error> {
        (self.call)(&request.encode(), window).ok_or(Error::Device)
    }
}

/// A service that is doubted before an error of it is believed: `complain` has its server replaced by a fresh one (true), and the
/// request is made once more. Before that it is asked again, unless it has let the time pass: the error may have been the caller's own,
/// once, in what it has asked or in how it took the answer.
///
/// *Why.* A server whose code or memory was damaged may live and answer everything with an error. Nobody else can know that: it
/// does answer.
#[derive(Debug)]
pub struct Doubting<D, C> {
    device: D,
    complain: C,
    doubt: Doubt,
}

/// Which errors are worth a complaint.
#[derive(Clone, Copy, Debug, Default)]
pub struct Doubt {
    /// The server has answered well, and not said since that something was done to its card.
    was_well: bool,
}

impl Doubt {
    /// Takes note of an answer; true: its server could be the one that is wrong. What people do to a card is told as such by a
    /// server that is well, again and again, which must not cost it a life each time: once, when it comes after success.
    pub fn is_worth_a_complaint<T>(&mut self, answer: &Result<T, Error>) -> bool {
        let is_worth_it = match answer {
            Ok(_) => {
                self.was_well = true;
                false
            }
            Err(error) => error.may_be_the_servers() || core::mem::take(&mut self.was_well),
        };
        // Whoever accuses looks once more, as far as the compiler knows at something else: one inverted condition above takes every
        // answer for an error.
        assert!(!is_worth_it || core::hint::black_box(answer).is_err(), "an answer was taken for an error");
        is_worth_it
    }
}

/// Whether it is the caller that is wrong: the reply to [`PLAIN_REQUEST`](super::PLAIN_REQUEST) says that the server is well, and `device`,
/// which is this caller's usual way to ask the same, says that it is not. What it asks of blocks is not looked at.
///
/// *Why.* Who makes requests or reads answers with one wrong instruction finds every server wrong, a fresh one, too.
pub fn is_own_fault(plain: Option<&Message>, device: &mut impl Device) -> bool {
    // A card may be taken out between the two questions.
    plain.is_some_and(|reply| reply.label == OK) && device.info().is_err_and(Error::may_be_the_servers)
}

impl<D: Device, C: FnMut() -> bool> Doubting<D, C> {
    /// Over `device`.
    pub const fn new(device: D, complain: C) -> Self {
        Self { device, complain, doubt: Doubt { was_well: false } }
    }

    fn twice<T>(&mut self, mut request: impl FnMut(&mut D) -> Result<T, Error>) -> Result<T, Error> {
        let mut answer = request(&mut self.device);
        if answer.as_ref().is_err_and(|error| error.may_be_the_servers() && *error != Error::Timeout) {
            answer = request(&mut self.device);
        }
        if self.doubt.is_worth_a_complaint(&answer) && (self.complain)() {
            request(&mut self.device)
        } else {
            answer
        }
    }
}

impl<D: Device, C: FnMut() -> bool> Device for Doubting<D, C> {
    fn info(&mut self) -> Result<Info, Error> {
        self.twice(D::info)
    }

    fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.twice(|device| device.read(lba, buffer))
    }

    fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), Error> {
        self.twice(|device| device.write(lba, data))
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.twice(D::flush)
    }
}

/// Blocks in a slice of whole blocks.
const fn blocks(bytes: &[u8]) -> u32 {
    (bytes.len() / BLOCK_SIZE) as u32
}

impl<C: FnMut(&Message, Window<'_>) -> Option<Message>> Device for Remote<C> {
    fn info(&mut self) -> Result<Info, Error> {
        Info::decode(&self.ask(Request::Info, Window::None)?)
    }

    fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let request = Request::Read { lba, count: blocks(buffer) };
        done(&self.ask(request, Window::Write(buffer))?)
    }

    fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), Error> {
        let request = Request::Write { lba, count: blocks(data) };
        done(&self.ask(request, Window::Read(data))?)
    }

    fn flush(&mut self) -> Result<(), Error> {
        done(&self.ask(Request::Flush, Window::None)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{PLAIN_REQUEST, reply};

    #[test]
    fn an_error_is_believed_when_a_fresh_server_repeats_it() {
        use core::cell::Cell;
        for (error, fresh_is_well, complaints_heard) in
            [(Error::Device, true, true), (Error::Corrupt, false, true), (Error::Integrity, false, false)]
        {
            let (asked, complaints) = (Cell::new(0), Cell::new(0));
            let remote = Remote::new(|_: &Message, _: Window<'_>| {
                asked.set(asked.get() + 1);
                Some(reply(if asked.get() > 2 && fresh_is_well { Ok(()) } else { Err(error) }))
            });
            let mut device = Doubting::new(remote, || {
                complaints.set(complaints.get() + 1);
                complaints_heard
            });
            let expected = if fresh_is_well && complaints_heard { Ok(()) } else { Err(error) };
            assert_eq!(device.write(1, &[0; BLOCK_SIZE]), expected);
            assert_eq!((asked.get(), complaints.get()), (2 + u32::from(complaints_heard), 1));
        }
        for once in [Error::BadRequest, Error::OutOfRange, Error::Device, Error::Corrupt, Error::Integrity] {
            let asked = Cell::new(0);
            let mistaken = Remote::new(|_: &Message, _: Window<'_>| {
                asked.set(asked.get() + 1);
                Some(reply(if asked.get() == 1 { Err(once) } else { Ok(()) }))
            });
            let mut device = Doubting::new(mistaken, || panic!("nobody is to blame for one wrong request"));
            assert_eq!(device.flush(), Ok(()));
        }
        let asked = Cell::new(0);
        let slow = Remote::new(|_: &Message, _: Window<'_>| {
            asked.set(asked.get() + 1);
            Some(reply(Err(Error::Timeout)))
        });
        assert_eq!(Doubting::new(slow, || false).flush(), Err(Error::Timeout));
        assert_eq!(asked.get(), 1, "who lets the time pass is not asked twice");
        for again in [Error::BadRequest, Error::OutOfRange] {
            let (asked, complaints) = (Cell::new(0), Cell::new(0));
            let remote = Remote::new(|_: &Message, _: Window<'_>| {
                asked.set(asked.get() + 1);
                Some(reply(if asked.get() > 2 { Ok(()) } else { Err(again) }))
            });
            let mut device = Doubting::new(remote, || {
                complaints.set(complaints.get() + 1);
                true
            });
            assert_eq!(device.flush(), Ok(()));
            assert_eq!((asked.get(), complaints.get()), (3, 1), "{again:?}");
        }
        let absent = Remote::new(|_: &Message, _: Window<'_>| Some(reply(Err(Error::NoMedium))));
        let mut device = Doubting::new(absent, || panic!("nobody is to blame for an empty slot"));
        assert_eq!(device.flush(), Err(Error::NoMedium));
        let (asked, complaints) = (Cell::new(0), Cell::new(0));
        let pulled = Remote::new(|_: &Message, _: Window<'_>| {
            asked.set(asked.get() + 1);
            Some(reply(if asked.get() == 1 { Ok(()) } else { Err(Error::NoMedium) }))
        });
        let mut device = Doubting::new(pulled, || {
            complaints.set(complaints.get() + 1);
            true
        });
        assert_eq!(device.flush(), Ok(()));
        assert_eq!(device.flush(), Err(Error::NoMedium));
        assert_eq!(device.flush(), Err(Error::NoMedium));
        assert_eq!(complaints.get(), 1, "one that comes after success is doubted, and then believed");
    }

    #[test]
    fn who_cannot_ask_what_is_answered_is_wrong_itself() {
        let answer = |message: &Message| {
            let info = Info { blocks: 5, write_protected: false, identity: 6 };
            if Request::decode(message) == Ok(Request::Info) {
                info.encode()
            } else {
                reply(Err(Error::BadRequest))
            }
        };
        let well = answer(&PLAIN_REQUEST);
        let ill = reply(Err(Error::Device));
        let mut right = Remote::new(|message: &Message, _: Window<'_>| Some(answer(message)));
        let mut wrong = Remote::new(|message: &Message, _: Window<'_>| {
            Some(answer(&Message { label: message.label ^ 1, ..*message }))
        });
        assert!(!is_own_fault(Some(&well), &mut right));
        assert!(is_own_fault(Some(&well), &mut wrong));
        for plain in [Some(&ill), None] {
            assert!(!is_own_fault(plain, &mut wrong), "nobody can know");
        }
    }

    #[test]
    fn requests_go_out_as_messages_and_replies_come_back_as_results() {
        let mut device =
            Remote::new(|message: &Message, window: Window<'_>| match Request::decode(message) {
                Ok(Request::Read { lba: 7, count: 2 }) => {
                    let Window::Write(buffer) = window else { panic!("{window:?}") };
                    buffer.fill(7);
                    Some(reply(Ok(())))
                }
                Ok(Request::Write { lba: 9, count: 1 }) => Some(reply(Err(Error::Integrity))),
                Ok(Request::Info) => Some(Info { blocks: 5, write_protected: false, identity: 6 }.encode()),
                _ => None,
            });
        let mut buffer = [0; 2 * BLOCK_SIZE];
        assert_eq!(device.read(7, &mut buffer), Ok(()));
        assert_eq!(buffer, [7; 2 * BLOCK_SIZE]);
        assert_eq!(device.write(9, &[0; BLOCK_SIZE]), Err(Error::Integrity));
        assert_eq!(device.info().unwrap().blocks, 5);
        assert_eq!(device.flush(), Err(Error::Device), "no reply");
    }
}
