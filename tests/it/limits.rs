//! Too few descriptors, too little memory, no room on the disk, no right to write: each is said and ends with its exit
//! code, nothing that was there is lost, and once there is enough again everything goes on.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use ebbtide_fault::WAITS;
use ebbtide_testkit::oracle::Image;
use ebbtide_testkit::process::{Output, Process};
use ebbtide_testkit::sparse::hollow;
use ebbtide_wal::PageSize;
use rusqlite::Connection;

use crate::support::{App, Ended, PATIENCE, Setup, Sidecar, command, image, wait_until};
use crate::tenants::Tenants;

/// A database of about a quarter of a megabyte that compresses well.
fn compressible() -> (Setup, App) {
    let setup = Setup::new();
    let app = setup.app();
    insert(&app, 60);
    (setup, app)
}

fn insert(app: &App, rows: u32) {
    for _ in 0..rows {
        app.execute("INSERT INTO t (b) VALUES (zeroblob(4000))", []).unwrap();
    }
}

/// What has to hold of a run within a limit.
type Judge = fn(&str, &Ended);

/// Runs a start within each limit; whatever became of it, the next one brings everything to its end.
fn start_within(setup: &Setup, app: &App, limits: impl Iterator<Item = String>, judge: Judge) {
    for limit in limits {
        insert(app, 1);
        judge(&limit, &Ended::of(&mut setup.limited(&limit, &setup.once_args())));
        setup.once().exits(0);
        setup.assert_exact();
    }
}

/// Restores within each limit: the file is there and right, or not at all.
fn restore_within(setup: &Setup, limits: impl Iterator<Item = String>, judge: Judge) {
    let output = setup.path("copy.db");
    let args = ["restore", "-o", output.to_str().unwrap(), &setup.replica];
    let expected = image(&setup.database);
    for limit in limits {
        let ended = Ended::of(&mut setup.limited(&limit, &args));
        judge(&limit, &ended);
        if output.exists() {
            assert_eq!(Image::of_file(&output).unwrap(), expected, "{limit}");
            std::fs::remove_file(&output).unwrap();
        } else {
            assert!(!ended.status.success(), "{limit}: {}", ended.said);
        }
    }
}

#[test]
fn b06_with_too_few_descriptors_it_says_so_and_nothing_is_lost() {
    let (setup, app) = compressible();
    let judge: Judge = |limit, ended| match ended.status.code() {
        Some(0) => {}
        Some(1) => {
            let said = &ended.said;
            // SQLite has one sentence for every reason.
            let is_told = said.contains("Too many open files") || said.contains("unable to open");
            assert!(is_told, "{limit}: {said}");
        }
        code => panic!("{limit}: {code:?}: {}", ended.said),
    };
    let limits = |from: u32| (from..36).step_by(3).map(|files| format!("-n {files}"));
    start_within(&setup, &app, limits(9), judge);
    restore_within(&setup, limits(9), judge);
}

/// Would catch databases that are given up for good because others had all descriptors when their turn came, and a process
/// that has none left to say how it is.
#[test]
fn more_databases_than_descriptors_wait_until_others_go() {
    let tenants = Tenants::new("");
    let names: Vec<String> = (0..40).map(|number| format!("{number}.db")).collect();
    let apps: Vec<App> = names.iter().map(|name| tenants.app(name)).collect();
    let sidecar = tenants.start_within("-n 150");
    let count =
        |phase: &str| names.iter().filter(|name| tenants.report(name)["phase"] == phase).count();
    wait_until("some to be followed", || count("following") >= 8);
    // Attempts are repeated after one, two and four seconds.
    thread::sleep(Duration::from_secs(8));
    assert_eq!(count("stopped"), 0);
    assert!(count("following") < 30, "the limit is none");
    drop(apps);
    let (gone, left) = names.split_at(35);
    for name in gone {
        for suffix in ["", "-wal", "-shm"] {
            std::fs::remove_file(tenants.path(&format!("{name}{suffix}"))).ok();
        }
    }
    left.iter().for_each(|name| tenants.wait_for(name, "following"));
    // Of those that went before they were followed there is no replica.
    let (code, said) = sidecar.stop_and_tell();
    assert!(code <= 1, "{said}");
    assert!(said.contains("too few files may be open"), "{said}");
}

/// Without memory a process ends wherever it is, as at a kill.
#[test]
fn b07_with_too_little_memory_nothing_is_lost() {
    let (setup, app) = compressible();
    let limits = || [30, 40, 60, 90, 150, 250].map(|mib| format!("-v {}", mib << 10)).into_iter();
    start_within(&setup, &app, limits(), |_, _| {});
    restore_within(&setup, limits(), |_, _| {});
}

