//! The signals that this process hears, and what each of them asks for. docs/operations.md has them as a table.

use std::future::pending;

use nix::sys::signal::Signal;
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

use super::hangup::Hangup;
use super::heard::Heard;
use crate::application::was_begun_ignoring;
use crate::exit::{Code, Failure};

/// Listens to them from when it is made.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Listener,
    interrupt: Option<Listener>,
    quit: Option<Listener>,
    hangup: Hangup,
    user1: Listener,
    user2: Listener,
    stop: Option<Listener>,
    go_on: Option<Listener>,
}

impl Signals {
    /// With an application, `for_application`, stopping is heard, too.
    ///
    /// # Errors
    /// When the system does not let us listen.
    pub(super) fn new(for_application: bool) -> Result<Signals, Failure> {
        // Who began us with a signal ignored wants it ignored: `nohup`, and scripts for what they run in the background.
        let unless_ignored = |wanted: Signal| {
            if was_begun_ignoring(wanted) { Ok(None) } else { listen(wanted).map(Some) }
        };
        let with_application =
            |wanted| if for_application { listen(wanted).map(Some) } else { Ok(None) };
        Ok(Signals {
            interrupt: unless_ignored(Signal::SIGINT)?,
            quit: unless_ignored(Signal::SIGQUIT)?,
            hangup: Hangup::new(unless_ignored(Signal::SIGHUP)?),
            terminate: listen(Signal::SIGTERM)?,
            user1: listen(Signal::SIGUSR1)?,
            user2: listen(Signal::SIGUSR2)?,
            stop: with_application(Signal::SIGTSTP)?,
            go_on: with_application(Signal::SIGCONT)?,
        })
    }

    /// The next one. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.terminate.recv() => Heard::End(Signal::SIGTERM),
            () = heard(&mut self.interrupt) => Heard::End(Signal::SIGINT),
            () = heard(&mut self.quit) => Heard::End(Signal::SIGQUIT),
            heard = self.hangup.heard() => heard,
            _ = self.user1.recv() => Heard::Message(Signal::SIGUSR1),
            _ = self.user2.recv() => Heard::Message(Signal::SIGUSR2),
            () = heard(&mut self.stop) => Heard::Stop,
            () = heard(&mut self.go_on) => Heard::GoOn,
        }
    }
}

fn listen(wanted: Signal) -> Result<Listener, Failure> {
    let kind = SignalKind::from_raw(wanted as i32);
    signal(kind).map_err(|error| Failure::new(Code::Failed, format!("listen to {wanted}: {error}")))
}

async fn heard(listener: &mut Option<Listener>) {
    match listener {
        Some(listener) => {
            listener.recv().await;
        }
        None => pending().await,
    }
}
