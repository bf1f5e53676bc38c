//! The evidence line: events and logs as frames that the host decodes.
//!
//! A frame is `00, COBS(postcard(Frame), CRC-16), 00`. Plain text never contains a zero byte, so text and frames can
//! share a line. The trace hash covers every frame but logs; times are values of `CNTVCT_EL0`.

use crate::plan::Fault;
use crate::record::DeathClass;
use crc::{CRC_16_IBM_SDLC, Crc};
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
        /// Bytes of memory that the kernel has found.
        ram: u64,
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

/// What a frame is proved by; the encoder has its own table, of the same checksum.
const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_IBM_SDLC);

/// Of each byte: the remainder of its division by x^16 + x^12 + x^5 + 1, reflected.
static REMAINDERS: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mixed = byte as u8 ^ (byte as u8) << 4;
        table[byte] = (mixed as u16) << 8 ^ (mixed as u16) << 3 ^ mixed as u16 >> 4;
        byte += 1;
    }
    table
};

/// Distance from a code byte of COBS at which it is full.
const RUN_MAX: usize = 0xFF;

/// Where a frame is encoded, in one pass: each byte goes through the checksum and into its place behind the code byte of its
/// run. What does not fit is not kept, so that no step of the encoding can fail: the kernel has no room for a hundred ways
/// out.
struct Encoder<'a> {
    out: &'a mut [u8; FRAME_MAX],
    /// Where the next byte goes.
    length: usize,
    /// Where the code byte of this run will go.
    code: usize,
    crc: u16,
}

/// What has no place is not kept.
#[inline(always)]
fn put(out: &mut [u8; FRAME_MAX], at: usize, byte: u8) {
    if let Some(place) = out.get_mut(at) {
        *place = byte;
    }
}

impl Encoder<'_> {
    /// One loop, whose length hardly depends on what the bytes are.
    #[inline(never)]
    fn extend(&mut self, data: &[u8]) {
        let (mut length, mut code, mut crc) = (self.length, self.code, self.crc);
        let out = &mut *self.out;
        for &byte in data {
            crc = REMAINDERS[usize::from(crc as u8 ^ byte)] ^ crc >> 8;
            if length - code == RUN_MAX {
                put(out, code, RUN_MAX as u8);
                code = length;
                length += 1;
            }
            let (at, value) = if byte == 0 { (code, (length - code) as u8) } else { (length, byte) };
            put(out, at, value);
            if byte == 0 {
                code = length;
            }
            length += 1;
        }
        (self.length, self.code, self.crc) = (length, code, crc);
    }

    /// Writes the code byte of this run, and leaves a place for the next one.
    fn end_run(&mut self) {
        put(self.out, self.code, (self.length - self.code) as u8);
        self.code = self.length;
        self.length += 1;
    }

    #[inline(never)]
    fn byte(&mut self, byte: u8) {
        self.extend(&[byte]);
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    #[inline(never)]
    fn number(&mut self, mut number: u64) {
        let mut bytes = [0; 10];
        let mut length = 0;
        while number >= 0x80 && length < 9 {
            bytes[length] = number as u8 | 0x80;
            number >>= 7;
            length += 1;
        }
        bytes[length] = number as u8;
        self.extend(&bytes[..=length]);
    }

    /// Bytes with their number before them.
    #[inline(never)]
    fn bytes(&mut self, data: &[u8]) {
        self.number(data.len() as u64);
        self.extend(data);
    }

    /// The slot and the incarnation that most events begin with, behind the number of the event.
    #[inline(never)]
    fn incarnation(&mut self, event: u8, slot: u8, incarnation: u32) {
        self.extend(&[event, slot]);
        self.number(incarnation.into());
    }

    /// An event as postcard has it. By hand: what is generated for it is three times as long, and slower.
    fn event(&mut self, event: &Event<'_>) {
        match *event {
            Event::Boot { board, frequency, slots, ram } => {
                self.byte(0);
                self.bytes(board.as_bytes());
                self.number(frequency);
                self.byte(slots);
                self.number(ram);
            }
            Event::Slot { slot, name, build } => {
                self.extend(&[1, slot]);
                self.bytes(name.as_bytes());
                self.extend(&build);
            }
            Event::Started { slot, incarnation } => self.incarnation(2, slot, incarnation),
            Event::Ready { slot, incarnation } => self.incarnation(3, slot, incarnation),
            Event::Died { slot, incarnation, class, pc, esr, far, in_service, text } => {
                self.incarnation(4, slot, incarnation);
                self.byte(class as u8 - 1);
                self.number(pc);
                self.number(esr);
                self.number(far);
                self.byte(in_service);
                self.bytes(text.as_bytes());
            }
            Event::Backtrace { slot, address } => self.of_slot(5, slot, address),
            Event::Injected { slot, incarnation, fault, in_service } => {
                self.incarnation(6, slot, incarnation);
                self.extend(&[fault.index(), in_service]);
            }
            Event::Closed { slot } => self.extend(&[7, slot]),
            Event::Opened { slot } => self.extend(&[8, slot]),
            Event::SecondCopy { slot, page } => self.of_slot(9, slot, page.into()),
            Event::Poisoned { slot, call } => self.of_slot(10, slot, call),
            Event::Application { slot, incarnation, data } => {
                self.incarnation(11, slot, incarnation);
                self.bytes(data);
            }
            Event::Reset { slot, power_off } => self.extend(&[12, slot, power_off.into()]),
            Event::KernelPanic { text, build } => {
                self.byte(13);
                self.bytes(text.as_bytes());
                self.extend(&build);
            }
            Event::Log { slot, incarnation, build, kind, data } => {
                self.incarnation(14, slot, incarnation);
                self.number(build.into());
                self.byte(kind);
                self.bytes(data);
            }
            Event::KernelRegister { register, value } => self.of_slot(15, register, value),
            Event::KernelBacktrace { address } => {
                self.byte(16);
                self.number(address);
            }
        }
    }

    /// An event of a slot and a number.
    #[inline(never)]
    fn of_slot(&mut self, event: u8, slot: u8, number: u64) {
        self.extend(&[event, slot]);
        self.number(number);
    }
}

