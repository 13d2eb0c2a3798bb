//! The databases of a pattern on a machine whose disk is empty, with `restore-if-missing` (issue 20).

use std::fs;
use std::path::Path;

use ebbtide_testkit::oracle::Image;

use crate::support::{image, wait_until};
use crate::tenants::Tenants;

const RESTORING: &str = "restore-if-missing = true";

/// Follows databases with these names and some rows until all is durable, and gives what they are then. Those after the
/// first `kept` are deleted meanwhile.
fn follow(tenants: &Tenants, names: &[&str], kept: usize) -> Vec<Image> {
    let apps: Vec<_> = names.iter().map(|name| tenants.app(name)).collect();
    let sidecar = tenants.start();
    for (rows, (app, name)) in (2..).zip(apps.iter().zip(names)) {
        tenants.wait_for(name, "following");
        app.insert(rows, 100);
    }
    let images = names.iter().map(|name| image(&tenants.path(name))).collect();
    drop(apps);
    for name in &names[kept..] {
        remove(tenants, name);
        tenants.wait_for(name, "ended");
    }
    assert_eq!(sidecar.stop(), 0);
    images
}

fn remove(tenants: &Tenants, name: &str) {
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(tenants.path(&format!("{name}{suffix}"))).ok();
    }
}

/// The disk is a new one.
fn lose(tenants: &Tenants) {
    fs::remove_dir_all(tenants.path("")).unwrap();
}

fn assert_is(tenants: &Tenants, name: &str, expected: &Image) {
    assert_eq!(&Image::of_file(&tenants.path(name)).unwrap(), expected, "{name}");
}

#[test]
fn every_database_of_a_pattern_comes_back_but_those_that_were_removed() {
    let tenants = Tenants::new(RESTORING);
    let names = ["first.db", "deep/er/second.db", "removed.db"];
    let images = follow(&tenants, &names, 2);
    // A replica below the same address that is of no tenant.
    let other = tenants.setup.app();
    other.insert(1, 100);
    let notes = tenants.setup.text("backups/notes");
    tenants.setup.run(&["replicate", "--once", &tenants.setup.text("app.db"), &notes]).exits(0);
    lose(&tenants);
    let sidecar = tenants.start();
    for (name, expected) in names.iter().zip(&images).take(2) {
        tenants.wait_for(name, "following");
        assert_is(&tenants, name, expected);
    }
    let (code, said) = sidecar.stop_and_tell();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("it was removed, as the mark `removed` says"), "{said}");
    assert!(said.contains("backups/notes"), "{said}");
    assert!(!tenants.path("removed.db").exists() && !tenants.path("notes").exists());
    assert!(!tenants.path(".ebbtide-restoring").exists());

    // Without its mark it is as any other.
    tenants.setup.run(&["unmark", "removed", &tenants.setup.text("backups/removed.db")]).exits(0);
    lose(&tenants);
    let sidecar = tenants.start();
    tenants.wait_for("removed.db", "following");
    assert_is(&tenants, "removed.db", &images[2]);
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn one_that_was_removed_and_is_there_again_comes_back() {
    let tenants = Tenants::new(RESTORING);
    let app = tenants.app("one.db");
    app.insert(3, 100);
    let sidecar = tenants.start();
    tenants.wait_for("one.db", "following");
    drop(app);
    let away = tenants.setup.path("away.db");
    fs::rename(tenants.path("one.db"), &away).unwrap();
    tenants.wait_for("one.db", "ended");
    fs::rename(&away, tenants.path("one.db")).unwrap();
    tenants.wait_for("one.db", "following");
    let expected = image(&tenants.path("one.db"));
    assert_eq!(sidecar.stop(), 0);
    let replica = tenants.setup.text("backups/one.db");
    tenants.setup.run(&["marks", &replica]).exits(0).prints("removed");
    lose(&tenants);
    let sidecar = tenants.start();
    tenants.wait_for("one.db", "following");
    assert_is(&tenants, "one.db", &expected);
    assert_eq!(sidecar.stop(), 0);
}

/// What is missing beside others was deleted on purpose, for all that can be known.
#[test]
fn where_one_of_the_databases_is_there_nothing_is_restored() {
    let tenants = Tenants::new(RESTORING);
    follow(&tenants, &["stays.db", "goes.db"], 2);
    fs::remove_file(tenants.path("goes.db")).ok();
    let app = tenants.app("stays.db");
    let sidecar = tenants.start();
    tenants.wait_for("stays.db", "following");
    drop(app);
    assert_eq!(sidecar.stop(), 0);
    assert!(!tenants.path("goes.db").exists());
}

#[test]
fn a_start_that_is_killed_while_it_restores_is_made_up_for_by_the_next_one() {
    let tenants = Tenants::new(RESTORING);
    let names = ["a.db", "b.db", "c/c.db"];
    let images = follow(&tenants, &names, 3);
    let config = tenants.setup.text("ebbtide.toml");
    let places = crate::kill::place::places();
    let (mut killed, mut between) = (0, 0);
    for place in places.into_iter().filter(|place| place.starts_with("restore.")) {
        lose(&tenants);
        let args = ["replicate", "--once", "--config", &config];
        let mut command = tenants.setup.command(&args);
        let ended = command.env("FAILPOINTS", format!("{place}=2")).output().unwrap();
        let was_killed = ended.status.code().is_none();
        let there = |name: &&str| tenants.path(name).exists();
        killed += u32::from(was_killed);
        between += u32::from(was_killed && names.iter().any(there));
        tenants.setup.run(&args).exits(0);
        for (name, expected) in names.iter().zip(&images) {
            assert_is(&tenants, name, expected);
        }
        assert!(!tenants.path(".ebbtide-restoring").exists(), "{place}");
    }
    assert!(
        killed > 2 && between > 0,
        "{killed} were killed, {between} after a database was there"
    );
}

#[test]
fn one_that_cannot_be_restored_is_named_and_nothing_begins() {
    let tenants = Tenants::new(RESTORING);
    follow(&tenants, &["sound.db", "broken.db"], 2);
    lose(&tenants);
    let log = Path::new(&tenants.setup.text("backups/broken.db")).join("log");
    let snapshots = Path::new(&tenants.setup.text("backups/broken.db")).join("snap");
    for directory in [log, snapshots] {
        for file in fs::read_dir(directory).unwrap() {
            fs::write(file.unwrap().path(), [7; 600]).unwrap();
        }
    }
    let config = tenants.setup.text("ebbtide.toml");
    let ended = tenants.setup.run(&["replicate", "--once", "--config", &config]).exits(4);
    ended.says("broken.db").says("1 of 2 databases cannot be restored, so nothing begins");
    // The other one is there, and the next start tries again.
    wait_until("the sound one to be there", || tenants.path("sound.db").exists());
    tenants.setup.run(&["replicate", "--once", "--config", &config]).exits(4);
}
