//! Mirrors of a replica that is written. Would catch one that lacks what was shipped, that holds the application up while
//! it is away, or that keeps what retention has deleted.

mod kill;
mod stores;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{History, Setup, Sidecar, wait_until};

/// Follows with mirrors in the directories of these names.
fn follow(setup: &Setup, mirrors: &[&str]) -> Sidecar {
    follow_by(setup, &configure(setup, mirrors))
}

fn follow_by(setup: &Setup, config: &str) -> Sidecar {
    let args = ["replicate", "--log-format", "json", "--config", config];
    Sidecar::start_command(&mut setup.command(&args))
}

fn configure(setup: &Setup, mirrors: &[&str]) -> String {
    let mirrors: Vec<String> = mirrors.iter().map(|name| setup.text(name)).collect();
    setup.configure("", &format!("mirror = {mirrors:?}"))
}

fn mirror(setup: &Setup, at: usize) -> Value {
    setup.report()["mirrors"][at].clone()
}

fn wait_for_mirror(setup: &Setup, at: usize) {
    setup.sync();
    wait_until("the mirror is up to date", || {
        // An entry that vouches for a delta may come by itself.
        let report = setup.report();
        let mirror = &report["mirrors"][at];
        mirror["durable_txid"] == report["durable_txid"] && mirror["lag_seconds"] == 0.0
    });
}

/// Each state of the mirror is the original's, and it has as many.
fn assert_same(setup: &Setup, name: &str) {
    let (original, mirrored) = (setup.history(), setup.history_in(name));
    let directory = setup.directory.path();
    assert_eq!(mirrored.states(directory), original.states(directory));
}

#[test]
fn mirrors_have_what_was_shipped_each_by_itself() {
    Setup::in_each_form().into_iter().for_each(assert_mirrored);
}

fn assert_mirrored(setup: Setup) {
    let app = setup.app();
    app.insert(3, 700);
    let sidecar = follow(&setup, &["one", "two"]);
    for rows in 1..=4 {
        app.insert(rows, 900);
        wait_for_mirror(&setup, 0);
        wait_for_mirror(&setup, 1);
    }
    setup.run(&["mark", "here", setup.database.to_str().unwrap()]).exits(0);
    let text = setup.run(&["status"]).exits(0).out;
    assert!(text.contains(&format!("mirror {}: durable up to", setup.text("one"))), "{text}");
    assert_eq!(sidecar.stop(), 0);
    assert_same(&setup, "one");
    assert_same(&setup, "two");
    // A start goes on where the mirrors are, and brings the mark.
    let sidecar = follow(&setup, &["one", "two"]);
    app.insert(1, 900);
    wait_for_mirror(&setup, 0);
    wait_for_mirror(&setup, 1);
    assert_eq!(sidecar.stop(), 0);
    assert_same(&setup, "two");
    let out = setup.text("out.db");
    setup.run(&["restore", "-o", &out, "--mark", "here", &setup.text("one")]).exits(0);
}

#[test]
fn a_mirror_that_is_away_holds_nothing_up_and_catches_up() {
    let (setup, app) = Setup::with_rows(3);
    // Somebody else's file is where a directory has to be.
    fs::write(setup.path("one"), "in the way").unwrap();
    let sidecar = follow(&setup, &["one", "two"]);
    app.insert(2, 900);
    wait_for_mirror(&setup, 1);
    wait_until("the trouble is told", || !mirror(&setup, 0)["trouble"].is_null());
    let (code, reports) = setup.status(&[]);
    assert_eq!((code, &reports[0]["healthy"]), (0, &true.into()), "{reports:?}");
    assert!(mirror(&setup, 0)["lag_seconds"].as_f64() > Some(0.0));
    assert!(mirror(&setup, 1)["trouble"].is_null());
    fs::remove_file(setup.path("one")).unwrap();
    app.insert(2, 900);
    wait_for_mirror(&setup, 0);
    assert!(mirror(&setup, 0)["trouble"].is_null());
    assert_eq!(sidecar.stop(), 0);
    assert_same(&setup, "one");
}

