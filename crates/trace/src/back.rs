//! The entries of a history, from the newest to the oldest.

use std::sync::Arc;

use ebbtide_catalog::{Fetched, chronology, first_of};
use ebbtide_moment::Replica;
use ebbtide_replica::{Entry, Txid};
use ebbtide_store::Object;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::error::{Result, TraceError};

/// How many indexes are read at once: few at first, because what is looked for is mostly near.
const FIRST_AT_ONCE: usize = 4;
/// …and twice as many each time, up to this.
const MOST_AT_ONCE: usize = 128;

/// How many of them are on their way at the same time.
const ON_THEIR_WAY: usize = 64;

/// Entries of a replica, each older than the one before.
#[derive(Debug)]
pub(crate) struct Back {
    /// What is not read yet, the oldest first.
    objects: Vec<Object>,
    /// What is read, the oldest first.
    read: Vec<Arc<Fetched>>,
    /// How many entries of the last of those are not handed out yet.
    left: usize,
    /// The next entry.
    next: Option<Txid>,
    /// The last entry that is wanted.
    end: Txid,
    at_once: usize,
    is_complete: bool,
}

impl Back {
    /// The entries from `newest` back to `oldest`, both included.
    pub(crate) fn new(replica: &Replica, newest: Txid, oldest: Txid) -> Back {
        let mut back = Back {
            objects: Vec::new(),
            read: Vec::new(),
            left: 0,
            next: Some(newest),
            end: oldest,
            at_once: FIRST_AT_ONCE,
            is_complete: false,
        };
        let survey = replica.runtime().block_on(replica.survey());
        back.objects = chronology(survey.known().listing(), oldest);
        back.leave_newer(newest);
        back
    }

    /// The next older entry, or nothing at the end. On a thread that may wait.
    pub(crate) fn next(&mut self, replica: &Replica) -> Result<Option<Entry>> {
        let Some(wanted) = self.next.filter(|next| *next >= self.end) else { return Ok(None) };
        loop {
            while let Some(fetched) = self.read.last() {
                let entries = &fetched.index.entries()[..self.left];
                let Some(entry) = entries.last() else {
                    self.read.pop();
                    self.left = self.left();
                    continue;
                };
                self.left -= 1;
                // Objects that two processes have made may overlap.
                if entry.txid == wanted {
                    self.next = wanted.previous();
                    return Ok(Some(entry.clone()));
                }
                if entry.txid < wanted {
                    return Err(TraceError::Hole(wanted.next()));
                }
            }
            if !self.read_more(replica)? {
                self.list_the_rest(replica, wanted)?;
            }
        }
    }

    fn left(&self) -> usize {
        self.read.last().map_or(0, |fetched| fetched.index.entries().len())
    }

    /// Reads the next indexes, out of what is kept of them if possible; false if there are none.
    fn read_more(&mut self, replica: &Replica) -> Result<bool> {
        let from = self.objects.len().saturating_sub(self.at_once);
        let objects = self.objects.split_off(from);
        if objects.is_empty() {
            return Ok(false);
        }
        self.at_once = (self.at_once * 2).min(MOST_AT_ONCE);
        let read = replica.runtime().block_on(async {
            let survey = replica.survey().await;
            let survey = &*survey;
            let ahead = stream::iter(objects).map(|object| survey.index_ahead(object));
            let read = ahead.buffered(ON_THEIR_WAY).then(|ahead| survey.index_of(ahead));
            read.try_collect::<Vec<_>>().await
        });
        self.read = read?;
        self.left = self.left();
        Ok(true)
    }

    /// Segments that are in no pack may not have been listed.
    fn list_the_rest(&mut self, replica: &Replica, wanted: Txid) -> Result<()> {
        let hole = TraceError::Hole(wanted.next());
        if std::mem::replace(&mut self.is_complete, true) {
            return Err(hole);
        }
        let listed = replica.runtime().block_on(async {
            let mut survey = replica.survey().await;
            let is_news = survey.list_the_rest().await?;
            Ok::<_, TraceError>(is_news.then(|| chronology(survey.known().listing(), self.end)))
        });
        self.objects = listed?.ok_or(hole)?;
        self.leave_newer(wanted);
        Ok(())
    }

    /// Leaves objects out that have nothing but newer entries.
    fn leave_newer(&mut self, newest: Txid) {
        self.objects.retain(|object| first_of(object.key).is_some_and(|first| first <= newest));
    }
}