/// Most of it is a hole, but it is read, hashed, written and proved like any other. Would catch a restore that takes the
/// more memory the larger the database is.
#[test]
fn d18_a_restore_takes_a_fraction_of_the_memory_that_the_database_would() {
    let setup = Setup::new();
    hollow(&setup.database, PageSize::new(4096).unwrap(), 1 << 16).unwrap();
    let application = Connection::open(&setup.database).unwrap();
    let sidecar = setup.follow();
    for _ in 0..10 {
        application.execute("INSERT INTO t (body) VALUES (randomblob(60000))", []).unwrap();
    }
    assert_eq!(sidecar.stop(), 0);
    // With the last connection the log goes into the file.
    drop(application);
    let expected = Image::of_file(&setup.database).unwrap();
    let output = setup.path("copy.db");
    let args = ["restore", "-o", output.to_str().unwrap(), &setup.replica];
    let mut restore = setup.command(&args);
    restore.env("FAILPOINTS", "restore.publish.synced=1:wait");
    let mut restore = Process::start(&mut restore, Output::Stderr).unwrap();
    restore.line_with(WAITS, PATIENCE);
    let taken = restore.usage().unwrap().resident_bytes_max;
    assert!(taken < expected.bytes / 4, "{taken} bytes for {}", expected.bytes);
    restore.tell("").unwrap();
    assert!(restore.wait(PATIENCE).unwrap().success());
    assert_eq!(Image::of_file(&output).unwrap(), expected);
}

/// A limit of the file's size stands for a full disk: the same calls fail.
#[test]
fn d04_without_room_nothing_is_restored_and_nothing_is_left() {
    let (setup, _app) = compressible();
    setup.once().exits(0);
    let output = setup.path("copy.db");
    std::fs::write(&output, "what was there").unwrap();
    let names = || {
        let files = std::fs::read_dir(setup.directory.path()).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let args = ["restore", "--force", "-o", output.to_str().unwrap(), &setup.replica];
    Ended::of(&mut setup.limited("-f 64", &args)).exits(1).says("make room for");
    assert_eq!(names(), before);
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "what was there");
}

/// Our checkpoints find no room in the database's file: what was committed goes on being read from the log.
#[test]
fn b05_a_database_that_cannot_grow_is_followed_from_its_log() {
    let (setup, app) = compressible();
    let database = setup.database.to_str().unwrap();
    let args = ["replicate", "--log-format", "json", database, &setup.replica];
    // In blocks of 512 bytes: less than the database will have, and more than any object.
    let sidecar = Sidecar::start_command(&mut setup.limited("-f 8000", &args));
    insert(&app, 2000);
    sidecar.process().line_with("cannot be copied into the database", PATIENCE);
    let (code, said) = sidecar.stop_and_tell();
    assert_eq!(code, 0, "{said}");
    setup.assert_exact();
    assert_eq!(setup.history().counts().commits, 2000, "{said}");
}

/// The user that it runs as may read the database, and nothing else of it.
#[test]
fn a38_a_wal_index_that_cannot_be_written_is_refused() {
    let (setup, _app) = compressible();
    let (directory, index) = (setup.directory.path(), setup.database.with_extension("db-shm"));
    std::fs::set_permissions(directory, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&index, PermissionsExt::from_mode(0o444)).unwrap();
    let Some(mut stranger) = as_somebody_else(directory, &setup.once_args()) else { return };
    let why = "its -shm file cannot be opened for reading and locking: Permission denied";
    Ended::of(&mut stranger).exits(1).says(why);
}

/// The same in a directory in which that user may make no files, and the application is not there: SQLite has neither log
/// nor wal-index. Would catch a database that is tried again for ever, with no more said than that it cannot be opened.
#[test]
fn a38_a_directory_that_cannot_be_written_and_has_no_wal_index_is_refused_by_name() {
    let (setup, app) = compressible();
    drop(app);
    let Setup { directory, database, replica, .. } = &setup;
    assert!(!database.with_extension("db-shm").exists());
    let args = ["replicate", database.to_str().unwrap(), replica];
    let Some(mut stranger) = as_somebody_else(directory.path(), &args) else { return };
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o555)).unwrap();
    // Whether the database itself may be written makes no difference but to SQLite's words.
    let ends = [0o444, 0o666].map(|mode| {
        std::fs::set_permissions(database, PermissionsExt::from_mode(mode)).unwrap();
        Sidecar::spawn_command(&mut stranger).end()
    });
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    for (code, said) in ends {
        assert_eq!(code, 1, "{said}");
        let why = format!("the directory {} cannot be written", directory.path().display());
        assert!(said.contains(&why), "{said}");
        assert!(said.contains("run ebbtide as the application's user"), "{said}");
    }
}

/// The command as a user who is not root, to whom permissions mean nothing; none if that cannot be.
fn as_somebody_else(directory: &Path, args: &[&str]) -> Option<Command> {
    if directory.metadata().unwrap().uid() != 0 {
        return Some(command(args));
    }
    // Where he may enter.
    let (program, runtime) = (directory.join("ebbtide"), directory.join("runtime"));
    std::fs::copy(env!("CARGO_BIN_EXE_ebbtide"), &program).unwrap();
    let mut stranger = Command::new("setpriv");
    stranger.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    let may = stranger.arg("--version").output().is_ok_and(|ended| ended.status.success());
    if !may {
        let said = "skipped: root may write everywhere, and nobody else can be asked";
        writeln!(std::io::stderr(), "{said}").expect("a terminal, or nothing");
        return None;
    }
    std::fs::create_dir(&runtime).unwrap();
    std::os::unix::fs::chown(&runtime, Some(65534), Some(65534)).unwrap();
    let mut stranger = Command::new("setpriv");
    stranger.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).args(args);
    stranger.env("EBBTIDE_RUNTIME_DIR", runtime);
    Some(stranger)
}
