//! Which moment a time is.

use std::sync::Arc;

use ebbtide_moment::{Error, Nothing, Notice, PlanError, Proof, Target};
use ebbtide_replica::Timestamp;
use ebbtide_testkit::builder::{Builder, SECOND, micros, txid};

use crate::scene::{forgetful, image, now};

async fn at(builder: &Builder, time: Timestamp) -> Result<(u64, Vec<u8>, Vec<Notice>), Error> {
    let replica = forgetful(Arc::new(builder.store.clone())).await?;
    let moment = replica.at(Target::Time(time), now(), Proof::Block).await?;
    let image = image(&moment).await?;
    Ok((moment.txid().get(), image, moment.outline().notices.clone()))
}

#[tokio::test(flavor = "multi_thread")]
async fn t35_a_time_is_the_last_entry_at_or_before_it_and_never_another() {
    let mut builder = Builder::started(512, 10).await;
    for (number, at) in (3..9_u64).zip(3_usize..) {
        builder.wait(SECOND);
        builder.commit(&[(at, number)], 10);
        builder.cut().await;
    }
    for number in 3..9_u64 {
        let time = builder.state(number).time.as_micros();
        for (shift, expected) in [(-1, number - 1), (0, number), (1, number)] {
            let (served, image, notices) = at(&builder, micros(time + shift)).await.unwrap();
            assert_eq!(served, expected, "{shift} µs from the time of {number}");
            assert_eq!(image, builder.state(expected).image());
            assert!(notices.is_empty(), "{notices:?}");
        }
    }
    let future = micros(now().as_micros() + SECOND);
    let (served, _, notices) = at(&builder, future).await.unwrap();
    assert_eq!(served, 8);
    assert!(matches!(notices[..], [Notice::Future { .. }]), "{notices:?}");
    let first = builder.state(1).time.as_micros();
    let error = at(&builder, micros(first - 1)).await.unwrap_err();
    let Error::Plan(error) = error else { panic!("{error}") };
    assert!(matches!(*error, PlanError::Nothing(Nothing::Before { .. })), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn t35_a_txid_that_is_not_there_is_refused() {
    let mut builder = Builder::started(512, 10).await;
    builder.commit(&[(1, 1)], 10);
    builder.cut().await;
    let replica = forgetful(Arc::new(builder.store.clone())).await.unwrap();
    let error = replica.at(Target::Txid(txid(99)), now(), Proof::Block).await.unwrap_err();
    assert!(!error.is_damage() && error.to_string().contains("0000000000000063"), "{error}");
}
