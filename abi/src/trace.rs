//! The evidence line: events and logs as frames that the host decodes.
//!
//! A frame is `00, COBS(postcard(Frame), CRC-16), 00`. Plain text never contains a zero byte, so text and frames can
//! share a line. The trace hash covers every frame but logs; times are values of `CNTVCT_EL0`.

use crate::plan::Fault;
use crate::record::DeathClass;
use crc::{CRC_16_IBM_SDLC, Crc};
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

/// Longest encoded frame in bytes, delimiters included.
pub const FRAME_MAX: usize = 288;

/// One record on the evidence line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Frame<'a> {
    /// Value of `CNTVCT_EL0`.
    pub time: u64,
    /// What happened.
    #[serde(borrow)]
    pub event: Event<'a>,
}

/// What can happen. New variants go to the end: the encoding numbers them in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Event<'a> {
    /// The kernel is up.
    Boot {
        /// Board that the image was built for.
        board: &'a str,
        /// Ticks a second of the clock.
        frequency: u64,
        /// Number of slots.
        slots: u8,
    },
    /// A slot and its name; one for each slot, after `Boot`.
    Slot {
        /// Slot.
        slot: u8,
        /// Name of the component.
        name: &'a str,
        /// Build id of its image; zeros for a spare slot.
        build: [u8; 16],
    },
    /// An incarnation got its first instruction.
    Started {
        /// Slot.
        slot: u8,
        /// Incarnation.
        incarnation: u32,
    },
    /// An incarnation received for the first time.
    Ready {
        /// Slot.
        slot: u8,
        /// Incarnation.
        incarnation: u32,
    },
    /// An incarnation died.
    Died {
        /// Slot.
        slot: u8,
        /// Incarnation.
        incarnation: u32,
        /// Why.
        class: DeathClass,
        /// Program counter.
        pc: u64,
        /// `ESR_EL1`.
        esr: u64,
        /// `FAR_EL1`.
        far: u64,
        /// Requests in service.
        in_service: u8,
        /// Message of a panic or an exit.
        text: &'a str,
    },
    /// A return address of the incarnation that died last; one frame each, innermost first.
    Backtrace {
        /// Slot.
        slot: u8,
        /// Address.
        address: u64,
    },
    /// A fault was injected.
    Injected {
        /// Slot.
        slot: u8,
        /// Incarnation.
        incarnation: u32,
        /// What.
        fault: Fault,
        /// Requests in service at that instant.
        in_service: u8,
    },
    /// A service was closed (`Unavailable`).
    Closed {
        /// Slot.
        slot: u8,
    },
    /// A service was opened again.
    Opened {
        /// Slot.
        slot: u8,
    },
    /// A page of the first bundle was damaged and taken from the second.
    SecondCopy {
        /// Slot that was being loaded.
        slot: u8,
        /// Page in the bundle.
        page: u32,
    },
    /// A request killed its server twice in the same way and was taken away from it.
    Poisoned {
        /// Slot of the server.
        slot: u8,
        /// Call id.
        call: u64,
    },
    /// An event of a component with the right to put it here.
    Application {
        /// Slot.
        slot: u8,
        /// Incarnation.
        incarnation: u32,
        /// Encoded by the component.
        data: &'a [u8],
    },
    /// The board is about to be reset or switched off.
    Reset {
        /// Slot whose call or death brought it about.
        slot: u8,
        /// True: switched off.
        power_off: bool,
    },
    /// The kernel found a bug in itself.
    KernelPanic {
        /// Message and place.
        text: &'a str,
        /// Build id of the kernel, as the build has written it behind the kernel.
        build: [u8; 16],
    },
    /// Log of a component; not part of the trace hash.
    Log {
        /// Slot.
        slot: u8,
        /// Incarnation.
        incarnation: u32,
        /// First 4 bytes of the image's build id.
        build: u32,
        /// A constant of [`crate::syscall::log`].
        kind: u8,
        /// The record.
        data: &'a [u8],
    },
    /// A register of the kernel when it found the bug; one frame each, after `KernelPanic`.
    KernelRegister {
        /// Index in [`KERNEL_REGISTER_NAMES`].
        register: u8,
        /// Value.
        value: u64,
    },
    /// A return address on the kernel's stack; one frame each, after the registers, innermost first.
    KernelBacktrace {
        /// Address.
        address: u64,
    },
}

