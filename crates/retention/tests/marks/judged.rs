//! Marks beside horizons that are written by hand: which ones count, and that nothing stays of those that do not.

use std::sync::Arc;

use ebbtide_catalog::{Nothing, PlanError, Progress, Survey, Target, newest_horizon};
use ebbtide_replica::{Key, KeyPrefix, Mark};
use ebbtide_retention::{MarkError, Marking, Period, judge, mark};
use ebbtide_store::{MemoryStore, Store};
use ebbtide_testkit::builder::{Builder, START, micros, txid};
use ebbtide_testkit::horizons::{Says, put_horizon};

const HOUR: i64 = 3_600_000_000;

/// A commit an hour from entry 3 on, each in a segment; a snapshot after entries 2, 5 and 9; the store's clock at the end.
async fn history() -> Builder {
    let mut builder = Builder::started(512, 4).await;
    for number in 3..=12 {
        builder.wait(HOUR);
        builder.store.set_now(micros(builder.micros));
        builder.commit(&[(1, number)], 4);
        builder.cut().await;
        if number == 5 || number == 9 {
            builder.snapshot().await;
        }
    }
    builder
}

fn at(hours: i64) -> i64 {
    START + hours * HOUR
}

/// Keeps entry 5 and everything from entry 10 on; condemns what else is before that.
fn first() -> Says {
    let segments = (3..=9).map(|number| Key::Log(txid(number)));
    let gone = segments.chain([Key::Snapshot(txid(2))]);
    Says {
        number: 1,
        window: 10,
        states: vec![(5, vec![Key::Snapshot(txid(5))]), (9, vec![Key::Snapshot(txid(9))])],
        condemned: gone.map(|key| (key, 1)).collect(),
        held: Vec::new(),
    }
}

fn marking(target: Target) -> Marking {
    let (name, lasts) = ("before-migration".to_owned(), Period::Forever);
    Marking { name, lasts, target, random: 7, now: micros(at(1000)) }
}

fn shared(builder: &Builder) -> Arc<dyn Store> {
    Arc::new(builder.store.clone())
}

async fn marks(store: &MemoryStore) -> usize {
    store.list(KeyPrefix::Mark, None).await.unwrap().len()
}

/// Whether the state of the mark can be planned for.
async fn is_planned(builder: &Builder, mark: &Mark) -> bool {
    let progress = Arc::new(Progress::default());
    let mut survey = Survey::recent(shared(builder), progress).await.unwrap();
    let target = Target::Marked { txid: mark.txid, chain: mark.chain };
    survey.plan(target, micros(at(1000))).await.is_ok()
}

#[tokio::test]
async fn a_mark_states_what_it_is_of() {
    let builder = history().await;
    let lasts = Period::Hours(48);
    let made = mark(shared(&builder), Marking { lasts, ..marking(Target::Latest) }).await.unwrap();
    let head = builder.last();
    assert_eq!((made.mark.txid, made.mark.chain), (head.txid, head.chain));
    assert_eq!((made.mark.digest, made.mark.contents.time), (head.digest, head.time));
    assert_eq!(made.mark.contents.lasts.as_deref(), Some("2d"));
    let body = builder.body(made.mark.key()).await;
    assert_eq!(Mark::parse(&body).unwrap(), made.mark);
    let at_time = Target::Time(micros(at(3) + 5));
    let made = mark(shared(&builder), marking(at_time)).await.unwrap();
    assert_eq!((made.mark.txid, made.mark.contents.lasts), (txid(5), None));
}

#[tokio::test]
async fn what_the_newest_horizon_keeps_can_always_be_marked() {
    let builder = history().await;
    put_horizon(&builder, at(20), first()).await;
    builder.store.set_now(micros(at(500)));
    for number in [5, 9, 10, 11, 12] {
        let made = mark(shared(&builder), marking(Target::Txid(txid(number)))).await.unwrap();
        assert_eq!(made.mark.txid, txid(number));
    }
}

/// A mark claims back what the newest horizon has condemned itself, for as long as whoever deletes it must see the mark.
#[tokio::test]
async fn h08_a_mark_claims_back_within_the_grace_and_is_refused_with_the_neighbours_after_that() {
    for number in [3, 4, 7, 8] {
        for hours in [0, 1, 13, 14, 30] {
            let builder = history().await;
            put_horizon(&builder, at(20), first()).await;
            builder.store.set_now(micros(at(20 + hours)));
            let marked = mark(shared(&builder), marking(Target::Txid(txid(number)))).await;
            if hours <= 13 {
                let made = marked.unwrap();
                assert!(is_planned(&builder, &made.mark).await, "{number} at {hours} h");
                continue;
            }
            let Err(MarkError::Condemned { nothing: Nothing::Kept { wanted, nearest } }) = marked
            else {
                panic!("{number} at {hours} h: {marked:?}")
            };
            assert_eq!(wanted, txid(number));
            let after = nearest.after.map(|point| point.txid.get());
            let before = nearest.before.map(|point| point.txid.get());
            let expected = if number < 5 { (None, Some(5)) } else { (Some(5), Some(9)) };
            assert_eq!((before, after), expected);
            assert_eq!(marks(&builder.store).await, 0, "nothing stays of it");
        }
    }
}

