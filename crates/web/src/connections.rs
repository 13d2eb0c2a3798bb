//! The connections that are open, of which there are only so many: one more, and the one that has been open longest is
//! closed. Whoever asks is answered within a moment, so those that stay are slow or silent, and keep nobody out.

use std::collections::VecDeque;

use tokio::task::{AbortHandle, JoinSet};

/// So many are open at once.
pub(crate) const CONNECTIONS_MAX: usize = 64;

/// Their tasks.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    tasks: JoinSet<()>,
    /// In the order in which they were opened.
    open: VecDeque<AbortHandle>,
}

impl Connections {
    /// Serves one more.
    pub(crate) fn open(&mut self, serve: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|task| !task.is_finished());
        if self.open.len() >= CONNECTIONS_MAX
            && let Some(longest) = self.open.pop_front()
        {
            longest.abort();
        }
        self.open.push_back(self.tasks.spawn(serve));
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn z16_the_longest_silent_connection_gives_way() {
        let (ended, mut ends) = mpsc::unbounded_channel();
        let mut connections = Connections::default();
        for number in 0..=CONNECTIONS_MAX {
            let ended = ended.clone();
            connections.open(async move {
                // It is dropped with the task.
                let _end = End(number, ended);
                pending().await
            });
            tokio::task::yield_now().await;
        }
        assert_eq!(ends.recv().await, Some(0));
        assert_eq!(connections.open.len(), CONNECTIONS_MAX);
    }

    struct End(usize, mpsc::UnboundedSender<usize>);

    impl Drop for End {
        fn drop(&mut self) {
            // Nobody listens at the end.
            self.1.send(self.0).ok();
        }
    }
}
