//! What a signal asks for.

use nix::sys::signal::Signal;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// To end, with a last sync.
    End(Signal),
    /// Nothing of us; an application may want to hear it.
    Message(Signal),
    /// To stop for a while, which is heard for an application alone…
    Stop,
    /// …and to go on.
    GoOn,
}
