//! Files and directories that somebody else has put where ours belong: refused by name, never followed, never waited for.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use ebbtide_testkit::process::{Output, Process};
use nix::sys::stat::Mode;
use nix::unistd::{Uid, mkfifo};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{PATIENCE, Replica, Sidecar, command, wait_until};

/// Another user, who owns nothing here but what a test gives to it.
const NOBODY: u32 = 65534;

struct Place {
    folder: TempDir,
}

impl Place {
    /// A folder with a database and a replica that was begun.
    fn new() -> Place {
        let place = Place::empty();
        let database = place.database();
        database.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1)").unwrap();
        drop(database);
        assert_eq!(place.once(), (0, String::new()));
        place
    }

    fn empty() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn database(&self) -> Connection {
        let database = Connection::open(self.path("app.db")).unwrap();
        database.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        database
    }

    /// The exit code of a command, and what it said unless all was well. A command that hangs fails the test.
    #[track_caller]
    fn run(&self, args: &[&str]) -> (i32, String) {
        let (code, said) = Sidecar::spawn_command(&mut command(args)).end();
        (code, if code == 0 { String::new() } else { said })
    }

    #[track_caller]
    fn once(&self) -> (i32, String) {
        self.run(&["replicate", "--once", &self.text("app.db"), &self.text("backup")])
    }

    #[track_caller]
    fn assert_refused(&self, (code, said): (i32, String), path: &Path, why: &str) {
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(path.to_str().unwrap()) && said.contains(why), "{said}");
    }
}

/// What lies in a folder, with its content.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .flat_map(|path| match path.is_dir() {
            true => contents(&path),
            false => vec![(path.clone(), fs::read(&path).unwrap())],
        })
        .collect();
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

#[test]
fn z02_a_link_in_the_place_of_the_local_state_is_refused_and_its_target_untouched() {
    let place = Place::new();
    let (state, victim) = (place.path(".app.db-ebbtide"), place.path("victim"));
    fs::rename(&state, &victim).unwrap();
    symlink(&victim, &state).unwrap();
    place.database().execute_batch("INSERT INTO t VALUES (2)").unwrap();
    let before = contents(&victim);
    place.assert_refused(place.once(), &state, "is a symbolic link");
    let restored =
        place.run(&["restore", "--force", "-o", &place.text("app.db"), &place.text("backup")]);
    place.assert_refused(restored, &state, "is a symbolic link");
    assert_eq!(contents(&victim), before);
}

#[test]
fn z02_a_link_in_the_place_of_the_spool_deletes_nothing_in_another_replica() {
    let place = Place::new();
    let spool = place.path(".app.db-ebbtide/spool");
    copy(&place.path("backup"), &place.path("victim"));
    if spool.exists() {
        fs::remove_dir_all(&spool).unwrap();
    }
    symlink(place.path("victim"), &spool).unwrap();
    place.database().execute_batch("INSERT INTO t VALUES (2)").unwrap();
    let before = contents(&place.path("victim"));
    place.assert_refused(place.once(), &spool, "is a symbolic link");
    assert_eq!(contents(&place.path("victim")), before);
    fs::remove_file(&spool).unwrap();
    assert_eq!(place.once(), (0, String::new()));
}

#[test]
fn z02_a_state_that_others_may_write_is_refused_until_it_is_private() {
    let place = Place::new();
    let state = place.path(".app.db-ebbtide");
    fs::set_permissions(&state, Permissions::from_mode(0o777)).unwrap();
    place.assert_refused(place.once(), &state, "chmod 700");
    fs::set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
    fs::hard_link(state.join("position.0"), place.path("elsewhere")).unwrap();
    place.assert_refused(place.once(), &state.join("position.0"), "a second name");
    fs::remove_file(place.path("elsewhere")).unwrap();
    assert_eq!(place.once(), (0, String::new()));
}

