//! The judge of the console: every acknowledged line is there, in order, and of a write that the driver's death
//! interrupted at most [`REPEAT_MAX`] bytes are there twice.
//!
//! What came over the console is matched against the lines like a nondeterministic automaton: after each line all the
//! places are kept at which it may have ended. A line may go back by up to [`REPEAT_MAX`] bytes at any byte, once for each
//! death of the driver that the kernel recorded while the line was being written; a line that was not acknowledged may
//! break off anywhere (the client died), and text of others may stand between lines. What a driver that does wrong sends before
//! it dies of it stays: up to [`NOISE_MAX`] bytes may stand in an interrupted line of which every byte is there, in order, those of the
//! line itself among them; such a line is called noisy. In the place of a line that the driver
//! refused, or gave a wrong receipt for, or did not answer, anything may stand: the client knows that, and writes it again.

use super::console_lines::ConsoleLine;
use protocols::console::{REPEAT_MAX, WRITE_MAX};
use std::collections::{BTreeMap, BTreeSet};
use workload_core::line::PREFIX;

/// Bytes of others in which the beginning of an interrupted line is looked for.
const OTHER_MAX: usize = 1024;

/// Bytes of a line behind the noise at least: fewer may stand there by chance.
const REST_MIN: usize = 8;

/// Bytes that a dying driver may leave in a line: as many as it is given at once.
const NOISE_MAX: usize = WRITE_MAX as usize;

/// What was found out about the console.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ConsoleReport {
    /// Acknowledged lines that are not there, or not in order, or with more than the allowed repetition.
    pub lost: Vec<ConsoleLine>,
    /// Acknowledged lines that are there with something else in them, since the driver died while it wrote them.
    pub noisy: Vec<ConsoleLine>,
    /// Lines of which a part is there twice, and how many bytes.
    pub repeated: Vec<(ConsoleLine, usize)>,
    /// Lines of the client that are there although it never wrote them at that place.
    pub strays: usize,
}

/// Compares what came over the console with the lines that were written. `deaths`: when the driver died.
pub fn judge(stream: &[u8], lines: &[ConsoleLine], deaths: &[u64]) -> ConsoleReport {
    let mut report = ConsoleReport::default();
    // Where a line may begin, whatever stands before it.
    let beginnings: BTreeSet<_> = (0..stream.len())
        .filter(|&at| stream[at..].starts_with(PREFIX.as_bytes()))
        .chain([stream.len()])
        .collect();
    // Where the lines so far may have ended.
    let mut places = BTreeSet::from([0]);
    for line in lines {
        let mut ends = BTreeMap::new();
        let written = line.time..=line.acknowledged.unwrap_or(u64::MAX);
        let interruptions = deaths.iter().filter(|death| written.contains(death)).count();
        for &place in &places {
            for start in starts(stream, place, interruptions) {
                match_line(stream, start, line, interruptions, &mut ends);
            }
            if line.refused {
                let length = line.text.len() + interruptions * REPEAT_MAX;
                ends.extend((place..=stream.len().min(place + length)).map(|end| (end, 0)));
                ends.extend(beginnings.range(place..).map(|&end| (end, 0)));
            }
        }
        if line.acknowledged.is_none() {
            ends.extend(places.iter().map(|&place| (place, 0)));
        } else if ends.is_empty() {
            let from = places.iter().filter(|_| interruptions > 0);
            ends.extend(from.flat_map(|&place| noisy_ends(stream, place, line)).map(|end| (end, 0)));
            if ends.is_empty() {
                report.lost.push(line.clone());
                continue;
            }
            report.noisy.push(line.clone());
        }
        if line.acknowledged.is_some()
            && let Some(&repeated @ 1..) = ends.values().min()
        {
            report.repeated.push((line.clone(), repeated));
        }
        places = ends.into_keys().collect();
    }
    let stray_lines = |&place: &usize| count(&stream[place..], PREFIX.as_bytes());
    report.strays = places.iter().map(stray_lines).min().unwrap_or(0);
    report
}

/// Where the next line may begin: here, or behind text of others, which is text without a line of the client. A line that
/// was interrupted in its very beginning may have begun anywhere in between.
fn starts(stream: &[u8], place: usize, interruptions: usize) -> Vec<usize> {
    let behind = find(&stream[place..], PREFIX.as_bytes()).map(|offset| place + offset);
    let end = behind.unwrap_or(stream.len()).min(place + OTHER_MAX);
    let between = if interruptions > 0 { place + 1..end.max(place + 1) } else { 0..0 };
    let begun = between.filter(|&at| PREFIX.as_bytes().first() == Some(&stream[at]));
    [place].into_iter().chain(begun).chain(behind.filter(|&start| start != place)).collect()
}

