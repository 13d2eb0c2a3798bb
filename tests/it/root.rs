//! Root asks the processes of other users. Needs root itself, and says so where it is not.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::Uid;

use crate::support::{Setup, Sidecar, command};

/// A user who is not root.
const OTHER: u32 = 65534;

/// A setup in a directory of another user's; nothing where we may not make one.
fn setup_of_other(test: &str) -> Option<Setup> {
    if !Uid::effective().is_root() {
        eprintln!("NOT RUN: {test}: only root can act for another user");
        return None;
    }
    let setup = Setup::new();
    for path in [setup.directory.path(), &setup.path("run")] {
        chown(path, Some(OTHER), Some(OTHER)).unwrap();
    }
    let mut tried = command(&["--version"]);
    tried.uid(OTHER).gid(OTHER).stdout(Stdio::null()).stderr(Stdio::null());
    if !tried.status().is_ok_and(|status| status.success()) {
        eprintln!("NOT RUN: {test}: another user cannot run the binary where it lies");
        return None;
    }
    Some(setup)
}

/// A small disk in the directory of a setup; nothing where we may not mount one.
fn mounted(setup: &Setup, test: &str) -> Option<PathBuf> {
    let disk = setup.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=16m", "none"]).arg(&disk);
    if !Uid::effective().is_root() || !mount.status().is_ok_and(|status| status.success()) {
        eprintln!("NOT RUN: {test}: only root can mount a disk");
        return None;
    }
    Some(disk)
}

/// Leaves no room on a disk until the file `full` on it is removed.
fn fill(disk: &Path) {
    let mut file = File::create(disk.join("full")).unwrap();
    std::io::copy(&mut std::io::repeat(1), &mut file).unwrap_err();
}

/// A full disk is a state in which nothing is committed any more, whatever is durable.
#[test]
fn a_database_on_a_full_disk_needs_attention() {
    let setup = Setup::new();
    let test = "a_database_on_a_full_disk_needs_attention";
    let Some(disk) = mounted(&setup, test) else { return };
    let setup = setup.called("disk/app.db", "backup");
    let app = setup.app();
    let sidecar = setup.follow();
    app.insert(1, 100);
    // Nothing is on its way that needs room for the local state.
    setup.sync();
    let attention = || setup.report()["attention"].to_string();
    assert_eq!(attention(), "[]");
    fill(&disk);
    assert_eq!(attention(), "[\"disk\"]");
    setup.run(&["status"]).exits(1).prints("on the disk of the database");
    std::fs::remove_file(disk.join("full")).unwrap();
    assert_eq!(attention(), "[]");
    app.insert(1, 100);
    setup.assert_exact_after(sidecar);
    drop(app);
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
}

/// Would catch a log that grows for as long as the database cannot be followed, until its disk is full, too.
#[test]
fn while_the_disk_of_the_local_state_is_full_the_log_stays_bounded() {
    let setup = Setup::new();
    let test = "while_the_disk_of_the_local_state_is_full_the_log_stays_bounded";
    let Some(disk) = mounted(&setup, test) else { return };
    let app = setup.app();
    let state = disk.join("state");
    let budgets = format!("log-max = \"16 MiB\"\nspool-max = \"16 MiB\"\nstate = {state:?}");
    let config = setup.configure("", &budgets);
    let args = ["replicate", "--log-format", "json", "--config", &config];
    let sidecar = Sidecar::start_command(&mut setup.command(&args));
    app.insert(1, 100);
    setup.sync();
    fill(&disk);
    let log = setup.path("app.db-wal");
    let mut longest = 0;
    for _ in 0..120 {
        app.insert(10, 200_000);
        longest = longest.max(log.metadata().unwrap().len());
    }
    assert!(longest < 100 << 20, "the log had {longest} bytes");
    assert!(setup.report()["error"].as_str().unwrap().contains("No space left"));
    std::fs::remove_file(disk.join("full")).unwrap();
    setup.sync();
    let (code, said) = sidecar.stop_and_tell();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("the log is let go"), "{said}");
    setup.assert_exact();
    drop(app);
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
}

#[test]
fn o28_root_may_ask_the_process_of_another_user() {
    let name = "o28_root_may_ask_the_process_of_another_user";
    let Some(setup) = setup_of_other(name) else { return };
    let _app = setup.app();
    for file in ["app.db", "app.db-wal", "app.db-shm"] {
        chown(setup.path(file), Some(OTHER), Some(OTHER)).unwrap();
    }
    let mut replicate = setup.replicate();
    let sidecar = Sidecar::start_command(replicate.uid(OTHER).gid(OTHER));
    let asked = setup.run(&["status", "--json"]).exits(0);
    assert_eq!(asked.json()["process"], sidecar.process().id(), "{}", asked.out);
    setup.run(&["sync", "--wait"]).exits(0);
    assert_eq!(sidecar.stop(), 0);
}

/// Would catch root talking to a service of its own because another user's link says so.
#[test]
fn o28_a_link_in_a_users_directory_leads_root_nowhere() {
    let name = "o28_a_link_in_a_users_directory_leads_root_nowhere";
    let Some(setup) = setup_of_other(name) else { return };
    let service = setup.path("service");
    let listener = UnixListener::bind(&service).unwrap();
    symlink(&service, setup.path("run/1.sock")).unwrap();
    setup.run(&["status"]).exits(1).says("a process of another user listens there");
    let mut heard = String::new();
    listener.accept().unwrap().0.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "");
}
