//! Deltas stand in for the history that they cover, as long as an entry vouches for them; what is wrong with one is planned
//! around, or named.

use std::collections::BTreeSet;
use std::sync::Arc;

use ebbtide_catalog::{
    Notice, PlanError, Progress, Survey, Target, head, read_index, rebuild_table,
};
use ebbtide_replica::{
    Chain, Horizon, HorizonContents, HorizonObject, HorizonState, Key, Manifest, Timestamp, Txid,
    Written, page_hash,
};
use ebbtide_restore::{Error, restore, verify};
use ebbtide_state::{Origin, Position, State};
use ebbtide_store::{MemoryStore, Object, Store};
use ebbtide_testkit::faulty::{Call, Faulty};
use ebbtide_testkit::forger::{Forged, with_same_digest};
use ebbtide_testkit::{Random, for_each_seed};
use ebbtide_wal::PageNumber;

use crate::builder::{Builder, Form, SECOND, copy, micros, options, restored, txid};

/// One commit after the other, in segments of their own: each sets some pages, and now and then the database shrinks or
/// grows. A delta of the last six entries after every sixth, and one of the last eighteen in place of every third of
/// those, as hours and days have them. The greatest txid is 57.
async fn sample(form: Form, random: &mut Random) -> Builder {
    let mut builder = Builder::started_as(form, 512, 12).await;
    let (mut hour, mut day) = (3, 3);
    for number in 0..55_u64 {
        builder.wait(SECOND);
        let size = match random.below(6) {
            0 => 4 + index(random, 6),
            1 => 12 + index(random, 9),
            _ => builder.last().pages.len(),
        };
        let changes: Vec<(usize, u64)> =
            (0..random.below(4)).map(|_| (index(random, size), random.next() >> 32)).collect();
        builder.commit(&changes, size);
        builder.cut().await;
        let last = builder.last().txid.get();
        if number % 18 == 17 {
            builder.delta(day).await;
            (hour, day) = (last + 1, last + 1);
        } else if number % 6 == 5 {
            builder.delta(hour).await;
            hour = last + 1;
        }
    }
    builder
}

fn index(random: &mut Random, length: usize) -> usize {
    random.below(u32::try_from(length).unwrap()) as usize
}

/// Which objects a restore reads.
async fn touched(store: &MemoryStore, target: Target) -> BTreeSet<Key> {
    let faulty = Faulty::new(Arc::new(store.clone()));
    let directory = tempfile::tempdir().unwrap();
    let options = options(target, &directory.path().join("out.db"));
    restore(Arc::new(faulty.clone()), &options, &Arc::new(Progress::default())).await.unwrap();
    let key = |call: &Call| match call {
        Call::Get(key) | Call::GetRange(key, _) => Some(*key),
        _ => None,
    };
    faulty.calls().iter().filter_map(key).filter(|key| *key != Key::Manifest).collect()
}

/// The deltas in the plan for a state.
async fn planned(store: &MemoryStore, target: Target) -> Vec<Key> {
    let mut survey = Survey::recent(Arc::new(store.clone()), Arc::default()).await.unwrap();
    let plan = survey.plan(target, Timestamp::MAX).await.unwrap();
    plan.deltas.iter().map(|object| object.key).collect()
}

#[tokio::test]
async fn every_state_is_restored_with_deltas_and_the_newest_from_few_objects() {
    let builder = sample(Form::Plain, &mut Random::new(1)).await;
    for state in &builder.states[1..] {
        let (image, report) = restored(&builder.store, Target::Txid(state.txid)).await.unwrap();
        assert!(image == state.image(), "{}", state.txid);
        assert_eq!(report.outline.notices, [], "{}", state.txid);
    }
    let touched = touched(&builder.store, Target::Latest).await;
    let delta = |first, last| Key::Delta { first: txid(first), last: txid(last) };
    let path = [delta(3, 20), delta(21, 38), delta(39, 56), Key::Snapshot(txid(2))];
    // A segment may reach beyond the delta that ends where it begins.
    let expected = path.into_iter().chain([Key::Log(txid(56)), Key::Log(txid(57))]).collect();
    assert_eq!(touched, expected);
    let verified = verify(Arc::new(builder.store.clone()), &Arc::default()).await.unwrap();
    assert_eq!(verified.findings, []);
    assert_eq!(verified.restorable.len(), 1);
}