/// Adds the places at which `line`, written from `start` on, may have ended, with the number of bytes repeated.
fn match_line(
    stream: &[u8],
    start: usize,
    line: &ConsoleLine,
    interruptions: usize,
    ends: &mut BTreeMap<usize, usize>,
) {
    let (text, whole) = (line.text.as_bytes(), line.acknowledged.is_some());
    // (place in the stream, place in the line, bytes repeated, interruptions left, whether a byte came since the last one)
    let mut states = vec![(start, 0, 0, interruptions, false)];
    let mut seen = BTreeSet::new();
    while let Some((place, at, repeated, left, moved)) = states.pop() {
        if !seen.insert((place, at, left, moved)) {
            continue;
        }
        if at > 0 && (!whole || at == text.len()) {
            let least = ends.entry(place).or_insert(repeated);
            *least = repeated.min(*least);
        }
        if at < text.len() && stream.get(place) == Some(&text[at]) {
            states.push((place + 1, at + 1, repeated, left, true));
        }
        // Two deaths without a byte between them go back no farther than one.
        if left > 0 && moved {
            let back = (1..=at.min(REPEAT_MAX)).filter(|back| stream.get(place) == Some(&text[at - back]));
            states.extend(back.map(|back| (place, at - back, repeated + back, left - 1, false)));
        }
    }
}

/// Where `line`, written from about `place` on, may have ended if the driver sent something else before it died: the rest of the line, from
/// a byte on that is no farther than those before the noise, stands behind it.
fn noisy_ends(stream: &[u8], place: usize, line: &ConsoleLine) -> BTreeSet<usize> {
    let text = line.text.as_bytes();
    let mut ends = BTreeSet::new();
    for start in starts(stream, place, 1) {
        let begun = stream[start..].iter().zip(text).take_while(|(found, byte)| found == byte).count();
        // Another line is no noise.
        let other = find(&stream[(start + 1).min(stream.len())..], PREFIX.as_bytes());
        let end = other.map_or(stream.len(), |offset| start + 1 + offset).min(start + begun + NOISE_MAX);
        for from in 0..=begun.min(text.len().saturating_sub(REST_MIN)) {
            let behind = start + from..=end;
            let rest = &text[from..];
            ends.extend(behind.filter(|&at| stream[at..].starts_with(rest)).map(|at| at + rest.len()));
        }
    }
    ends
}

fn find(stream: &[u8], pattern: &[u8]) -> Option<usize> {
    stream.windows(pattern.len()).position(|window| window == pattern)
}

