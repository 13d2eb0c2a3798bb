//! One commit, picked out of the history.

use ebbtide_replica::{Timestamp, Txid};
use ebbtide_store::Store;

use super::history::{History, TimelineError};
use super::kept::NamedState;
use super::row::Row;

/// So many objects are looked through for the next commit.
const OBJECTS_MAX: usize = 8;

/// Which commit is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The last one up to this entry.
    Txid(Txid),
    /// The one before this entry.
    Before(Txid),
    /// The one after it.
    After(Txid),
}

/// A state that can be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Picked {
    /// After an entry.
    Entry(Row),
    /// One that is kept for itself.
    Single(NamedState),
}

impl Picked {
    /// Its entry.
    pub(crate) fn txid(&self) -> Txid {
        match self {
            Picked::Entry(row) => row.point.txid,
            Picked::Single(state) => state.point.txid,
        }
    }

    /// When it was.
    pub(crate) fn time(&self) -> Timestamp {
        match self {
            Picked::Entry(row) => row.point.time,
            Picked::Single(state) => state.point.time,
        }
    }
}

impl History {
    /// The commit that is wanted, if it is there.
    pub(crate) async fn pick(
        &self,
        store: &dyn Store,
        wanted: Wanted,
    ) -> Result<Option<Picked>, TimelineError> {
        let entry = match wanted {
            Wanted::Txid(txid) => self.last_up_to(store, txid).await?,
            Wanted::Before(txid) => match txid.previous() {
                Some(before) => self.last_up_to(store, before).await?,
                None => None,
            },
            Wanted::After(txid) => match self.state_after(txid) {
                Some(state) => return Ok(Some(Picked::Single(state.clone()))),
                None => self.first_after(store, txid).await?,
            },
        };
        if let Some(row) = entry {
            return Ok(Some(Picked::Entry(row)));
        }
        let is_wanted = |state: &&NamedState| match wanted {
            Wanted::Txid(txid) => state.point.txid <= txid,
            Wanted::Before(txid) => state.point.txid < txid,
            Wanted::After(_) => false,
        };
        Ok(self.states.iter().rev().find(is_wanted).cloned().map(Picked::Single))
    }

    fn state_after(&self, txid: Txid) -> Option<&NamedState> {
        self.states.iter().find(|state| state.point.txid > txid)
    }

    async fn last_up_to(
        &self,
        store: &dyn Store,
        txid: Txid,
    ) -> Result<Option<Row>, TimelineError> {
        let objects = self.covering(Txid::FIRST, txid);
        for object in objects.iter().rev().take(OBJECTS_MAX) {
            let rows = self.rows(store, *object).await?;
            let is_it = |row: &&Row| {
                let point = row.point;
                row.is_state() && point.txid <= txid && point.txid >= self.window
            };
            if let Some(row) = rows.iter().rev().find(is_it) {
                return Ok(Some(*row));
            }
        }
        Ok(None)
    }

    async fn first_after(
        &self,
        store: &dyn Store,
        txid: Txid,
    ) -> Result<Option<Row>, TimelineError> {
        let first = txid.next().max(self.window);
        for object in self.covering(first, Txid::MAX).iter().take(OBJECTS_MAX) {
            let rows = self.rows(store, *object).await?;
            let is_it = |row: &&Row| row.is_state() && row.point.txid >= first;
            if let Some(row) = rows.iter().find(is_it) {
                return Ok(Some(*row));
            }
        }
        Ok(None)
    }
}
