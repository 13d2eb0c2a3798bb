//! What a moment costs: requests and memory.

use std::sync::Arc;

use ebbtide_moment::{BlockCache, Options, Proof, Replica, Target};
use ebbtide_testkit::builder::{Builder, txid};
use ebbtide_wal::PageNumber;

use crate::scene::now;

/// 6,000 pages of 4 KiB in some 190 blocks.
async fn large() -> Builder {
    let mut builder = Builder::started(4096, 6000).await;
    builder.commit(&[(0, 1), (3000, 1)], 6000);
    builder.cut().await;
    builder
}

async fn open(builder: &Builder, cache_bytes: usize) -> Replica {
    let options = Options { cache: BlockCache::new(cache_bytes), expect: None, indexes: None };
    Replica::open(Arc::new(builder.store.clone()), options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn t34_a_scan_takes_few_requests_and_the_memory_of_the_cache() {
    const CACHE_BYTES: usize = 16 * 1024 * 1024;
    let builder = large().await;
    let cache = BlockCache::new(CACHE_BYTES);
    let options = Options { cache: Arc::clone(&cache), expect: None, indexes: None };
    let metered = Replica::open(Arc::new(builder.store.clone()), options).await.unwrap();
    let scanned = metered.at(Target::Latest, now(), Proof::Block).await.unwrap();
    let before = metered.traffic();
    for number in (1..=scanned.pages()).filter_map(PageNumber::new) {
        scanned.page(number).await.unwrap();
        assert!(cache.bytes() <= CACHE_BYTES, "{}", cache.bytes());
    }
    let traffic = metered.traffic();
    let blocks = 6000 / 32;
    let requests = traffic.requests - before.requests;
    assert!(requests <= blocks / 32 + 24, "{requests} requests");
    let object = builder.body(ebbtide_replica::Key::Snapshot(txid(2))).await.len() as u64;
    let bytes = traffic.bytes - before.bytes;
    assert!(bytes < object + object / 8, "{bytes} bytes of {object}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t34_lookups_here_and_there_read_no_more_than_their_blocks() {
    let builder = large().await;
    let replica = open(&builder, 64 << 20).await;
    let moment = replica.at(Target::Latest, now(), Proof::Block).await.unwrap();
    let before = replica.traffic().requests;
    for number in [5000, 40, 2200, 5900, 900, 3100, 1500] {
        moment.page(PageNumber::new(number).unwrap()).await.unwrap();
        moment.page(PageNumber::new(number + 1).unwrap()).await.unwrap();
    }
    let requests = replica.traffic().requests - before;
    assert!((7..=9).contains(&requests), "{requests} requests");
}

/// Two moments share what did not change between them.
#[tokio::test(flavor = "multi_thread")]
async fn what_two_moments_have_in_common_is_fetched_once() {
    let builder = large().await;
    let replica = open(&builder, 64 << 20).await;
    let one = replica.at(Target::Txid(txid(2)), now(), Proof::Block).await.unwrap();
    let other = replica.at(Target::Txid(txid(3)), now(), Proof::Block).await.unwrap();
    let page = PageNumber::new(700).unwrap();
    one.page(page).await.unwrap();
    let before = replica.traffic();
    assert_eq!(*other.page(page).await.unwrap(), *one.page(page).await.unwrap());
    assert_eq!(replica.traffic(), before);
    let changed = PageNumber::new(3001).unwrap();
    assert_ne!(*other.page(changed).await.unwrap(), *one.page(changed).await.unwrap());
}

/// However many ask for a block at once, one request is made.
#[tokio::test(flavor = "multi_thread")]
async fn many_who_want_one_block_wait_for_one_request() {
    let builder = large().await;
    let replica = open(&builder, 64 << 20).await;
    let moment = replica.at(Target::Latest, now(), Proof::Block).await.unwrap();
    let before = replica.traffic().requests;
    let asks = (1601..=1632).map(|number| {
        let moment = moment.clone();
        tokio::spawn(async move { moment.page(PageNumber::new(number).unwrap()).await.unwrap() })
    });
    let asks: Vec<_> = asks.collect();
    for ask in asks {
        ask.await.unwrap();
    }
    let requests = replica.traffic().requests - before;
    assert!(requests <= 2, "{requests} requests");
}
