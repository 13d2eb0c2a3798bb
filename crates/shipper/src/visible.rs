//! The order in which objects become visible.

use tokio::sync::watch;

/// Waits until an object is visible in the store. Clones wait for the same object.
#[derive(Debug, Clone)]
pub(crate) struct Visible(watch::Receiver<bool>);

/// Announces that an object is visible. Dropped without that, the object never becomes visible.
#[derive(Debug)]
pub(crate) struct Announcement(watch::Sender<bool>);

/// A pair for one object.
pub(crate) fn visible() -> (Announcement, Visible) {
    let (sender, receiver) = watch::channel(false);
    (Announcement(sender), Visible(receiver))
}

impl Announcement {
    pub(crate) fn announce(self) {
        self.0.send_replace(true);
    }
}

impl Visible {
    /// Whether the object became visible. Returns once that is known.
    pub(crate) async fn wait(mut self) -> bool {
        self.0.wait_for(|&is_visible| is_visible).await.is_ok()
    }
}
