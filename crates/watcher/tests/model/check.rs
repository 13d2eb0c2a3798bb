//! A breadth-first search through every state that can be reached: what it finds first is found by the fewest steps.
//!
//! States are told apart by 64-bit hashes. With the few million that there are here, the chance that two share one and
//! the later is left out is below one in a million, and the same in every run.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

/// A step that a state can take: who, what, and where it leads.
pub(crate) type Next<S> = (&'static str, &'static str, S);

/// A search that would need more states than this is asked too much.
const STATES_MAX: usize = 6_000_000;

/// What a search found.
#[derive(Debug)]
pub(crate) struct Searched {
    /// How many states can be reached, or were seen until the first violation.
    pub(crate) states: usize,
    /// What went wrong first, and the steps that led there.
    pub(crate) violation: Option<(&'static str, Vec<String>)>,
}

/// Searches from `start`. `steps` adds every step that a state can take, `wrong` says what is wrong with a state.
pub(crate) fn search<S: Clone + Hash>(
    start: S,
    steps: impl Fn(&S, &mut Vec<Next<S>>),
    wrong: impl Fn(&S) -> Option<&'static str>,
) -> Searched {
    let mut seen = HashSet::<u64, BuildHasherDefault<Hashed>>::default();
    seen.insert(hash(&start));
    // For each state, in the order in which they were found: the one before it, and the step between them.
    let mut found: Vec<(usize, (&str, &str))> = vec![(0, ("", ""))];
    let mut level = vec![(0, start)];
    let mut next = Vec::new();
    while !level.is_empty() {
        let mut after = Vec::new();
        for (number, state) in level {
            next.clear();
            steps(&state, &mut next);
            for (who, what, reached) in next.drain(..) {
                if !seen.insert(hash(&reached)) {
                    continue;
                }
                found.push((number, (who, what)));
                assert!(found.len() < STATES_MAX, "more than {STATES_MAX} states");
                if let Some(what) = wrong(&reached) {
                    let violation = Some((what, path(&found, found.len() - 1)));
                    return Searched { states: found.len(), violation };
                }
                after.push((found.len() - 1, reached));
            }
        }
        level = after;
    }
    Searched { states: found.len(), violation: None }
}

fn hash(state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// What is a hash already need not be hashed again.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0 = self.0 << 8 | u64::from(byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn path(found: &[(usize, (&str, &str))], mut number: usize) -> Vec<String> {
    let mut path = Vec::new();
    while number != 0 {
        let (before, (who, what)) = found[number];
        path.push(format!("{who}: {what}"));
        number = before;
    }
    path.reverse();
    path
}

#[test]
fn a_search_finds_the_shortest_way_and_counts_every_state() {
    // Three litres from jugs of five and four, and every amount that can be had with them.
    let steps = |&(five, four): &(u8, u8), next: &mut Vec<Next<(u8, u8)>>| {
        let (into_four, into_five) = (five.min(4 - four), four.min(5 - five));
        next.push(("five", "fill", (5, four)));
        next.push(("four", "fill", (five, 4)));
        next.push(("five", "empty", (0, four)));
        next.push(("four", "empty", (five, 0)));
        next.push(("five", "pour", (five - into_four, four + into_four)));
        next.push(("four", "pour", (five + into_five, four - into_five)));
    };
    let searched = search((0, 0), steps, |&(five, _)| (five == 3).then_some("three litres"));
    let (what, path) = searched.violation.expect("three litres can be had");
    assert_eq!((what, path.len()), ("three litres", 6), "{path:?}");
    assert_eq!(search((0, 0), steps, |_| None).states, 18);
}
