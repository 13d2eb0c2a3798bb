//! What every entry keeps to. The writer refuses to write and the reader refuses to read an entry that does not: the
//! same functions on both sides.

use ebbtide_wal::{PageSize, lock_page};

use super::{Header, Kind};
use crate::{
    DATABASE_PAGES_MAX, Digest, Entry, EntryFlags, EntryKind, Timestamp, Txid, content_of,
    data_pages,
};

/// The rule that is broken, in words.
type Broken = String;

/// What the next entry of an object must fit to.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    header: Header,
    /// The entry before, if there was one in this object.
    last: Option<Txid>,
    /// The state before the next entry, if it is known.
    before: Option<Before>,
}

/// The state between two entries.
#[derive(Debug, Clone, Copy)]
struct Before {
    time: Timestamp,
    database_pages: u32,
    digest: Digest,
}

/// What the first entry of a replica finds.
const NOTHING: Before = Before { time: Timestamp::MIN, database_pages: 0, digest: Digest::EMPTY };

impl Rules {
    /// Those for the first entry of an object.
    pub(super) fn new(header: &Header) -> Rules {
        let before = (header.first() == Txid::FIRST).then_some(NOTHING);
        Rules { header: *header, last: None, before }
    }

    /// Checks the next entry, which must stand by itself and follow from those before.
    pub(super) fn admit(&mut self, entry: &Entry) -> Result<(), Broken> {
        let kind = self.header.kind();
        let follows = match (kind, self.last) {
            (Kind::Segment | Kind::Pack, Some(last)) => last.precedes(entry.txid),
            (Kind::Segment | Kind::Pack | Kind::Snapshot, None) => {
                entry.txid == self.header.first()
            }
            (Kind::Delta, None) => entry.txid >= self.header.first(),
            (Kind::Snapshot | Kind::Delta, Some(_)) | (Kind::Horizon | Kind::Mark, _) => false,
        };
        if !follows {
            return Err("its txid does not follow from what is before it".to_owned());
        }
        check_alone(entry, kind, self.header.page_size)?;
        if let (Some(before), true) = (self.before, kind.is_history()) {
            check_after(&before, entry, self.header.page_size)?;
        }
        self.last = Some(entry.txid);
        self.before = Some(Before {
            time: entry.time,
            database_pages: entry.database_pages,
            digest: entry.digest,
        });
        Ok(())
    }
}

/// Checks what an entry of an object of kind `kind` must keep whatever was before it.
fn check_alone(entry: &Entry, kind: Kind, page_size: PageSize) -> Result<(), Broken> {
    check_flags(entry, kind)?;
    check_runs(entry, page_size)?;
    if entry.detail.len() > Entry::DETAIL_MAX {
        return Err(format!("its detail has {} bytes", entry.detail.len()));
    }
    let all = data_pages(entry.database_pages, page_size);
    if entry.is_complete() && entry.page_count != all {
        return Err(format!("it is complete with {} pages of {all}", entry.page_count));
    }
    if all == 0 && entry.digest != Digest::EMPTY {
        return Err("it leaves no pages and yet a digest".to_owned());
    }
    let elsewhere = entry.flags.contains(EntryFlags::IN_SNAPSHOT);
    if entry.page_count == 0 && !elsewhere && entry.content != content_of([]) {
        return Err("it carries no pages and yet has content".to_owned());
    }
    Ok(())
}

fn check_flags(entry: &Entry, kind: Kind) -> Result<(), Broken> {
    let (complete, moved) = (EntryFlags::COMPLETE, EntryFlags::IN_SNAPSHOT);
    if (entry.kind == EntryKind::Image) == kind.is_history() {
        return Err(format!("an entry of kind {} has no place here", entry.kind.name()));
    }
    let fits = match entry.kind {
        EntryKind::Claim => entry.flags == EntryFlags::NONE && entry.page_count == 0,
        EntryKind::Commit => complete.contains(entry.flags),
        EntryKind::Resync => !entry.flags.contains(complete | moved),
        EntryKind::Image if kind == Kind::Snapshot => entry.flags == complete,
        EntryKind::Image => complete.contains(entry.flags),
    };
    if !fits || (entry.flags.contains(moved) && entry.page_count != 0) {
        let (flags, name) = (entry.flags.bits(), entry.kind.name());
        return Err(format!("a {name} of {} pages has flags {flags:#x}", entry.page_count));
    }
    Ok(())
}

fn check_runs(entry: &Entry, page_size: PageSize) -> Result<(), Broken> {
    if entry.database_pages > DATABASE_PAGES_MAX {
        return Err(format!("no database has {} pages", entry.database_pages));
    }
    let lock = lock_page(page_size);
    let mut free = 1;
    let mut pages = 0_u64;
    for run in &entry.runs {
        if run.first().get() < free {
            return Err(format!("its pages are not in order at page {}", run.first()));
        }
        if run.contains(lock) {
            return Err(format!("it carries page {lock}, which holds SQLite's locks"));
        }
        free = run.last().get().saturating_add(2);
        pages += u64::from(run.count());
    }
    if entry.runs.last().is_some_and(|run| run.last().get() > entry.database_pages) {
        return Err(format!("it carries pages beyond page {}", entry.database_pages));
    }
    if pages != u64::from(entry.page_count) {
        return Err(format!("its runs have {pages} pages of {}", entry.page_count));
    }
    Ok(())
}

/// Checks what an entry of the history must keep in view of the state before it.
fn check_after(before: &Before, entry: &Entry, page_size: PageSize) -> Result<(), Broken> {
    if entry.time < before.time {
        return Err(format!("its time {} is before {}", entry.time, before.time));
    }
    let same = entry.database_pages == before.database_pages && entry.digest == before.digest;
    if entry.kind == EntryKind::Claim && !same {
        return Err("it is a claim and yet changes the database".to_owned());
    }
    if entry.flags.contains(EntryFlags::IN_SNAPSHOT) {
        return Ok(());
    }
    let all = data_pages(entry.database_pages, page_size);
    let new = u64::from(all.saturating_sub(data_pages(before.database_pages, page_size)));
    let carried = pages_beyond(before.database_pages, entry);
    if carried != new {
        return Err(format!("it carries {carried} of {new} pages by which the database grew"));
    }
    Ok(())
}

/// How many of the pages that `entry` carries have numbers above `database_pages`.
fn pages_beyond(database_pages: u32, entry: &Entry) -> u64 {
    let beyond = entry.runs.iter().rev().take_while(|run| run.last().get() > database_pages);
    beyond.map(|run| u64::from(run.count().min(run.last().get() - database_pages))).sum()
}