/// The log must lead to the delta's last entry, and one of the entries up to the state must vouch for it.
#[tokio::test]
async fn h26_a_delta_that_nothing_vouches_for_counts_for_nothing() {
    let mut builder = Builder::started(512, 4).await;
    for number in 0..5 {
        builder.commit(&[(0, number)], 4);
        builder.cut().await;
    }
    let key = builder.delta(3).await;
    // Made, and its maker was killed before an entry vouched for it.
    let (image, report) = restored(&builder.store, Target::Latest).await.unwrap();
    assert!(image == builder.last().image());
    assert_eq!(report.outline.notices, []);
    assert_eq!(planned(&builder.store, Target::Latest).await, []);
    builder.commit(&[(1, 1)], 4);
    builder.cut().await;
    assert_eq!(planned(&builder.store, Target::Latest).await, [key]);
    // Before the entry that vouches for it, the history serves.
    assert_eq!(planned(&builder.store, Target::Txid(txid(7))).await, []);
    // The end of the log is gone, the entry that the delta leads to with it.
    for gone in 7..=8 {
        builder.store.delete(&Key::Log(txid(gone))).await.unwrap();
    }
    let (image, report) = restored(&builder.store, Target::Latest).await.unwrap();
    assert!(image == builder.state(6).image());
    assert_eq!(report.outline.notices, []);
}

/// Other pages that add up to the same digest, in the name of a delta that an entry vouches for.
#[tokio::test]
async fn z01_a_delta_with_the_right_chain_and_digest_and_other_pages_is_not_restored() {
    const PAGES: usize = 200;
    let mut builder = Builder::started(512, PAGES).await;
    let changes: Vec<(usize, u64)> = (0..PAGES).map(|index| (index, 77)).collect();
    builder.commit(&changes, PAGES);
    builder.cut().await;
    let key = builder.delta(3).await;
    builder.commit(&[(1, 1)], PAGES);
    builder.cut().await;
    let mut forged = Forged::take_apart(&builder.body(key).await).unwrap();
    let mut pages: Vec<_> = forged.numbers().into_iter().zip(forged.images.clone()).collect();
    let mut image = pages[9].1.clone();
    image[..6].copy_from_slice(b"forged");
    with_same_digest(&mut pages, 9, image);
    forged.images = pages.into_iter().map(|(_, image)| image).collect();
    forged.list_hashes();
    forged.state_contents();
    builder.replace(key, forged.put_together()).await;
    let (image, report) = restored(&builder.store, Target::Latest).await.unwrap();
    assert!(image == builder.last().image());
    let [Notice::PlannedAround { key: around, .. }] = report.outline.notices[..] else {
        panic!("{:?}", report.outline.notices)
    };
    assert_eq!(around, key);
    let verified = verify(Arc::new(builder.store.clone()), &Arc::default()).await.unwrap();
    assert!(verified.findings.iter().any(|finding| finding.key == key), "{:?}", verified.findings);
    builder.store.delete(&Key::Log(txid(3))).await.unwrap();
    let error = restored(&builder.store, Target::Latest).await.unwrap_err();
    assert!(error.to_string().contains(&key.to_string()), "{error}");
}

/// A page that changed and is not in the delta, with all else as it should be: a restore refuses, and `verify` says which
/// object is wrong.
#[tokio::test]
async fn a_delta_that_lacks_a_page_is_found() {
    let mut builder = Builder::started(512, 6).await;
    for number in 0..4 {
        builder.commit(&[(number, 9)], 6);
        builder.cut().await;
    }
    builder.delta(3).await;
    let (_, short, _) = builder.delta_of(4, 6);
    let mut forged = Forged::take_apart(&short).unwrap();
    forged.header.contents = ebbtide_replica::container::Contents::Delta { first: txid(3) };
    let key = Key::Delta { first: txid(3), last: txid(6) };
    builder.replace(key, forged.put_together()).await;
    builder.commit(&[(5, 5)], 6);
    builder.cut().await;
    let verified = verify(Arc::new(builder.store.clone()), &Arc::default()).await.unwrap();
    assert!(verified.findings.iter().any(|finding| finding.key == key), "{:?}", verified.findings);
    let (image, _) = restored(&builder.store, Target::Latest).await.unwrap();
    assert!(image == builder.last().image());
}

/// What is done to an object.
async fn harm(store: &MemoryStore, key: Key, random: &mut Random) {
    let mut body = store.get(&key, u64::MAX).await.unwrap().to_vec();
    store.delete(&key).await.unwrap();
    if random.below(2) == 0 {
        let at = index(random, body.len());
        body[at] ^= 1 << random.below(8);
        store.put(&key, body.into()).await.unwrap();
    }
}

/// Whether an object has entries that another one has, too, judging by their names.
fn touches(key: Key, harmed: &Key) -> bool {
    let span = |key: Key| match key {
        Key::Log(first) => Some((first, first)),
        Key::Pack { first, last } | Key::Delta { first, last } => Some((first, last)),
        Key::Snapshot(txid) => Some((txid, txid)),
        _ => None,
    };
    span(key).zip(span(*harmed)).is_some_and(|(one, other)| one.0 <= other.1 && other.0 <= one.1)
}