/// How many registers of the kernel a panic tells of.
pub const KERNEL_REGISTERS: usize = 36;

/// Their names, three characters each; `ps` is the state that `SPSR_EL1` holds.
pub const KERNEL_REGISTER_NAMES: &[u8; 3 * KERNEL_REGISTERS] =
    b"x0 x1 x2 x3 x4 x5 x6 x7 x8 x9 x10x11x12x13x14x15x16x17x18x19x20x21x22x23x24x25x26x27x28x29x30sp pc ps esrfar";

impl Event<'_> {
    /// Whether the trace hash covers this event.
    pub const fn is_hashed(&self) -> bool {
        !matches!(self, Self::Log { .. })
    }
}

/// Why bytes between two delimiters are not a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// Not COBS.
    Encoding,
    /// The CRC is wrong.
    Checksum,
    /// The CRC is right, but this is no frame of this version.
    Content,
}

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_SDLC);

/// Most bytes before COBS, which adds one to every 254 and one more; two are delimiters.
const PLAIN_MAX: usize = FRAME_MAX - 8;

/// Where a frame is encoded. What does not fit is counted and not kept, so that no step of the encoding can fail: the
/// kernel has no room for a hundred ways out.
struct Plain {
    bytes: [u8; PLAIN_MAX],
    length: usize,
}

impl Plain {
    #[inline(never)]
    fn extend(&mut self, data: &[u8]) {
        let end = self.length + data.len();
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(data);
        }
        self.length = end;
    }
}

impl Flavor for &mut Plain {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.extend(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.extend(&[data]);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Encodes `frame` with its delimiters and returns its length; `None` if it is longer than [`FRAME_MAX`].
pub fn encode(frame: &Frame<'_>, out: &mut [u8; FRAME_MAX]) -> Option<usize> {
    let mut plain = Plain { bytes: [0; PLAIN_MAX], length: 0 };
    postcard::serialize_with_flavor(frame, &mut plain).ok()?;
    let checksum = CRC.checksum(plain.bytes.get(..plain.length)?).to_le_bytes();
    plain.extend(&checksum);
    let plain = plain.bytes.get(..plain.length)?;
    out[0] = 0;
    let encoded = cobs::try_encode(plain, &mut out[1..FRAME_MAX - 1]).ok()?;
    out[1 + encoded] = 0;
    Some(encoded + 2)
}

/// Decodes the bytes between two delimiters, in place.
pub fn decode(bytes: &mut [u8]) -> Result<Frame<'_>, FrameError> {
    let length = cobs::decode_in_place(bytes).map_err(|_| FrameError::Encoding)?;
    let (data, checksum) = bytes[..length].split_last_chunk::<2>().ok_or(FrameError::Encoding)?;
    if CRC.checksum(data) != u16::from_le_bytes(*checksum) {
        return Err(FrameError::Checksum);
    }
    postcard::from_bytes(data).map_err(|_| FrameError::Content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_round_trip(time: u64, slot: u8, incarnation: u32, data in proptest::collection::vec(any::<u8>(), 0..192)) {
            let frame = Frame { time, event: Event::Application { slot, incarnation, data: &data } };
            let mut bytes = [0; FRAME_MAX];
            let length = encode(&frame, &mut bytes).unwrap();
            prop_assert!(bytes[1..length - 1].iter().all(|&byte| byte != 0));
            prop_assert_eq!((bytes[0], bytes[length - 1]), (0, 0));
            prop_assert_eq!(decode(&mut bytes[1..length - 1]), Ok(frame));
        }

        #[test]
        fn a_damaged_frame_is_refused(time: u64, at in 1usize..12, flip in 1u8..=255) {
            let frame = Frame { time, event: Event::Started { slot: 3, incarnation: 70_000 } };
            let mut bytes = [0; FRAME_MAX];
            let length = encode(&frame, &mut bytes).unwrap();
            let at = at % (length - 2) + 1;
            bytes[at] ^= flip;
            prop_assert!(decode(&mut bytes[1..length - 1]).is_err());
        }
    }
}
