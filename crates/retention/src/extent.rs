//! From when on a replica has every commit, and from when on anything.

use ebbtide_catalog::Survey;
use ebbtide_replica::{Horizon, HorizonState, Key, Point, Txid};

use crate::error::Result;

/// How far a history reaches back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first entry from which on the state after every one can be had.
    pub every_commit_from: Point,
    /// The oldest state before that, if any is kept.
    pub oldest: Option<Point>,
    /// How many are kept before that.
    pub older_states: u64,
}

impl Extent {
    /// As the newest horizon says; without one, or where it keeps everything, from the oldest snapshot on. Nothing while
    /// there is no snapshot.
    ///
    /// # Errors
    /// When the replica cannot be read.
    pub async fn of(survey: &mut Survey) -> Result<Option<Extent>> {
        let known = survey.known();
        let kept = |horizon: &Horizon| Extent::kept(horizon.window, &horizon.contents.states);
        if let Some(extent) = known.horizon().and_then(kept) {
            return Ok(Some(extent));
        }
        let oldest = known.listing().snapshots.first().map(|object| object.key);
        let Some(Key::Snapshot(txid)) = oldest else { return Ok(None) };
        let Ok(plan) = survey.plan_for(txid).await? else { return Ok(None) };
        let every_commit_from = plan.stop.state.point;
        Ok(Some(Extent { every_commit_from, oldest: None, older_states: 0 }))
    }

    /// With these states before the window. Nothing if none of them is the one that the window begins from.
    pub(crate) fn kept<'a>(
        window: Txid,
        states: impl IntoIterator<Item = &'a HorizonState>,
    ) -> Option<Extent> {
        let (mut begin, mut oldest, mut older_states) = (None, None, 0);
        for state in states {
            // Until the time of the entry after it, it was the state of the database.
            if state.txid.next() == window {
                begin = Some(state.until);
            }
            oldest.get_or_insert(Point { txid: state.txid, time: state.time });
            older_states += 1;
        }
        let every_commit_from = Point { txid: window, time: begin? };
        Some(Extent { every_commit_from, oldest, older_states })
    }
}
