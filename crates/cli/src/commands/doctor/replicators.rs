//! Others that replicate the same database: two that hold its log and take its checkpoints over get in each other's way.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::finding::{Check, Finding};
use super::holders::Holders;

/// Programs that follow a database's log as ebbtide does, by the names of their processes.
const PROGRAMS: [&str; 2] = ["litestream", "litefs"];

/// What was found of others.
pub(super) fn look(database: &Path, holders: &Holders) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_other = |name: &str| PROGRAMS.contains(&name);
    for (process, name) in holders.all.iter().filter(|(_, name)| is_other(name)) {
        let has_it = holders.processes.iter().any(|holder| holder.process == *process);
        findings.push(if has_it {
            Finding::fail(
                Check::Replicator,
                format!("process {process} ({name}) has the database open"),
                "end it before ebbtide follows the database: both hold the log, and checkpoint it",
            )
        } else {
            Finding::warn(
                Check::Replicator,
                format!("process {process} ({name}) runs on this machine"),
                "see to it that it does not replicate this database",
            )
        });
    }
    // Litestream keeps what it knows there; it stays when Litestream is gone.
    let traces = [beside(database, "-litestream")];
    for trace in traces.iter().filter(|trace| trace.is_dir()) {
        findings.push(Finding::note(
            Check::Replicator,
            format!("{} is Litestream's", trace.display()),
            "end Litestream first; once its replica is not needed any more the directory may go",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(Check::Replicator, "no sign of another one"));
    }
    findings
}

/// The hidden name beside a database that ends so.
fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(database.file_name().unwrap_or_default());
    name.push(suffix);
    database.with_file_name(name)
}
