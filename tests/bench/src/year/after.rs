//! What a history of that length costs whoever reads it: restores over a store that is far away, and a start without local
//! state.

use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use ebbtide_catalog::Survey;
use ebbtide_replica::Txid;
use ebbtide_restore::{Options, Progress, Target, restore};

use super::database::Worked;
use super::metered::Counts;
use super::replica::{Application as _, DAY, Replica, shared, timestamp};
use crate::Result;

/// How far away the store is.
const LATE: Duration = Duration::from_millis(20);

/// How often each restore is made.
const RUNS: usize = 7;

/// What something took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) seconds: f64,
    pub(crate) counts: Counts,
}

/// After the last commit, over a store 20 ms away.
#[derive(Debug)]
pub(crate) struct After {
    pub(crate) head: Taken,
    /// A state of so many days ago.
    pub(crate) daily: Option<(i64, Taken)>,
    pub(crate) start: Taken,
    /// The newest state, just after a snapshot of it.
    pub(crate) fresh: Taken,
}

/// Measures everything, `now` being the time. A snapshot is made for that.
pub(crate) async fn measure(replica: &mut Replica<Worked>, now: i64) -> Result<After> {
    let daily = kept_state(replica, now - 200 * DAY).await?;
    replica.store.set_late(LATE);
    let head = typical(replica, Target::Latest, now, true).await?;
    let daily = match daily {
        Some((txid, days)) => Some((days, typical(replica, Target::Txid(txid), now, false).await?)),
        None => None,
    };
    let start = started(replica).await?;
    replica.store.set_late(Duration::ZERO);
    replica.snapshot().await?;
    replica.store.set_late(LATE);
    let fresh = typical(replica, Target::Latest, now, true).await?;
    replica.store.set_late(Duration::ZERO);
    Ok(After { head, daily, start, fresh })
}

/// A restore of the newest state, and a start, as they are now; the store answers at once.
pub(crate) async fn glance(replica: &Replica<Worked>, now: i64) -> Result<[Taken; 2]> {
    Ok([restored(replica, Target::Latest, now, true).await?, started(replica).await?])
}

/// The kept state that is the next one before this time, and how many days ago that is.
async fn kept_state(replica: &Replica<Worked>, time: i64) -> Result<Option<(Txid, i64)>> {
    let survey = Survey::new(shared(&replica.store), Arc::default()).await?;
    let kept = survey.known().kept_states().iter().rev();
    let found = kept.map(|state| (state.txid, state.time)).find(|(_, at)| *at <= timestamp(time));
    Ok(found.map(|(txid, at)| (txid, (time + 200 * DAY - at.as_micros()) / DAY)))
}

/// The one of several restores that took the median time. Each begins once the disk has nothing of the one before to do.
async fn typical(
    replica: &Replica<Worked>,
    target: Target,
    now: i64,
    is_head: bool,
) -> Result<Taken> {
    let mut taken = Vec::new();
    for _ in 0..RUNS {
        std::process::Command::new("sync").status()?;
        taken.push(restored(replica, target, now, is_head).await?);
    }
    taken.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    Ok(taken[RUNS / 2])
}

async fn restored(
    replica: &Replica<Worked>,
    target: Target,
    now: i64,
    is_head: bool,
) -> Result<Taken> {
    let directory = tempfile::tempdir()?;
    let output = directory.path().join("restored.db");
    let before = replica.store.counts();
    let begun = Instant::now();
    let options = Options::new(target, output.clone(), timestamp(now));
    restore(shared(&replica.store), &options, &Arc::<Progress>::default()).await?;
    let taken = Taken {
        seconds: begun.elapsed().as_secs_f64(),
        counts: replica.store.counts().since(before),
    };
    if is_head {
        compare(replica, &output)?;
    }
    Ok(taken)
}

fn compare(replica: &Replica<Worked>, output: &Path) -> Result<()> {
    let restored = std::fs::read(output)?;
    let database = replica.database.read().unwrap_or_else(PoisonError::into_inner);
    let is_equal = |page: u32| {
        let at = (page as usize - 1) * super::database::PAGE;
        restored.get(at..at + super::database::PAGE) == Some(&*database.page(page))
    };
    if database.all().all(is_equal) { Ok(()) } else { Err("what was restored differs".into()) }
}

async fn started(replica: &Replica<Worked>) -> Result<Taken> {
    let before = replica.store.counts();
    let begun = Instant::now();
    replica.start_anew().await?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Taken { seconds, counts: replica.store.counts().since(before) })
}
