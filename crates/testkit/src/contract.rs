//! What every store promises, as one row of checks that each implementation goes through.
//!
//! A store is one replica's place, so each check gets an empty one from [`Subject::fresh`]. A check panics with its
//! name in the message.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ebbtide_replica::{Key, KeyPrefix, Timestamp, Txid};
use ebbtide_seal::KeyId;
use ebbtide_store::{Conditional, ErrorKind, Object, Store, StoreError, Upload};
use futures::future::join_all;
use futures::{StreamExt as _, TryStreamExt as _};

/// A kind of store.
#[async_trait]
pub trait Subject: Sync {
    /// An empty store of this kind.
    async fn fresh(&self) -> Arc<dyn Store>;

    /// Puts something under a name that is no key, behind the store's back. Whether that is possible with this kind of
    /// store.
    async fn plant(&self, store: &dyn Store, name: &str, body: Bytes) -> bool;

    /// What the store says of itself when it is [probed](Store::probe).
    fn conditional(&self) -> Conditional {
        Conditional::Enforced
    }
}

/// Puts every promise of a store to the test.
pub async fn check(subject: &dyn Subject) {
    let store = || subject.fresh();
    what_is_put_is_read(&*store().await).await;
    a_name_is_taken_once(&*store().await).await;
    what_is_not_there_is_not_found(&*store().await).await;
    ranges_are_exact(&*store().await).await;
    nothing_longer_than_the_limit_is_read(&*store().await).await;
    listings_are_in_order(&*store().await).await;
    listings_go_on_after_a_thousand(&*store().await).await;
    deleting_twice_is_well(&*store().await).await;
    many_are_deleted_and_no_others(&*store().await).await;
    an_age_is_told_by_the_stores_clock(&*store().await).await;
    uploads_of_all_sizes_arrive(&*store().await).await;
    an_upload_finds_its_name_taken(&*store().await).await;
    of_two_uploads_one_arrives(&*store().await).await;
    an_upload_is_invisible_before_its_end(&*store().await).await;
    what_is_given_up_leaves_nothing(&*store().await).await;
    strange_names_are_passed_over(subject).await;
    if subject.conditional() == Conditional::Enforced {
        of_many_puts_one_arrives(&*store().await).await;
    }
    probing_tells_and_leaves_nothing(subject).await;
}

fn log(number: u64) -> Key {
    Key::Log(Txid::new(number).expect("a number that is not 0"))
}

