//! Images of the database that are read while the application begins its log anew.
//!
//! Everything was copied back when the sidecar came, so its transactions ignore the log, and nothing keeps the
//! application from writing over the frames that the image was to have. Would catch pages of a later state in a first
//! snapshot, or in what a start sends after it has missed something.

use std::fs::File;

use ebbtide_catalog::Target;
use ebbtide_testkit::actor::{Actor, Ask};
use ebbtide_testkit::oracle::Image;
use ebbtide_testkit::workload::{CheckpointMode, Options};
use ebbtide_wal::{PageSize, Salts};

use crate::kill::armed::{Armed, End};
use crate::scene::Scene;
use crate::support::{Setup, wait_until};

const PAGES: PageSize = PageSize::new(4096).unwrap();

#[test]
fn every_state_is_exact_although_the_log_is_begun_anew_while_an_image_is_read() {
    let mut scene = Scene::new();
    let mut actor = scene.start_actor(1, &Options::plain(PAGES));
    scene.act(&mut actor, Ask::Insert(300, 900));
    // The first snapshot is read meanwhile, and then all pages, which are compared with the replica's.
    for _ in ["a start", "a return"] {
        copy_back(&mut scene, &mut actor);
        follow_beside_new_logs(&mut scene, &mut actor);
        scene.act(&mut actor, Ask::Checkpoint(CheckpointMode::Truncate));
        scene.act(&mut actor, Ask::Insert(20, 900));
    }
    actor.finish().unwrap();
    assert_eq!(scene.compare().gaps, 1, "the return compared the pages");
}

/// Leaves a log that has a frame for every page, and all of them are in the database.
fn copy_back(scene: &mut Scene, actor: &mut Actor) {
    scene.act(actor, Ask::Vacuum);
    scene.act(actor, Ask::Checkpoint(CheckpointMode::Passive));
    let index = scene.index().unwrap();
    assert!(index.frames >= index.database_pages && index.is_backfilled(), "{index:?}");
}

/// Follows, and has the application begin its log anew right when an image was begun, and again and again later.
fn follow_beside_new_logs(scene: &mut Scene, actor: &mut Actor) {
    let copied_back = salts(scene);
    let mut armed = Armed::start(scene, "watcher.image.begun=1:wait");
    armed.waits();
    // Into the frames that the image would read.
    scene.act(actor, Ask::Insert(50, 900));
    scene.act(actor, Ask::Vacuum);
    assert_ne!(salts(scene), copied_back, "nothing keeps the application from it");
    armed.go_on();
    armed.follows().unwrap();
    for _ in 0..3 {
        let before = salts(scene);
        wait_until("the log to restart", || {
            scene.act(actor, Ask::InsertEach(20, 900));
            salts(scene) != before
        });
    }
    assert_eq!(armed.end().0, End::Stopped);
    scene.compare().assert_right("beside new logs");
}

/// Which generation the log is of.
fn salts(scene: &Scene) -> Salts {
    scene.index().unwrap().salts
}

/// As `SQLITE_FCNTL_CHUNK_SIZE` leaves it: the next commit states as many pages as the file has, whatever its header says.
#[test]
fn a_file_that_is_longer_than_its_header_says_is_followed_without_a_gap() {
    let (setup, app) = Setup::with_rows(3);
    drop(app);
    let file = File::options().write(true).open(&setup.database).unwrap();
    file.set_len(1 << 20).unwrap();
    drop(file);
    let sidecar = setup.follow();
    for _ in 0..3 {
        setup.app().insert(2, 100);
        setup.sync();
    }
    assert_eq!(sidecar.stop(), 0);
    // Nobody has it open, so all of it is in the file.
    assert!(!setup.path("app.db-wal").exists());
    let file = Image::of_file(&setup.database).unwrap();
    assert_eq!(file.bytes, 1 << 20);
    let history = setup.history();
    assert_eq!(history.restore(Target::Latest, setup.directory.path()).1, file);
    assert_eq!((history.counts().gaps, history.counts().forks), (0, 0));
}
