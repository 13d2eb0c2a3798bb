//! What becomes of an order, as it is answered.

use std::time::Duration;

use tokio::sync::oneshot;

use super::message::Synced;
use super::orders::{SetOrder, SetOrderSender};
use crate::follow::Status;

/// Gives an order, and waits for what becomes of it.
pub(super) async fn ask<T>(
    orders: &SetOrderSender,
    order: impl FnOnce(oneshot::Sender<T>) -> SetOrder,
) -> Result<T, String> {
    let (sender, answered) = oneshot::channel();
    let refused = |_| "this process takes no orders now: it has too many, or it ends".to_owned();
    orders.try_send(order(sender)).map_err(refused)?;
    answered.await.map_err(|_| "the process ends".to_owned())
}

/// Whether a database that was added is followed.
pub(super) async fn followed(database: String, status: &Status, wait: Duration) -> Synced {
    let met = tokio::time::timeout(wait, status.until_following()).await;
    let durable = || status.noted(|noted| noted.durable.map(|durable| durable.txid.to_string()));
    match met {
        Ok(Ok(())) => Synced { database, txid: durable(), error: None },
        Ok(Err(why)) => Synced { database, txid: None, error: Some(why) },
        Err(_) => {
            let why = status.newest_error().unwrap_or_else(|| "it is still starting".to_owned());
            let error = format!("added, and not followed within {wait:?}: {why}");
            Synced { database, txid: None, error: Some(error) }
        }
    }
}

/// Whether a database that was removed has ended with everything durable.
pub(super) async fn ended(database: String, status: &Status, wait: Duration) -> Synced {
    match tokio::time::timeout(wait, status.until_ended()).await {
        Ok(Ok(txid)) => Synced { database, txid: txid.map(|txid| txid.to_string()), error: None },
        Ok(Err(why)) => Synced { database, txid: None, error: Some(why) },
        Err(_) => {
            let error = format!("its last sync goes on, and was not confirmed within {wait:?}");
            Synced { database, txid: None, error: Some(error) }
        }
    }
}