/// Directories that others may write, sticky or not, and links above are where databases lie.
#[test]
fn z02_a_state_in_a_directory_that_others_may_write_is_used() {
    let place = Place::empty();
    fs::create_dir(place.path("data")).unwrap();
    fs::set_permissions(place.path("data"), Permissions::from_mode(0o1777)).unwrap();
    symlink(place.path("data"), place.path("link")).unwrap();
    let database = Connection::open(place.path("data/app.db")).unwrap();
    database.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").unwrap();
    for _ in 0..2 {
        let args = ["replicate", "--once", &place.text("link/app.db"), &place.text("backup")];
        assert_eq!(place.run(&args), (0, String::new()));
    }
    assert_eq!(fs::metadata(place.path("data/.app.db-ebbtide")).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn z02_root_serves_another_users_database_with_that_users_state_and_no_other_one() {
    if !Uid::effective().is_root() {
        eprintln!("skipped: only root can serve another user's database");
        return;
    }
    let place = Place::empty();
    let data = place.path("data");
    fs::create_dir(&data).unwrap();
    let database = Connection::open(data.join("app.db")).unwrap();
    database.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").unwrap();
    chown(data.join("app.db"), Some(NOBODY), None).unwrap();
    let args = ["replicate", "--once", &place.text("data/app.db"), &place.text("backup")];
    assert_eq!(place.run(&args), (0, String::new()));
    let state = data.join(".app.db-ebbtide");
    for path in [state.clone(), state.join("lock"), state.join("position.0")] {
        assert_eq!(fs::metadata(&path).unwrap().uid(), NOBODY, "{}", path.display());
    }
    database.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(place.run(&args), (0, String::new()));
    chown(&state, Some(1), None).unwrap();
    place.assert_refused(place.run(&args), &state, "belongs to user 1");
}

#[test]
fn z05_pipes_beside_unfinished_files_stop_nothing() {
    let place = Place::new();
    mkfifo(&place.path("backup/log/.tmp-x"), Mode::S_IRWXU).unwrap();
    mkfifo(&place.path(".copy.db.ebbtide-restore-x"), Mode::S_IRWXU).unwrap();
    place.database().execute_batch("INSERT INTO t VALUES (2)").unwrap();
    assert_eq!(place.once(), (0, String::new()));
    let args = ["restore", "-o", &place.text("copy.db"), &place.text("backup")];
    assert_eq!(place.run(&args), (0, String::new()));
    assert!(place.path("backup/log/.tmp-x").exists());
    assert!(place.path(".copy.db.ebbtide-restore-x").exists());
}

/// By a neighbour who may write the directory, in the moment before the restored file gets its name.
#[test]
fn z11_a_restore_whose_file_is_exchanged_is_refused_and_leaves_what_was_there() {
    let place = Place::new();
    let copy = place.path("copy.db");
    fs::write(&copy, "old").unwrap();
    let mut restore =
        command(&["restore", "--force", "-o", &place.text("copy.db"), &place.text("backup")]);
    restore.env("FAILPOINTS", "restore.publish.aside=1:wait");
    let mut process = Process::start(&mut restore, Output::Stderr).unwrap();
    process.line_with("restore.publish.aside", PATIENCE);
    let names = fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let is_unfinished = |path: &PathBuf| path.to_str().unwrap().contains(".ebbtide-restore-");
    let unfinished = names.into_iter().find(is_unfinished).unwrap();
    fs::remove_file(&unfinished).unwrap();
    fs::write(&unfinished, "another").unwrap();
    process.tell("").unwrap();
    assert_eq!(process.wait(PATIENCE).unwrap().code(), Some(1));
    let said = process.reap().unwrap().join("\n");
    assert!(said.contains("exchanged"), "{said}");
    assert_eq!(fs::read(&copy).unwrap(), b"old");
    assert_eq!(fs::read(&unfinished).unwrap(), b"another");
}

#[test]
fn z09_a_replica_whose_log_is_a_link_is_refused_by_name() {
    let place = Place::new();
    let log = place.path("backup/log");
    fs::rename(&log, place.path("victim")).unwrap();
    symlink(place.path("victim"), &log).unwrap();
    place.database().execute_batch("INSERT INTO t VALUES (2)").unwrap();
    let before = contents(&place.path("victim"));
    place.assert_refused(place.once(), &log, "is a symbolic link");
    assert_eq!(contents(&place.path("victim")), before);
    let args = ["restore", "-o", &place.text("copy.db"), &place.text("backup")];
    place.assert_refused(place.run(&args), &log, "is a symbolic link");
}

/// A folder, a pipe, a socket and a device, one after the other, at `path`.
fn each_kind(path: &Path, mut check: impl FnMut(&str)) {
    fs::create_dir(path).unwrap();
    check("is a directory");
    fs::remove_dir(path).unwrap();
    mkfifo(path, Mode::S_IRWXU).unwrap();
    check("is a pipe");
    fs::remove_file(path).unwrap();
    let socket = UnixListener::bind(path).unwrap();
    check("is a socket");
    drop(socket);
    fs::remove_file(path).unwrap();
}

#[test]
fn o15_what_is_no_file_in_the_place_of_the_database_or_its_log_is_one_error_at_once() {
    let place = Place::empty();
    for name in ["app.db", "app.db-wal", "app.db-shm"] {
        if name != "app.db" && !place.path("app.db").exists() {
            place.database().execute_batch("CREATE TABLE t (a)").unwrap();
        }
        each_kind(&place.path(name), |why| {
            place.assert_refused(place.once(), &place.path(name), why);
            let args = ["replicate", &place.text("app.db"), &place.text("backup")];
            place.assert_refused(place.run(&args), &place.path(name), why);
        });
    }
    let device = place.run(&["replicate", "/dev/null", &place.text("backup")]);
    place.assert_refused(device, Path::new("/dev/null"), "is a device");
    assert!(!place.path("backup").exists());
}

#[test]
fn o15_what_is_no_file_in_the_place_of_a_configuration_or_a_replica_is_one_error_at_once() {
    let place = Place::empty();
    place.database().execute_batch("CREATE TABLE t (a)").unwrap();
    each_kind(&place.path("ebbtide.toml"), |why| {
        let (code, said) = place.run(&["replicate", "--config", &place.text("ebbtide.toml")]);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("ebbtide.toml") && said.contains(why), "{said}");
    });
    let path = place.path("backup");
    each_kind(&path, |why| {
        if why != "is a directory" {
            place.assert_refused(place.once(), &path, why);
            place.assert_refused(place.run(&["verify", &place.text("backup")]), &path, why);
        }
    });
}

/// Mounts `disk` at `at`, or moves it there where nobody may mount.
struct Disk {
    disk: PathBuf,
    at: PathBuf,
    mounts: bool,
}

impl Disk {
    fn attach(disk: PathBuf, at: PathBuf) -> Disk {
        let mut mount = Command::new("mount");
        let mounts =
            mount.arg("--bind").args([&disk, &at]).output().is_ok_and(|ran| ran.status.success());
        let disk = Disk { disk, at, mounts };
        if !mounts {
            disk.attach_again();
        }
        disk
    }

    fn attach_again(&self) {
        if self.mounts {
            let mut mount = Command::new("mount");
            assert!(mount.arg("--bind").args([&self.disk, &self.at]).status().unwrap().success());
        } else {
            fs::remove_dir(&self.at).unwrap();
            fs::rename(&self.disk, &self.at).unwrap();
        }
    }

    fn detach(&self) {
        if self.mounts {
            // A put may be under way.
            wait_until("the disk to be free", || {
                Command::new("umount").arg(&self.at).output().unwrap().status.success()
            });
        } else {
            fs::rename(&self.at, &self.disk).unwrap();
            fs::create_dir(&self.at).unwrap();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounts {
            Command::new("umount").arg("-l").arg(&self.at).output().unwrap();
        }
    }
}

#[test]
fn o02_a_disk_that_is_unmounted_takes_nothing_and_has_everything_when_it_is_back() {
    let place = Place::empty();
    let database = place.database();
    database.execute_batch("CREATE TABLE t (a)").unwrap();
    fs::create_dir_all(place.path("disk/app")).unwrap();
    fs::create_dir(place.path("mnt")).unwrap();
    let disk = Disk::attach(place.path("disk"), place.path("mnt"));
    // The replica is a folder on the disk, so it is gone as a whole; its mount point stays.
    let sidecar = Sidecar::start(&place.path("app.db"), &place.text("mnt/app"));
    let sync =
        |timeout| place.run(&["sync", "--wait", "--timeout", timeout, &place.text("app.db")]);
    assert_eq!(sync("60s"), (0, String::new()));
    disk.detach();
    database.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    let (code, said) = sync("1s");
    assert_eq!(code, 1, "nothing is durable: {said}");
    assert_eq!(fs::read_dir(place.path("mnt")).unwrap().count(), 0, "no folder was made again");
    fs::create_dir_all(place.path("mnt/app/log")).unwrap();
    database.execute_batch("INSERT INTO t VALUES (2)").unwrap();
    let (code, said) = sync("1s");
    assert_eq!(code, 1, "nothing is durable: {said}");
    assert_eq!(fs::read_dir(place.path("mnt/app/log")).unwrap().count(), 0);
    fs::remove_dir_all(place.path("mnt/app")).unwrap();
    disk.attach_again();
    assert_eq!(sync("60s"), (0, String::new()));
    assert_eq!(sidecar.stop(), 0);
    let replica = Replica::open(&place.text("mnt/app"));
    replica.assert_ends_with(&place.path("app.db"), place.folder.path());
}
