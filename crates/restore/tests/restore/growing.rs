//! The newest state of a history that grows as fast as it is read.

use std::sync::Arc;

use ebbtide_catalog::{Progress, Target, head};
use ebbtide_replica::{Key, KeyPrefix, Txid};
use ebbtide_restore::restore;
use ebbtide_store::{MemoryStore, Store as _};
use ebbtide_testkit::faulty::{Call, Faulty, Outcome};
use futures::FutureExt as _;

use crate::builder::{Builder, options, txid};

/// How many segments there are when a restore begins, and how many the writer could add.
const DURABLE: u64 = 20;
const ALL: u64 = 3000;

async fn written() -> Builder {
    let mut builder = Builder::started(512, 2).await;
    while builder.next_txid() <= txid(ALL) {
        builder.commit(&[(0, builder.next_txid().get())], 2);
        builder.cut().await;
    }
    builder
}

/// The same of which the writer has put some by now.
async fn begun(builder: &Builder) -> MemoryStore {
    let store = Builder::copy(&builder.store);
    for object in store.list(KeyPrefix::Log, Some(&Key::Log(txid(DURABLE)))).await.unwrap() {
        store.delete(&object.key).await.unwrap();
    }
    store
}

/// A store into which the writer puts each segment at the moment it is asked for, and whose listings lack so many names.
async fn growing(builder: &Builder, missing: usize) -> Faulty {
    let (from, to) = (builder.store.clone(), begun(builder).await);
    let faulty = Faulty::new(Arc::new(to.clone()));
    faulty.script(move |call| match call {
        Call::Size(key @ Key::Log(first)) if *first <= txid(ALL) => {
            let put = async {
                if to.size(key).await.unwrap().is_none() {
                    to.put(key, from.get(key, u64::MAX).await.unwrap()).await.unwrap();
                }
            };
            // Stores in memory do not wait.
            put.now_or_never().unwrap();
            None
        }
        Call::List(KeyPrefix::Log) => Some(Outcome::Lag(missing)),
        _ => None,
    });
    faulty
}

/// Restores the newest state from there. Which state it was.
async fn newest(builder: &Builder, missing: usize) -> Txid {
    let faulty = growing(builder, missing).await;
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out.db");
    let progress = Arc::new(Progress::default());
    let options = options(Target::Latest, &output);
    let report = restore(Arc::new(faulty), &options, &progress).await.unwrap();
    let point = report.outline.point.state.point;
    assert!(std::fs::read(&output).unwrap() == builder.state(point.txid.get()).image());
    point.txid
}

#[tokio::test]
async fn a_restore_beside_a_writer_that_is_as_fast_as_it_ends_with_what_was_durable_before() {
    let builder = written().await;
    let state = newest(&builder, 0).await;
    assert!((txid(DURABLE)..txid(200)).contains(&state), "{state}");
}

/// However little listings show, all that was durable before is in it.
#[tokio::test]
async fn nor_does_it_follow_the_writer_for_ever_if_listings_lag() {
    let builder = written().await;
    let state = newest(&builder, 10).await;
    assert!((txid(DURABLE)..txid(ALL)).contains(&state), "{state}");
}

/// Would catch a second writer that looks for the end for as long as the first one writes.
#[tokio::test]
async fn the_end_of_a_history_that_grows_is_found() {
    let builder = written().await;
    let store = growing(&builder, 0).await;
    let head = head(&store, &builder.manifest).await.unwrap().unwrap();
    assert!((txid(DURABLE)..txid(ALL)).contains(&head.state.txid()), "{head:?}");
}
