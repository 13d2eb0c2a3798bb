//! Files and directories that somebody else has put where ours belong: refused by name, never followed, never waited for.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use ebbtide_testkit::process::{Output, Process};
use nix::sys::stat::Mode;
use nix::unistd::{Uid, mkfifo};

use crate::support::{App, History, PATIENCE, Setup, Sidecar, wait_until};

/// Another user, who owns nothing here but what a test gives to it.
const NOBODY: u32 = 65534;

/// A setup with a database and a replica that was begun.
fn begun() -> Setup {
    let setup = Setup::new();
    setup.app().insert(1, 8);
    setup.once().exits(0);
    setup
}

/// A command that hangs fails the test, and is not waited for.
#[track_caller]
fn run(setup: &Setup, args: &[&str]) -> (i32, String) {
    Sidecar::spawn_command(&mut setup.command(args)).end()
}

#[track_caller]
fn once(setup: &Setup) -> (i32, String) {
    run(setup, &setup.once_args())
}

#[track_caller]
fn assert_done((code, said): (i32, String)) {
    assert_eq!(code, 0, "{said}");
}

#[track_caller]
fn assert_refused((code, said): (i32, String), path: &Path, why: &str) {
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(path.to_str().unwrap()) && said.contains(why), "{said}");
}

/// What lies in a directory, with its content.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
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
    let setup = begun();
    let (state, victim) = (setup.path(".app.db-ebbtide"), setup.path("victim"));
    fs::rename(&state, &victim).unwrap();
    symlink(&victim, &state).unwrap();
    setup.app().insert(1, 8);
    let before = contents(&victim);
    assert_refused(once(&setup), &state, "is a symbolic link");
    let restored =
        run(&setup, &["restore", "--force", "-o", &setup.text("app.db"), &setup.text("backup")]);
    assert_refused(restored, &state, "is a symbolic link");
    assert_eq!(contents(&victim), before);
}

#[test]
fn z02_a_link_in_the_place_of_the_spool_deletes_nothing_in_another_replica() {
    let setup = begun();
    let spool = setup.path(".app.db-ebbtide/spool");
    copy(&setup.path("backup"), &setup.path("victim"));
    if spool.exists() {
        fs::remove_dir_all(&spool).unwrap();
    }
    symlink(setup.path("victim"), &spool).unwrap();
    setup.app().insert(1, 8);
    let before = contents(&setup.path("victim"));
    assert_refused(once(&setup), &spool, "is a symbolic link");
    assert_eq!(contents(&setup.path("victim")), before);
    fs::remove_file(&spool).unwrap();
    assert_done(once(&setup));
}

#[test]
fn z02_a_state_that_others_may_write_is_refused_until_it_is_private() {
    let setup = begun();
    let state = setup.path(".app.db-ebbtide");
    fs::set_permissions(&state, Permissions::from_mode(0o777)).unwrap();
    assert_refused(once(&setup), &state, "chmod 700");
    fs::set_permissions(&state, Permissions::from_mode(0o700)).unwrap();
    fs::hard_link(state.join("position.0"), setup.path("elsewhere")).unwrap();
    assert_refused(once(&setup), &state.join("position.0"), "a second name");
    fs::remove_file(setup.path("elsewhere")).unwrap();
    assert_done(once(&setup));
}