/// Encodes `frame` with its delimiters and returns its length; `None` if it is longer than [`FRAME_MAX`].
#[inline(never)]
pub fn encode(frame: &Frame<'_>, out: &mut [u8; FRAME_MAX]) -> Option<usize> {
    out[0] = 0;
    let mut encoder = Encoder { out, length: 2, code: 1, crc: u16::MAX };
    encoder.number(frame.time);
    encoder.event(&frame.event);
    let checksum = !encoder.crc;
    encoder.extend(&checksum.to_le_bytes());
    encoder.end_run();
    *encoder.out.get_mut(encoder.code)? = 0;
    Some(encoder.code + 1)
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
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// The encoding by its definition: three steps, each by the crate that is known for it.
    fn by_definition(frame: &Frame<'_>) -> Vec<u8> {
        let mut plain = [0; 2 * FRAME_MAX];
        let length = postcard::to_slice(frame, &mut plain).unwrap().len();
        let checksum = CRC.checksum(&plain[..length]).to_le_bytes();
        plain[length..][..2].copy_from_slice(&checksum);
        let mut out = vec![0; 3 * FRAME_MAX];
        let encoded = cobs::encode(&plain[..length + 2], &mut out[1..]);
        out.truncate(encoded + 2);
        out[encoded + 1] = 0;
        out
    }

    /// Bytes as records have them: many zeros, or none in more than one run.
    fn data(longest: usize) -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0), any::<u8>(), 1u8..=255];
        prop_oneof![
            proptest::collection::vec(byte, 0..=longest),
            proptest::collection::vec(1u8..=255, 0..=longest)
        ]
    }

    proptest! {
        #[test]
        fn the_encoding_in_one_pass_is_the_one_in_three_steps(
            time: u64, slot: u8, incarnation: u32, build: u32, kind: u8, numbers: [u64; 3], data in data(300), text in ".{0,128}",
            class in 1u32..15, fault in 0..=Fault::ALL.len(),
        ) {
            let (class, fault) = (DeathClass::from_code(class).unwrap(), Fault::ALL.get(fault).copied().unwrap_or(Fault::Outside));
            let [pc, esr, far] = numbers;
            let events = [
                Event::Boot { board: &text, frequency: pc, slots: slot, ram: esr },
                Event::Started { slot, incarnation },
                Event::Ready { slot, incarnation },
                Event::Backtrace { slot, address: pc },
                Event::Injected { slot, incarnation, fault, in_service: kind },
                Event::Closed { slot },
                Event::Opened { slot },
                Event::SecondCopy { slot, page: build },
                Event::Poisoned { slot, call: pc },
                Event::KernelPanic { text: &text, build: [kind; 16] },
                Event::KernelBacktrace { address: pc },
                Event::Log { slot, incarnation, build, kind, data: &data },
                Event::Application { slot, incarnation, data: &data },
                Event::Died { slot, incarnation, class, pc, esr, far, in_service: kind, text: &text },
                Event::Slot { slot, name: &text, build: [kind; 16] },
                Event::Reset { slot, power_off: kind > 9 },
                Event::KernelRegister { register: slot, value: pc },
            ];
            for event in events {
                let frame = Frame { time, event };
                let expected = by_definition(&frame);
                let mut bytes = [0xA5; FRAME_MAX];
                let encoded = encode(&frame, &mut bytes);
                prop_assert_eq!(encoded, (expected.len() <= FRAME_MAX).then_some(expected.len()));
                if let Some(length) = encoded {
                    prop_assert_eq!(&bytes[..length], &expected[..]);
                }
            }
        }

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
