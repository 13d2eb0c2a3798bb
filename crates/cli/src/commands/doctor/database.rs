//! What concerns one database: its files, who has it open, who else replicates it, its local state and its disk.

use std::path::{Path, PathBuf};

use ebbtide_config::Database;
use ebbtide_sidecar::follow::free_bytes;
use ebbtide_state::peek;

use super::files;
use super::files::may_make_files;
use super::finding::{Check, Finding};
use super::holders::{Holders, holders};
use super::machine::Running;
use super::replicators;
use crate::terminal;

/// What was found of a database, whose file may still come where a start would wait for it.
pub(super) fn look(database: &Database, running: &Running, may_come: bool) -> Vec<Finding> {
    let path = std::path::absolute(&database.path).unwrap_or_else(|_| database.path.clone());
    let follower = running.get(&*path.to_string_lossy());
    let holders = holders(&path);
    let mut findings = files::look(database, follower.is_some(), may_come);
    if let Some(process) = follower {
        let seen = format!("process {process} follows it with ebbtide already");
        findings.push(Finding::note(
            Check::Replicator,
            seen,
            "`ebbtide status` says how it is doing",
        ));
    }
    findings.extend(applications(&holders));
    findings.extend(replicators::look(&path, &holders));
    findings.push(state(database));
    findings.push(disk(database));
    findings.extend(drill_directory(database));
    findings
}

/// The directory that drills restore into, if one is named.
fn drill_directory(database: &Database) -> Option<Finding> {
    let directory = database.drills.as_ref()?.directory.as_ref()?;
    if may_make_files(directory) {
        return None;
    }
    Some(Finding::fail(
        Check::Disk,
        format!("drills cannot make their file in {}", directory.display()),
        "make `drill-directory`, and let this user write there",
    ))
}

/// Who has it open, and with which SQLite.
fn applications(holders: &Holders) -> Vec<Finding> {
    let mut findings = Vec::new();
    for holder in holders.processes.iter().filter(|holder| holder.name != "ebbtide") {
        let seen = format!("process {} ({}) has it open", holder.process, holder.name);
        findings.push(Finding::ok(Check::Application, seen));
        findings.extend(holder.sqlite.as_ref().map(|sqlite| sqlite.finding(holder.process)));
    }
    if findings.is_empty() && holders.is_whole {
        findings.push(Finding::ok(Check::Application, "no process has it open"));
    }
    if !holders.is_whole {
        findings.push(Finding::unknown(
            Check::Application,
            "this user may not see which files the processes of others have open",
            "run it as root to see who has the database open, and with which SQLite",
        ));
    }
    findings
}

/// The directory of the local state, as a start would open it.
fn state(database: &Database) -> Finding {
    let directory = database.state_directory();
    match peek(&directory) {
        Ok(Some(known)) => Finding::ok(
            Check::State,
            format!("{} knows the replica up to txid {}", directory.display(), known.state.txid()),
        ),
        Ok(None) if directory.exists() => Finding::ok(
            Check::State,
            format!("{} has nothing yet, and is compared with the replica", directory.display()),
        ),
        Ok(None) => absent_state(&directory),
        Err(error) => Finding::fail(
            Check::State,
            ebbtide_store::error_chain(&error),
            "it has to belong to this user, and to be written by nobody else",
        ),
    }
}

fn absent_state(directory: &Path) -> Finding {
    let above = existing(directory);
    if files::may_make_files(&above) {
        Finding::ok(Check::State, format!("{} will be made", directory.display()))
    } else {
        Finding::fail(
            Check::State,
            format!(
                "{} would be made, and {} cannot be written",
                directory.display(),
                above.display()
            ),
            "let this user write there, or set `state` to a directory of its own",
        )
    }
}

/// Room for the log and the spool of an outage.
fn disk(database: &Database) -> Finding {
    let (log, spool) = (database.log_bytes_max, database.spool_bytes_max);
    let places = [existing(&database.path), existing(&database.state_directory())];
    let needed = log.saturating_add(spool);
    let words = format!(
        "an outage of the store takes up to {} for the log and {} for the spool",
        terminal::bytes(log),
        terminal::bytes(spool)
    );
    match free_bytes(places.iter().map(PathBuf::as_path)) {
        None => Finding::unknown(Check::Disk, "the disk does not say how much is free", words),
        Some(free) if free >= needed => {
            Finding::ok(Check::Disk, format!("{} are free; {words}", terminal::bytes(free)))
        }
        Some(free) => Finding::warn(
            Check::Disk,
            format!("{} are free, and {words}", terminal::bytes(free)),
            "make room, or lower `log-max` and `spool-max`",
        ),
    }
}

/// The path, or what is there of those above it.
fn existing(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find(|above| above.is_dir());
    there.unwrap_or(Path::new("/")).to_owned()
}
