//! The states that a horizon keeps before the window, by their times.

use ebbtide_replica::{HorizonState, Point, Timestamp, Txid};

use crate::known::Known;
use crate::plan_error::Nearest;

/// What is kept of a time before the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptAt {
    /// The state of the database at that time.
    State(Txid),
    /// Only those around it.
    Between(Nearest),
}

impl Known {
    /// What is kept of `wanted`, or nothing if the state that the window begins from is not newer, so that the history
    /// itself tells.
    #[must_use]
    pub fn kept_at(&self, wanted: Timestamp) -> Option<KeptAt> {
        let states = self.kept_states();
        let base = states.last().filter(|base| base.txid.next() == self.window())?;
        if wanted >= base.time {
            return None;
        }
        let begun = states.partition_point(|state| state.time <= wanted);
        // Of two states with one time the later one was there for longer.
        let state = states[..begun].last();
        if let Some(state) = state.filter(|state| wanted < state.until) {
            return Some(KeptAt::State(state.txid));
        }
        let after = states.get(begun).map(point);
        Some(KeptAt::Between(Nearest { before: state.map(point), after }))
    }

    /// The last state before `txid` that is kept, if that is before the window.
    pub(crate) fn kept_before(&self, txid: Txid) -> Option<&HorizonState> {
        let states = self.kept_states();
        states[..states.partition_point(|state| state.txid < txid)].last()
    }
}

fn point(state: &HorizonState) -> Point {
    Point { txid: state.txid, time: state.time }
}