/// Directories that others may write, sticky or not, and links above are where databases lie.
#[test]
fn z02_a_state_in_a_directory_that_others_may_write_is_used() {
    let setup = Setup::new();
    fs::create_dir(setup.path("data")).unwrap();
    fs::set_permissions(setup.path("data"), Permissions::from_mode(0o1777)).unwrap();
    symlink(setup.path("data"), setup.path("link")).unwrap();
    let _app = setup.other_app("data/app.db");
    for _ in 0..2 {
        let args = ["replicate", "--once", &setup.text("link/app.db"), &setup.text("backup")];
        assert_done(run(&setup, &args));
    }
    assert_eq!(fs::metadata(setup.path("data/.app.db-ebbtide")).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn z02_root_serves_another_users_database_with_that_users_state_and_no_other_one() {
    if !Uid::effective().is_root() {
        eprintln!("skipped: only root can serve another user's database");
        return;
    }
    let setup = Setup::new();
    let data = setup.path("data");
    fs::create_dir(&data).unwrap();
    let app = App::open(&data.join("app.db"));
    chown(data.join("app.db"), Some(NOBODY), None).unwrap();
    let args = ["replicate", "--once", &setup.text("data/app.db"), &setup.text("backup")];
    assert_done(run(&setup, &args));
    let state = data.join(".app.db-ebbtide");
    for path in [state.clone(), state.join("lock"), state.join("position.0")] {
        assert_eq!(fs::metadata(&path).unwrap().uid(), NOBODY, "{}", path.display());
    }
    app.insert(1, 8);
    assert_done(run(&setup, &args));
    chown(&state, Some(1), None).unwrap();
    assert_refused(run(&setup, &args), &state, "belongs to user 1");
}

#[test]
fn z05_pipes_beside_unfinished_files_stop_nothing() {
    let setup = begun();
    mkfifo(&setup.path("backup/log/.tmp-x"), Mode::S_IRWXU).unwrap();
    mkfifo(&setup.path(".copy.db.ebbtide-restore-x"), Mode::S_IRWXU).unwrap();
    setup.app().insert(1, 8);
    assert_done(once(&setup));
    let args = ["restore", "-o", &setup.text("copy.db"), &setup.text("backup")];
    assert_done(run(&setup, &args));
    assert!(setup.path("backup/log/.tmp-x").exists());
    assert!(setup.path(".copy.db.ebbtide-restore-x").exists());
}

/// By a neighbour who may write the directory, in the moment before the restored file gets its name.
#[test]
fn z11_a_restore_whose_file_is_exchanged_is_refused_and_leaves_what_was_there() {
    let setup = begun();
    let copy = setup.path("copy.db");
    fs::write(&copy, "old").unwrap();
    let mut restore =
        setup.command(&["restore", "--force", "-o", &setup.text("copy.db"), &setup.text("backup")]);
    restore.env("FAILPOINTS", "restore.publish.aside=1:wait");
    let mut process = Process::start(&mut restore, Output::Stderr).unwrap();
    process.line_with("restore.publish.aside", PATIENCE);
    let names = fs::read_dir(setup.directory.path()).unwrap().map(|entry| entry.unwrap().path());
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
    let setup = begun();
    let log = setup.path("backup/log");
    fs::rename(&log, setup.path("victim")).unwrap();
    symlink(setup.path("victim"), &log).unwrap();
    setup.app().insert(1, 8);
    let before = contents(&setup.path("victim"));
    assert_refused(once(&setup), &log, "is a symbolic link");
    assert_eq!(contents(&setup.path("victim")), before);
    let args = ["restore", "-o", &setup.text("copy.db"), &setup.text("backup")];
    assert_refused(run(&setup, &args), &log, "is a symbolic link");
}

/// A directory, a pipe, a socket and a device, one after the other, at `path`.
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
    let setup = Setup::new();
    for name in ["app.db", "app.db-wal", "app.db-shm"] {
        if name != "app.db" && !setup.path("app.db").exists() {
            setup.app();
        }
        each_kind(&setup.path(name), |why| {
            assert_refused(once(&setup), &setup.path(name), why);
            let args = ["replicate", &setup.text("app.db"), &setup.text("backup")];
            assert_refused(run(&setup, &args), &setup.path(name), why);
        });
    }
    let device = run(&setup, &["replicate", "/dev/null", &setup.text("backup")]);
    assert_refused(device, Path::new("/dev/null"), "is a device");
    assert!(!setup.path("backup").exists());
}

#[test]
fn o15_what_is_no_file_in_the_place_of_a_configuration_or_a_replica_is_one_error_at_once() {
    let setup = Setup::new();
    setup.app();
    each_kind(&setup.path("ebbtide.toml"), |why| {
        let (code, said) = run(&setup, &["replicate", "--config", &setup.text("ebbtide.toml")]);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("ebbtide.toml") && said.contains(why), "{said}");
    });
    let path = setup.path("backup");
    each_kind(&path, |why| {
        if why != "is a directory" {
            assert_refused(once(&setup), &path, why);
            assert_refused(run(&setup, &["verify", &setup.text("backup")]), &path, why);
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
    let setup = Setup::new();
    let app = setup.app();
    fs::create_dir_all(setup.path("disk/app")).unwrap();
    fs::create_dir(setup.path("mnt")).unwrap();
    let disk = Disk::attach(setup.path("disk"), setup.path("mnt"));
    // The replica is a directory on the disk, so it is gone as a whole; its mount point stays.
    let sidecar = setup.follow_other("app.db", "mnt/app");
    let sync =
        |timeout| run(&setup, &["sync", "--wait", "--timeout", timeout, &setup.text("app.db")]);
    assert_done(sync("60s"));
    disk.detach();
    app.insert(1, 8);
    let (code, said) = sync("1s");
    assert_eq!(code, 1, "nothing is durable: {said}");
    assert_eq!(fs::read_dir(setup.path("mnt")).unwrap().count(), 0, "no directory was made again");
    fs::create_dir_all(setup.path("mnt/app/log")).unwrap();
    app.insert(1, 8);
    let (code, said) = sync("1s");
    assert_eq!(code, 1, "nothing is durable: {said}");
    assert_eq!(fs::read_dir(setup.path("mnt/app/log")).unwrap().count(), 0);
    fs::remove_dir_all(setup.path("mnt/app")).unwrap();
    disk.attach_again();
    assert_done(sync("60s"));
    assert_eq!(sidecar.stop(), 0);
    let replica = History::open(&setup.text("mnt/app"));
    replica.assert_ends_with(&setup.path("app.db"), setup.directory.path());
}
