//! The points of a history.

use ebbtide_catalog::{Survey, chronology, missed_since, read_indexes};
use ebbtide_replica::{Entry, EntryKind, Point, Timestamp, Txid};

use crate::error::Result;

/// A point of the history: the database can be had as it was after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Which one, and when.
    pub point: Point,
    /// A transaction of the application, a resync after history was missed, or a process's claim, which changes nothing.
    pub kind: EntryKind,
    /// How many pages it changed.
    pub page_count: u32,
    /// The size of the database after it, in pages.
    pub database_pages: u32,
    /// If history was missed before it, from when on.
    pub missed_since: Option<Timestamp>,
}

impl HistoryEntry {
    fn of(entry: &Entry) -> HistoryEntry {
        HistoryEntry {
            point: entry.point(),
            kind: entry.kind,
            page_count: entry.page_count,
            database_pages: entry.database_pages,
            missed_since: missed_since(entry),
        }
    }
}

/// Reads all entries that are there from the window of the history on, and hands each to `each`, the oldest first, until
/// that says false.
pub(crate) async fn entries(
    survey: &mut Survey,
    mut each: impl FnMut(HistoryEntry) -> bool,
) -> Result<()> {
    survey.list_the_rest().await.map_err(ebbtide_moment::Error::from)?;
    let window = survey.known().window();
    let objects = chronology(survey.known().listing(), window);
    let mut indexes = std::pin::pin!(read_indexes(&**survey.store(), survey.manifest(), objects));
    let mut last: Option<Txid> = None;
    while let Some((_, fetched)) = futures::TryStreamExt::try_next(&mut indexes).await? {
        for entry in fetched.index.entries() {
            // Packs that two processes have made may overlap.
            if Some(entry.txid) > last && entry.txid >= window && !each(HistoryEntry::of(entry)) {
                return Ok(());
            }
        }
        last = last.max(Some(fetched.index.footer().last));
    }
    Ok(())
}
