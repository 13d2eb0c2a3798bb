//! What there is of a replica already, and whether it fits the database and the configuration.

use std::sync::Arc;

use ebbtide_catalog::{CatalogError, read_manifest};
use ebbtide_config::Database;
use ebbtide_replica::Manifest;
use ebbtide_state::peek;
use ebbtide_store::Store;
use ebbtide_watcher::inspect;

use super::finding::{Check, Finding};

/// What was found of a replica.
pub(super) async fn look(store: &Arc<dyn Store>, database: &Database) -> Vec<Finding> {
    match read_manifest(&**store).await {
        Ok(None) => vec![Finding::ok(Check::Replica, "there is none yet; a start makes it")],
        Ok(Some(manifest)) => fits(&manifest, database),
        Err(error) => vec![unreadable(&error)],
    }
}

fn unreadable(error: &CatalogError) -> Finding {
    let seen = ebbtide_store::error_chain(error);
    Finding::fail(Check::Replica, seen, "`ebbtide verify` says more")
}

/// A start decides about the rest, with the log and the history in its hands.
fn fits(manifest: &Manifest, database: &Database) -> Vec<Finding> {
    let mut findings = vec![whose(manifest, database)];
    if let Ok(found) = inspect(&database.path)
        && found.page_size != manifest.page_size
    {
        findings.push(Finding::fail(
            Check::Replica,
            format!(
                "its pages have {} bytes, and those of the database {}",
                manifest.page_size.bytes(),
                found.page_size.bytes()
            ),
            "begin a replica under another address",
        ));
    }
    let wanted = !database.encrypt_to.is_empty() || database.encrypt_to_file.is_some();
    match (manifest.encryption.is_some(), wanted) {
        (true, false) => findings.push(Finding::fail(
            Check::Replica,
            "it is encrypted, and `encrypt-to` is not set: nothing is written there in plain text",
            "set `encrypt-to`, or begin a replica under another address",
        )),
        (false, true) => findings.push(Finding::fail(
            Check::Replica,
            "it is not encrypted, and `encrypt-to` is set",
            "begin a replica under another address",
        )),
        _ => {}
    }
    findings
}

fn whose(manifest: &Manifest, database: &Database) -> Finding {
    let id = manifest.replica;
    // What is wrong with the local state is said of the database.
    match peek(&database.state_directory()).ok().flatten() {
        Some(known) if known.replica == id => {
            Finding::ok(Check::Replica, format!("{id}, which the local state knows"))
        }
        Some(known) => Finding::fail(
            Check::Replica,
            format!("{id} lies there, and the local state is of {}", known.replica),
            "correct the address; `--adopt` follows into it all the same, if the pages are its own",
        ),
        None => Finding::note(
            Check::Replica,
            format!("{id}, made by {}, has a history", manifest.created_by),
            "without a local state the database is followed into it only if it is shown to be its own",
        ),
    }
}