#[test]
fn a_mirror_that_has_another_replica_is_refused_and_the_first_goes_on() {
    let (setup, app) = Setup::with_rows(2);
    let other = setup.other_app("other.db");
    other.insert(1, 900);
    setup.once_other("other.db", "one", &[]).exits(0);
    let sidecar = follow(&setup, &["one"]);
    app.insert(1, 900);
    setup.sync();
    wait_until("the trouble is told", || {
        let said = mirror(&setup, 0)["trouble"]["error"].to_string();
        said.contains("has the replica")
    });
    assert_eq!(sidecar.stop(), 0);
    setup.assert_exact();
}

#[test]
fn a_run_that_ends_by_itself_brings_its_mirrors_up_to_date() {
    let (setup, app) = Setup::with_rows(3);
    let config = configure(&setup, &["one"]);
    let once = || setup.run(&["replicate", "--once", "--config", &config]);
    once().exits(0);
    assert_same(&setup, "one");
    app.insert(2, 900);
    // One that cannot be written is told of.
    let log = setup.path("one/log");
    fs::set_permissions(&log, fs::Permissions::from_mode(0o500)).unwrap();
    let told = once().exits(0);
    fs::set_permissions(&log, fs::Permissions::from_mode(0o700)).unwrap();
    if !nix::unistd::geteuid().is_root() {
        told.says("the mirror is not up to date");
    }
    once().exits(0);
    assert_same(&setup, "one");
}

/// Two databases with one address for all mirrors.
#[test]
fn the_mirror_of_all_databases_has_their_names_in_it() {
    let (setup, app) = Setup::with_rows(3);
    let other = setup.other_app("other.db");
    other.insert(5, 900);
    let config = setup.path("ebbtide.toml");
    let write = |mirror: &str| {
        let text = format!(
            "[defaults]\nreplica = {:?}\nmirror = [{mirror:?}]\n[[database]]\npath = {:?}\n[[database]]\npath = {:?}\n",
            setup.text("backup/{name}"),
            setup.database,
            setup.path("other.db")
        );
        fs::write(&config, text).unwrap();
        setup.run(&["replicate", "--once", "--config", config.to_str().unwrap()])
    };
    let refused = write(&setup.text("mirror")).exits(2);
    refused.says("have the same mirror").says("{name} in its address");
    write(&setup.text("mirror/{stem}")).exits(0);
    app.insert(1, 900);
    write(&setup.text("mirror/{stem}")).exits(0);
    for (name, stem) in [("app.db", "app"), ("other.db", "other")] {
        let of = |path: String| History::open(&path).states(setup.directory.path());
        let mirrored = of(setup.text(&format!("mirror/{stem}")));
        assert_eq!(mirrored, of(setup.text(&format!("backup/{name}"))));
    }
}

#[test]
fn a_mirror_that_is_the_replica_is_refused() {
    let setup = Setup::new();
    let config = configure(&setup, &["backup"]);
    let refused = setup.run(&["replicate", "--once", "--config", &config]).exits(2);
    refused.says("has the same place twice");
}

/// Would catch a mirror that is begun once more below the mount point of a disk that is not mounted, and called durable.
#[test]
fn a_mirror_whose_disk_is_not_there_at_a_start_is_away() {
    let setup = Setup::new();
    let app = setup.app();
    app.insert(3, 700);
    let sidecar = follow(&setup, &["one"]);
    wait_for_mirror(&setup, 0);
    assert_eq!(sidecar.stop(), 0);
    fs::rename(setup.path("one"), setup.path("unmounted")).unwrap();
    fs::create_dir(setup.path("one")).unwrap();
    app.insert(1, 700);
    let sidecar = follow(&setup, &["one"]);
    setup.sync();
    let trouble = || mirror(&setup, 0)["trouble"]["error"].as_str().unwrap_or_default().to_owned();
    wait_until("the mirror to be away", || trouble().contains("is its disk mounted?"));
    assert_eq!(fs::read_dir(setup.path("one")).unwrap().count(), 0);
    fs::remove_dir(setup.path("one")).unwrap();
    fs::rename(setup.path("unmounted"), setup.path("one")).unwrap();
    wait_for_mirror(&setup, 0);
    assert_same(&setup, "one");
    assert_eq!(sidecar.stop(), 0);
}