/// Whatever is damaged or missing, each state is restored as it was or refused by the name of something that was harmed,
/// or that lies where it was; and it is not refused where a way is left. The same for the table of page hashes.
#[test]
fn h29_any_objects_missing_or_damaged_are_planned_around_or_named() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut exact, mut refused, mut filled) = (0, 0, 0);
    for_each_seed(60, |seed| {
        runtime.block_on(async {
            let mut random = Random::new(seed);
            let form = Form::ALL[usize::from(seed % 2 == 1)];
            let builder = sample(form, &mut random).await;
            for (first, last) in [(3, 15), (16, 31), (32, 50)] {
                if random.below(2) == 0 {
                    builder.pack(first, last).await;
                }
            }
            let store = copy(&builder.store).await;
            let mut harmed = Vec::new();
            let share = 1 + random.below(12);
            for key in builder.objects().await {
                // Both ends of the history stay, so that there is one truth about them.
                let is_end = matches!(key, Key::Log(first) if [1, 57].contains(&first.get()));
                let is_base = key == Key::Snapshot(txid(2)) && random.below(4) > 0;
                if !is_end && !is_base && random.below(20) < share {
                    harm(&store, key, &mut random).await;
                    harmed.push(key);
                }
            }
            let any = [3 + random.below(54), 3 + random.below(54)].map(u64::from);
            for number in any.into_iter().chain([2, 57]) {
                let state = builder.state(number);
                match restored(&store, Target::Txid(state.txid)).await {
                    Ok((image, report)) => {
                        assert!(image == state.image(), "{harmed:?}: {number} is wrong");
                        for notice in &report.outline.notices {
                            let Notice::PlannedAround { key, .. } = notice else { continue };
                            assert!(harmed.contains(key), "{harmed:?}: {key} is blamed");
                        }
                        exact += 1;
                    }
                    Err(Error::Plan(PlanError::Damaged { culprits, .. })) => {
                        let named = culprits.iter().any(|culprit| {
                            harmed.iter().any(|harmed| touches(culprit.key, harmed))
                        });
                        assert!(named, "{harmed:?}: {number} blames {culprits:?}");
                        // Of the first state the log itself has to tell.
                        let has_way = number > 2 && has_way(&harmed, &builder, number).await;
                        assert!(!has_way, "{harmed:?}: {number}");
                        refused += 1;
                    }
                    Err(error) => panic!("{harmed:?}: {number}: {error}"),
                }
            }
            filled += usize::from(fills_the_table(&builder, &store, &harmed).await);
        });
    });
    let all = std::env::var_os("EBBTIDE_SEED").is_none();
    assert!(!all || (exact > 50 && refused > 20), "{exact} exact, {refused} refused");
    assert!(!all || filled > 5, "{filled} filled");
}

/// Whether the state after `number` has a way from the snapshot over objects that were not harmed: deltas for which an
/// entry vouches from which the history leads on, and then the history.
async fn has_way(harmed: &[Key], builder: &Builder, number: u64) -> bool {
    let sound = |key: &Key| !harmed.contains(key);
    let objects: Vec<Key> = builder.objects().await.into_iter().filter(sound).collect();
    let has = |number: u64| {
        objects.iter().any(|&key| match key {
            Key::Log(first) => first == txid(number),
            Key::Pack { first, last } => first <= txid(number) && txid(number) <= last,
            _ => false,
        })
    };
    let oldest = (1..=number).rev().take_while(|&number| has(number)).last().unwrap_or(number + 1);
    let vouches = |key: &Key| {
        let names = |number: u64| {
            String::from_utf8_lossy(&builder.state(number).detail).contains(&key.to_string())
        };
        (oldest..=number).any(names) || *key == Key::Snapshot(txid(2)) && oldest <= 2
    };
    let vouched: Vec<Key> = objects.iter().copied().filter(vouches).collect();
    if !objects.contains(&Key::Snapshot(txid(2))) {
        return false;
    }
    if oldest <= 3 {
        return true;
    }
    let mut reached = txid(2);
    let step = |key: &Key, reached: Txid| match *key {
        Key::Delta { first, last } if first <= reached.next() => Some(last),
        _ => None,
    };
    while let Some(next) = vouched.iter().filter_map(|key| step(key, reached)).max()
        && next > reached
    {
        reached = next;
    }
    vouched.contains(&Key::Snapshot(txid(2))) && reached.next() >= txid(oldest)
}

