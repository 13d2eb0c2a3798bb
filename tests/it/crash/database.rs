//! The application's own files (hazards A6, A7): with `synchronous = NORMAL` a failure of the power takes the end of the
//! log, or any part of what was written to it since the last checkpoint. SQLite goes back to an earlier commit then,
//! and the replica is ahead of its database. The next start tells so in the history, and what is restored is the
//! database's state, before the failure and after it.

use std::fs;

use ebbtide_testkit::workload::{Options, Synchronous};
use ebbtide_testkit::{Random, for_each_seed};
use ebbtide_wal::frame_offset;

use crate::scene::Scene;
use crate::tally::Tally;
use crate::trial::Trial;

#[test]
fn a06_a07_a_power_failure_that_takes_commits_is_told_and_nothing_is_mixed() {
    let mut tally = Tally::new("crash-database");
    for_each_seed(10, |seed| {
        let mut random = Random::new(seed);
        let options = Options { synchronous: Synchronous::Normal, ..Options::random(&mut random) };
        let mut trial = Trial::new(Scene::new(), seed, options);
        let mut failures = 0;
        for _ in 0..5 {
            trial.follow();
            trial.act(2 + random.below(6));
            // Mostly everything is durable by then, and the database falls behind its replica.
            if random.one_in(3) {
                trial.stop();
            }
            trial.kill_all(&mut random, fail);
            failures += 1;
        }
        trial.end(failures, &mut tally).assert_right("after power failures");
    });
    assert!(tally.forks > 0, "some replica was ahead of its database");
    tally.print();
}

/// Takes away what was not synced: everything in shared memory, and of the log what no checkpoint has begun to copy.
fn fail(scene: &Scene, random: &mut Random) {
    let log = scene.database.with_extension("db-wal");
    let Some(index) = scene.index() else { return };
    let shm = scene.database.with_extension("db-shm");
    if shm.exists() {
        fs::remove_file(shm).unwrap();
    }
    let Ok(mut bytes) = fs::read(&log) else { return };
    let Some(page_size) = index.page_size else { return };
    let synced = index.backfill_attempted.max(index.backfilled);
    let from = frame_offset(synced + 1, page_size).unwrap_or(0);
    // A log of which nothing was copied may lose its header, too.
    let from = if synced == 0 { 0 } else { usize::try_from(from).unwrap() };
    if from >= bytes.len() {
        return;
    }
    let room = u32::try_from(bytes.len() - from).unwrap();
    match random.below(4) {
        0 => bytes.truncate(from + random.below(room) as usize),
        // A torn sector, and all that comes after it as it was.
        1 | 2 => {
            let at = from + random.below(room) as usize;
            let end = (at + 512).min(bytes.len());
            bytes[at..end].fill(0);
        }
        _ => {
            let at = from + random.below(room) as usize;
            bytes[at..].fill(0);
        }
    }
    fs::write(&log, bytes).unwrap();
}
