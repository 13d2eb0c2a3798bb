//! A page of the database's file that is another than SQLite has written: a disk that fails, or somebody who writes past
//! SQLite. Would catch a snapshot with such a page, from which every later state would be restored.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;

use ebbtide_catalog::Target;
use ebbtide_testkit::actor::Ask;
use ebbtide_testkit::workload::{CheckpointMode, Options};
use ebbtide_wal::PageSize;

use crate::kill::armed::{Armed, End};
use crate::scene::Scene;
use crate::support::wait_until;

const PAGES: PageSize = PageSize::new(4096).unwrap();

/// A replica without a snapshot is due for one, which is made while the database is followed.
#[test]
fn a12_a39_a_page_that_rots_while_it_is_followed_is_in_no_snapshot_and_the_status_says_so() {
    let mut scene = Scene::new();
    let mut actor = scene.start_actor(1, &Options::plain(PAGES));
    scene.act(&mut actor, Ask::Insert(200, 900));
    // From here on those pages are in the file alone.
    scene.act(&mut actor, Ask::Checkpoint(CheckpointMode::Truncate));
    let mut armed = Armed::start(&scene, "");
    armed.follows().unwrap();
    scene.act(&mut actor, Ask::InsertEach(3, 200));
    assert_eq!(armed.end().0, End::Stopped);
    let (snapshots, aside) = (scene.path("backup/snap"), scene.path("aside"));
    std::fs::rename(&snapshots, &aside).unwrap();

    let mut armed = Armed::start(&scene, "watcher.image.pinned=1:wait");
    armed.waits();
    rot(&scene);
    armed.go_on();
    let status = || scene.report();
    wait_until("the status to say so", || status()["attention"] == serde_json::json!(["snapshot"]));
    let why = status()["snapshot_trouble"]["error"].as_str().unwrap().to_owned();
    assert!(why.contains("changed without SQLite, or its disk is failing"), "{why}");
    assert_eq!(armed.end_with_code(), Some(4), "without a snapshot nothing can be restored");
    actor.finish().unwrap();
    let made = std::fs::read_dir(&snapshots).into_iter().flatten().count();
    assert_eq!(made, 0, "no snapshot is made of it");

    std::fs::rename(&aside, &snapshots).unwrap();
    let restored = scene.history().restore(Target::Latest, scene.directory.path()).1;
    assert_eq!(restored, scene.told.last().unwrap().0, "the replica has what SQLite wrote");
}

/// One bit of a page that has not been written for long.
fn rot(scene: &Scene) {
    let file = OpenOptions::new().read(true).write(true).open(&scene.database).unwrap();
    let (mut byte, at) = ([0], 10 * u64::from(PAGES.get()) + 1000);
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}
