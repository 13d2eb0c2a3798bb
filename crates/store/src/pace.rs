//! A limit on bytes a second.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// Those who wait take turns so often.
const PIECES_PER_SECOND: u64 = 10;

/// Lets so many bytes pass in a second.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: Option<u64>,
    /// When everything that was let pass is paid for.
    free_at: Mutex<Instant>,
}

impl Pace {
    /// A pace without a limit if there is none.
    #[must_use]
    pub fn new(bytes_per_second: Option<u64>) -> Pace {
        Pace { bytes_per_second, free_at: Mutex::new(Instant::now()) }
    }

    /// Waits until `bytes` may pass.
    pub async fn pass(&self, bytes: u64) {
        let Some(rate) = self.bytes_per_second else { return };
        // In pieces, so that what is short does not wait until all of something long was let pass.
        let piece = (rate / PIECES_PER_SECOND).max(1);
        let mut left = bytes;
        while left > 0 {
            let bytes = left.min(piece);
            left -= bytes;
            let mut free_at = self.free_at.lock().await;
            tokio::time::sleep_until(*free_at).await;
            let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
            *free_at = (*free_at).max(Instant::now()) + cost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_passes_in_a_second_than_may() {
        let begun = Instant::now();
        let pace = Pace::new(Some(1000));
        for _ in 0..10 {
            pace.pass(500).await;
        }
        // The last piece is let pass once those before it are paid for.
        assert_eq!(begun.elapsed(), Duration::from_millis(4900));
        let free = Pace::new(None);
        free.pass(u64::MAX).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(4900));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_short_does_not_wait_for_all_of_what_is_long() {
        let begun = Instant::now();
        let pace = Pace::new(Some(1000));
        let long = pace.pass(100_000);
        let short = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            pace.pass(50).await;
            begun.elapsed()
        };
        let ((), passed) = tokio::join!(long, short);
        assert!(passed < Duration::from_millis(1500), "{passed:?}");
    }
}
