//! What is known to have changed, against a model of the database: through commits, cuts, kills and damage.

use std::path::Path;

use ebbtide_replica::{Chain, Digest, EntryState, PageHash, Point, Timestamp, Txid};
use ebbtide_state::{Position, State};
use ebbtide_testkit::{Random, for_each_seed};
use ebbtide_wal::PageNumber;

use super::first_position;
use crate::levels::Level;
use crate::page_hashes::PageHashes;

/// The hashes of all pages; page 1 is the first.
type Pages = Vec<PageHash>;

/// A database, its states, and what is known to have changed.
struct Run {
    directory: tempfile::TempDir,
    hashes: Option<PageHashes>,
    /// After each entry, the first one of which left no pages.
    states: Vec<Pages>,
    /// The entries that segments end with that are not durable yet.
    in_flight: Vec<usize>,
    durable: usize,
    random: Random,
}

fn page(index: usize) -> PageNumber {
    PageNumber::new(u32::try_from(index).unwrap() + 1).unwrap()
}

fn digest(pages: &Pages) -> Digest {
    pages.iter().copied().collect()
}

impl Run {
    fn new(seed: u64) -> Run {
        let directory = tempfile::tempdir().unwrap();
        let fill = State::create(directory.path()).unwrap();
        let state = State::publish(fill, first_position()).unwrap();
        Run {
            directory,
            hashes: Some(PageHashes::new(state)),
            states: vec![Vec::new()],
            in_flight: Vec::new(),
            durable: 0,
            random: Random::new(seed),
        }
    }

    fn hashes(&mut self) -> &mut PageHashes {
        self.hashes.as_mut().unwrap()
    }

    fn state(&self, entry: usize) -> EntryState {
        let pages = &self.states[entry];
        EntryState {
            point: Point { txid: Txid::new(entry as u64 + 1).unwrap(), time: Timestamp::EPOCH },
            chain: Chain::from_bytes([u8::try_from(entry % 251).unwrap(); 32]),
            digest: digest(pages),
            database_pages: u32::try_from(pages.len()).unwrap(),
        }
    }

    fn commit(&mut self) {
        let mut pages = self.states.last().unwrap().clone();
        let before = pages.clone();
        let size = match self.random.below(4) {
            0 => self.random.below(30) as usize,
            1 => pages.len() + self.random.below(5) as usize,
            _ => pages.len(),
        };
        pages
            .resize_with(size, || PageHash::from_bytes(*self.random.bytes(16).as_array().unwrap()));
        for _ in 0..self.random.below(4).min(u32::try_from(size).unwrap()) {
            let at = self.random.below(u32::try_from(size).unwrap()) as usize;
            pages[at] = PageHash::from_bytes(*self.random.bytes(16).as_array().unwrap());
        }
        let changed: Vec<(PageNumber, PageHash)> = (0..size)
            .filter(|&at| before.get(at) != Some(&pages[at]))
            .map(|at| (page(at), pages[at]))
            .collect();
        let after = self.hashes().record(&changed, u32::try_from(size).unwrap()).unwrap();
        assert_eq!(after, digest(&pages));
        self.states.push(pages);
    }

    fn seal(&mut self) {
        self.hashes().seal();
        self.in_flight.push(self.states.len() - 1);
    }

    fn confirm(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let entry = self.in_flight.remove(0);
        let position = Position { state: self.state(entry), ..first_position() };
        self.hashes().confirm(position).unwrap();
        self.durable = entry;
    }

    /// The process is killed. What was not durable is read again from the log, or is lost with it.
    fn restart(&mut self, damage: bool) {
        self.hashes = None;
        if damage {
            for name in ["journal.0", "journal.1"] {
                harm(&self.directory.path().join(name), &mut self.random);
            }
        }
        let state = State::open(self.directory.path()).unwrap().unwrap();
        self.hashes = Some(PageHashes::new(state));
        let lost = self.states.split_off(self.durable + 1);
        self.in_flight.clear();
        if self.random.below(2) == 0 {
            for pages in lost {
                let before = self.states.last().unwrap();
                let changed: Vec<(PageNumber, PageHash)> = (0..pages.len())
                    .filter(|&at| before.get(at) != Some(&pages[at]))
                    .map(|at| (page(at), pages[at]))
                    .collect();
                let size = u32::try_from(pages.len()).unwrap();
                self.hashes().record(&changed, size).unwrap();
                self.states.push(pages);
            }
        }
    }