fn count(stream: &[u8], pattern: &[u8]) -> usize {
    stream.windows(pattern.len()).filter(|window| *window == pattern).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use workload_core::Operation;

    fn line(number: u32, acknowledged: bool) -> ConsoleLine {
        let text = workload_core::line::line(number, &Operation::Sync).as_str().to_owned();
        let time = u64::from(number) * 10;
        ConsoleLine {
            operation: number,
            text,
            acknowledged: acknowledged.then_some(time + 5),
            refused: false,
            time,
        }
    }

    /// The driver dies while each line is being written.
    fn lost(stream: &str, lines: &[ConsoleLine]) -> Vec<u32> {
        let deaths: Vec<_> = lines.iter().map(|line| line.time + 1).collect();
        judge(stream.as_bytes(), lines, &deaths).lost.iter().map(|line| line.operation).collect()
    }

    proptest! {
        #[test]
        fn interruptions_and_other_text_are_allowed(
            cuts in proptest::collection::vec((any::<bool>(), 0..60_usize, 0..=REPEAT_MAX, "[a-z ]{0,9}"), 1..30),
        ) {
            let lines: Vec<_> = (0..cuts.len() as u32).map(|number| line(number, true)).collect();
            let mut stream = String::from("boot\n");
            let mut deaths = Vec::new();
            for (line, (cut, at, back, other)) in lines.iter().zip(&cuts) {
                if *cut {
                    let at = at % (line.text.len() + 1);
                    stream += &line.text[..at];
                    stream += &line.text[at.saturating_sub(*back)..];
                    deaths.push(line.time + 1);
                } else {
                    stream += &line.text;
                    stream += other;
                }
            }
            let report = judge(stream.as_bytes(), &lines, &deaths);
            prop_assert_eq!(&report.lost, &vec![]);
            prop_assert!(report.repeated.len() <= deaths.len());
            prop_assert!(report.repeated.iter().all(|(_, bytes)| *bytes <= REPEAT_MAX));
            prop_assert_eq!(report.strays, 0);
        }

        #[test]
        fn a_lost_byte_loses_its_line(pick in 0..5_u32, at in 0..38_usize) {
            let lines: Vec<_> = (0..5).map(|number| line(number, true)).collect();
            let mut stream = String::new();
            for line in &lines {
                let mut text = line.text.clone();
                if line.operation == pick {
                    text.remove(at % text.len());
                }
                stream += &text;
            }
            prop_assert!(lost(&stream, &lines).contains(&pick));
        }

        #[test]
        fn noise_of_a_dying_driver_is_told(
            at in 0..38_usize, back in 0..38_usize, noise in "[A-Z]{1,99}",
        ) {
            let lines: Vec<_> = (0..3).map(|number| line(number, true)).collect();
            let text = &lines[1].text;
            let at = 1 + at % (text.len() - REST_MIN);
            let rest = &text[at.saturating_sub(back)..];
            let stream = format!("{}{}{noise}{rest}{}", lines[0].text, &text[..at], lines[2].text);
            let report = judge(stream.as_bytes(), &lines, &[lines[1].time + 1]);
            prop_assert_eq!(report.lost, vec![]);
            // What stands before a line that is there whole is text of others.
            if back < at || at >= PREFIX.len() {
                prop_assert_eq!(report.noisy, vec![lines[1].clone()]);
            }
        }

        #[test]
        fn a_line_that_was_not_acknowledged_may_break_off(at in 0..38_usize) {
            let lines = [line(1, true), line(2, false), line(3, true)];
            let stream = format!("{}{}{}", lines[0].text, &lines[1].text[..at % lines[1].text.len()], lines[2].text);
            prop_assert_eq!(lost(&stream, &lines), vec![0_u32; 0]);
            let lines = [line(1, true), line(2, true), line(3, true)];
            prop_assert!(lost(&stream, &lines).contains(&2));
        }
    }

    #[test]
    fn a_refused_line_may_be_anything_and_the_next_attempt_must_be_right() {
        let refused = ConsoleLine { refused: true, ..line(2, false) };
        let lines = [line(1, true), refused, line(2, true), line(3, true)];
        let garbled: String = lines[1].text.chars().rev().collect();
        let stream = format!("{}{garbled}{}{}", lines[0].text, lines[2].text, lines[3].text);
        assert_eq!(lost(&stream, &lines), [0_u32; 0]);
        let nothing_right = format!("{}{garbled}{garbled}{}", lines[0].text, lines[3].text);
        assert!(lost(&nothing_right, &lines).contains(&2));
        let silent = [line(1, true), line(2, true), line(3, true)];
        assert!(lost(&nothing_right, &silent).contains(&2), "nobody has refused it");
    }

    #[test]
    fn more_than_the_allowed_repetition_is_noise() {
        let lines = [line(1, true)];
        let text = &lines[0].text;
        let twice = |back: usize| format!("{}{}", &text[..30], &text[30 - back..]);
        assert_eq!(lost(&twice(REPEAT_MAX), &lines), [0_u32; 0]);
        let report = judge(twice(REPEAT_MAX + 1).as_bytes(), &lines, &[lines[0].time]);
        assert_eq!((report.lost, report.noisy), (vec![], lines.to_vec()));
        assert_eq!(judge(twice(REPEAT_MAX + 1).as_bytes(), &lines, &[]).lost, lines, "nobody has died");
        let report = judge(twice(9).as_bytes(), &lines, &[lines[0].time]);
        assert_eq!(report.repeated, [(lines[0].clone(), 9)]);
    }

    #[test]
    fn noise_hides_no_byte_that_is_lost() {
        let lines = [line(1, true)];
        let text = &lines[0].text;
        // Byte 10 is another one than byte 9.
        for stream in [format!("{}NOISE{}", &text[..10], &text[11..]), format!("{}NOISE", &text[..10])] {
            assert_eq!(judge(stream.as_bytes(), &lines, &[lines[0].time]).lost, lines);
        }
        let far = format!("{}{}{}", &text[..10], "N".repeat(NOISE_MAX + 1), &text[10..]);
        assert_eq!(judge(far.as_bytes(), &lines, &[lines[0].time]).lost, lines);
    }

    #[test]
    fn nothing_is_repeated_while_the_driver_lives() {
        let lines = [line(1, true)];
        let text = &lines[0].text;
        let twice = format!("{}{}", &text[..30], &text[20..]);
        assert_eq!(judge(twice.as_bytes(), &lines, &[]).lost, lines);
        assert_eq!(
            judge(twice.as_bytes(), &lines, &[lines[0].time + 6]).lost,
            lines,
            "dead when it was over"
        );
    }

    #[test]
    fn lines_in_the_wrong_order_and_strays_are_found() {
        let lines = [line(1, true), line(2, true)];
        let stream = format!("{}{}", lines[1].text, lines[0].text);
        assert!(!lost(&stream, &lines).is_empty());
        let stray = format!("{}{}{}", lines[0].text, lines[1].text, line(9, true).text);
        assert_eq!(judge(stray.as_bytes(), &lines, &[]).strays, 1);
    }
}