/// Bytes in which every part differs from every other.
fn body(length: usize, seed: u64) -> Bytes {
    let mut random = crate::Random::new(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

fn kind<T>(result: Result<T, StoreError>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

fn sizes(objects: &[Object]) -> Vec<(Key, u64)> {
    objects.iter().map(|object| (object.key, object.size)).collect()
}

async fn read(store: &dyn Store, key: Key) -> Bytes {
    store.get(&key, u64::MAX).await.expect("an object that was put")
}

async fn what_is_put_is_read(store: &dyn Store) {
    let first = Txid::FIRST;
    let keys = [
        Key::Manifest,
        log(1),
        Key::Pack { first, last: first.next() },
        Key::Delta { first, last: first },
        Key::Snapshot(first),
        Key::Wrapped { id: KeyId::from_bytes([7; 8]), number: 1 },
    ];
    for (seed, key) in keys.iter().enumerate() {
        let body = body(1000 * seed, seed as u64);
        store.put(key, body.clone()).await.expect("a put of a new name");
        assert_eq!(read(store, *key).await, body, "what is put is read: {key}");
        assert_eq!(store.size(key).await.expect("its size"), Some(body.len() as u64), "{key}");
    }
}

async fn a_name_is_taken_once(store: &dyn Store) {
    store.put(&log(1), Bytes::from_static(b"first")).await.expect("the first put");
    let second = store.put(&log(1), Bytes::from_static(b"second")).await;
    assert_eq!(kind(second), Some(ErrorKind::Exists), "a name is taken once");
    let same = store.put(&log(1), Bytes::from_static(b"first")).await;
    assert_eq!(kind(same), Some(ErrorKind::Exists), "a name is taken once, also for the same");
    assert_eq!(read(store, log(1)).await, "first", "what is there stays");
}

async fn of_many_puts_one_arrives(store: &dyn Store) {
    for round in 1..=4 {
        let puts = (0..32u8).map(|racer| async move {
            let body = Bytes::from(vec![racer; 10_000]);
            store.put(&log(round), body).await
        });
        let results = join_all(puts).await;
        let winners: Vec<usize> =
            (0..results.len()).filter(|racer| results[*racer].is_ok()).collect();
        assert_eq!(winners.len(), 1, "of many puts one arrives: {results:?}");
        let winner = u8::try_from(winners[0]).expect("fewer than 256 racers");
        assert_eq!(read(store, log(round)).await, vec![winner; 10_000], "it is the winner's");
        for error in results.into_iter().filter_map(Result::err) {
            let open = [ErrorKind::Exists, ErrorKind::Unavailable].contains(&error.kind());
            assert!(open, "of many puts one arrives: {error:?}");
        }
    }
}

async fn what_is_not_there_is_not_found(store: &dyn Store) {
    let not_found = Some(ErrorKind::NotFound);
    assert_eq!(kind(store.get(&log(1), 100).await), not_found, "get");
    assert_eq!(kind(store.get_range(&log(1), 0..1).await), not_found, "get a range");
    assert_eq!(kind(streamed(store, 0..1).await), not_found, "get a stream");
    assert_eq!(store.size(&log(1)).await.expect("no error"), None, "size");
    for directory in KeyPrefix::ALL {
        assert_eq!(store.list(directory, None).await.expect("no error"), [], "list {directory}");
    }
}

async fn ranges_are_exact(store: &dyn Store) {
    let body = body(100_000, 7);
    store.put(&log(1), body.clone()).await.expect("a put");
    for (start, end) in [(0, 1), (0, 100_000), (99_999, 100_000), (4096, 70_000), (17, 18)] {
        let bytes = store.get_range(&log(1), start as u64..end as u64).await;
        assert_eq!(bytes.expect("a range"), body.slice(start..end), "{start}..{end}");
        let streamed = streamed(store, start as u64..end as u64).await;
        assert_eq!(streamed.expect("a stream"), body[start..end], "{start}..{end} as a stream");
    }
    for at in [0, 50_000, 100_000, 200_000] {
        let bytes = store.get_range(&log(1), at..at).await.expect("no bytes");
        assert!(bytes.is_empty(), "an empty range is empty");
        let streamed = streamed(store, at..at).await.expect("no bytes");
        assert!(streamed.is_empty(), "an empty stream is empty");
    }
    for (start, end) in [(0, 100_001), (99_999, 100_001), (100_000, 100_001), (1 << 40, 1 << 41)] {
        let result = store.get_range(&log(1), start..end).await;
        assert_eq!(kind(result), Some(ErrorKind::Damaged), "beyond the end: {start}..{end}");
        let streamed = streamed(store, start..end).await;
        assert_eq!(kind(streamed), Some(ErrorKind::Damaged), "a stream beyond the end");
    }
    store.put(&log(2), Bytes::new()).await.expect("a put of nothing");
    let result = store.get_range(&log(2), 0..1).await;
    assert_eq!(kind(result), Some(ErrorKind::Damaged), "beyond the end of nothing");
}

/// A range of the first segment, read as a stream.
async fn streamed(store: &dyn Store, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
    let pieces = store.get_stream(&log(1), range).await?.try_collect::<Vec<Bytes>>().await?;
    Ok(pieces.concat())
}

async fn nothing_longer_than_the_limit_is_read(store: &dyn Store) {
    store.put(&log(1), body(1000, 1)).await.expect("a put");
    assert_eq!(store.get(&log(1), 1000).await.expect("within the limit").len(), 1000);
    assert_eq!(kind(store.get(&log(1), 999).await), Some(ErrorKind::Damaged), "over the limit");
    assert_eq!(kind(store.get(&log(1), 0).await), Some(ErrorKind::Damaged), "a limit of nothing");
}

async fn listings_are_in_order(store: &dyn Store) {
    for number in [0x300, 1, 0x2f, 0x10, u64::MAX] {
        store.put(&log(number), body(usize::from(number == 1), 0)).await.expect("a put");
    }
    let snapshot = Key::Snapshot(Txid::FIRST);
    store.put(&snapshot, Bytes::new()).await.expect("a put");
    store.put(&Key::Manifest, Bytes::new()).await.expect("a put");
    let expected =
        [1, 0x10, 0x2f, 0x300, u64::MAX].map(|number| (log(number), u64::from(number == 1)));
    let list = async |after: Option<Key>| {
        sizes(&store.list(KeyPrefix::Log, after.as_ref()).await.expect("a listing"))
    };
    assert_eq!(list(None).await, expected, "in order");
    assert_eq!(list(Some(log(0x10))).await, expected[2..], "after a name that is there");
    assert_eq!(list(Some(log(0x11))).await, expected[2..], "after a name that is not there");
    assert_eq!(list(Some(log(u64::MAX))).await, [], "after the last");
    let snapshots = store.list(KeyPrefix::Snapshot, None).await.expect("a listing");
    assert_eq!(sizes(&snapshots), [(snapshot, 0)], "of this directory alone");
}

async fn listings_go_on_after_a_thousand(store: &dyn Store) {
    const OBJECTS: u64 = 1005;
    let numbers: Vec<u64> = (1..=OBJECTS).collect();
    for some in numbers.chunks(50) {
        let puts = some.iter().map(|number| async move {
            store.put(&log(*number), Bytes::new()).await.expect("a put");
        });
        join_all(puts).await;
    }
    let keys = async |after: Option<Key>| {
        let objects = store.list(KeyPrefix::Log, after.as_ref()).await.expect("a listing");
        objects.into_iter().map(|object| object.key).collect::<Vec<Key>>()
    };
    let expected: Vec<Key> = numbers.iter().map(|number| log(*number)).collect();
    assert!(keys(None).await == expected, "beyond a thousand objects");
    assert!(keys(Some(log(2))).await == expected[2..], "beyond a thousand objects, after the 2nd");
}

async fn deleting_twice_is_well(store: &dyn Store) {
    store.put(&log(1), body(10, 0)).await.expect("a put");
    store.delete(&log(1)).await.expect("a removal");
    assert_eq!(store.size(&log(1)).await.expect("no error"), None, "it is gone");
    store.delete(&log(1)).await.expect("a removal of what is gone");
    store.delete(&log(2)).await.expect("a removal of what never was");
    store.put(&log(1), body(20, 0)).await.expect("the name is free again");
}

async fn many_are_deleted_and_no_others(store: &dyn Store) {
    assert!(store.delete_many(&[]).await.expect("nothing to delete").is_empty(), "none");
    let puts = (1..=1205).map(|number| async move {
        store.put(&log(number), Bytes::new()).await.expect("a put");
    });
    futures::stream::iter(puts).buffer_unordered(16).collect::<Vec<()>>().await;
    let most: Vec<Key> = (1..=1300).filter(|number| *number != 7).map(log).collect();
    let left = store.delete_many(&most).await.expect("a removal of many");
    assert!(left.is_empty(), "more than a thousand, of which some are not there: {left:?}");
    let objects = store.list(KeyPrefix::Log, None).await.expect("a listing");
    assert_eq!(sizes(&objects), [(log(7), 0)], "the one that was not named stays");
}

async fn an_age_is_told_by_the_stores_clock(store: &dyn Store) {
    let before = store.now().await.expect("a time");
    store.put(&log(1), Bytes::new()).await.expect("a put");
    let mut upload = store.upload(&log(2), 0).await.expect("an upload");
    upload.write(body(1000, 1)).await.expect("a piece");
    upload.finish().await.expect("the end of an upload");
    let after = store.now().await.expect("a time");
    assert!(before <= after, "it runs forwards: {before} to {after}");
    // A time may be cut off to the second, in one answer and not in another.
    let second = |time: Timestamp| time.as_micros().div_euclid(1_000_000);
    for object in store.list(KeyPrefix::Log, None).await.expect("a listing") {
        let modified = second(object.modified);
        assert!((second(before)..=second(after)).contains(&modified), "{object:?}");
    }
    assert_eq!(store.sweep().await.expect("a sweep"), 0, "asking leaves nothing");
}

async fn send(upload: &mut dyn Upload, body: &Bytes, piece: usize) -> Result<(), StoreError> {
    let mut rest = body.clone();
    while !rest.is_empty() {
        upload.write(rest.split_to(piece.min(rest.len()))).await?;
    }
    Ok(())
}

async fn uploads_of_all_sizes_arrive(store: &dyn Store) {
    const MIB: usize = 1 << 20;
    let sizes = [(0, 1), (1, 1), (100_000, 777), (8 * MIB, MIB), (20 * MIB + 5, 300_001)];
    for (number, (size, piece)) in (1..).zip(sizes) {
        let body = body(size, number);
        let mut upload = store.upload(&log(number), size as u64).await.expect("an upload");
        send(&mut *upload, &body, piece).await.expect("the pieces");
        upload.finish().await.expect("the end of an upload");
        assert_eq!(store.size(&log(number)).await.expect("its size"), Some(size as u64));
        assert!(read(store, log(number)).await == body, "an upload of {size} arrives");
    }
    let mut upload = store.upload(&log(100), 0).await.expect("an upload");
    let body = body(20 * MIB, 100);
    upload.write(body.clone()).await.expect("all in one piece, and more than expected");
    upload.write(Bytes::new()).await.expect("an empty piece");
    upload.finish().await.expect("the end of an upload");
    assert!(read(store, log(100)).await == body, "an upload in one piece arrives");
}

async fn an_upload_finds_its_name_taken(store: &dyn Store) {
    for (number, size) in [(1, 10), (2, 20 << 20)] {
        let mut upload = store.upload(&log(number), size as u64).await.expect("an upload");
        send(&mut *upload, &body(size, 1), 1 << 20).await.expect("the pieces");
        store.put(&log(number), Bytes::from_static(b"first")).await.expect("a put meanwhile");
        let result = upload.finish().await;
        assert_eq!(kind(result), Some(ErrorKind::Exists), "an upload of {size} finds it taken");
        assert_eq!(read(store, log(number)).await, "first", "what is there stays");
    }
}

async fn of_two_uploads_one_arrives(store: &dyn Store) {
    let bodies = [body(20 << 20, 1), body(20 << 20, 2)];
    let mut uploads = Vec::new();
    for body in &bodies {
        let mut upload = store.upload(&log(1), 0).await.expect("an upload");
        send(&mut *upload, body, 1 << 20).await.expect("the pieces");
        uploads.push(upload);
    }
    let mut results = Vec::new();
    for upload in uploads {
        results.push(upload.finish().await);
    }
    assert!(results[0].is_ok(), "the first of two uploads arrives: {results:?}");
    assert_eq!(kind(results.remove(1)), Some(ErrorKind::Exists), "the second finds it taken");
    assert!(read(store, log(1)).await == bodies[0], "what is there stays");
}

async fn an_upload_is_invisible_before_its_end(store: &dyn Store) {
    let mut upload = store.upload(&log(1), 0).await.expect("an upload");
    send(&mut *upload, &body(20 << 20, 1), 1 << 20).await.expect("the pieces");
    assert_eq!(store.size(&log(1)).await.expect("no error"), None, "no size before the end");
    assert_eq!(store.list(KeyPrefix::Log, None).await.expect("no error"), [], "not in a listing");
    upload.finish().await.expect("the end of an upload");
    assert_eq!(store.list(KeyPrefix::Log, None).await.expect("no error").len(), 1);
}

async fn what_is_given_up_leaves_nothing(store: &dyn Store) {
    for (number, size) in [(1, 10), (2, 20 << 20)] {
        for abort in [true, false] {
            let mut upload = store.upload(&log(number), size as u64).await.expect("an upload");
            send(&mut *upload, &body(size, 1), 1 << 20).await.expect("the pieces");
            if abort {
                upload.abort().await;
            } else {
                drop(upload);
            }
            assert_eq!(store.size(&log(number)).await.expect("no error"), None, "given up");
            assert_eq!(store.list(KeyPrefix::Log, None).await.expect("no error"), [], "given up");
        }
        store.put(&log(number), Bytes::new()).await.expect("the name is free");
        store.delete(&log(number)).await.expect("a removal");
    }
}

/// S21, S22: names in a bucket are not ours to choose.
async fn strange_names_are_passed_over(subject: &dyn Subject) {
    let store = subject.fresh().await;
    store.put(&log(7), Bytes::new()).await.expect("a put");
    for name in [
        "log/0000000000000001.seg.tmp",
        "log/1.seg",
        "log/0000000000000000.seg",
        "log/000000000000000G.seg",
        "log/with space+plus%25.seg",
        "log/\u{1}control",
        "log/.hidden",
        "log/deeper/0000000000000001.seg",
        "log-of-something-else/0000000000000001.seg",
        "snap/0000000000000001-0000000000000002.seg",
        "README",
    ] {
        if !subject.plant(&*store, name, Bytes::from_static(b"strange")).await {
            return;
        }
    }
    for directory in KeyPrefix::ALL {
        let objects = store.list(directory, None).await.expect("a listing");
        let keys: Vec<Key> = objects.into_iter().map(|object| object.key).collect();
        let expected = if directory == KeyPrefix::Log { vec![log(7)] } else { Vec::new() };
        assert_eq!(keys, expected, "strange names are passed over in {directory}");
    }
}

async fn probing_tells_and_leaves_nothing(subject: &dyn Subject) {
    let store = subject.fresh().await;
    store.put(&log(1), Bytes::new()).await.expect("a put");
    let conditional = store.probe().await.expect("a probe");
    assert_eq!(conditional, subject.conditional(), "probing tells");
    for directory in KeyPrefix::ALL {
        let objects = store.list(directory, None).await.expect("a listing");
        assert_eq!(
            objects.len(),
            usize::from(directory == KeyPrefix::Log),
            "probing leaves nothing"
        );
    }
    assert_eq!(store.sweep().await.expect("a sweep"), 0, "probing leaves no upload");
}
