//! Replicas, and all pages of their moments.

use std::sync::Arc;

use ebbtide_moment::{BlockCache, Moment, Options, Proof, Replica, Result, Target};
use ebbtide_replica::Timestamp;
use ebbtide_store::{MemoryStore, Store};
use ebbtide_testkit::builder::{Builder, Form, SECOND, START, micros, txid};
use ebbtide_wal::PageNumber;

/// Long after every entry.
pub(crate) fn now() -> Timestamp {
    micros(START + 1_000_000 * SECOND)
}

/// A replica with a cache that forgets everything but the block at hand.
pub(crate) async fn forgetful(store: Arc<dyn Store>) -> Result<Replica> {
    Replica::open(store, Options { cache: BlockCache::new(1), expect: None, indexes: None }).await
}

pub(crate) async fn moment(store: Arc<dyn Store>, number: u64, proof: Proof) -> Result<Moment> {
    forgetful(store).await?.at(Target::Txid(txid(number)), now(), proof).await
}

/// The database as a file, page by page.
pub(crate) async fn image(moment: &Moment) -> Result<Vec<u8>> {
    let mut image = Vec::new();
    for number in (1..=moment.pages()).filter_map(PageNumber::new) {
        image.extend_from_slice(&moment.page(number).await?);
    }
    Ok(image)
}

/// A snapshot at 2, commits that shrink and grow, a pack over some of them whose segments are there, too, a delta that is
/// vouched for, and segments after it.
pub(crate) async fn sample() -> Builder {
    sample_as(Form::Plain).await
}

/// The same of either form.
pub(crate) async fn sample_as(form: Form) -> Builder {
    let mut builder = Builder::started_as(form, 512, 60).await;
    for (number, at) in (3..=20_u64).zip(3_usize..) {
        let size = if number == 9 { 20 } else { 60 + at };
        builder.wait(SECOND);
        builder.commit(&[(at % 15, number), (3, number), (45, number)], size);
        builder.cut().await;
    }
    builder.pack(3, 12).await;
    builder.delta(5).await;
    for (number, at) in (21..=26_u64).zip(21_usize..) {
        builder.wait(SECOND);
        builder.commit(&[(at % 15, number)], 80);
        builder.cut().await;
    }
    builder
}

/// A store of its own with the same objects.
pub(crate) fn copy(store: &MemoryStore) -> MemoryStore {
    Builder::copy(store)
}
