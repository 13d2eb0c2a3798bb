//! Fetches what a plan names and writes each page once, with bounded memory, on all cores.
//!
//! Objects are gone through from the newest to the oldest. Ranges of them are requested from the store, many at a time
//! because a store takes long to answer; what has arrived of each is decoded, hashed and written on as many threads as
//! there are cores. Between the two stands a budget of bytes. Writing back to the disk begins long before the last page, so that the
//! final flush has little to do.

mod pool;
mod stopped;
mod task;
mod window;

use std::sync::Arc;

use bytes::Bytes;
use ebbtide_catalog::{
    Ahead, Fetched, HashList, Part, Plan, Progress, Survey, Wanted, read_ahead, requests,
};
use ebbtide_replica::Digest;
use ebbtide_store::Pace;
use futures::{StreamExt as _, stream};

use crate::sink::Sink;
use pool::Pool;
pub(crate) use stopped::Stopped;
use stopped::index_stopped;

/// How many indexes are read ahead of the one whose pages are being requested.
const INDEXES_AHEAD: usize = 32;

/// What was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    /// What the pages add up to.
    pub(crate) digest: Digest,
    /// How many pages of the database no object had.
    pub(crate) missing: u64,
}

/// Writes all pages of the state that `plan` leads to, no faster than `pace` allows.
pub(crate) async fn fetch(
    survey: &Survey,
    plan: &Plan,
    sink: &Arc<Sink>,
    pace: &Arc<Pace>,
    progress: &Arc<Progress>,
) -> Result<Written, Stopped> {
    let mut wanted = Wanted::new(plan.stop.state.database_pages, survey.manifest().page_size);
    progress.start(wanted.left() * survey.manifest().page_size.offset());
    let mut pool = Pool::new(survey, sink, pace, progress);
    let submitted = submit_all(survey, plan, &mut wanted, &mut pool).await;
    let finished = match submitted {
        Ok(()) => pool.finish().await,
        Err(stopped) => Err(stopped),
    };
    if let Err(stopped) = finished {
        pool.stop().await;
        return Err(stopped);
    }
    Ok(Written { digest: pool.digest(), missing: wanted.left() })
}

async fn submit_all(
    survey: &Survey,
    plan: &Plan,
    wanted: &mut Wanted,
    pool: &mut Pool,
) -> Result<(), Stopped> {
    let mut parts = stream::iter(plan.newest_first())
        .map(|part| read_part(survey, part))
        .buffered(INDEXES_AHEAD);
    while wanted.left() > 0
        && let Some((part, index, hashes)) = parts.next().await
    {
        let fetched = survey.index_of(index).await;
        let fetched = fetched.map_err(|error| index_stopped(part.object.key, error))?;
        submit_part(survey, part, (&fetched, hashes), wanted, pool).await?;
        wanted.leave(&part, &fetched.index);
    }
    Ok(())
}

async fn submit_part(
    survey: &Survey,
    part: Part,
    (fetched, ahead): (&Fetched, Vec<Bytes>),
    wanted: &mut Wanted,
    pool: &mut Pool,
) -> Result<(), Stopped> {
    let key = part.object.key;
    let mut list = HashList::new(&**survey.store(), key, fetched, ahead);
    let opener = survey.opener(&fetched.index);
    let mut used = false;
    for request in requests(&fetched.index, &part, wanted) {
        used = true;
        let blocks = request.blocks.iter().map(|wanted| &wanted.block);
        let expected = list.expected(blocks).await;
        let expected = expected.map_err(|error| index_stopped(key, error))?;
        let at_hand = fetched.at_hand(request.start..request.end);
        pool.submit((key, &opener), request, expected, at_hand).await?;
    }
    match used {
        true => list.finish().await.map(drop).map_err(|error| index_stopped(key, error)),
        false => Ok(()),
    }
}

/// Reads the index of a part and the list of its hashes ahead, if they are short.
async fn read_part(survey: &Survey, part: Part) -> (Part, Ahead, Vec<Bytes>) {
    let index = survey.index_ahead(part.object).await;
    let hashes = match &index.fetched {
        Some(fetched) => read_ahead(&**survey.store(), part.object.key, fetched).await,
        None => Vec::new(),
    };
    (part, index, hashes)
}