    /// Whether the equation holds, if the level is known at all; and if it does, no page that changed is missing.
    fn holds(&mut self, level: Level) -> Option<bool> {
        let now = self.states.last().unwrap().clone();
        let changes = self.hashes().levels().changes(level)?.clone();
        let ranges = changes.pages.ranges(u32::try_from(now.len()).unwrap());
        let dirty: Vec<usize> =
            ranges.into_iter().flatten().map(|page| page as usize - 1).collect();
        let sum = dirty.iter().map(|&at| now[at]).fold(changes.rest(), Digest::toggle);
        let holds = sum == digest(&now);
        if holds {
            let base = &self.states[usize::try_from(changes.base.txid().get()).unwrap() - 1];
            let same = |at: &usize| base.get(*at) == Some(&now[*at]);
            assert!((0..now.len()).filter(|at| !dirty.contains(at)).all(|at| same(&at)));
        }
        Some(holds)
    }

    fn step(&mut self) {
        let state = self.state(self.states.len() - 1);
        match self.random.below(12) {
            0..=4 => self.commit(),
            5..=6 => self.seal(),
            7..=8 => self.confirm(),
            9 => {
                let level = *self.random.choose(&Level::ALL);
                self.hashes().levels_mut().begin(level, state);
            }
            10 => self.hashes().levels_mut().vouched(state.txid()),
            _ if self.random.below(3) == 0 => self.hashes().levels_mut().give_up(),
            _ => {}
        }
    }
}

fn harm(path: &Path, random: &mut Random) {
    let Ok(mut bytes) = std::fs::read(path) else { return };
    let length = u32::try_from(bytes.len()).unwrap();
    match random.below(3) {
        _ if length == 0 => {}
        0 => bytes.truncate(random.below(length) as usize),
        1 => bytes[random.below(length) as usize] ^= 1 << random.below(8),
        _ => {}
    }
    std::fs::write(path, bytes).unwrap();
}

/// Whatever is committed, cut, grown again, lost and read again: the pages that are known to have changed lead from the
/// base to the present state, in every level.
#[test]
fn h28_what_changed_leads_to_the_present_state_through_cuts_and_kills() {
    for_each_seed(60, |seed| {
        let mut run = Run::new(seed);
        for number in 0..300 {
            run.step();
            if run.random.below(25) == 0 {
                run.restart(false);
            }
            for level in Level::ALL {
                assert_eq!(run.holds(level), Some(true), "{level:?} at step {number}");
            }
        }
    });
}

/// What a power failure leaves of it leads there, too, or is found to be wrong.
#[test]
fn h27_what_lost_a_page_is_found_or_leads_to_the_present_state() {
    let (mut sound, mut wrong) = (0, 0);
    for_each_seed(120, |seed| {
        let mut run = Run::new(seed);
        for _ in 0..200 {
            run.step();
            if run.random.below(25) == 0 {
                run.restart(true);
            }
            for level in Level::ALL {
                match run.holds(level) {
                    Some(true) => sound += 1,
                    Some(false) => {
                        wrong += 1;
                        run.hashes().levels_mut().forget(level);
                    }
                    None => {}
                }
            }
        }
    });
    let all = std::env::var_os("EBBTIDE_SEED").is_none();
    assert!(!all || (sound > 1000 && wrong > 10), "{sound} sound, {wrong} wrong");
}

/// A flipped sum or page that no checksum tells is found by the equation.
#[test]
fn h27_a_sum_that_is_wrong_is_found() {
    let mut run = Run::new(5);
    while run.states.len() < 20 {
        run.commit();
    }
    assert_eq!(run.holds(Level::Hour), Some(true));
    let before = PageHash::from_bytes([1; 16]);
    run.hashes().levels_mut().note(page(1000), before);
    assert_eq!(run.holds(Level::Hour), Some(false));
}
