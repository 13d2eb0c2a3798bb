//! The terminal, and which process group has it.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _};
use std::os::unix::fs::OpenOptionsExt as _;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg};
use nix::unistd::{Pid, getpgrp, getppid, getsid, tcgetpgrp, tcsetpgrp};

/// The terminal that this process is controlled from.
#[derive(Debug)]
pub(crate) struct Terminal(File);

impl Terminal {
    /// Nothing where there is none: a service, a cron job.
    pub(crate) fn of_this_process() -> Option<Terminal> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NOCTTY | libc::O_NONBLOCK);
        options.open("/dev/tty").ok().map(Terminal)
    }

    /// Whether it was closed, or the connection that it stood for was lost.
    pub(crate) fn is_gone(&self) -> bool {
        tcgetpgrp(&self.0).is_err()
    }

    /// Whether `group` has it.
    pub(super) fn is_with(&self, group: Pid) -> bool {
        tcgetpgrp(&self.0) == Ok(group)
    }

    /// Gives it to `to` if `from` has it; whether `to` has it then.
    pub(super) fn hand_over(&self, from: Pid, to: Pid) -> bool {
        if !self.is_with(from) {
            return self.is_with(to);
        }
        // Who does not have the terminal is stopped for this, unless it blocks that signal. It is blocked only for this
        // call here where it is not anyway, as in tests.
        match without_being_stopped(|| tcsetpgrp(&self.0, to)) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, group = to.as_raw(), "cannot hand the terminal over");
                false
            }
        }
    }
}

fn without_being_stopped<T>(call: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTTOU);
    let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let done = call();
    before.thread_set_mask()?;
    done
}

/// Whether this process was not put into a pipeline, so that the terminal is its alone.
pub(super) fn has_terminal_to_itself() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal() && io::stderr().is_terminal()
}

/// Stops our process group, as Ctrl-Z would have, if there is somebody who can have it go on. It has gone on when this
/// returns; whether it was stopped at all.
pub(super) fn stop_us() -> bool {
    let session = getsid(None);
    let has_shell = session.is_ok() && getsid(Some(getppid())) == session;
    // The group of a session's leader, or of process 1 of a container, is below no shell.
    let is_below = session != Ok(getpgrp()) && Pid::this().as_raw() != 1;
    has_shell && is_below && killpg(getpgrp(), Signal::SIGSTOP).is_ok()
}

/// Our own process group.
pub(super) fn our_group() -> Pid {
    getpgrp()
}
