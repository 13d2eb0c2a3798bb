//! Who wants a database let go, and whether it is.

use tokio::sync::watch;

/// What is wanted, and what has become of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct State {
    /// So many want it let go.
    pub(super) wanted: usize,
    /// It is let go: nothing of it is open.
    pub(super) is_released: bool,
}

/// Shared between the task of a database and those who want it let go.
#[derive(Debug)]
pub(crate) struct Releases(pub(super) watch::Sender<State>);

impl Releases {
    pub(crate) fn new() -> Releases {
        Releases(watch::Sender::new(State::default()))
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.0.borrow().wanted > 0
    }

    pub(super) fn set_released(&self, is_released: bool) {
        self.0.send_modify(|state| state.is_released = is_released);
    }
}
