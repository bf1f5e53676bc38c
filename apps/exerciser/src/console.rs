//! Lines that are written, and come back through the UART's loopback.

use crate::dice;
use protocols::console::REPEAT_MAX;
use rand_core::RngCore;

/// Bytes of a line: no more than a FIFO of the receiver takes, since nobody empties it while the driver writes.
pub const LINE: usize = 16;

/// Most bytes of what came back that are told.
pub const BACK_MAX: usize = 64;

/// Digits of a line.
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The line of operation `operation`: digits that follow from seed and operation, and an end.
pub fn line(seed: u64, operation: u32) -> [u8; LINE] {
    let mut chance = dice(seed, operation).next_u64();
    let mut line = [b'\n'; LINE];
    for byte in &mut line[..LINE - 1] {
        *byte = DIGITS[(chance & 15) as usize];
        chance >>= 4;
    }
    line
}

/// Deaths that are told apart: more of them in one line allow no more.
const DEATHS_MAX: usize = 3;

/// Places in a line, as bits: bit n is before byte n.
type Places = u32;

/// Whether `back` is what comes back of `line`, if the driver died `deaths` times meanwhile. Each death may repeat up to [`REPEAT_MAX`]
/// bytes of the output once, and may once lose as many that were taken from the receiver and not yet committed.
pub fn is_back(line: &[u8; LINE], back: &[u8], deaths: usize) -> bool {
    // Places at which what came back so far may have ended, by repetitions and losses.
    let mut states = [[0 as Places; DEATHS_MAX + 1]; DEATHS_MAX + 1];
    states[0][0] = 1;
    jump(&mut states, deaths);
    for &byte in back {
        let here =
            (0..LINE).filter(|&place| line[place] == byte).fold(0, |places, place| places | 1 << place);
        for places in states.as_flattened_mut() {
            *places = (*places & here) << 1;
        }
        jump(&mut states, deaths);
    }
    states.as_flattened().iter().any(|places| places >> LINE & 1 != 0)
}

/// Adds the places to which one more repetition or loss leads. In this order: what is repeated may then be lost.
fn jump(states: &mut [[Places; DEATHS_MAX + 1]; DEATHS_MAX + 1], deaths: usize) {
    let most = deaths.min(DEATHS_MAX);
    for repeated in 0..=most {
        for lost in 0..=most {
            let places = states[repeated][lost];
            if repeated < most {
                states[repeated + 1][lost] |= (1..=REPEAT_MAX).fold(0, |all, far| all | places >> far);
            }
            if lost < most {
                let ahead = (1..=REPEAT_MAX).fold(0, |all, far| all | places << far);
                states[repeated][lost + 1] |= ahead & ((1 << (LINE + 1)) - 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_a_death_it_is_the_line() {
        let line = line(5, 6);
        assert!(is_back(&line, &line, 0));
        assert!(!is_back(&line, &line[1..], 0));
        assert!(!is_back(&line, &line[..15], 0));
        let mut other = line;
        other[3] ^= 1;
        assert!(!is_back(&line, &other, 0) && !is_back(&line, &other, 1));
    }

    #[test]
    fn one_death_repeats_once_and_loses_once() {
        let line = *b"0123456789abcde\n";
        let back = |text: &str, deaths| is_back(&line, text.as_bytes(), deaths);
        assert!(back("012345673456789abcde\n", 1), "repeated");
        assert!(back("0123489abcde\n", 1), "lost");
        assert!(back("01234567346789abcde\n", 1), "repeated, and lost");
        assert!(!back("0213456789abcde\n", 1), "two bytes have changed places");
        assert!(!back("0125673489abcde\n", 1), "so have four");
        assert!(!back("0123453453456789abcde\n", 1), "repeated twice");
        assert!(back("012345234523456789abcde\n", 2), "by two deaths");
    }

    proptest! {
        #[test]
        fn a_death_repeats_and_loses(seed: u64, operation: u32, cut in 0..=LINE, from in 0..=LINE) {
            let line = line(seed, operation);
            let back: Vec<_> = line[..cut].iter().chain(&line[from..]).copied().collect();
            prop_assert!(is_back(&line, &back, 1));
            prop_assert_eq!(is_back(&line, &back, 0), back == line);
        }

        #[test]
        fn bytes_of_others_are_found(seed: u64, operation: u32, at in 0..=LINE) {
            let line = line(seed, operation);
            let mut back = line.to_vec();
            back.insert(at, b'x');
            prop_assert!(!is_back(&line, &back, 3));
        }
    }
}
