//! What concerns the files of a database: whether they are of a kind that can be followed, and whether this user may.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use ebbtide_config::Database;
use ebbtide_watcher::{Error, FileSystem, Inspection, Refusal, inspect};
use nix::unistd::{AccessFlags, Gid, Uid, access};

use super::finding::{Check, Finding};
use crate::terminal;

/// The group may read and write.
const GROUP_WRITES: u32 = 0o060;
/// What is made in a directory gets the group of the directory.
const SET_GROUP_ID: u32 = 0o2000;

/// What was found of the files. Nothing is said of locks where ebbtide itself follows the database.
pub(super) fn look(database: &Database, is_followed: bool, may_come: bool) -> Vec<Finding> {
    let found = match inspect(&database.path) {
        Ok(found) => found,
        Err(error) => return vec![refused(database, &error, may_come)],
    };
    let mut findings = vec![file_system(&found), journal(database, &found)];
    findings.extend(rights(database, &found));
    if !is_followed {
        findings.push(lock(&found));
    }
    if let Some(names) = found.other_names {
        findings.push(Finding::warn(
            Check::Names,
            names,
            "remove the other names, or see to it that nobody opens the database by them",
        ));
    }
    findings
}

/// Whether files can be made in a directory.
pub(super) fn may_make_files(directory: &Path) -> bool {
    access(directory, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()
}

/// Why it cannot even be looked at. What a refusal says has what to do in it.
fn refused(database: &Database, error: &Error, may_come: bool) -> Finding {
    let seen = ebbtide_store::error_chain(error);
    match error {
        Error::Refused { refusal: Refusal::Missing, .. } if database.restore_if_missing => {
            Finding::note(
                Check::File,
                seen,
                "a start restores it from its replica, if there is one",
            )
        }
        Error::Refused { refusal: Refusal::Missing, .. } if may_come => Finding::warn(
            Check::File,
            seen,
            "correct the path, unless the application is still to make it, which a start waits for",
        ),
        Error::Refused { refusal: Refusal::Missing, .. } => {
            Finding::fail(Check::File, seen, "correct the path, or begin with --wait or --exec")
        }
        Error::Refused { refusal: Refusal::NetworkFileSystem(_), .. } => {
            Finding::fail(Check::FileSystem, seen, "put the database on a disk of this machine")
        }
        Error::Refused { .. } => Finding::fail(Check::File, seen, ""),
        _ => Finding::fail(
            Check::Rights,
            seen,
            "run ebbtide as the user of the application, or give its group the right to read and write",
        ),
    }
}

fn file_system(found: &Inspection) -> Finding {
    match found.file_system {
        FileSystem::Disk => Finding::ok(Check::FileSystem, "locks and shared memory work there"),
        FileSystem::Overlay => Finding::warn(
            Check::FileSystem,
            "it lies in the layer of a container, and goes with it",
            "put the database on a volume, or set restore-if-missing",
        ),
        FileSystem::Memory => Finding::warn(
            Check::FileSystem,
            "it lies in memory, and goes with the machine",
            "put the database on a disk, or set restore-if-missing",
        ),
    }
}

fn journal(database: &Database, found: &Inspection) -> Finding {
    let size = found.page_size.bytes();
    if found.is_wal {
        let (file, log) = (terminal::bytes(found.bytes), terminal::bytes(found.log_bytes));
        let seen = format!("a write-ahead log of {log} beside {file}, in pages of {size} bytes");
        return Finding::ok(Check::Journal, seen);
    }
    let seen = "it is in rollback-journal mode";
    if database.enable_wal {
        return Finding::note(Check::Journal, seen, "a start switches it, as enable-wal says");
    }
    let advice = "`PRAGMA journal_mode=WAL` in the application, or enable-wal = true";
    Finding::fail(Check::Journal, seen, advice)
}

fn rights(database: &Database, found: &Inspection) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &found.forbidden {
        findings.push(Finding::fail(
            Check::Rights,
            format!("this user may not read and write {}", file.display()),
            "run ebbtide as the user of the application, or give its group the right to read and write",
        ));
    }
    if let Some(directory) = &found.unwritable_directory {
        findings.push(Finding::fail(
            Check::Rights,
            format!(
                "{} cannot be written, and SQLite makes -wal and -shm there",
                directory.display()
            ),
            "run ebbtide as the user of the application, or while that has the database open",
        ));
    }
    findings.extend(shared(database));
    if findings.is_empty() {
        findings.push(Finding::ok(Check::Rights, "its files can be read, written and locked"));
    }
    findings
}

/// Whether the owner of the database could write what SQLite makes beside it for this user: it gets the rights of the
/// database, and the group of a directory that hands its own on.
fn shared(database: &Database) -> Option<Finding> {
    let path = std::fs::canonicalize(&database.path).ok()?;
    let (file, directory) = (path.metadata().ok()?, path.parent()?.metadata().ok()?);
    let user = Uid::effective();
    if user.is_root() || file.uid() == user.as_raw() {
        return None;
    }
    let is_writable = file.mode() & GROUP_WRITES == GROUP_WRITES;
    let is_handed_on =
        directory.mode() & SET_GROUP_ID != 0 || Gid::effective().as_raw() == file.gid();
    if is_writable && is_handed_on {
        return None;
    }
    Some(Finding::fail(
        Check::Rights,
        format!(
            "{} belongs to user {}, who could not write a -wal that this user has made",
            path.display(),
            file.uid()
        ),
        "run ebbtide as that user; or chmod g+rw for the database, and chmod g+s for its directory",
    ))
}

fn lock(found: &Inspection) -> Finding {
    match found.exclusive {
        None => Finding::ok(Check::Lock, "no process has it to itself"),
        Some(process) => Finding::fail(
            Check::Lock,
            format!("process {process} has it to itself"),
            "end PRAGMA locking_mode=EXCLUSIVE there, or the statement that runs just now",
        ),
    }
}
