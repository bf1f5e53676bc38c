//! Lines that are written, and come back through the UART's loopback.

use crate::dice;
use protocols::console::REPEAT_MAX;

/// Bytes of a line: no more than a FIFO of the receiver takes, since nobody empties it while the driver writes.
pub const LINE: usize = 16;

/// Most bytes of what came back that are told.
pub const BACK_MAX: usize = 64;

/// Digits of a line.
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The line of operation `operation`: no two neighbouring lines have a byte in common at the same place but the end.
pub fn line(seed: u64, operation: u32) -> [u8; LINE] {
    let mut chance = dice(seed, operation);
    let mut line = [b'\n'; LINE];
    for byte in &mut line[..LINE - 1] {
        *byte = DIGITS[(chance & 15) as usize];
        chance >>= 4;
    }
    line
}

/// Whether `back` is what comes back of `line`, if the driver died `deaths` times meanwhile: each death may repeat up to
/// [`REPEAT_MAX`] bytes of the output, and may lose as many that were taken from the receiver and not yet committed.
pub fn is_back(line: &[u8], back: &[u8], deaths: usize) -> bool {
    if deaths == 0 {
        return line == back;
    }
    // Places in the line at which what came back so far may have ended.
    let mut places = vec_of(line.len(), 0);
    for &byte in back {
        let next = |place: usize| line.get(place) == Some(&byte);
        let reached = reachable(&places, deaths);
        places = [false; LINE + 1];
        for place in (0..line.len()).filter(|&place| reached[place] && next(place)) {
            places[place + 1] = true;
        }
    }
    reachable(&places, deaths)[line.len().min(LINE)]
}

/// Places to which a death may lead from these: back by what is repeated, forward by what is lost.
fn reachable(places: &[bool; LINE + 1], deaths: usize) -> [bool; LINE + 1] {
    let far = deaths * REPEAT_MAX;
    core::array::from_fn(|to| (0..=LINE).any(|from| places[from] && from.abs_diff(to) <= far))
}

fn vec_of(length: usize, place: usize) -> [bool; LINE + 1] {
    core::array::from_fn(|index| index == place && index <= length)
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
