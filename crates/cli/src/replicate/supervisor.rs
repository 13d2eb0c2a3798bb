//! What systemd is told of this process (sd_notify(3)): that it is ready, how it does, that it lives, that it reads its
//! configuration again, that it ends.
//!
//! The protocol is a datagram of lines to a socket that a variable names, so no library is needed for it. What cannot be
//! said is logged once and nothing else: nobody waits for it.

use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use ebbtide_sidecar::View;
use nix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use super::summary::how_all_is;

/// How often the status is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Whoever supervises this process; nobody, most of the time.
#[derive(Debug)]
pub(super) struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// It wants to hear within this time that the process lives.
    watchdog: Option<Duration>,
    view: View,
    /// The status that was told last.
    status: String,
    next: Instant,
}

impl Supervisor {
    /// As the variables of this process say.
    pub(super) fn of_this_process(view: View) -> Supervisor {
        let variable = |name| std::env::var(name).ok();
        let socket = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()).and_then(|name| {
            let opened = open(&name);
            opened
                .inspect_err(
                    |error| tracing::warn!(%error, socket = name, "cannot tell systemd anything"),
                )
                .ok()
        });
        let is_ours =
            variable("WATCHDOG_PID").is_none_or(|pid| pid.parse() == Ok(std::process::id()));
        let micros = variable("WATCHDOG_USEC").and_then(|micros| micros.parse::<u64>().ok());
        let watchdog = micros.filter(|&micros| is_ours && micros > 0).map(Duration::from_micros);
        Supervisor { socket, watchdog, view, status: String::new(), next: Instant::now() }
    }

    /// The configuration is read again. [`Supervisor::ready`] says that this has ended.
    pub(super) fn reloading(&self) {
        let since = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        let Ok(since) = since.inspect_err(|error| tracing::debug!(%error, "no time")) else {
            return;
        };
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}", since.as_micros()));
    }

    /// Everything is under way.
    pub(super) fn ready(&self) {
        self.say("READY=1");
    }

    /// The end has begun.
    pub(super) fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=ending with a last sync");
    }

    /// Waits until it is time, and says that this process lives and how it does. That is said by the loop that waits for
    /// signals, after the threads that follow databases have run a task: if either stands still, the supervisor hears
    /// nothing and may start the process again. May be dropped and called again.
    pub(super) async fn told(&mut self) {
        if self.socket.is_none() {
            return std::future::pending().await;
        }
        tokio::time::sleep_until(self.next).await;
        let view = self.view.clone();
        let status = tokio::spawn(async move { tokio::task::block_in_place(|| how_all_is(&view)) });
        let Ok(status) = status.await else { return };
        let pause = self.watchdog.map_or(LOOK, |within| LOOK.min(within / 2));
        self.next = Instant::now() + pause;
        if self.watchdog.is_some() {
            self.say("WATCHDOG=1");
        }
        if status != self.status {
            self.say(&format!("STATUS={status}"));
            self.status = status;
        }
    }

    fn say(&self, text: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(text.as_bytes(), address) {
            tracing::debug!(%error, "systemd does not listen");
        }
    }
}

/// The socket of a name: a path, or with an `@` before it one that is in no file system.
fn open(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name)?
        }
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}
