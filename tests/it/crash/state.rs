//! The local state, of which nothing is synced after the start has been (hazards A5, B13): whatever is left of it, the next start
//! carries on or takes it from the replica.

use std::fs;
use std::path::Path;

use ebbtide_state::state_directory;
use ebbtide_testkit::workload::Options;
use ebbtide_testkit::{Random, for_each_seed};

use crate::scene::Scene;
use crate::tally::Tally;
use crate::trial::{Trial, Victim};

const FILES: [&str; 4] = ["position.0", "position.1", "pages.0", "pages.1"];
const SECTOR: usize = 512;

/// One file at some moments, the oldest first; nothing where it was not there.
type Versions = Vec<Option<Vec<u8>>>;

#[test]
fn a05_b13_any_local_state_that_a_power_failure_leaves_does_no_harm() {
    let mut tally = Tally::new("crash-state");
    for_each_seed(8, |seed| {
        let mut random = Random::new(seed);
        let mut trial = Trial::new(Scene::new(), seed, Options::random(&mut random));
        let mut images = 0;
        for _ in 0..6 {
            trial.follow();
            let directory = state_directory(&trial.scene.database);
            let mut versions: [Versions; 4] = Default::default();
            for _ in 0..3 {
                note(&directory, &mut versions);
                trial.act(random.below(4));
            }
            trial.kill(Victim::Sidecar, &mut random);
            note(&directory, &mut versions);
            for (name, versions) in FILES.iter().zip(&versions) {
                let left = left_of(versions, &mut random);
                let path = directory.join(name);
                match left {
                    Some(bytes) => fs::write(path, bytes).unwrap(),
                    None if path.exists() => fs::remove_file(path).unwrap(),
                    None => {}
                }
            }
            images += 1;
            trial.act(random.below(3));
        }
        trial.end(images, &mut tally).assert_right("after power failures");
    });
    tally.print();
}

fn note(directory: &Path, versions: &mut [Versions; 4]) {
    for (name, versions) in FILES.iter().zip(versions) {
        versions.push(fs::read(directory.join(name)).ok());
    }
}

/// What the disk may have kept of a file of which nothing was synced since its first version.
fn left_of(versions: &Versions, random: &mut Random) -> Option<Vec<u8>> {
    let one = random.choose(versions).clone();
    let newest = versions.last().cloned().flatten();
    match (random.below(6), one, newest) {
        // The sectors of two versions, any from either.
        (0 | 1, Some(one), Some(newest)) => Some(mixed(&one, &newest, random)),
        // Its size was kept and its content was not.
        (2, _, Some(newest)) => {
            let from = random.below(u32::try_from(newest.len() + 1).unwrap()) as usize;
            let zeros = vec![0; newest.len() - from];
            Some([&newest[..from], &zeros[..]].concat())
        }
        // It ends early.
        (3, Some(one), _) => {
            let length = random.below(u32::try_from(one.len() + 1).unwrap()) as usize;
            Some(one[..length].to_vec())
        }
        (4, _, newest) => newest,
        (_, one, _) => one,
    }
}

fn mixed(one: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut mixed = other.to_vec();
    for (at, sector) in mixed.chunks_mut(SECTOR).enumerate() {
        let start = at * SECTOR;
        if random.one_in(2) && one.len() >= start + sector.len() {
            sector.copy_from_slice(&one[start..start + sector.len()]);
        }
    }
    mixed
}
