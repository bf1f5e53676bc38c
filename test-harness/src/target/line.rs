//! Reading a serial line of the emulator.

use super::emulator::{Happening, Line};
use super::machine::SerialLine;
use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Most bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// How long bytes are left to gather before they are read. The emulator sends each by itself, and to wake whoever listens for each costs
/// more than all that is done with it.
const GATHERING: Duration = Duration::from_micros(300);

/// A thread that hands on what comes over one line, until that is closed.
#[derive(Debug)]
pub(super) struct Reader {
    stream: UnixStream,
    /// Held while bytes are no longer in the socket and not yet among the happenings.
    between: Arc<Mutex<()>>,
}

impl Reader {
    /// Reads `stream`.
    ///
    /// # Errors
    /// The operating system refuses another descriptor.
    pub fn start(stream: UnixStream, line: Line, sender: Sender<Happening>) -> Result<Self> {
        let looked_at = stream.try_clone().context("duplicating a line's socket")?;
        let between = Arc::new(Mutex::new(()));
        let held = Arc::clone(&between);
        std::thread::spawn(move || {
            let mut buffer = vec![0; PIECE];
            while hand_on(&stream, line, &sender, &held, &mut buffer) {}
            if line == SerialLine::Evidence {
                // Nobody listens any more if this fails.
                let _ = sender.send(Happening::Closed);
            }
        });
        Ok(Self { stream: looked_at, between })
    }

    /// Whether everything that was sent is among the happenings. Who sends must stand.
    pub fn is_drained(&self) -> bool {
        // What is guarded is no data: a thread that panicked has left nothing half done.
        let _held = self.between.lock().unwrap_or_else(PoisonError::into_inner);
        // A line that cannot be asked is closed.
        rustix::io::ioctl_fionread(&self.stream).is_ok_and(|waiting| waiting == 0)
    }
}

/// Hands the next piece on; false: there is none any more, or nobody who wants it.
fn hand_on(
    mut stream: &UnixStream,
    line: Line,
    sender: &Sender<Happening>,
    between: &Mutex<()>,
    buffer: &mut [u8],
) -> bool {
    let mut waiting = [PollFd::new(stream, PollFlags::IN)];
    match poll(&mut waiting, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(_) => return false,
    }
    if waiting[0].revents().is_empty() {
        return true;
    }
    std::thread::sleep(GATHERING);
    let _held = between.lock().unwrap_or_else(PoisonError::into_inner);
    match stream.read(buffer) {
        // A piece has few bytes as a rule, and many may wait: each takes the room that it needs.
        Ok(length @ 1..) => sender.send(Happening::Bytes(line, buffer[..length].to_vec())).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::mpsc::channel;

    #[test]
    fn what_was_sent_is_there_when_the_line_is_drained() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (sender, happenings) = channel();
        let reader = Reader::start(ours, SerialLine::Evidence, sender).unwrap();
        for round in 0..200_u8 {
            theirs.write_all(&[round; 100]).unwrap();
            while !reader.is_drained() {}
            let bytes: usize = happenings
                .try_iter()
                .map(|happening| match happening {
                    Happening::Bytes(SerialLine::Evidence, bytes) => bytes.len(),
                    other => panic!("{other:?}"),
                })
                .sum();
            assert_eq!(bytes, 100);
        }
        drop(theirs);
        assert_eq!(happenings.recv().unwrap(), Happening::Closed);
    }
}
