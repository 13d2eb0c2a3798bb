//! The first promise: whatever an application does, every transaction can be restored byte for byte.
//!
//! A random application runs in a process of its own, with any page size, spills, rollbacks, VACUUM, schema changes,
//! long readers and explicit checkpoints, and says after each commit what the database is. `ebbtide replicate` runs
//! beside it. Then every txid is restored and compared. Would catch a commit that was missed, invented, reordered,
//! taken apart, or restored with a page of another one.

use ebbtide_catalog::Target;
use ebbtide_replica::EntryKind;
use ebbtide_testkit::oracle::Image;
use ebbtide_testkit::workload::{Options, Synchronous};
use ebbtide_testkit::writer::{self, Task, Writer};
use ebbtide_testkit::{Random, for_each_seed};
use ebbtide_wal::PageSize;

use crate::support::Setup;

/// Not a test: the application, when this binary is started as one.
#[test]
fn writer() {
    writer::run_if_asked();
}

const WRITER: &str = "exact::writer";

const PAGES: PageSize = PageSize::new(4096).unwrap();

#[test]
fn every_transaction_of_a_random_application_is_restored_byte_for_byte() {
    let mut seen = 0;
    for_each_seed(12, |seed| {
        let setup = Setup::new();
        let options = Options::random(&mut Random::new(seed));
        println!("seed {seed}: {options}");
        let task = Task {
            path: setup.database.clone(),
            seed,
            options,
            commits_max: 150,
            commits_per_second: Some(200),
            images: true,
        };
        let writer = Writer::start(WRITER, &task).unwrap();
        let sidecar = setup.follow();
        let begin = writer.begin();
        let commits = writer.finish().unwrap();
        assert_eq!(sidecar.stop(), 0, "everything is durable at the end");
        let told = commits.iter().map(|commit| commit.image.unwrap());
        let told = begin.into_iter().chain(told).collect();
        let history = setup.history();
        let states: Vec<_> = history.states(setup.directory.path());
        seen += compare(told, states.iter().map(|(_, image)| *image).collect());
        assert_eq!(states.last().unwrap().1, Image::of_file(&setup.database).unwrap(), "the end");
        assert!(states[1..].iter().all(|(entry, _)| entry.kind == EntryKind::Commit), "no gaps");
    });
    // On a busy machine an application may be done before the sidecar has started, but not every one of them.
    assert!(seen > 12, "only {seen} states were seen");
}

/// The states that were restored are those that the application told, all of them and in their order, from the one on
/// that the replica began with; how many those are.
pub(crate) fn compare(mut told: Vec<Image>, mut restored: Vec<Image>) -> usize {
    // A commit that changes nothing leaves the image of the one before it.
    told.dedup();
    restored.dedup();
    let begin = told.iter().position(|image| *image == restored[0]);
    let begin = begin.expect("the replica begins with a state that the application told");
    let differs = restored.iter().zip(&told[begin..]).position(|(restored, told)| restored != told);
    assert_eq!(differs, None, "the first state that was restored wrongly, counted from the first");
    assert_eq!(restored.len(), told.len() - begin, "every state is there");
    restored.len()
}

#[test]
fn every_moment_restores_the_last_commit_at_or_before_it() {
    let setup = Setup::new();
    let task = Task {
        path: setup.database.clone(),
        seed: 7,
        // Frames are written long before their commit is published, and only the one makes an event.
        options: Options { synchronous: Synchronous::Full, ..Options::plain(PAGES) },
        commits_max: 40,
        // A commit may be dated late by as long as its machine is busy.
        commits_per_second: Some(5),
        images: true,
    };
    let writer = Writer::start(WRITER, &task).unwrap();
    let sidecar = setup.follow();
    let commits = writer.finish().unwrap();
    assert_eq!(sidecar.stop(), 0);
    let history = setup.history();
    let states = history.states(setup.directory.path());
    // How late a commit is dated depends on how busy the machine is. That it is not dated before it was, does not.
    let mut latest = 0;
    for (entry, image) in states.iter().filter(|(entry, _)| entry.kind == EntryKind::Commit) {
        let at = commits.iter().position(|commit| commit.image == Some(*image)).unwrap();
        let dated = u64::try_from(entry.time.as_micros()).unwrap();
        let before = at.checked_sub(1).map_or(0, |before| commits[before].micros);
        assert!(dated >= before, "{} is dated before the commit that came before it", entry.txid);
        latest = latest.max(dated.saturating_sub(commits[at].micros));
    }
    println!("no commit was dated more than {latest} µs late");
    let mut random = Random::new(7);
    for _ in 0..12 {
        // Half way between two that are some time apart.
        let at = random.below(u32::try_from(states.len() - 1).unwrap()) as usize;
        let [(entry, image), (next, _)] = &states[at..at + 2] else { panic!("two states") };
        let (begin, end) = (entry.time.as_micros(), next.time.as_micros());
        let time = ebbtide_replica::Timestamp::from_micros(begin + (end - begin) / 2).unwrap();
        let (txid, restored) = history.restore(Target::Time(time), setup.directory.path());
        if begin < end {
            assert_eq!((txid, restored), (entry.txid, *image), "{time}");
        }
    }
}
