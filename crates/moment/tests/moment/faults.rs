//! Objects that go away or are damaged while a moment is read: it is served all the same, or there is an error with the
//! object's name, and never another page.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ebbtide_moment::{Error, Proof, Target};
use ebbtide_replica::Key;
use ebbtide_store::{ErrorKind, Store as _};
use ebbtide_testkit::builder::{Builder, Form, txid};
use ebbtide_testkit::faulty::{Call, Faulty, Outcome};
use ebbtide_testkit::forger::Forged;
use ebbtide_wal::PageNumber;

use crate::scene::{copy, forgetful, image, moment, now, sample, sample_as};

#[tokio::test(flavor = "multi_thread")]
async fn every_state_is_served_page_by_page() {
    for form in Form::ALL {
        let builder = sample_as(form).await;
        for state in &builder.states[1..] {
            for proof in [Proof::Block, Proof::Page] {
                let number = state.txid.get();
                let moment = moment(Arc::new(builder.store.clone()), number, proof).await.unwrap();
                assert_eq!(image(&moment).await.unwrap(), state.image(), "{number} with {proof:?}");
                let beyond = PageNumber::new(moment.pages() + 1).unwrap();
                let error = moment.page(beyond).await.unwrap_err();
                assert!(matches!(error, Error::NoPage { .. }), "{error}");
            }
        }
    }
}

/// After so many reads the segments of a pack are deleted, as retention does, or a pack or delta whose entries are
/// elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn t02_what_goes_away_while_it_is_read_is_planned_around() {
    let builder = sample().await;
    let mut replaced = 0;
    for reads in (0..120).step_by(7) {
        for gone in ["log", "pack", "delta"] {
            let store = copy(&builder.store);
            let keys = builder.objects().await;
            let doomed = keys.into_iter().filter(|key| match key {
                Key::Log(first) => gone == "log" && (3..=12).contains(&first.get()),
                Key::Pack { .. } => gone == "pack",
                Key::Delta { .. } => gone == "delta",
                _ => false,
            });
            let doomed: Vec<Key> = doomed.collect();
            let faulty = Faulty::new(Arc::new(store.clone()));
            let moment = moment(Arc::new(faulty.clone()), 26, Proof::Page).await.unwrap();
            let before = moment.replica().traffic().requests;
            let mut image = Vec::new();
            for (number, page) in (1..=moment.pages()).filter_map(PageNumber::new).enumerate() {
                if number == reads {
                    for key in &doomed {
                        store.delete(key).await.unwrap();
                    }
                }
                image.extend_from_slice(&moment.page(page).await.unwrap());
            }
            assert_eq!(image, builder.state(26).image(), "{gone} went after {reads}");
            replaced += usize::from(moment.replica().traffic().requests > before);
        }
    }
    assert!(replaced > 0);
}

/// Whatever is not needed twice ends with the name of what is gone.
#[tokio::test(flavor = "multi_thread")]
async fn t02_what_nothing_serves_for_is_named() {
    let builder = sample().await;
    let store = copy(&builder.store);
    let moment = moment(Arc::new(store.clone()), 26, Proof::Block).await.unwrap();
    store.delete(&Key::Snapshot(txid(2))).await.unwrap();
    let error = image(&moment).await.unwrap_err();
    assert!(
        error.is_damage() && error.to_string().contains("snap/0000000000000002.seg"),
        "{error}"
    );
}

/// Each byte of each object is changed, for good: what is served is right, or nothing is.
#[tokio::test(flavor = "multi_thread")]
async fn t03_no_changed_byte_is_ever_served() {
    for form in Form::ALL {
        no_changed_byte_is_served(&sample_as(form).await).await;
    }
}

async fn no_changed_byte_is_served(builder: &Builder) {
    let mut named = 0;
    for key in builder.objects().await {
        let body = builder.body(key).await;
        for at in (0..body.len()).step_by(body.len() / 23 + 1) {
            let store = copy(&builder.store);
            let mut changed = body.clone();
            changed[at] ^= 1 << (at % 8);
            store.delete(&key).await.unwrap();
            store.put(&key, changed.into()).await.unwrap();
            for proof in [Proof::Block, Proof::Page] {
                let read = match moment(Arc::new(store.clone()), 26, proof).await {
                    Ok(moment) => image(&moment).await,
                    Err(error) => Err(error),
                };
                match read {
                    Ok(image) => assert!(image == builder.state(26).image(), "{key} at {at}"),
                    Err(error) => {
                        let is_named =
                            error.is_damage() && error.to_string().contains(&key.to_string());
                        assert!(is_named, "{key} at {at}: {error}");
                        named += 1;
                    }
                }
            }
        }
    }
    assert!(named > 0, "nothing was beyond help");
}

