//! Drivers that the command `ask` calls.
//!
//! *Rule.* A driver is here by the name of its component, which is also its service's, and with its kind, which says what
//! it can be asked. A manifest may lack any of them.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use protocols::block::{self, BLOCK_SIZE};
use protocols::bytes::{self, FILL_MAX, Fill};
use protocols::{gpio, registers};
use shell_core::report;
use userlib::abi::Message;
use userlib::{CallError, Client, Grant, binding};

/// Bytes of a block that are shown.
const BLOCK_SHOWN: usize = 64;

/// What a driver can be asked.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "there may be no driver of a kind")]
pub enum Kind {
    /// `protocols::registers`.
    Bus,
    /// `protocols::bytes`.
    Char,
    /// `protocols::block`.
    Block,
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
    /// Asks what the kind of driver gives. The answer is for the user.
    ///
    /// # Errors
    /// A text that names the driver, what is wrong and the remedy.
    pub fn ask(&self, numbers: &[u64]) -> Result<String, String> {
        let answer = match self.client {
            None => Err("the manifest does not let the shell call it".into()),
            Some(client) => match self.kind {
                Kind::Bus => ask_register(&client, numbers),
                Kind::Char => ask_bytes(&client, numbers),
                Kind::Block => ask_block(&client, numbers),
                Kind::Pin => ask_pin(&client, numbers),
            },
        };
        answer.map_err(|why| format!("{}: {why}", self.name))
    }
}

fn call(client: &Client, request: &Message, grant: Grant) -> Result<Message, String> {
    let silent = |error: CallError| format!("no answer ({:?}); `services` tells why", error.0);
    client.call(request, [grant, Grant::None]).map_err(silent)
}

fn ask_pin(client: &Client, numbers: &[u64]) -> Result<String, String> {
    let request = match numbers {
        [] => gpio::Request::Get,
        [level @ (0 | 1)] => gpio::Request::Set(*level == 1),
        _ => return Err("is a pin; its numbers are [0|1]".into()),
    };
    let reply = call(client, &request.encode(), Grant::None)?;
    let high = gpio::done(&reply).map_err(|error| format!("refused: {error:?}"))?;
    Ok(format!("{}\n", if high { "high" } else { "low" }))
}

fn ask_register(client: &Client, numbers: &[u64]) -> Result<String, String> {
    let number =
        |number: u64| u32::try_from(number).map_err(|_| format!("{number:#x} does not fit into 32 bits"));
    let request = match *numbers {
        [offset] => registers::Request::Read { offset: number(offset)? },
        [offset, value] => registers::Request::Write { offset: number(offset)?, value: number(value)? },
        _ => return Err("has registers; its numbers are OFFSET [VALUE]".into()),
    };
    let reply = call(client, &request.encode(), Grant::None)?;
    let value = registers::done(&reply).map_err(|error| format!("refused: {error:?}"))?;
    let written = if numbers.len() == 2 { " written" } else { "" };
    Ok(format!("{:#06x}: {value:#010x}{written}\n", numbers[0]))
}

fn ask_bytes(client: &Client, numbers: &[u64]) -> Result<String, String> {
    let wanted = match *numbers {
        [] => 16,
        [count] => count,
        _ => return Err("has bytes; its number is [BYTES]".into()),
    };
    let count = u32::try_from(wanted).ok().filter(|count| (1..=FILL_MAX).contains(count));
    let count = count.ok_or_else(|| format!("{wanted} is no number of bytes from 1 to {FILL_MAX}"))?;
    fill(client, count)
}

/// So many bytes of a driver, at most [`FILL_MAX`], as they are shown.
///
/// # Errors
/// A text that says what is wrong and the remedy.
pub fn fill(client: &Client, count: u32) -> Result<String, String> {
    let mut buffer = vec![0; count as usize];
    let reply = call(client, &Fill(count).encode(), Grant::Write(&mut buffer))?;
    bytes::done(&reply).map_err(|error| format!("the device failed: {error:?}"))?;
    Ok(report::hex(&buffer))
}

/// No number: what the medium is. A number: the beginning of this block. A second one: the block full of this byte.
fn ask_block(client: &Client, numbers: &[u64]) -> Result<String, String> {
    let failed = |error: block::Error| match error {
        block::Error::BadRequest | block::Error::OutOfRange => format!("refused: {error:?}"),
        _ => format!("the device failed: {error:?}"),
    };
    let (lba, value) = match *numbers {
        [] => {
            let reply = call(client, &block::Request::Info.encode(), Grant::None)?;
            let info = block::Info::decode(&reply).map_err(failed)?;
            let protected = if info.write_protected { ", write-protected" } else { "" };
            return Ok(format!("{} blocks of {BLOCK_SIZE} bytes{protected}\n", info.blocks));
        }
        [lba] => (lba, None),
        [lba, value @ 0..=0xFF] => (lba, Some(value as u8)),
        _ => return Err("has blocks; its numbers are [BLOCK [BYTE]], BYTE from 0 to 255".into()),
    };
    let mut bytes = vec![value.unwrap_or(0); BLOCK_SIZE];
    if value.is_some() {
        for request in [block::Request::Write { lba, count: 1 }, block::Request::Flush] {
            block::done(&call(client, &request.encode(), Grant::Read(&bytes))?).map_err(failed)?;
        }
    }
    let read = block::Request::Read { lba, count: 1 };
    block::done(&call(client, &read.encode(), Grant::Write(&mut bytes))?).map_err(failed)?;
    Ok(format!("{}({BLOCK_SHOWN} of {BLOCK_SIZE} bytes)\n", report::hex(&bytes[..BLOCK_SHOWN])))
}
