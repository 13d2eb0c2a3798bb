//! Whatever the history: each of its states comes out byte for byte.

use ebbtide_catalog::{Nothing, Notice, PlanError, Target};
use ebbtide_replica::{EntryKind, Point, Txid};
use ebbtide_restore::Error;
use ebbtide_store::Store as _;
use proptest::prelude::*;

use crate::builder::{Builder, Carry, Form, restored, txid};

/// A step of a random history.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Commit { changes: Vec<(usize, u64)>, size: usize },
    Claim,
    Resync { pages: usize, carry: Carry },
    Snapshot,
    Cut,
    Wait(i64),
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let changes = proptest::collection::vec((0..40usize, 0..1000u64), 0..12);
    let commit = (changes, 0..40usize).prop_map(|(changes, size)| Step::Commit { changes, size });
    let carry = prop_oneof![Just(Carry::Changes), Just(Carry::All), Just(Carry::InSnapshot)];
    let step = prop_oneof![
        8 => commit,
        1 => Just(Step::Claim),
        1 => (0..40usize, carry).prop_map(|(pages, carry)| Step::Resync { pages, carry }),
        2 => Just(Step::Snapshot),
        4 => Just(Step::Cut),
        3 => (0..3i64).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..40)
}

pub(crate) fn forms() -> impl Strategy<Value = Form> {
    prop_oneof![Just(Form::Plain), Just(Form::Encrypted)]
}

/// The replica with this history after its beginning.
pub(crate) async fn build(form: Form, page_size: u32, steps: &[Step]) -> Builder {
    let mut builder = Builder::started_as(form, page_size, 10).await;
    for step in steps {
        match step {
            Step::Commit { changes, size } => builder.commit(changes, *size),
            Step::Claim => builder.claim(),
            Step::Resync { pages, carry } => {
                let seed = builder.states.len() as u64 * 1000;
                let images =
                    (0..*pages).map(|index| builder.page_of(seed + index as u64)).collect();
                builder.enter(EntryKind::Resync, images, *carry, b"{}");
                if *carry == Carry::InSnapshot {
                    builder.snapshot().await;
                }
            }
            Step::Snapshot => builder.snapshot().await,
            Step::Cut => builder.cut().await,
            Step::Wait(micros) => builder.wait(*micros),
        }
    }
    builder.cut().await;
    builder
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// The promise of the project. Catches a page that is taken from the wrong entry, pages that come back after the
    /// database shrank, and snapshots that are used for a state they are not of.
    #[test]
    fn every_state_is_restored_byte_for_byte(
        steps in steps(),
        size in prop_oneof![Just(512), Just(4096)],
        form in forms(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let builder = build(form, size, &steps).await;
            for state in &builder.states[1..] {
                let (image, report) = restored(&builder.store, Target::Txid(state.txid)).await.unwrap();
                assert!(image == state.image(), "txid {}", state.txid);
                assert_eq!(report.outline.point.state.digest, state.digest);
                assert_eq!(report.outline.point.state.chain, state.chain);
                assert_eq!(report.outline.head, builder.last().txid);
                assert_eq!(report.outline.notices, []);
            }
            let (image, report) = restored(&builder.store, Target::Latest).await.unwrap();
            assert!(image == builder.last().image());
            assert_eq!(report.outline.point.state.txid(), builder.last().txid);
        });
    }
}

#[tokio::test]
async fn what_never_was_is_refused() {
    let mut builder = Builder::started(512, 3).await;
    builder.commit(&[(1, 1)], 3);
    builder.cut().await;
    let error = restored(&builder.store, Target::Txid(txid(4))).await.unwrap_err();
    assert!(
        matches!(error, Error::Plan(PlanError::Nothing(Nothing::Beyond { head, .. })) if head == txid(3)),
        "{error}"
    );
    let error = restored(&builder.store, Target::Txid(Txid::FIRST)).await.unwrap_err();
    let Error::Plan(PlanError::Nothing(Nothing::Before { first: Some(Point { txid: first, .. }) })) =
        error
    else {
        panic!("{error}")
    };
    assert_eq!(first, txid(2));
}

#[tokio::test]
async fn a_replica_without_states_and_no_replica_at_all_have_nothing() {
    let mut builder = Builder::new(512).await;
    let error = restored(&builder.store, Target::Latest).await.unwrap_err();
    assert!(matches!(error, Error::Plan(PlanError::Nothing(Nothing::State { .. }))), "{error}");
    builder.claim();
    builder.cut().await;
    let error = restored(&builder.store, Target::Latest).await.unwrap_err();
    assert!(matches!(error, Error::Plan(PlanError::Nothing(Nothing::State { .. }))), "{error}");
    let error = restored(&Default::default(), Target::Latest).await.unwrap_err();
    assert!(matches!(error, Error::Plan(PlanError::Nothing(Nothing::Replica { .. }))), "{error}");
}

/// A crash between the first snapshot and the entry that vouches for it leaves a snapshot that nothing leads to.
#[tokio::test]
async fn a_snapshot_that_the_log_does_not_lead_to_is_not_used() {
    let mut builder = Builder::started(512, 3).await;
    builder.commit(&[(0, 1)], 4);
    builder.commit(&[(1, 1)], 4);
    builder.cut().await;
    // A sound snapshot of another history, under the same txid.
    let mut other = Builder::started(512, 3).await;
    other.commit(&[(2, 9)], 5);
    let body = other.snapshot_of(other.last());
    builder.replace(ebbtide_replica::Key::Snapshot(txid(3)), body.to_vec()).await;
    for state in &builder.states[2..] {
        let (image, report) = restored(&builder.store, Target::Txid(state.txid)).await.unwrap();
        assert!(image == state.image());
        assert!(matches!(report.outline.notices[..], [Notice::PlannedAround { .. }]));
    }
}

#[tokio::test]
async fn packs_serve_where_segments_are_gone() {
    let mut builder = Builder::started(512, 8).await;
    for number in 0..12 {
        builder.commit(&[(number % 8, number as u64), (7, number as u64)], 8 - number % 3);
        builder.cut().await;
    }
    builder.pack(4, 9).await;
    builder.pack(5, 6).await;
    for gone in [4, 6, 7, 9] {
        builder.store.delete(&ebbtide_replica::Key::Log(txid(gone))).await.unwrap();
    }
    for state in &builder.states[1..] {
        let (image, _) = restored(&builder.store, Target::Txid(state.txid)).await.unwrap();
        assert!(image == state.image(), "txid {}", state.txid);
    }
}
