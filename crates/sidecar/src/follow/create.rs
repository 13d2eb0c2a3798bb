//! Creates a replica: makes the first snapshot of a database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ebbtide_shipper::{Creator, FirstState, Shipper};

use super::compare::pin_end;
use super::error::FollowError;
use super::held::Held;
use super::job::Job;
use super::parts;
use crate::hooks::SnapshotProgress;

/// The first snapshot of a new replica.
pub(super) async fn create(
    job: &Job,
    held: &mut Held,
    creator: Creator,
) -> Result<Shipper, FollowError> {
    let turn = job.shared.turn();
    let _turn = held.during(|| u64::MAX, turn, |_| {}).await?;
    let (image, time) = pin_end(&mut held.follower)?;
    let first = FirstState { time, database_pages: image.database_pages(), wal: image.position() };
    let done = Arc::new(AtomicU64::new(0));
    let total = u64::from(image.database_pages()) * image.page_size().offset();
    let tell = |is_over| {
        if let Some(hook) = &job.shared.hooks.snapshot {
            let database = job.database.path.clone();
            let done = done.load(Ordering::Relaxed);
            hook(&SnapshotProgress { database, done, total, is_over });
        }
    };
    let counted = Arc::clone(&done);
    let pages = move |each: &mut ebbtide_shipper::EachPage<'_, FollowError>| {
        image.for_each_page(|page, image| {
            counted.fetch_add(image.len() as u64, Ordering::Relaxed);
            each(page, image)
        })
    };
    let options = parts::shipping(job);
    let health = creator.store_health();
    let creation = creator.create(&job.shared.owner, first, &options, pages);
    let show = |_| tell(false);
    // While the store takes it, the log is kept however long it gets: without a first snapshot there is no replica.
    let waiting_bytes_max = job.database.waiting_bytes_max();
    let log_bytes_max = || health.outage().map_or(u64::MAX, |_| waiting_bytes_max);
    let created = held.during(log_bytes_max, creation, show).await;
    tell(true);
    created
}
