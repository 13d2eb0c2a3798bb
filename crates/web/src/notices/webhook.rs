//! The webhook: each change of what needs attention is sent to an address, in order, until it is taken.

use std::collections::VecDeque;
use std::time::Duration;

use ebbtide_replica::ReplicaId;
use ebbtide_sidecar::control::Report;
use ebbtide_sidecar::{View, clock, owner};
use ring::hmac;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior};

use super::attention::{Attention, Change};
use super::client::Client;

/// How often it is looked whether anything has changed.
const LOOK: Duration = Duration::from_secs(1);

/// So many changes wait; the oldest of more are not sent.
const WAITING_MAX: usize = 1000;

/// Until the second attempt, and at most until a later one.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// What is sent.
#[derive(Debug)]
struct Notice {
    id: String,
    body: String,
}

/// Looks and sends for ever.
pub(super) async fn watch(client: Client, secret: Option<Vec<u8>>, view: View) {
    let key = secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, &secret));
    let mut attention = Attention::default();
    let mut waiting: VecDeque<Notice> = VecDeque::new();
    let (mut pause, mut next) = (PAUSE, Instant::now());
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let look = || attention.look(view.statuses.now(), clock::now());
        for change in tokio::task::block_in_place(look) {
            if waiting.len() >= WAITING_MAX {
                tracing::warn!(
                    host = client.host(),
                    "too many notices wait; the oldest is not sent"
                );
                waiting.pop_front();
            }
            waiting.push_back(Notice::of(&change, &view));
        }
        while let Some(notice) = waiting.front()
            && Instant::now() >= next
        {
            match client.post(&notice.headers(key.as_ref()), notice.body.clone()).await {
                Ok(()) => {
                    pause = PAUSE;
                    waiting.pop_front();
                }
                Err(error) => {
                    tracing::warn!(%error, host = client.host(), "a notice was not taken; trying again in {pause:?}");
                    next = Instant::now() + pause;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }
}

impl Notice {
    fn of(change: &Change, view: &View) -> Notice {
        let now = clock::now();
        // By it the receiver tells a second attempt from a second notice.
        let id = ReplicaId::random().map(|id| id.to_string()).unwrap_or_default();
        let report = Report::of(&change.status, now, view.unlogged());
        let body = json!({
            "id": id,
            "time": now.to_string(),
            "event": "attention",
            "host": owner::host(),
            "database": report.database,
            "healthy": report.healthy,
            "attention": change.now,
            "began": change.began,
            "ended": change.ended,
            "status": report,
        });
        Notice { id, body: body.to_string() }
    }

    /// What says whose it is, and that nobody has changed it.
    fn headers(&self, key: Option<&hmac::Key>) -> Vec<(&'static str, String)> {
        let mut headers = vec![("x-ebbtide-delivery", self.id.clone())];
        if let Some(key) = key {
            let tag = hmac::sign(key, self.body.as_bytes());
            let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            headers.push(("x-ebbtide-signature-256", format!("sha256={hex}")));
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2, as any receiver computes it.
    #[test]
    fn a_signature_is_that_of_the_body() {
        let body = "what do ya want for nothing?".to_owned();
        let notice = Notice { id: "1".to_owned(), body };
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"Jefe");
        let headers = notice.headers(Some(&key));
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(headers[1], ("x-ebbtide-signature-256", expected.to_owned()));
        assert_eq!(notice.headers(None).len(), 1);
    }
}
