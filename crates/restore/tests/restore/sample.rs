//! Samples: what a day reads, and what it finds.

use std::collections::BTreeMap;
use std::sync::Arc;

use ebbtide_catalog::Progress;
use ebbtide_replica::{EntryKind, Key};
use ebbtide_restore::{Sample, Sampled, Severity, sample};
use ebbtide_store::MemoryStore;

use ebbtide_testkit::Random;

use crate::builder::{Builder, Carry, txid};

const TODAY: u64 = 20_785;

async fn sampled(store: &MemoryStore, share: &str, day: u64) -> Sampled {
    let sample_of_day = Sample { share: share.parse().unwrap(), day };
    let progress = Arc::new(Progress::default());
    sample(Arc::new(store.clone()), sample_of_day, &progress).await.unwrap()
}

async fn replica() -> Builder {
    let mut builder = Builder::started(512, 6).await;
    for number in 0..60_usize {
        builder.commit(&[(number % 6, number as u64)], 6);
        builder.cut().await;
        if number == 30 {
            builder.snapshot().await;
        }
    }
    builder.pack(4, 20).await;
    builder
}

/// On which day each slice of each object is read, of so many days.
async fn days_of(store: &MemoryStore, share: &str, days: u64) -> BTreeMap<(Key, u64), u64> {
    let mut read = BTreeMap::new();
    for day in TODAY..TODAY + days {
        let sampled = sampled(store, share, day).await;
        assert_eq!(sampled.findings, []);
        for object in sampled.read {
            for slice in object.slices {
                let before = read.insert((object.key, slice), day);
                assert_eq!(before, None, "{} is read twice", object.key);
            }
        }
    }
    read
}

#[tokio::test]
async fn thirty_samples_of_a_thirtieth_read_every_object_once_and_find_its_damage_on_its_day() {
    let builder = replica().await;
    let objects = builder.objects().await;
    let read = days_of(&builder.store, "1/30", 30).await;
    assert_eq!(read.len(), objects.len());
    let busiest = (TODAY..TODAY + 30).map(|day| read.values().filter(|on| **on == day).count());
    assert!(busiest.max().unwrap() < objects.len() / 4, "a day reads about its share");
    for key in
        [Key::Snapshot(txid(2)), Key::Log(txid(40)), Key::Pack { first: txid(4), last: txid(20) }]
    {
        let sound = builder.body(key).await;
        let mut body = sound.clone();
        let middle = body.len() / 2;
        body[middle] ^= 1;
        builder.replace(key, body).await;
        let day = read[&(key, 0)];
        let found = sampled(&builder.store, "1/30", day).await;
        let [finding] = &found.findings[..] else { panic!("{key}: {:?}", found.findings) };
        assert_eq!((finding.key, finding.severity), (key, Severity::Damage));
        builder.replace(key, sound).await;
    }
}

/// A damaged page is found on the day of its slice, and on no other.
#[tokio::test]
async fn a_large_object_is_read_in_slices_on_several_days() {
    let mut builder = Builder::started(65_536, 1).await;
    let mut random = Random::new(7);
    let mut page = || (0..65_536 / 8).flat_map(|_| random.next().to_le_bytes()).collect();
    let pages: Vec<Vec<u8>> = (0..300).map(|_| page()).collect();
    builder.enter(EntryKind::Commit, pages, Carry::Changes, b"");
    builder.cut().await;
    builder.snapshot().await;
    builder.claim();
    builder.cut().await;
    let key = Key::Snapshot(txid(3));
    let read = days_of(&builder.store, "10%", 10).await;
    let slices: Vec<u64> =
        read.keys().filter(|(of, _)| *of == key).map(|(_, slice)| *slice).collect();
    assert_eq!(slices, [0, 1]);
    let mut body = builder.body(key).await;
    let at = (16 << 20) + 1_000_000;
    body[at] ^= 1;
    builder.replace(key, body).await;
    for day in TODAY..TODAY + 10 {
        let found = sampled(&builder.store, "10%", day).await;
        assert_eq!(found.is_sound(), read[&(key, 1)] != day, "{:?}", found.findings);
    }
}
