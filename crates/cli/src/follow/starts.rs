//! Starts, some at a time: each of a thousand databases would otherwise have its buffers at the same moment.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::block_in_place;

use crate::memory;

/// So many databases start at once.
const AT_ONCE: usize = 8;

/// So many databases are opened at once. Each blocks a thread, and a thread that was begun for it stays for a while.
const OPENINGS: usize = 4;

/// A start that takes longer than this waits for its store; then it is no reason for others to wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// The starts of a process.
#[derive(Debug)]
pub(crate) struct Starts {
    turns: Semaphore,
    openings: Semaphore,
    running: AtomicUsize,
}

/// One that is under way.
struct Running<'a>(&'a AtomicUsize);

impl Starts {
    pub(crate) fn new() -> Starts {
        Starts {
            turns: Semaphore::new(AT_ONCE),
            openings: Semaphore::new(OPENINGS),
            running: AtomicUsize::new(0),
        }
    }

    /// Does `open`, which blocks, when it is its turn.
    pub(crate) async fn open<T>(&self, open: impl FnOnce() -> T) -> T {
        let _turn = self.openings.acquire().await;
        block_in_place(open)
    }

    /// Does `work` when it is its turn, and not before takes up memory for it.
    pub(crate) async fn in_turn<F: Future>(&self, work: impl FnOnce() -> F) -> F::Output {
        let turn = self.turns.acquire().await;
        let _running = Running::begin(&self.running);
        let work = work();
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(PATIENCE) => {}
        }
        // A store that is away is away for many, and each of them is to find out soon.
        self.turns.close();
        drop(turn);
        work.await
    }
}

impl Running<'_> {
    fn begin(running: &AtomicUsize) -> Running<'_> {
        running.fetch_add(1, Ordering::Relaxed);
        Running(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            memory::give_back_free();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn those_that_get_nowhere_keep_nobody_waiting() {
        let starts = Starts::new();
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
}
