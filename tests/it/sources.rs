//! Restores from several replicas of one database. Would catch one that fails, or gives another state, although some
//! replica has each object whole.

use std::fs;
use std::path::{Path, PathBuf};

use ebbtide_testkit::Random;

use crate::support::{Ended, Setup};

/// A history with a copy of it.
fn setup() -> Setup {
    let (setup, app) = Setup::with_rows(2);
    for rows in 1..=4 {
        app.insert(rows, 900);
        setup.once().exits(0);
    }
    setup.run(&["copy", &setup.replica, &setup.text("copy")]).exits(0);
    setup
}

fn objects(setup: &Setup, replica: &str) -> Vec<PathBuf> {
    let directories = fs::read_dir(setup.path(replica)).unwrap().map(|it| it.unwrap().path());
    let files = directories.filter(|it| it.is_dir()).flat_map(|it| fs::read_dir(it).unwrap());
    let mut files: Vec<PathBuf> = files.map(|it| it.unwrap().path()).collect();
    files.sort();
    files
}

fn restore(setup: &Setup, more: &[&str]) -> Ended {
    let out = setup.text("out.db");
    setup.run(&[&["restore", "--force", "-o", &out], more].concat())
}

/// Damages a file in one of several ways.
fn damage(file: &Path, how: u32) {
    let mut body = fs::read(file).unwrap();
    fs::remove_file(file).unwrap();
    let length = body.len();
    match how {
        0 => return,
        1 => body.truncate(length / 2),
        2 => body[length / 2] ^= 1,
        3 => body[130.min(length - 1)] ^= 1,
        _ => body[length - 1] ^= 1,
    }
    fs::write(file, body).unwrap();
}

#[test]
fn each_object_comes_from_the_replica_that_has_it_whole() {
    for seed in 0..12 {
        let setup = setup();
        let expected = {
            restore(&setup, &[&setup.replica]).exits(0);
            fs::read(setup.path("out.db")).unwrap()
        };
        let mut random = Random::new(seed);
        let (one, two) = (objects(&setup, "backup"), objects(&setup, "copy"));
        assert_eq!(one.len(), two.len());
        for (one, two) in one.iter().zip(&two) {
            let file = if random.below(2) == 0 { one } else { two };
            damage(file, random.below(5));
        }
        let restored = restore(&setup, &[&setup.replica, &setup.text("copy")]);
        assert_eq!(restored.code(), 0, "seed {seed}: {}", restored.said);
        assert!(fs::read(setup.path("out.db")).unwrap() == expected, "seed {seed}");
    }
}

#[test]
fn a_source_that_is_none_is_told_and_another_replica_is_refused() {
    let setup = setup();
    let (copy, nothing) = (setup.text("copy"), setup.text("nothing"));
    restore(&setup, &[&nothing, &copy]).exits(0).says("there is no replica in");
    restore(&setup, &[&copy, &nothing]).exits(0);
    restore(&setup, &[&nothing, &nothing]).exits(3);
    restore(&setup, &["--if-replica-exists", &nothing, &nothing]).exits(0);
    let other = setup.other_app("other.db");
    other.insert(1, 900);
    setup.once_other("other.db", "other", &[]).exits(0);
    restore(&setup, &[&copy, &setup.text("other")]).exits(2).says("another source");
}

/// The local state that a restore leaves is of the first source.
#[test]
fn a_database_goes_on_in_the_first_of_several_sources() {
    let setup = setup();
    let snapshot =
        objects(&setup, "backup").into_iter().find(|it| it.to_string_lossy().contains("snap"));
    damage(&snapshot.unwrap(), 2);
    let database = setup.database.to_str().unwrap();
    let copy = setup.text("copy");
    setup.run(&["restore", "--force", "-o", database, &setup.replica, &copy]).exits(0);
    setup.app().insert(1, 900);
    let sidecar = setup.follow();
    setup.sync();
    assert_eq!(sidecar.stop(), 0);
}
