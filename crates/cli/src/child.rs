//! The application as our child: `--exec`.

use std::process::ExitStatus;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::exit::{Code, Failure};

/// Starts the command by the shell, as the user would have.
pub(crate) fn spawn(command: &str) -> Result<Child, Failure> {
    Command::new("/bin/sh")
        .args(["-c", command])
        .spawn()
        .map_err(|error| Failure::new(Code::Failed, format!("run {command:?}: {error}")))
}

/// Passes a signal on.
pub(crate) fn signal(child: &Child, signal: Signal) {
    let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()) else { return };
    if let Err(error) = kill(Pid::from_raw(pid), signal) {
        tracing::warn!(%error, pid, %signal, "cannot pass the signal on to the application");
    }
}

/// The exit code that stands for how the child ended, as a shell would say it.
pub(crate) fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
