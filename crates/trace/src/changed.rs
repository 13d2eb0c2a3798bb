//! Which pages can differ between two states: those that an entry between them carries.

use ebbtide_moment::{Moment, Replica};
use ebbtide_replica::{Entry, EntryFlags, EntryKind, Point, Run, Txid};

use crate::back::Back;
use crate::error::{Result, TraceError};

/// So many runs of pages are kept before they are merged.
const RUNS_MAX: usize = 1 << 16;

/// What is between two states of one replica; nothing is known of two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Between {
    /// The entry that made up for history that was missed, if there is one: the oldest.
    pub resync: Option<Point>,
    /// From which entry on single transactions are kept, if that is after the earlier state.
    pub kept_from: Option<Txid>,
    /// Pages that can differ, ascending; nothing where that is not known.
    pub(crate) pages: Option<Vec<u32>>,
}

impl Between {
    /// Looks at the entries after `old` up to `new`. On a thread that may wait.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn look(old: &Moment, new: &Moment) -> Result<Between> {
        let replica = new.replica();
        let mut between = Between::default();
        if !replica.is_same(old.replica()) {
            return Ok(between);
        }
        let window = replica.runtime().block_on(async { replica.survey().await.known().window() });
        if window > old.txid().next() {
            between.kept_from = Some(window);
            return Ok(between);
        }
        let mut pages = Pages::new(old);
        match collect(replica, (old.txid().next(), new.txid()), |entry| {
            if entry.kind == EntryKind::Resync {
                between.resync = Some(entry.point());
            }
            pages.add(entry);
        }) {
            Ok(()) => between.pages = pages.all(new),
            // The states themselves may be had in another way.
            Err(TraceError::Hole(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(between)
    }
}

impl Between {
    /// What is between the state before an entry and the one after it.
    pub(crate) fn of_entry(old: &Moment, new: &Moment, entry: &Entry) -> Between {
        let mut pages = Pages::new(old);
        pages.add(entry);
        let resync = (entry.kind == EntryKind::Resync).then(|| entry.point());
        Between { resync, kept_from: None, pages: pages.all(new) }
    }
}

fn collect(
    replica: &Replica,
    (oldest, newest): (Txid, Txid),
    mut each: impl FnMut(&Entry),
) -> Result<()> {
    if newest < oldest {
        return Ok(());
    }
    let mut back = Back::new(replica, newest, oldest);
    while let Some(entry) = back.next(replica)? {
        each(&entry);
    }
    Ok(())
}

/// The pages that entries carry.
struct Pages {
    runs: Vec<(u32, u32)>,
    /// The least size of the database that there was.
    least: u32,
    /// The greatest.
    most: u32,
    is_known: bool,
}

impl Pages {
    fn new(old: &Moment) -> Pages {
        Pages { runs: Vec::new(), least: old.pages(), most: old.pages(), is_known: true }
    }

    fn add(&mut self, entry: &Entry) {
        // Its pages are all those of a snapshot.
        self.is_known &= !entry.flags.contains(EntryFlags::IN_SNAPSHOT);
        self.least = self.least.min(entry.database_pages);
        self.most = self.most.max(entry.database_pages);
        let bounds = |run: &Run| (run.first().get(), run.last().get());
        self.runs.extend(entry.runs.iter().map(bounds));
        if self.runs.len() > RUNS_MAX {
            self.merge();
        }
    }

    fn merge(&mut self) {
        self.runs.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::new();
        for (first, last) in self.runs.drain(..) {
            match merged.last_mut().filter(|before| before.1.saturating_add(1) >= first) {
                Some(before) => before.1 = before.1.max(last),
                None => merged.push((first, last)),
            }
        }
        self.runs = merged;
    }

    /// Also those beyond the least size: what comes after a shrink has nothing to do with what was there before it.
    fn all(mut self, new: &Moment) -> Option<Vec<u32>> {
        if self.least < self.most.max(new.pages()) {
            self.runs.push((self.least + 1, self.most.max(new.pages())));
        }
        self.merge();
        let is_known = self.is_known;
        is_known.then(|| self.runs.into_iter().flat_map(|(first, last)| first..=last).collect())
    }
}
