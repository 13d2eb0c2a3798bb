//! Root asks the processes of other users. Needs root itself, and says so where it is not.

use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use nix::unistd::Uid;
use rusqlite::Connection;
use serde_json::Value;

use crate::support::{Sidecar, command};

/// A user who is not root.
const OTHER: u32 = 65534;

/// A folder of another user's, with a private one for sockets in it; nothing where we may not make one.
fn folder_of_other(test: &str) -> Option<tempfile::TempDir> {
    if !Uid::effective().is_root() {
        eprintln!("NOT RUN: {test}: only root can act for another user");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    fs::create_dir(&run).unwrap();
    fs::set_permissions(&run, Permissions::from_mode(0o700)).unwrap();
    for path in [folder.path(), run.as_path()] {
        chown(path, Some(OTHER), Some(OTHER)).unwrap();
    }
    let mut tried = command(&["--version"]);
    tried.uid(OTHER).gid(OTHER).stdout(Stdio::null()).stderr(Stdio::null());
    if !tried.status().is_ok_and(|status| status.success()) {
        eprintln!("NOT RUN: {test}: another user cannot run the binary where it lies");
        return None;
    }
    Some(folder)
}

fn status(run: &Path, args: &[&str]) -> Output {
    command(&[&["status"], args].concat()).env("EBBTIDE_RUNTIME_DIR", run).output().unwrap()
}

#[test]
fn o28_root_may_ask_the_process_of_another_user() {
    let name = "o28_root_may_ask_the_process_of_another_user";
    let Some(folder) = folder_of_other(name) else { return };
    let (database, run) = (folder.path().join("app.db"), folder.path().join("run"));
    let application = Connection::open(&database).unwrap();
    application.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").unwrap();
    for file in ["app.db", "app.db-wal", "app.db-shm"] {
        chown(folder.path().join(file), Some(OTHER), Some(OTHER)).unwrap();
    }
    let backup = folder.path().join("backup");
    let paths = [&database, &backup].map(|path| path.to_str().unwrap());
    let mut replicate = command(&["replicate", "--log-format", "json", paths[0], paths[1]]);
    replicate.uid(OTHER).gid(OTHER).env("EBBTIDE_RUNTIME_DIR", &run);
    let sidecar = Sidecar::start_command(&mut replicate);
    let asked = status(&run, &["--json"]);
    assert_eq!(asked.status.code(), Some(0), "{}", String::from_utf8_lossy(&asked.stderr));
    let report: Value = serde_json::from_slice(&asked.stdout).unwrap();
    assert_eq!(report["process"], sidecar.process().id(), "{report}");
    let synced = command(&["sync", "--wait"]).env("EBBTIDE_RUNTIME_DIR", &run).output().unwrap();
    assert_eq!(synced.status.code(), Some(0), "{}", String::from_utf8_lossy(&synced.stderr));
    assert_eq!(sidecar.stop(), 0);
}

/// Would catch root talking to a service of its own because another user's link says so.
#[test]
fn o28_a_link_in_a_users_folder_leads_root_nowhere() {
    let name = "o28_a_link_in_a_users_folder_leads_root_nowhere";
    let Some(folder) = folder_of_other(name) else { return };
    let service = folder.path().join("service");
    let listener = UnixListener::bind(&service).unwrap();
    let run = folder.path().join("run");
    symlink(&service, run.join("1.sock")).unwrap();
    let asked = status(&run, &[]);
    let said = String::from_utf8(asked.stderr).unwrap();
    assert_eq!(asked.status.code(), Some(1), "{said}");
    assert!(said.contains("a process of another user listens there"), "{said}");
    let mut heard = String::new();
    listener.accept().unwrap().0.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "");
}
