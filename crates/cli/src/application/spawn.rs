//! How the command of `--exec` is started.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;

/// The variables by which the SDK finds credentials, or the files and services that give them.
const CREDENTIALS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// The variables by which systemd says where it listens to this process.
const SUPERVISOR: &[&str] = &["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// Which of our variables the application gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Environment {
    /// All of them.
    Whole,
    /// All but those that lead to the store's credentials.
    WithoutCredentials,
}

/// Before any thread is begun: one that writes a log line to a terminal which is lent must not be stopped for it.
pub(crate) fn prepare() {
    if let Err(error) = terminal_writes().thread_block() {
        tracing::debug!(%error, "cannot block SIGTTOU");
    }
}

fn terminal_writes() -> SigSet {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTTOU);
    set
}

/// Makes this process the parent of those whose own parent has ended.
pub(super) fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_child_subreaper(true) {
        tracing::warn!(%error, "processes of the application that detach themselves will not be waited for");
    }
}

/// Starts it by the shell; its process, which is its group, too.
pub(super) fn spawn(command: &str, environment: Environment) -> io::Result<Pid> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]);
    // A group that signals can be sent to, and that a terminal can be lent to.
    shell.process_group(0);
    // They are for this process: the application would be taken for it.
    for variable in SUPERVISOR {
        shell.env_remove(variable);
    }
    if environment == Environment::WithoutCredentials {
        for variable in CREDENTIALS {
            shell.env_remove(variable);
        }
    }
    // A child inherits what its thread blocks.
    terminal_writes().thread_unblock()?;
    let child = shell.spawn();
    terminal_writes().thread_block()?;
    let id = i32::try_from(child?.id()).map_err(io::Error::other)?;
    Ok(Pid::from_raw(id))
}
