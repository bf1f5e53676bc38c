//! Drivers that the command `ask` calls.
//!
//! *Rule.* A driver is here by the name of its component, which is also its service's, and with its kind, which says what
//! it can be asked. A manifest may lack any of them.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use protocols::bytes::{self, FILL_MAX, Fill};
use protocols::gpio;
use protocols::registers::{self, Request};
use shell_core::report;
use userlib::{CallError, Client, Grant, NO_GRANTS, binding};

/// What a driver can be asked.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "there may be no driver of a kind")]
pub enum Kind {
    /// `protocols::registers`.
    Bus,
    /// `protocols::bytes`.
    Char,
    /// `protocols::gpio`.
    Pin,
}

/// A driver that can be asked.
pub struct Driver {
    pub name: &'static str,
    kind: Kind,
    client: Option<Client>,
}

macro_rules! drivers {
    ($($name:literal: $kind:ident,)*) => {
        /// All drivers that can be asked.
        pub fn all() -> Vec<Driver> {
            Vec::from([$(Driver { name: $name, kind: Kind::$kind, client: binding!(call ?$name) }),*])
        }
    };
}

// One line for each driver, as the command `new` writes it.
drivers! {
    "gpio": Pin,
}

impl Driver {
    /// Asks: registers for an offset and, to write, a value; bytes for a number of them. The answer is for the user.
    ///
    /// # Errors
    /// A text that names the driver, what is wrong and the remedy.
    pub fn ask(&self, numbers: &[u64]) -> Result<String, String> {
        let name = self.name;
        let client =
            self.client.ok_or_else(|| format!("{name}: the manifest does not let the shell call it"))?;
        let silent = |error: CallError| format!("{name}: no answer ({:?}); `services` tells why", error.0);
        let number = |number: u64| {
            u32::try_from(number).map_err(|_| format!("{name}: {number:#x} does not fit into 32 bits"))
        };
        let request = match (self.kind, numbers) {
            (Kind::Pin, [] | [0 | 1]) => {
                let request =
                    numbers.first().map_or(gpio::Request::Get, |level| gpio::Request::Set(*level == 1));
                let reply = client.call(&request.encode(), NO_GRANTS).map_err(silent)?;
                let high = gpio::done(&reply).map_err(|error| format!("{name}: refused: {error:?}"))?;
                return Ok(format!("{}\n", if high { "high" } else { "low" }));
            }
            (Kind::Pin, _) => return Err(format!("{name}: is a pin; usage: ask {name} [0|1]")),
            (Kind::Bus, [offset]) => Request::Read { offset: number(*offset)? },
            (Kind::Bus, [offset, value]) => {
                Request::Write { offset: number(*offset)?, value: number(*value)? }
            }
            (Kind::Bus, _) => return Err(format!("{name}: has registers; usage: ask {name} OFFSET [VALUE]")),
            (Kind::Char, [] | [_]) => {
                let count = number(numbers.first().copied().unwrap_or(16))?;
                if !(1..=FILL_MAX).contains(&count) {
                    return Err(format!("{name}: {count} is no number of bytes from 1 to {FILL_MAX}"));
                }
                let mut buffer = vec![0; count as usize];
                let reply = client.call(&Fill(count).encode(), [Grant::Write(&mut buffer), Grant::None]);
                bytes::done(&reply.map_err(silent)?)
                    .map_err(|error| format!("{name}: the device failed: {error:?}"))?;
                return Ok(report::hex(&buffer));
            }
            (Kind::Char, _) => return Err(format!("{name}: has bytes; usage: ask {name} [BYTES]")),
        };
        let reply = client.call(&request.encode(), NO_GRANTS).map_err(silent)?;
        let value = registers::done(&reply).map_err(|error| format!("{name}: refused: {error:?}"))?;
        Ok(format!("{:#06x}: {value:#010x}\n", numbers[0]))
    }
}
