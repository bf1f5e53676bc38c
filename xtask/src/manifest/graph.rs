//! The proof that calls go only upward, and therefore never in a circle.
//!
//! A call blocks the caller until the server answers. If every call goes to a strictly higher priority, a chain of calls
//! ends within 31 steps, no two components wait for each other, and whoever is waited for runs first.

/// Why a call graph is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Defect {
    /// Each calls the next and the last calls the first; none is named twice.
    Cycle(Vec<usize>),
    /// `caller`'s priority is not lower than `server`'s, and no cycle leads through this call.
    Downhill {
        /// Who calls.
        caller: usize,
        /// Whom.
        server: usize,
    },
}

/// All defects of the graph: `calls` holds pairs of caller and server, indices into `priorities`.
///
/// Every call that is not strictly uphill appears in exactly one defect or in a cycle that contains it.
pub fn check(priorities: &[u32], calls: &[(usize, usize)]) -> Vec<Defect> {
    let mut defects: Vec<Defect> = Vec::new();
    for &(caller, server) in calls {
        if priorities[caller] < priorities[server] {
            continue;
        }
        let defect = match path(priorities.len(), calls, server, caller) {
            Some(cycle) => Defect::Cycle(from_smallest(cycle)),
            None => Defect::Downhill { caller, server },
        };
        if !defects.contains(&defect) {
            defects.push(defect);
        }
    }
    defects
}

/// A shortest path along calls, both ends included.
fn path(count: usize, calls: &[(usize, usize)], from: usize, to: usize) -> Option<Vec<usize>> {
    let mut previous = vec![None; count];
    let mut queue = std::collections::VecDeque::from([from]);
    previous[from] = Some(from);
    while let Some(at) = queue.pop_front() {
        if at == to {
            let mut path = vec![to];
            while *path.last()? != from {
                path.push(previous[*path.last()?]?);
            }
            path.reverse();
            return Some(path);
        }
        for &(_, next) in calls.iter().filter(|(caller, _)| *caller == at) {
            if previous[next].is_none() {
                previous[next] = Some(at);
                queue.push_back(next);
            }
        }
    }
    None
}

/// The same cycle, written from its smallest member.
fn from_smallest(mut cycle: Vec<usize>) -> Vec<usize> {
    let smallest = (0..cycle.len()).min_by_key(|&index| cycle[index]).unwrap_or(0);
    cycle.rotate_left(smallest);
    cycle
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn uphill_calls_are_accepted() {
        assert_eq!(check(&[8, 16, 20, 18], &[(0, 1), (1, 2), (0, 3), (0, 2)]), []);
        assert_eq!(check(&[], &[]), []);
    }

    #[test]
    fn a_call_to_an_equal_or_lower_priority_is_named() {
        assert_eq!(check(&[8, 8], &[(0, 1)]), [Defect::Downhill { caller: 0, server: 1 }]);
        assert_eq!(check(&[9, 8], &[(0, 1)]), [Defect::Downhill { caller: 0, server: 1 }]);
    }

    #[test]
    fn a_cycle_is_named_once_however_many_of_its_calls_go_down() {
        assert_eq!(check(&[5, 5, 5], &[(1, 2), (2, 0), (0, 1)]), [Defect::Cycle(vec![0, 1, 2])]);
        assert_eq!(check(&[1, 2, 3], &[(0, 1), (1, 2), (2, 0)]), [Defect::Cycle(vec![0, 1, 2])]);
        assert_eq!(check(&[7], &[(0, 0)]), [Defect::Cycle(vec![0])]);
    }

    /// Whether following calls from `at` in every possible way meets a component twice: no cleverness.
    fn meets_itself(calls: &[(usize, usize)], walked: &mut Vec<usize>, at: usize) -> bool {
        if walked.contains(&at) {
            return true;
        }
        walked.push(at);
        let found = calls.iter().filter(|call| call.0 == at).any(|call| meets_itself(calls, walked, call.1));
        walked.pop();
        found
    }

    fn is_call(calls: &[(usize, usize)], caller: usize, server: usize) -> bool {
        calls.contains(&(caller, server))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn agrees_with_brute_force(
            priorities in proptest::collection::vec(1u32..6, 6),
            calls in proptest::collection::vec((0usize..6, 0usize..6), 0..9),
        ) {
            let defects = check(&priorities, &calls);
            let cyclic = (0..6).any(|start| meets_itself(&calls, &mut Vec::new(), start));
            let down: Vec<_> = calls.iter().filter(|(a, b)| priorities[*a] >= priorities[*b]).collect();

            // Accepted exactly when every call is strictly uphill; and what is accepted has no cycle.
            prop_assert_eq!(defects.is_empty(), down.is_empty());
            prop_assert!(!(defects.is_empty() && cyclic));
            // A cycle is reported exactly when there is one, and each report is a real cycle.
            prop_assert_eq!(defects.iter().any(|defect| matches!(defect, Defect::Cycle(_))), cyclic);
            for defect in &defects {
                match defect {
                    Defect::Cycle(cycle) => {
                        let next = cycle.iter().cycle().skip(1);
                        prop_assert!(cycle.iter().zip(next).all(|(&a, &b)| is_call(&calls, a, b)));
                        let distinct: std::collections::BTreeSet<_> = cycle.iter().collect();
                        prop_assert_eq!(distinct.len(), cycle.len());
                    }
                    Defect::Downhill { caller, server } => {
                        prop_assert!(is_call(&calls, *caller, *server) && priorities[*caller] >= priorities[*server]);
                        prop_assert!(!leads_to(&calls, *server, *caller), "a call on a cycle is reported as the cycle");
                    }
                }
            }
            // Each call that goes down is in a report.
            for &&(caller, server) in &down {
                let named = defects.iter().any(|defect| match defect {
                    Defect::Cycle(cycle) => {
                        cycle.iter().zip(cycle.iter().cycle().skip(1)).any(|(&a, &b)| (a, b) == (caller, server))
                    }
                    Defect::Downhill { caller: a, server: b } => (*a, *b) == (caller, server),
                });
                prop_assert!(named, "{caller} -> {server} in none of {defects:?}");
            }
        }
    }

    /// Whether calls lead from one to the other: the transitive closure of a matrix of truth values.
    fn leads_to(calls: &[(usize, usize)], from: usize, to: usize) -> bool {
        let mut reach = [[false; 6]; 6];
        for (i, row) in reach.iter_mut().enumerate() {
            row[i] = true;
        }
        for &(a, b) in calls {
            reach[a][b] = true;
        }
        for k in 0..6 {
            for i in 0..6 {
                for j in 0..6 {
                    reach[i][j] |= reach[i][k] && reach[k][j];
                }
            }
        }
        reach[from][to]
    }
}
