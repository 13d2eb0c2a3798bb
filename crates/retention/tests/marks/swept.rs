//! A copy of a replica, whose horizons come from there: what they condemn is deleted by the clock of the copy.

use std::sync::Arc;

use ebbtide_catalog::{Progress, Survey, Target};
use ebbtide_replica::{Key, KeyPrefix};
use ebbtide_retention::sweep;
use ebbtide_store::{MemoryStore, Store};
use ebbtide_testkit::builder::{Builder, micros, txid};
use ebbtide_testkit::horizons::{Says, put_horizon};

const HOUR: i64 = 3_600_000_000;

/// When everything was put into the copy.
const COPIED: i64 = 2_000_000_000_000_000;

/// A copy of a history of which entry 5 and all from 9 on are kept, with a mark of entry 7 if it is wanted.
async fn copied(is_marked: bool) -> (MemoryStore, Builder) {
    let mut builder = Builder::started(512, 2).await;
    for number in 3..=12 {
        builder.commit(&[(0, number)], 2);
        builder.cut().await;
        if [5, 8].contains(&number) {
            builder.snapshot().await;
        }
    }
    let path = |number: u64| (number, vec![Key::Snapshot(txid(number))]);
    let segments = (3..=8).map(|number| Key::Log(txid(number)));
    let condemned = segments.chain([Key::Snapshot(txid(2))]).map(|key| (key, 1)).collect();
    let (states, held) = (vec![path(5), path(8)], Vec::new());
    put_horizon(&builder, 0, Says { number: 1, window: 9, states, condemned, held }).await;
    if is_marked {
        let mark = builder.mark_of(7, None);
        builder.store.put(&mark.key(), mark.encode().unwrap().into()).await.unwrap();
    }
    let copy = MemoryStore::new();
    copy.set_now(micros(COPIED));
    for (name, body) in builder.store.objects() {
        let key = Key::parse(&name).unwrap();
        copy.put(&key, body).await.unwrap();
    }
    (copy, builder)
}

async fn segments(store: &MemoryStore) -> Vec<u64> {
    let listed = store.list(KeyPrefix::Log, None).await.unwrap();
    let number = |key: Key| if let Key::Log(txid) = key { Some(txid.get()) } else { None };
    listed.iter().filter_map(|object| number(object.key)).collect()
}

async fn is_planned(store: &MemoryStore, target: Target) -> bool {
    let store: Arc<dyn Store> = Arc::new(store.clone());
    let mut survey = Survey::recent(store, Arc::new(Progress::default())).await.unwrap();
    survey.plan(target, micros(COPIED)).await.is_ok()
}

#[tokio::test]
async fn h25_what_a_copied_horizon_condemns_goes_after_the_grace_of_the_copy() {
    for is_marked in [false, true] {
        let (copy, builder) = copied(is_marked).await;
        let shared: Arc<dyn Store> = Arc::new(copy.clone());
        copy.set_now(micros(COPIED + 24 * HOUR - 1_000_000));
        sweep(Arc::clone(&shared), &builder.store).await.unwrap();
        assert_eq!(segments(&copy).await, (1..=12).collect::<Vec<_>>(), "nothing goes early");
        copy.set_now(micros(COPIED + 24 * HOUR));
        let [packed, condemned] = sweep(Arc::clone(&shared), &builder.store).await.unwrap();
        let expected =
            if is_marked { vec![1, 2, 6, 7, 9, 10, 11, 12] } else { vec![1, 2, 9, 10, 11, 12] };
        assert_eq!(segments(&copy).await, expected);
        assert_eq!((packed.objects, condemned.objects > 4), (0, true));
        // A copy gets no horizon that the first replica does not have.
        assert_eq!(copy.list(KeyPrefix::Horizon, None).await.unwrap().len(), 1);
        for number in [5, 8, 9, 12] {
            assert!(is_planned(&copy, Target::Txid(txid(number))).await, "{number}");
        }
        let (txid, chain) = (txid(7), builder.state(7).chain);
        assert_eq!(is_planned(&copy, Target::Marked { txid, chain }).await, is_marked);
        let again = sweep(shared, &builder.store).await.unwrap();
        assert_eq!(again.map(|deleted| deleted.objects), [0, 0]);
    }
}

/// Would catch a copy in which nothing ever goes, because each day brings it another horizon.
#[tokio::test]
async fn what_the_source_has_deleted_goes_although_each_day_has_its_horizon() {
    let (copy, builder) = copied(false).await;
    let shared: Arc<dyn Store> = Arc::new(copy.clone());
    // The source deletes what it had condemned but for one segment, and says no more of it.
    for number in [3, 4, 6, 7, 8] {
        builder.store.delete(&Key::Log(txid(number))).await.unwrap();
    }
    builder.store.delete(&Key::Snapshot(txid(2))).await.unwrap();
    let path = |number: u64| (number, vec![Key::Snapshot(txid(number))]);
    let states = vec![path(5), path(8)];
    let (condemned, held) = (Vec::new(), Vec::new());
    put_horizon(&builder, 0, Says { number: 2, window: 9, states, condemned, held }).await;
    copy.set_now(micros(COPIED + 23 * HOUR));
    let second = Key::Horizon(2);
    copy.put(&second, builder.body(second).await.into()).await.unwrap();
    let [_, early] = sweep(Arc::clone(&shared), &builder.store).await.unwrap();
    assert_eq!(early.objects, 0, "no horizon has been there for a day");
    copy.set_now(micros(COPIED + 24 * HOUR));
    let [_, gone] = sweep(Arc::clone(&shared), &builder.store).await.unwrap();
    assert_eq!(segments(&copy).await, [1, 2, 5, 9, 10, 11, 12], "and the source still has 5");
    assert_eq!(gone.objects, 6);
    for number in [5, 8, 9, 12] {
        assert!(is_planned(&copy, Target::Txid(txid(number))).await, "{number}");
    }
}
