//! Finds the mark that somebody means.

use std::sync::Arc;

use ebbtide_catalog::{Identity, StoredMark, identify, read_marks};
use ebbtide_replica::Manifest;
use ebbtide_store::Store;

use super::mark_id::MarkId;
use super::unreadable;
use crate::exit::{Code, Failure};
use crate::logging;

/// So many names are listed where none of them is meant.
const NAMES_SHOWN: usize = 20;

/// All marks that can be read, in the order of their entries.
pub(super) async fn all(store: &Arc<dyn Store>) -> Result<Vec<StoredMark>, Failure> {
    let identity = identify(&**store, None).await.map_err(unreadable)?;
    let Some(Identity { manifest, .. }) = identity else {
        let why = format!("there is no replica in {}: check the address", store.describe());
        return Err(Failure::new(Code::Nothing, why));
    };
    Ok(read_marks(&**store, &manifest).await.map_err(unreadable)?.marks)
}

/// The same for who only mentions them: where one was written by a newer version, none is known.
pub(super) async fn shown(
    store: &Arc<dyn Store>,
    manifest: &Manifest,
) -> Result<Vec<StoredMark>, Failure> {
    match read_marks(&**store, manifest).await {
        Ok(marks) => Ok(marks.marks),
        Err(error) if error.is_about_object() => {
            logging::note(format_args!("the marks cannot be read: {error}"));
            Ok(Vec::new())
        }
        Err(error) => Err(unreadable(error)),
    }
}

/// The one mark of this name or id.
pub(super) async fn find(store: &Arc<dyn Store>, meant: &str) -> Result<StoredMark, Failure> {
    let mut marks = all(store).await?;
    if let Ok(id) = meant.parse::<MarkId>()
        && let Some(at) = marks.iter().position(|stored| stored.mark.key() == id.key())
    {
        return Ok(marks.swap_remove(at));
    }
    let (mut found, others): (Vec<_>, Vec<_>) =
        marks.into_iter().partition(|stored| stored.mark.contents.name == meant);
    match (found.pop(), found.is_empty()) {
        (Some(mark), true) => Ok(mark),
        (Some(last), false) => {
            found.push(last);
            Err(Failure::new(Code::Usage, several(meant, &found)))
        }
        (None, _) => Err(Failure::new(Code::Nothing, none(meant, &others))),
    }
}

fn several(name: &str, found: &[StoredMark]) -> String {
    let line = |StoredMark { mark, stored }: &StoredMark| {
        let (id, txid, time) = (MarkId::of(mark), mark.txid, mark.contents.time);
        format!("\n{id}: txid {txid} of {time}, marked at {stored}")
    };
    let lines: String = found.iter().map(line).collect();
    format!("{} marks are called {name}: name one by its id{lines}", found.len())
}

fn none(name: &str, others: &[StoredMark]) -> String {
    if others.is_empty() {
        return format!("there is no mark {name}: nothing is marked in this replica");
    }
    let names = others.iter().map(|stored| stored.mark.contents.name.as_str());
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    let more = match names.len().saturating_sub(NAMES_SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.truncate(NAMES_SHOWN);
    format!("there is no mark {name}; there are {}{more}", names.join(", "))
}
