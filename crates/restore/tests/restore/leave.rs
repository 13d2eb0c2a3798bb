//! What a restore leaves for `replicate`.

use ebbtide_catalog::Target;
use ebbtide_catalog::{PlanError, head, rebuild_table};
use ebbtide_replica::page_hash;
use ebbtide_restore::{Error, Options};
use ebbtide_state::{FileIdentity, Origin, Position, State, state_directory};
use ebbtide_store::Store as _;
use ebbtide_wal::PageNumber;
use proptest::prelude::*;

use crate::builder::{Builder, Form, options, restore_with, txid, with_state};
use crate::exact::{build, steps};

async fn sample() -> Builder {
    let mut builder = Builder::started(512, 5).await;
    for number in 0..6_usize {
        builder.commit(&[(number % 5, number as u64)], 5 + number % 2);
        builder.cut().await;
    }
    builder
}

#[tokio::test]
async fn the_state_is_that_of_the_restored_database() {
    let builder = sample().await;
    for number in 2..=builder.last().txid.get() {
        let directory = tempfile::tempdir().unwrap();
        let output = directory.path().join("app.db");
        let options = with_state(options(Target::Txid(txid(number)), &output));
        restore_with(&builder.store, &options).await.unwrap();
        let state = State::open(&state_directory(&output)).unwrap().unwrap();
        assert!(state.verify().unwrap());
        let (expected, position) = (builder.state(number), state.position());
        assert_eq!(
            (position.state.txid(), position.state.chain, position.state.digest),
            (expected.txid, expected.chain, expected.digest)
        );
        assert_eq!(position.origin, Origin::Restored { head: builder.last().txid });
        assert_eq!(position.database, Some(FileIdentity::of(&output.metadata().unwrap())));
        assert_eq!(position.wal, None);
        assert_eq!(position.location, "memory");
        for (number, image) in (1..).zip(&expected.pages) {
            let page = PageNumber::new(number).unwrap();
            assert_eq!(state.page(page).unwrap(), page_hash(page, image));
        }
    }
}

/// A forced restore replaces the state too; one that fails leaves the old one.
#[tokio::test]
async fn an_older_state_stays_until_the_restore_succeeded() {
    let builder = sample().await;
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("app.db");
    let first = with_state(options(Target::Txid(txid(3)), &output));
    restore_with(&builder.store, &first).await.unwrap();
    let position =
        || State::open(&state_directory(&output)).unwrap().unwrap().position().state.txid();
    let again = with_state(Options { force: true, ..options(Target::Latest, &output) });
    // Damage that shows only when pages are decoded.
    let key = ebbtide_replica::Key::Log(builder.last().txid);
    let sound = builder.body(key).await;
    let mut body = sound.clone();
    body[130] ^= 1;
    builder.replace(key, body).await;
    assert!(matches!(
        restore_with(&builder.store, &again).await,
        Err(Error::Plan(PlanError::Damaged { .. }))
    ));
    assert_eq!(position(), txid(3));
    builder.replace(key, sound).await;
    restore_with(&builder.store, &again).await.unwrap();
    assert_eq!(position(), builder.last().txid);
}

#[tokio::test]
async fn a_failed_restore_leaves_no_state() {
    let builder = sample().await;
    let key = ebbtide_replica::Key::Log(builder.last().txid);
    let mut body = builder.body(key).await;
    body[130] ^= 1;
    builder.replace(key, body).await;
    let directory = tempfile::tempdir().unwrap();
    let options = with_state(options(Target::Latest, &directory.path().join("app.db")));
    restore_with(&builder.store, &options).await.unwrap_err();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_target_that_is_being_replicated_is_refused() {
    let builder = sample().await;
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("app.db");
    let options = with_state(Options { force: true, ..options(Target::Latest, &output) });
    restore_with(&builder.store, &options).await.unwrap();
    let held = State::open(&state_directory(&output)).unwrap().unwrap();
    let error = restore_with(&builder.store, &options).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { .. }) && error.to_string().contains("replicating"),
        "{error}"
    );
    drop(held);
    restore_with(&builder.store, &options).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The table of page hashes comes out the same from hashes alone as from pages.
    #[test]
    fn a_lost_table_is_rebuilt_from_hashes(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let builder = build(Form::Plain, 512, &steps).await;
            let head = head(&builder.store, &builder.manifest).await.unwrap().unwrap();
            let last = builder.last();
            assert_eq!((head.state.txid(), head.state.chain), (last.txid, last.chain));
            let directory = tempfile::tempdir().unwrap();
            let fill = State::create(directory.path()).unwrap();
            rebuild_table(&builder.store, &builder.manifest, &head, &fill).await.unwrap();
            let position = Position {
                replica: builder.manifest.replica,
                location: builder.store.describe(),
                page_size: builder.manifest.page_size,
                state: head.state,
                wal: None,
                database: None,
                origin: Origin::Followed,
            };
            let state = State::publish(fill, position).unwrap();
            for (number, image) in (1..).zip(&last.pages) {
                let page = PageNumber::new(number).unwrap();
                assert_eq!(state.page(page).unwrap(), page_hash(page, image));
            }
        });
    }
}