/// A time that is thinned is marked by the state that was there then.
#[tokio::test]
async fn h08_a_time_is_claimed_back_too() {
    let builder = history().await;
    put_horizon(&builder, at(20), first()).await;
    let time = Target::Time(micros(at(5) + 17));
    let made = mark(shared(&builder), marking(time)).await.unwrap();
    assert_eq!(made.mark.txid, txid(7));
    builder.store.set_now(micros(at(60)));
    let refused = mark(shared(&builder), Marking { random: 8, ..marking(time) }).await;
    assert!(matches!(refused, Err(MarkError::Condemned { .. })), "{refused:?}");
}

/// Somebody may be deleting what an earlier horizon has condemned, or what is held.
#[tokio::test]
async fn h08_what_an_earlier_horizon_condemned_or_somebody_takes_back_is_not_relied_on() {
    for is_held in [false, true] {
        let builder = history().await;
        put_horizon(&builder, at(20), first()).await;
        let Says { states, mut condemned, .. } = first();
        let held = if is_held { std::mem::take(&mut condemned) } else { Vec::new() };
        put_horizon(&builder, at(45), Says { number: 2, window: 10, states, condemned, held })
            .await;
        let marked = mark(shared(&builder), marking(Target::Txid(txid(7)))).await;
        assert!(
            matches!(
                marked,
                Err(MarkError::Plan(PlanError::Nothing(_)) | MarkError::Condemned { .. })
            ),
            "{marked:?}"
        );
        assert_eq!(marks(&builder.store).await, 0);
    }
}

/// The log before a state is gone since the first horizon; the second gives the state up, and a mark claims it back.
#[tokio::test]
async fn h08_a_state_without_its_log_is_claimed_back_by_the_horizon_before() {
    let builder = history().await;
    put_horizon(&builder, at(20), first()).await;
    for (key, _) in first().condemned {
        builder.store.delete(&key).await.unwrap();
    }
    let kept = Key::Snapshot(txid(5));
    let second = || Says {
        number: 2,
        window: 10,
        states: vec![(9, vec![Key::Snapshot(txid(9))])],
        condemned: vec![(kept, 2)],
        held: Vec::new(),
    };
    put_horizon(&builder, at(50), second()).await;
    let made = mark(shared(&builder), marking(Target::Txid(txid(5)))).await.unwrap();
    assert_eq!(made.mark.chain, builder.state(5).chain);
    assert!(is_planned(&builder, &made.mark).await);
    builder.store.delete(&kept).await.unwrap();
    assert!(!is_planned(&builder, &made.mark).await);
}

/// The horizon comes between the put of the mark and its judgement.
#[tokio::test]
async fn h08_a_horizon_that_was_put_after_the_mark_is_seen() {
    let builder = history().await;
    let mark = builder.mark_of(7, None);
    builder.store.put(&mark.key(), mark.encode().unwrap().into()).await.unwrap();
    put_horizon(&builder, at(20), first()).await;
    let judged = async || {
        let newest = newest_horizon(&builder.store, &builder.manifest).await.unwrap();
        judge(&shared(&builder), &mark, newest.as_ref(), micros(at(1000))).await
    };
    // Whoever put the horizon lists the marks before deleting.
    judged().await.unwrap();
    // Half of what it needs is gone all the same.
    builder.store.delete(&Key::Log(txid(6))).await.unwrap();
    assert!(matches!(judged().await, Err(MarkError::Condemned { .. })));
    // A mark of another history than that of the horizon is none.
    let forged = Mark { chain: builder.state(6).chain, txid: txid(5), ..mark.clone() };
    let newest = newest_horizon(&builder.store, &builder.manifest).await.unwrap();
    let judged = judge(&shared(&builder), &forged, newest.as_ref(), micros(at(1000))).await;
    assert!(matches!(judged, Err(MarkError::Plan(PlanError::Unexpected { .. }))), "{judged:?}");
}

#[tokio::test]
async fn what_there_is_not_cannot_be_marked() {
    let builder = history().await;
    let refused = mark(shared(&builder), marking(Target::Txid(txid(99)))).await;
    assert!(
        matches!(refused, Err(MarkError::Plan(PlanError::Nothing(Nothing::Beyond { .. })))),
        "{refused:?}"
    );
    let empty: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let refused = mark(empty, marking(Target::Latest)).await;
    assert!(
        matches!(refused, Err(MarkError::Plan(PlanError::Nothing(Nothing::Replica { .. })))),
        "{refused:?}"
    );
    for name in ["", "a\nb", &"x".repeat(2000)] {
        let named = Marking { name: name.to_owned(), ..marking(Target::Latest) };
        let refused = mark(shared(&builder), named).await;
        assert!(matches!(refused, Err(MarkError::Unwritable(_))), "{refused:?}");
    }
    assert_eq!(marks(&builder.store).await, 0);
}