/// As a start does that has lost its local state: the table is right, or it is not filled. Says whether it is.
async fn fills_the_table(builder: &Builder, store: &MemoryStore, harmed: &[Key]) -> bool {
    let Some(end) = head(store, &builder.manifest).await.unwrap() else { return false };
    let directory = tempfile::tempdir().unwrap();
    let fill = State::create(directory.path()).unwrap();
    let filled = rebuild_table(store, &builder.manifest, &end, &fill).await;
    let Err(error) = filled else {
        let position = Position {
            replica: builder.manifest.replica,
            location: store.describe(),
            page_size: builder.manifest.page_size,
            state: end.state,
            wal: None,
            database: None,
            origin: Origin::Followed,
        };
        let state = State::publish(fill, position).unwrap();
        for (number, image) in (1..).zip(&builder.last().pages) {
            let page = PageNumber::new(number).unwrap();
            assert_eq!(state.page(page).unwrap(), page_hash(page, image), "{harmed:?}");
        }
        return true;
    };
    assert!(error.is_about_object() && !harmed.is_empty(), "{harmed:?}: {error}");
    false
}

/// What a horizon says of the state after `number`, which `path` leads to.
fn kept(builder: &Builder, number: u64, path: &[u32]) -> HorizonState {
    let state = builder.state(number);
    HorizonState {
        txid: state.txid,
        time: state.time,
        until: builder.state(number + 1).time,
        pages: u32::try_from(state.pages.len()).unwrap(),
        digest: state.digest.to_string(),
        chain: state.chain.to_string(),
        why: vec!["hourly".to_owned()],
        path: path.to_vec(),
    }
}

async fn named(store: &MemoryStore, manifest: &Manifest, key: Key) -> HorizonObject {
    let size = store.size(&key).await.unwrap().unwrap();
    let index = read_index(store, manifest, Object::new(key, size)).await.unwrap().index;
    HorizonObject::new(key, size, &index.footer().root)
}

/// The log before the window is gone, and of its states those are there that a snapshot and deltas give which the horizon
/// names.
#[tokio::test]
async fn states_before_the_window_are_restored_from_what_the_horizon_names() {
    let builder = sample(Form::Plain, &mut Random::new(3)).await;
    let store = builder.store.clone();
    let delta = |first, last| Key::Delta { first: txid(first), last: txid(last) };
    let keys = [Key::Snapshot(txid(2)), delta(3, 20), delta(21, 38), delta(3, 8), delta(9, 14)];
    let mut objects = Vec::new();
    for key in keys {
        objects.push(named(&store, &builder.manifest, key).await);
    }
    let states = [(2, &[0][..]), (8, &[0, 3]), (14, &[0, 3, 4]), (20, &[0, 1]), (38, &[0, 1, 2])];
    let horizon = Horizon {
        replica: builder.manifest.replica,
        page_size: builder.manifest.page_size,
        number: 1,
        window: txid(39),
        before: builder.state(38).chain,
        head: builder.last().txid,
        chain: builder.last().chain,
        digest: builder.last().digest,
        contents: HorizonContents {
            number: 1,
            previous: None,
            written: Written { time: micros(builder.micros), by: "a test".to_owned() },
            keep: None,
            freed: Some(txid(38)),
            states: states.iter().map(|(number, path)| kept(&builder, *number, path)).collect(),
            objects,
            condemned: Vec::new(),
            held: Vec::new(),
        },
    };
    store.put(&Key::Horizon(1), horizon.encode().unwrap().into()).await.unwrap();
    for number in 1..=38 {
        store.delete(&Key::Log(txid(number))).await.unwrap();
    }
    for number in 2..=57 {
        let result = restored(&store, Target::Txid(txid(number))).await;
        if number >= 38 || states.iter().any(|(kept, _)| *kept == number) {
            let (image, report) = result.unwrap();
            assert!(image == builder.state(number).image(), "{number}");
            assert_eq!(report.outline.notices, [], "{number}");
        } else {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Plan(PlanError::Nothing(_))), "{number}: {error}");
        }
    }
    // Another object in the place of a delta that is named: of one state the way is lost, another has none over it.
    let (key, other, _) = builder.delta_of(9, 14);
    let mut forged = Forged::take_apart(&other).unwrap();
    forged.entries[0].time = Timestamp::EPOCH;
    forged.chain = Some(Chain::from_bytes([7; 32]));
    store.delete(&key).await.unwrap();
    store.put(&key, forged.put_together().into()).await.unwrap();
    let error = restored(&store, Target::Txid(txid(14))).await.unwrap_err();
    assert!(error.to_string().contains(&key.to_string()), "{error}");
    let (image, _) = restored(&store, Target::Txid(txid(20))).await.unwrap();
    assert!(image == builder.state(20).image());
    let gone = delta(3, 20);
    store.delete(&gone).await.unwrap();
    for number in [20, 38, 57] {
        let error = restored(&store, Target::Txid(txid(number))).await.unwrap_err();
        assert!(error.to_string().contains(&gone.to_string()), "{number}: {error}");
    }
}
