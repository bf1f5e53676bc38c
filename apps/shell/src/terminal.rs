//! The `console` service as functions.

use alloc::vec::Vec;
use core::cell::Cell;
use protocols::console::{READ_MAX, Reply, Request, WRITE_MAX};
use userlib::{Client, Grant, Instant, NO_GRANTS, recv_notifications, supplier};

/// Ctrl-C.
const INTERRUPT: u8 = 3;

/// The console, and where in its input the shell is.
pub struct Terminal {
    client: Client,
    /// Number of the first byte that is not taken yet.
    pub position: u64,
    /// Output was lost: the row on the screen may not be the line.
    pub missed: Cell<bool>,
    /// Notifications that came while a command ran.
    pub kept: Cell<u64>,
}

impl Terminal {
    /// The console behind this handle.
    pub fn new(client: Client) -> Self {
        Self { client, position: 0, missed: Cell::new(false), kept: Cell::new(0) }
    }

    /// Goes to the first byte that no shell was given. `false`: the console does not answer.
    pub fn attach(&mut self) -> bool {
        let reply = self.client.call(&Request::Attach.encode(), NO_GRANTS);
        if let Ok(Reply::Attached { position }) = reply.map(|reply| Reply::decode(&reply)) {
            self.position = position;
            return true;
        }
        false
    }

    /// Shows bytes as they are. A console that takes none is told to nobody but `missed`: there is no other way out.
    pub fn write(&self, bytes: &[u8]) {
        for chunk in bytes.chunks(WRITE_MAX as usize) {
            if !supplier::write(self.client, chunk) {
                self.missed.set(true);
                return;
            }
        }
    }

    /// Shows text, with line ends as terminals want them.
    pub fn print(&self, text: &str) {
        self.print_bytes(text.as_bytes());
    }

    /// [`Terminal::print`] for bytes that should be text.
    pub fn print_bytes(&self, text: &[u8]) {
        let mut bytes = Vec::with_capacity(text.len() + 16);
        for byte in text {
            if *byte == b'\n' {
                bytes.push(b'\r');
            }
            bytes.push(*byte);
        }
        self.write(&bytes);
    }

    /// Input from the position on, which stays where it is: the same bytes come again until it is moved. `None`: the
    /// console does not answer.
    pub fn peek(&mut self, buffer: &mut [u8; READ_MAX as usize]) -> Option<usize> {
        let request = Request::Read { position: self.position, room: READ_MAX };
        let reply = self.client.call(&request.encode(), [Grant::Write(buffer), Grant::None]).ok()?;
        match Reply::decode(&reply) {
            Reply::Input { position, length, .. } => {
                self.position = position;
                Some(length as usize)
            }
            Reply::Again { position } => {
                self.position = position;
                Some(0)
            }
            _ => None,
        }
    }

    /// Whether Ctrl-C was typed while a command runs; what was typed before it is dropped. Answers heartbeats.
    pub fn interrupted(&mut self) -> bool {
        self.kept.set(self.kept.get() | recv_notifications(Instant::from_ticks(0)).unwrap_or(0));
        let mut buffer = [0; READ_MAX as usize];
        let length = self.peek(&mut buffer).unwrap_or(0);
        let found = buffer[..length].iter().position(|byte| *byte == INTERRUPT);
        if let Some(at) = found {
            self.position += at as u64 + 1;
        }
        found.is_some()
    }
}
