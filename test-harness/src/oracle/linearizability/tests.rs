use super::*;
use proptest::prelude::*;

type Op = Operation<u32, usize>;

/// Operations `(action, invoked, returned)`; 0: not returned. Their names are their numbers.
fn history(operations: &[(Action<u32>, u64, u64)]) -> Vec<Op> {
    let operation = |(name, &(action, invoked, returned)): (usize, &(Action<u32>, u64, u64))| Operation {
        name,
        action,
        invoked,
        returned: (returned > 0).then_some(returned),
    };
    operations.iter().enumerate().map(operation).collect()
}

/// Names of the operations of the counterexample, and what is said of it.
fn shown(operations: &[(Action<u32>, u64, u64)]) -> Option<(Vec<usize>, String)> {
    let violation = violation(&history(operations))?;
    let names = violation.operations().iter().map(|operation| operation.name).collect();
    Some((names, violation.to_string()))
}

const fn write(value: u32, invoked: u64, returned: u64) -> (Action<u32>, u64, u64) {
    (Action::Write(value), invoked, returned)
}

const fn read(value: u32, invoked: u64, returned: u64) -> (Action<u32>, u64, u64) {
    (Action::Read(Some(value)), invoked, returned)
}

const fn read_empty(invoked: u64, returned: u64) -> (Action<u32>, u64, u64) {
    (Action::Read(None), invoked, returned)
}

#[test]
fn what_one_order_explains_is_linearizable() {
    assert_eq!(shown(&[]), None);
    assert_eq!(
        shown(&[read_empty(1, 2), write(1, 3, 4), read(1, 5, 6), write(2, 7, 8), read(2, 9, 10)]),
        None
    );
    // Of concurrent writes and reads any comes first.
    assert_eq!(shown(&[write(1, 1, 6), write(2, 2, 5), read(1, 3, 4), read(2, 7, 8)]), None);
    assert_eq!(shown(&[write(1, 1, 6), write(2, 2, 5), read(2, 3, 4), read(1, 7, 8)]), None);
    assert_eq!(shown(&[write(1, 1, 6), read_empty(2, 3), read(1, 4, 5)]), None);
}

#[test]
fn an_unknown_write_takes_place_at_any_time_or_never() {
    assert_eq!(shown(&[write(1, 1, 2), write(2, 3, 0), read(1, 5, 6)]), None, "never");
    assert_eq!(shown(&[write(1, 1, 2), write(2, 3, 0), read(2, 5, 6)]), None, "at once");
    let late =
        [write(1, 1, 2), write(2, 3, 0), read(1, 5, 6), write(3, 7, 8), read(3, 9, 10), read(2, 11, 12)];
    assert_eq!(shown(&late), None, "late");
    let twice = [&late[..], &[write(4, 13, 14), read(2, 15, 16)]].concat();
    assert!(shown(&twice).is_some(), "but once");
    let back = [write(1, 1, 2), write(2, 3, 0), read(2, 5, 6), read(1, 7, 8)];
    assert_eq!(shown(&back).unwrap().0, [0, 1, 2, 3], "and not undone");
    assert_eq!(shown(&[(Action::Read(None), 1, 0), write(1, 2, 3)]), None, "a read that nobody was told of");
}

#[test]
fn a_stale_read_is_shown() {
    let stale = [write(1, 1, 2), write(2, 3, 4), write(9, 5, 0), read(1, 6, 7), read(1, 8, 9)];
    let (names, text) = shown(&stale).unwrap();
    assert_eq!(names, [0, 1, 4]);
    assert_eq!(text, "value 2 was there while value 1 must have been");
}

#[test]
fn a_lost_write_is_shown() {
    let (names, text) = shown(&[read_empty(1, 2), write(1, 3, 4), read_empty(5, 6)]).unwrap();
    assert_eq!(names, [1, 2]);
    assert_eq!(text, "value 1 was there while the empty value must have been");
}

#[test]
fn a_write_that_shows_before_it_was_invoked_is_shown() {
    let (names, text) = shown(&[read(1, 1, 2), write(1, 3, 4)]).unwrap();
    assert_eq!((names, text.as_str()), (vec![0, 1], "value 1 was read before its write was asked for"));
    assert!(shown(&[read(1, 1, 2), write(1, 3, 0)]).is_some(), "whatever became of it");
}

