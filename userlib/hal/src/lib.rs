//! embedded-hal's traits for clients: a pin and a delay, by messages and by the system's clock.
//!
//! *Role.* Code that was written for embedded-hal 1.0, on whatever board, runs unchanged as a component: it is given these
//! instead of a microcontroller's.
//!
//! *Rule.* A death of the driver is seen here as a delay, for the request is delivered again; what comes as an error has
//! outlasted the deadline of the manifest.
//!
//! Apart from `userlib`, so that a component that uses none of this does not link it.

#![no_std]
#![forbid(unsafe_code)]
#![cfg(target_os = "none")]

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{self, ErrorKind, ErrorType, OutputPin, StatefulOutputPin};
use protocols::gpio::{Error, Request, done};
use userlib::{CallError, Client, NO_GRANTS, server, time};

/// The pin behind the service `gpio`.
#[derive(Debug)]
pub struct Pin(Client);

/// Why a level was not set or read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PinError {
    /// No answer.
    Call(CallError),
    /// The driver's refusal.
    Refused(Error),
}

impl Pin {
    /// For `binding!(call "gpio")`.
    pub const fn new(client: Client) -> Self {
        Self(client)
    }

    fn ask(&self, request: Request) -> Result<bool, PinError> {
        let reply = self.0.call(&request.encode(), NO_GRANTS).map_err(PinError::Call)?;
        done(&reply).map_err(PinError::Refused)
    }
}

impl digital::Error for PinError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl ErrorType for Pin {
    type Error = PinError;
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), PinError> {
        self.ask(Request::Set(false)).map(|_| ())
    }

    fn set_high(&mut self) -> Result<(), PinError> {
        self.ask(Request::Set(true)).map(|_| ())
    }
}

impl StatefulOutputPin for Pin {
    fn is_set_high(&mut self) -> Result<bool, PinError> {
        self.ask(Request::Get)
    }

    fn is_set_low(&mut self) -> Result<bool, PinError> {
        self.ask(Request::Get).map(|high| !high)
    }
}

/// Waits, and answers heartbeats meanwhile.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delay;

impl DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        server::sleep_until(time::now().plus_ns(u64::from(ns)));
    }

    fn delay_ms(&mut self, ms: u32) {
        server::sleep_until(time::now().plus_ms(u64::from(ms)));
    }
}
