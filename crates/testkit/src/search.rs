//! A breadth-first search through every state that can be reached: what it finds first is found by the fewest steps.
//! The models of the protocols (`crates/*/tests/model`) are searched by it.
//!
//! States are told apart by 64-bit hashes. With the few million that there are here, the chance that two share one and
//! the later is left out is below one in a million, and the same in every run.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A step that a state can take: who, what, and where it leads.
pub type Next<S> = (&'static str, &'static str, S);

/// A search that would need more states than this is asked too much.
const STATES_MAX: usize = 6_000_000;

/// What a search found.
#[derive(Debug)]
pub struct Searched {
    /// How many states can be reached, or were seen until the first violation.
    pub states: usize,
    /// What went wrong first, and the steps that led there.
    pub violation: Option<(&'static str, Vec<String>)>,
}

impl Searched {
    /// Panics, with the steps that led there, if something went wrong in any state.
    #[track_caller]
    pub fn holds(self, what: &str) {
        if let Some((wrong, path)) = self.violation {
            panic!("{what}: {wrong}:\n{}", path.join("\n"));
        }
    }

    /// Prints the steps to the first state in which something went wrong; panics if nothing did, or something else than
    /// `expected`.
    #[track_caller]
    pub fn finds(self, what: &str, expected: &str) {
        let (wrong, path) = self.violation.unwrap_or_else(|| panic!("{what}: nothing was found"));
        assert!(wrong.contains(expected), "{what}: {wrong}:\n{}", path.join("\n"));
        println!("{what}: {wrong}, in {} steps:\n  {}", path.len(), path.join("\n  "));
    }
}

/// Searches as [`search`] does, and prints how many states there were and how long it took.
pub fn search_and_tell<S: Clone + Hash>(
    what: &str,
    start: S,
    steps: impl Fn(&S, &mut Vec<Next<S>>),
    wrong: impl Fn(&S) -> Option<&'static str>,
) -> Searched {
    let began = std::time::Instant::now();
    let searched = search(start, steps, wrong);
    println!("{what}: {} states in {:.1?}", searched.states, began.elapsed());
    searched
}

/// Searches from `start`. `steps` adds every step that a state can take, `wrong` says what is wrong with a state.
pub fn search<S: Clone + Hash>(
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
    let mut mixer = Mixer(MULTIPLIER);
    state.hash(&mut mixer);
    mixer.finish()
}

/// An odd number without a pattern: the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashes the small fields that a state is made of by folding a product of 128 bits, as wyhash does. States come from
/// us, so nobody makes up collisions.
struct Mixer(u64);

impl Mixer {
    fn fold(left: u64, right: u64) -> u64 {
        let product = u128::from(left) * u128::from(right);
        let [high, low] = [product >> 64, product & u128::from(u64::MAX)];
        u64::try_from(high ^ low).expect("64 bits")
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(u64::from(byte));
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number.cast_unsigned() as u64);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = Mixer::fold(self.0 ^ word, MULTIPLIER).rotate_left(23) ^ MULTIPLIER;
    }

    fn finish(&self) -> u64 {
        Mixer::fold(self.0, MULTIPLIER.rotate_left(32))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