/// Damage on the way is gone when the same bytes are asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn t03_damage_on_the_way_is_asked_for_again() {
    let builder = sample().await;
    for outcome in [Outcome::Flip(700), Outcome::Truncate(9)] {
        let faulty = Faulty::new(Arc::new(builder.store.clone()));
        let moment = moment(Arc::new(faulty.clone()), 26, Proof::Block).await.unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let spoiled = Arc::clone(&asked);
        faulty.script(move |call| {
            let is_read = matches!(call, Call::GetRange(..));
            let is_turn = is_read && spoiled.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
            is_turn.then(|| outcome.clone())
        });
        assert_eq!(image(&moment).await.unwrap(), builder.state(26).image());
        assert!(asked.load(Ordering::Relaxed) > 2, "something was spoiled");
    }
}

/// A store that fails is told as such, and the moment goes on once it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_is_no_damage() {
    let builder = sample().await;
    let faulty = Faulty::new(Arc::new(builder.store.clone()));
    let moment = moment(Arc::new(faulty.clone()), 26, Proof::Block).await.unwrap();
    faulty.script(|_| Some(Outcome::Fail(ErrorKind::Denied)));
    let error = image(&moment).await.unwrap_err();
    assert!(matches!(error, Error::Store(_)) && !error.is_damage(), "{error}");
    faulty.heal();
    assert_eq!(image(&moment).await.unwrap(), builder.state(26).image());
}

/// A snapshot with another page, every checksum made to fit and the list of hashes as it was: sound blocks are all that the
/// lower level knows of, and the higher one refuses.
#[tokio::test(flavor = "multi_thread")]
async fn t04_a_forged_page_passes_as_a_sound_block_and_not_by_its_hash() {
    let builder = sample().await;
    let store = copy(&builder.store);
    let key = Key::Snapshot(txid(2));
    let mut forged = Forged::take_apart(&builder.body(key).await).unwrap();
    forged.images[17][..6].copy_from_slice(b"forged");
    store.delete(&key).await.unwrap();
    store.put(&key, forged.put_together().into()).await.unwrap();
    let page = PageNumber::new(18).unwrap();
    let lower = moment(Arc::new(store.clone()), 2, Proof::Block).await.unwrap();
    assert!(lower.page(page).await.unwrap().starts_with(b"forged"));
    let higher = moment(Arc::new(store.clone()), 2, Proof::Page).await.unwrap();
    let error = higher.page(page).await.unwrap_err();
    assert!(
        error.is_damage() && error.to_string().contains("snap/0000000000000002.seg"),
        "{error}"
    );
    // With a list of hashes that fits the page there is no moment at all.
    forged.list_hashes();
    store.delete(&key).await.unwrap();
    store.put(&key, forged.put_together().into()).await.unwrap();
    let error = moment(Arc::new(store), 2, Proof::Page).await.unwrap_err();
    assert!(
        error.is_damage() && error.to_string().contains("snap/0000000000000002.seg"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_not_the_one_that_was_expected_is_refused() {
    let builder = sample().await;
    let anchor = |chain| Some(ebbtide_moment::Anchor { chain, txid: Some(txid(20)) });
    let open = |expect| {
        let options = ebbtide_moment::Options { expect, ..ebbtide_moment::Options::default() };
        ebbtide_moment::Replica::open(Arc::new(builder.store.clone()), options)
    };
    let sound = open(anchor(builder.state(20).chain)).await.unwrap();
    sound.at(Target::Latest, now(), Proof::Block).await.unwrap();
    let other = open(anchor(builder.state(19).chain)).await.unwrap();
    let error = other.at(Target::Latest, now(), Proof::Block).await.unwrap_err();
    assert!(error.is_damage(), "{error}");
    let nothing = forgetful(Arc::new(ebbtide_store::MemoryStore::new())).await.unwrap_err();
    assert!(nothing.to_string().contains("no replica"), "{nothing}");
}
