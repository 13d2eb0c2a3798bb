//! `--restore-if-missing`: a database that is not there comes back from its replica before anything begins (issue 20).

use std::fs;
use std::path::Path;

use ebbtide_testkit::oracle::Image;

use crate::support::{App, Ended, Setup, Sidecar, image, rows};

/// A replica of a database with so many rows that was lost with everything beside it.
fn lost(count: u32) -> (Setup, Image) {
    let (setup, app) = Setup::with_rows(count);
    setup.once().exits(0);
    let expected = image(&setup.database);
    drop(app);
    lose(&setup);
    (setup, expected)
}

fn lose(setup: &Setup) {
    for name in ["app.db", "app.db-wal", "app.db-shm"] {
        fs::remove_file(setup.path(name)).ok();
    }
    fs::remove_dir_all(setup.path(".app.db-ebbtide")).ok();
}

fn replicate<'a>(setup: &'a Setup, more: &[&'a str]) -> Vec<&'a str> {
    let place = [setup.database.to_str().unwrap(), setup.replica.as_str()];
    [&["replicate", "--log-format", "json", "--restore-if-missing"], more, &place].concat()
}

#[test]
fn a_lost_database_is_there_before_the_application_begins() {
    let (setup, expected) = lost(20);
    // It sees the rows at its beginning, and what it writes is the next entry.
    let database = setup.database.display().to_string();
    let look = setup.path("seen.db").display().to_string();
    let command = format!("cp '{database}' '{look}'; test -s '{look}'");
    let ended = setup.run(&replicate(&setup, &["--exec", &command])).exits(0);
    ended.says("it was not there, and was restored");
    assert_eq!(Image::of_file(Path::new(&look)).unwrap(), expected);
    assert_eq!(setup.history().counts().gaps, 0, "it goes on where the replica ends");
    setup.app().insert(1, 100);
    setup.once().exits(0);
    setup.assert_exact();
}

#[test]
fn a_database_that_is_there_is_left_alone_and_one_without_replica_is_made_by_the_application() {
    let (setup, app) = Setup::with_rows(3);
    setup.once().exits(0);
    app.insert(2, 100);
    drop(app);
    setup.run(&replicate(&setup, &["--once"])).exits(0);
    assert_eq!(rows(&setup.database), 5);
    let setup = Setup::new();
    let sidecar = Sidecar::spawn_command(&mut setup.command(&replicate(&setup, &["--wait"])));
    sidecar.process().line_with("nothing to restore", crate::support::PATIENCE);
    let app = setup.app();
    app.insert(2, 100);
    sidecar.wait_until_it_follows();
    setup.assert_exact_after(sidecar);
}

#[test]
fn a_log_without_its_database_is_refused() {
    let (setup, _) = lost(3);
    fs::write(setup.path("app.db-wal"), [7; 5000]).unwrap();
    let marker = setup.text("began");
    let ended = setup.run(&replicate(&setup, &["--exec", &format!("touch '{marker}'")])).exits(1);
    ended.says("app.db-wal").says("move that file aside");
    assert!(!Path::new(&marker).exists() && !setup.database.exists());
}

#[test]
fn nothing_begins_where_it_is_not_known_what_there_is_to_restore() {
    let setup = Setup::new();
    let marker = setup.text("began");
    let exec = format!("touch '{marker}'");
    let database = setup.database.to_str().unwrap();
    let nobody = "s3://bucket/app?endpoint=http://127.0.0.1:1&path-style=true";
    let args = ["replicate", "--restore-if-missing", "--exec", &exec, database, nobody];
    let mut command = setup.command(&args);
    command.env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "y").env("AWS_REGION", "z");
    Ended::of(&mut command).exits(1);
    assert!(!Path::new(&marker).exists() && !setup.database.exists());
}

#[test]
fn a_restore_that_is_killed_at_any_place_is_made_again_by_the_next_start() {
    let (setup, expected) = lost(40);
    let places = crate::kill::place::places();
    let mut killed = 0;
    for place in places.into_iter().filter(|place| place.starts_with("restore.")) {
        let mut command = setup.command(&replicate(&setup, &["--once"]));
        let ended = command.env("FAILPOINTS", format!("{place}=1")).output().unwrap();
        killed += u32::from(ended.status.code().is_none());
        setup.run(&replicate(&setup, &["--once"])).exits(0);
        assert_eq!(image(&setup.database), expected, "{place}");
        lose(&setup);
    }
    assert!(killed > 2, "{killed} restores were killed");
}

/// Both restore, and both may write: the replica has one history all the same, and it is that of the one who goes on.
#[test]
fn of_two_machines_that_start_at_once_one_goes_on() {
    let (setup, _) = lost(10);
    let start = |directory: &str| {
        fs::create_dir(setup.path(directory)).unwrap();
        let database = setup.text(&format!("{directory}/app.db"));
        let args = [
            "replicate",
            "--log-format",
            "json",
            "--restore-if-missing",
            &database,
            &setup.replica,
        ];
        Sidecar::spawn_command(&mut setup.command(&args))
    };
    let both = [start("one"), start("two")];
    let apps = ["one", "two"].map(|name| {
        let path = setup.path(&format!("{name}/app.db"));
        crate::support::wait_until("it to be restored", || path.exists());
        App::open(&path)
    });
    // The other one may have been fenced by then, and be gone.
    crate::support::wait_until("one to follow", || {
        setup.status(&[]).1.iter().any(|report| report["phase"] == "following")
    });
    for _ in 0..5 {
        apps.iter().for_each(|app| app.insert(1, 100));
    }
    let codes = both.map(Sidecar::stop);
    let ended: Vec<&str> = ["one", "two"]
        .into_iter()
        .zip(codes)
        .filter(|(_, code)| *code == 0)
        .map(|(name, _)| name)
        .collect();
    assert!(ended.len() == 1 && codes.contains(&5), "{codes:?}");
    let database = setup.path(&format!("{}/app.db", ended[0]));
    setup.history().assert_ends_with(&database, setup.directory.path());
}
