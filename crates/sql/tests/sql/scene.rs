//! Replicas and connections for the tests.

use std::sync::Arc;

use ebbtide_moment::{Error, Moment, Options, Proof, Replica, Target};
use ebbtide_replica::{Timestamp, Txid};
use ebbtide_sql::Past;
use ebbtide_store::Store;
use ebbtide_testkit::builder::{SECOND, START, micros};

/// Long after every entry.
pub(crate) fn now() -> Timestamp {
    micros(START + 1_000_000 * SECOND)
}

pub(crate) async fn replica(store: Arc<dyn Store>) -> Replica {
    Replica::open(store, Options::default()).await.unwrap()
}

pub(crate) async fn moment(replica: &Replica, txid: Txid, proof: Proof) -> Result<Moment, Error> {
    replica.at(Target::Txid(txid), now(), proof).await
}

/// Does something with a connection, on a thread that may wait.
pub(crate) async fn with<T: Send + 'static>(
    moment: &Moment,
    work: impl FnOnce(Past) -> T + Send + 'static,
) -> T {
    let moment = moment.clone();
    let worked = tokio::task::spawn_blocking(move || {
        let past = Past::connect(&moment).unwrap();
        work(past)
    });
    worked.await.unwrap()
}

/// All bytes as SQLite serializes them.
pub(crate) async fn serialized(moment: &Moment) -> Vec<u8> {
    with(moment, |mut past| {
        let bytes = past.serialize("main").map(|bytes| bytes.to_vec());
        bytes.unwrap_or_else(|error| panic!("serialize: {}", past.explain(error)))
    })
    .await
}

/// One number that a query gives.
pub(crate) async fn number(moment: &Moment, sql: &'static str) -> Result<i64, String> {
    with(moment, move |past| {
        past.query_row(sql, [], |row| row.get(0)).map_err(|error| past.explain(error).to_string())
    })
    .await
}
