//! Peers that have not said yet what they want. There is a seat for so many; whoever has been silent longest gives its own
//! up to the next that comes, so that nobody who asks has to wait for those who do not.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// A peer that asks has said so within a moment of its coming.
const SEATS: usize = 64;

#[derive(Debug, Default)]
struct Row {
    next: u64,
    taken: VecDeque<(u64, oneshot::Sender<()>)>,
}

/// All seats of a socket.
#[derive(Debug, Clone, Default)]
pub(super) struct Silent(Arc<Mutex<Row>>);

/// The seat of one peer, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    of: Silent,
    number: u64,
    needed: oneshot::Receiver<()>,
}

impl Silent {
    /// A seat, in place of the longest silent peer if there is none left.
    pub(super) fn sit(&self) -> Seat {
        let (sender, needed) = oneshot::channel();
        let mut row = self.row();
        if row.taken.len() >= SEATS {
            // Its receiver hears of it.
            row.taken.pop_front();
        }
        let number = row.next;
        row.next += 1;
        row.taken.push_back((number, sender));
        drop(row);
        Seat { of: self.clone(), number, needed }
    }

    fn row(&self) -> MutexGuard<'_, Row> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Waits until somebody else needs it.
    pub(super) async fn needed(&mut self) {
        // The sender says nothing; it goes.
        if let Err(gone) = (&mut self.needed).await {
            tracing::debug!(%gone, "a peer of the control socket said nothing; hung up");
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.of.row().taken.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn z16_the_longest_silent_gives_its_seat_up() {
        let silent = Silent::default();
        let mut seats: Vec<Seat> = (0..SEATS).map(|_| silent.sit()).collect();
        drop(seats.remove(0));
        let mut next = silent.sit();
        assert!(seats.iter_mut().all(|seat| {
            seat.needed.try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Empty)
        }));
        let _another = silent.sit();
        seats[0].needed().await;
        assert_eq!(next.needed.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        assert_eq!(silent.row().taken.len(), SEATS);
    }
}
