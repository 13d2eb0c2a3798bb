//! A limit on bytes a second.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

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
        let mut free_at = self.free_at.lock().await;
        tokio::time::sleep_until(*free_at).await;
        let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        *free_at = (*free_at).max(Instant::now()) + cost;
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
        // The tenth is let pass once the nine before it are paid for.
        assert_eq!(begun.elapsed(), Duration::from_millis(4500));
        let free = Pace::new(None);
        free.pass(u64::MAX).await;
        assert_eq!(begun.elapsed(), Duration::from_millis(4500));
    }
}