#[test]
fn a_value_from_nowhere_is_shown() {
    let (names, text) = shown(&[write(1, 1, 2), read(7, 3, 4)]).unwrap();
    assert_eq!((names, text.as_str()), (vec![1], "value 7 was read, which nobody has written"));
}

#[test]
fn two_readers_that_see_two_orders_are_shown() {
    // Both writes are concurrent with all reads.
    let orders =
        [write(1, 1, 20), write(2, 2, 19), read(1, 3, 4), read(2, 5, 6), read(1, 7, 8), read(2, 9, 10)];
    assert!(shown(&orders).is_some());
    assert_eq!(shown(&orders[..4]), None);
}

/// Whether some order of some of the operations, among them all that have returned, explains what was read: the definition,
/// word by word.
fn has_an_order(left: &[Op], value: Option<u32>) -> bool {
    if left.iter().all(|operation| operation.returned.is_none()) {
        return true;
    }
    let first_return = left.iter().map(Op::end).min().unwrap_or(u64::MAX);
    (0..left.len()).any(|index| {
        let next = left[index];
        let rest: Vec<_> = left.iter().filter(|other| other.name != next.name).copied().collect();
        let after = match next.action {
            Action::Write(written) => Some(Some(written)),
            Action::Read(read) => (read == value || next.returned.is_none()).then_some(value),
        };
        next.invoked < first_return && after.is_some_and(|after| has_an_order(&rest, after))
    })
}

/// Up to seven operations whose events are in any order; writes have values of their own, reads any of these or one more.
fn any_history() -> impl Strategy<Value = Vec<Op>> {
    let operation = (any::<bool>(), 0..5_u32, any::<u16>(), any::<u16>(), 0..6_u8);
    proptest::collection::vec(operation, 1..8).prop_map(|drawn| {
        let mut places: Vec<_> =
            drawn.iter().flat_map(|&(_, _, one, two, _)| [one, two]).enumerate().collect();
        places.sort_by_key(|&(index, place)| (place, index));
        let place = |event: usize| places.iter().position(|&(index, _)| index == event).unwrap() as u64 + 1;
        let operation = |(name, &(writes, value, _, _, told)): (usize, &(bool, u32, u16, u16, u8))| {
            let (one, two) = (place(2 * name), place(2 * name + 1));
            let read = value.checked_sub(1);
            Operation {
                name,
                action: if writes { Action::Write(name as u32) } else { Action::Read(read) },
                invoked: one.min(two),
                returned: (told > 0).then_some(one.max(two)),
            }
        };
        drawn.iter().enumerate().map(operation).collect()
    })
}

/// A history of a register that works: operations take effect at once, or not at all where nobody was told.
fn correct_history() -> impl Strategy<Value = Vec<Op>> {
    let operation = (any::<bool>(), any::<bool>(), 0..40_u64, 0..20_u64, 0..20_u64, 0..5_u8);
    proptest::collection::vec(operation, 1..40).prop_map(|drawn| {
        let mut effects: Vec<_> = (0..drawn.len()).collect();
        effects.sort_by_key(|&name| (drawn[name].2, name));
        let (mut value, mut operations) = (None, Vec::new());
        for name in effects {
            let (writes, happens, at, before, after, told) = drawn[name];
            // Places of different operations differ; an effect lies between its own two.
            let unique = |place: u64, half: u64| (place + 20) * 1000 + name as u64 * 2 + half;
            let returned = (told > 0).then(|| unique(at + after + 1, 1));
            let action = if writes {
                if happens || returned.is_some() {
                    value = Some(name as u32);
                }
                Action::Write(name as u32)
            } else {
                Action::Read(value)
            };
            operations.push(Operation { name, action, invoked: unique(at, 0) - before * 1000 - 1, returned });
        }
        operations
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn zones_decide_what_the_definition_says(history in any_history()) {
        let violation = violation(&history);
        prop_assert_eq!(violation.is_none(), has_an_order(&history, None), "{:?}", violation);
    }

    #[test]
    fn the_counterexample_is_one_by_itself(history in any_history()) {
        if let Some(violation) = violation(&history) {
            let operations = violation.operations();
            prop_assert!(operations.len() <= 6);
            prop_assert!(!has_an_order(&operations, None), "{:?}", operations);
        }
    }
}

proptest! {
    #[test]
    fn a_register_that_works_has_no_violation(history in correct_history()) {
        prop_assert_eq!(violation(&history), None);
    }
}
