//! SIGHUP, which is a message, or the end of the terminal.

use std::future::pending;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::signal::unix::Signal as Listener;
use tokio::time::Instant;

use super::heard::Heard;
use crate::application::Terminal;

/// The signal comes a moment before the terminal is taken away.
const DOUBT: Duration = Duration::from_millis(500);

/// How often the terminal is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(10);

/// Tells the one from the other.
#[derive(Debug)]
pub(super) struct Hangup {
    /// Nothing where the signal is ignored.
    listener: Option<Listener>,
    terminal: Option<Terminal>,
    /// A signal was heard, and until then the terminal may still go.
    doubt: Option<Instant>,
    is_over: bool,
}

impl Hangup {
    pub(super) fn new(listener: Option<Listener>) -> Hangup {
        let terminal = Terminal::of_this_process();
        Hangup { listener, terminal, doubt: None, is_over: false }
    }

    /// The next one. May be dropped and called again.
    pub(super) async fn heard(&mut self) -> Heard {
        loop {
            let Some(until) = self.doubt else {
                self.listen().await;
                // The shell and the system both tell of the terminal's end.
                self.doubt = (!self.is_over).then(|| Instant::now() + DOUBT);
                continue;
            };
            // Without its terminal nobody could end a process that was begun on it, so that is an end.
            if self.terminal.as_ref().is_some_and(Terminal::is_gone) {
                (self.doubt, self.is_over) = (None, true);
                return Heard::End(Signal::SIGHUP);
            }
            if self.terminal.is_none() || Instant::now() >= until {
                self.doubt = None;
                return Heard::Message(Signal::SIGHUP);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn listen(&mut self) {
        match &mut self.listener {
            Some(listener) => {
                listener.recv().await;
            }
            None => pending().await,
        }
    }
}
