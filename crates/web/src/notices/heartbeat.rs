//! The heartbeat: an address is asked for as long as everything is durable. Whoever waits for it hears of whatever ends it
//! by its silence: a store that is away, a process that is gone, a machine without power.

use std::time::Duration;

use ebbtide_sidecar::{View, clock};
use tokio::time::MissedTickBehavior;

use super::client::Client;
use super::durable::is_durable;

/// Beats for ever.
pub(super) async fn beat(client: Client, interval: Duration, view: View) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        ticks.tick().await;
        if !is_everything_durable(&view, interval) {
            tracing::debug!("no heartbeat: not everything is durable");
            continue;
        }
        match client.get().await {
            Ok(()) if is_failing => {
                is_failing = false;
                tracing::info!(host = client.host(), "heartbeats arrive again");
            }
            Ok(()) => {}
            Err(error) if is_failing => {
                tracing::debug!(%error, host = client.host(), "no heartbeat arrives")
            }
            Err(error) => {
                is_failing = true;
                tracing::warn!(%error, host = client.host(), "no heartbeat arrives");
            }
        }
    }
}

fn is_everything_durable(view: &View, within: Duration) -> bool {
    let statuses = view.statuses.now();
    let now = clock::now();
    let all = || statuses.iter().all(|status| is_durable(&status.get(), now, within));
    view.stopped.get() == 0 && tokio::task::block_in_place(all)
}
