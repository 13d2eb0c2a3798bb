//! A limit on concurrent starts: without it, a thousand databases would have their buffers at the same time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::block_in_place;

/// The number of databases that start at a time.
const AT_ONCE: usize = 8;

/// The number of databases that start at a time besides, while some take longer than [`PATIENCE`].
const CROWD: usize = 64;

/// The number of databases that are opened at a time. Each blocks a thread, and such a thread stays for a while.
const OPENINGS: usize = 4;

/// A start that takes longer than this waits for its store. Others do not wait for it any more: so a store that is slow has
/// some hundred starts at once and not ten thousand, and one that is away is away for each of them soon.
const PATIENCE: Duration = Duration::from_secs(1);

/// The starts of a process.
#[derive(Debug)]
pub(crate) struct Starts {
    turns: Semaphore,
    crowd: Semaphore,
    openings: Semaphore,
    running: AtomicUsize,
    /// Called when no start is running any more.
    ended: Option<fn()>,
    /// The number of running starts that take longer than [`PATIENCE`]. While there are any, more may start.
    slow: watch::Sender<usize>,
}

/// A running start.
struct Running<'a>(&'a Starts);

/// A running start that takes longer than [`PATIENCE`].
struct Slow<'a>(&'a watch::Sender<usize>);

impl Starts {
    pub(crate) fn new(ended: Option<fn()>) -> Starts {
        Starts {
            turns: Semaphore::new(AT_ONCE),
            crowd: Semaphore::new(CROWD),
            openings: Semaphore::new(OPENINGS),
            running: AtomicUsize::new(0),
            ended,
            slow: watch::Sender::new(0),
        }
    }

    /// Calls `open`, which blocks, when it is its turn.
    pub(crate) async fn open<T>(&self, open: impl FnOnce() -> T) -> T {
        let _turn = self.openings.acquire().await;
        block_in_place(open)
    }

    /// Runs `work` when it is its turn. The future is made only then, so it takes no memory before.
    pub(crate) async fn in_turn<F: Future>(&self, work: impl FnOnce() -> F) -> F::Output {
        let mut slow = self.slow.subscribe();
        let turn = tokio::select! {
            biased;
            turn = self.turns.acquire() => turn,
            turn = async {
                // The sender lives as long as we do.
                slow.wait_for(|&slow| slow > 0).await.ok();
                self.crowd.acquire().await
            } => turn,
        };
        let _running = Running::begin(self);
        let work = work();
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(PATIENCE) => {}
        }
        // A store that is away is probably away for many databases, and each should report that soon.
        let _slow = Slow::begin(&self.slow);
        drop(turn);
        work.await
    }
}

impl Running<'_> {
    fn begin(starts: &Starts) -> Running<'_> {
        starts.running.fetch_add(1, Ordering::Relaxed);
        Running(starts)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::Relaxed) == 1
            && let Some(ended) = self.0.ended
        {
            ended();
        }
    }
}

impl Slow<'_> {
    fn begin(slow: &watch::Sender<usize>) -> Slow<'_> {
        slow.send_modify(|slow| *slow += 1);
        Slow(slow)
    }
}

impl Drop for Slow<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|slow| *slow -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn those_that_get_nowhere_keep_nobody_waiting() {
        let starts = Starts::new(None);
        let stuck: Vec<_> = (0..2 * AT_ONCE).map(|_| starts.in_turn(pending::<()>)).collect();
        let stuck = futures::future::join_all(stuck);
        tokio::select! {
            _ = stuck => unreachable!("they are pending"),
            done = async {
                tokio::task::yield_now().await;
                starts.in_turn(|| async { 7 }).await
            } => assert_eq!(done, 7),
        }
    }

    /// Would catch that ten thousand databases have their buffers at once, because their store takes two seconds to answer.
    #[tokio::test(start_paused = true)]
    async fn a_slow_store_is_asked_by_some_at_a_time_and_by_all_in_the_end() {
        const ALL: usize = 2000;
        let starts = Starts::new(None);
        let most = AtomicUsize::new(0);
        let start = || async {
            most.fetch_max(starts.running.load(Ordering::Relaxed), Ordering::Relaxed);
            tokio::time::sleep(2 * PATIENCE).await;
        };
        futures::future::join_all((0..ALL).map(|_| starts.in_turn(start))).await;
        let most = most.into_inner();
        assert!(most > AT_ONCE && most <= 3 * (AT_ONCE + CROWD), "{most}");
    }

    /// Would catch that the starts of a thousand databases, an hour after one was slow, all have their buffers at once.
    #[tokio::test(start_paused = true)]
    async fn the_limit_holds_again_once_those_that_were_slow_have_ended() {
        let starts = Starts::new(None);
        tokio::join!(
            starts.in_turn(|| tokio::time::sleep(3 * PATIENCE)),
            starts.in_turn(|| async {}),
        );
        let running = || starts.running.load(Ordering::Relaxed);
        let many: Vec<_> = (0..2 * AT_ONCE).map(|_| starts.in_turn(pending::<()>)).collect();
        let many = futures::future::join_all(many);
        tokio::select! {
            _ = many => unreachable!("they are pending"),
            running = async {
                tokio::time::sleep(PATIENCE / 2).await;
                running()
            } => assert_eq!(running, AT_ONCE),
        }
    }
}
