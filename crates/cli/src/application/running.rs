//! The application while it runs.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use super::family::{self, Member};
use super::foreground::{Terminal, has_terminal_to_itself, our_group, stop_us};
use super::reaper::{LOOK_AGAIN, Left, Reaper};
use super::spawn::{Environment, adopt_orphans, spawn};
use crate::exit::{Code, Failure};

/// How long those that were killed may take to be gone. Who waits for a disk that does not answer can take longer.
const KILLED_WAIT: Duration = Duration::from_secs(10);

/// What `--exec` started, and all that came of it.
#[derive(Debug)]
pub(crate) struct Application {
    /// Its process group, which has the number of the first process.
    group: Pid,
    /// How the first process ended.
    code: Option<u8>,
    reaper: Reaper,
    children: tokio::signal::unix::Signal,
    terminal: Option<Terminal>,
    /// Whether it gets the terminal whenever that is ours: from the start where nobody shares it with us, else since it
    /// has asked for it.
    gets_terminal: bool,
    /// Whether we have told it to stop, and are to hear that it did.
    is_stopping: bool,
    /// Whether its other processes were told of.
    is_told: bool,
}

impl Application {
    /// Starts the command by the shell, as its user would have.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(command: &str, environment: Environment) -> Result<Application, Failure> {
        let fail =
            |error: std::io::Error| Failure::new(Code::Failed, format!("run {command:?}: {error}"));
        adopt_orphans();
        // Before there is a child whose end it would miss.
        let children = signal(SignalKind::child()).map_err(fail)?;
        let group = spawn(command, environment).map_err(fail)?;
        let application = Application {
            group,
            code: None,
            reaper: Reaper::default(),
            children,
            terminal: Terminal::of_this_process(),
            gets_terminal: has_terminal_to_itself(),
            is_stopping: false,
            is_told: false,
        };
        application.lend_terminal();
        Ok(application)
    }

    /// Waits until the last of its processes is gone. May be dropped and called again.
    pub(crate) async fn gone(&mut self) {
        loop {
            let left = self.look();
            if left == Left::Nobody {
                self.take_terminal_back();
                return;
            }
            tokio::select! {
                _ = self.children.recv() => {}
                () = tokio::time::sleep(LOOK_AGAIN), if left == Left::Helper => {}
            }
        }
    }

    /// How its first process ended, as a shell would say it.
    pub(crate) fn code(&self) -> Option<u8> {
        self.code
    }

    /// Sends a signal to all of its processes, once each. Those that were stopped go on, to hear it.
    pub(crate) fn signal(&self, signal: Signal) {
        let members = family::members();
        let all = members.as_deref().unwrap_or_default();
        let in_group = |member: &&Member| member.group == self.group;
        // Once nobody is in it, its number may be another's.
        if members.is_none() || all.iter().any(|member| in_group(&member)) {
            sent(killpg(self.group, signal), self.group, signal);
        }
        for member in all.iter().filter(|member| !in_group(member)) {
            sent(kill(member.pid, signal), member.pid, signal);
        }
        if !matches!(signal, Signal::SIGTSTP | Signal::SIGCONT | Signal::SIGKILL) {
            for member in all.iter().filter(|member| member.is_stopped) {
                sent(kill(member.pid, Signal::SIGCONT), member.pid, Signal::SIGCONT);
            }
        }
    }

    /// Passes a signal on that is a message and no end: to those that handle it. The others would end by it.
    pub(crate) fn tell(&self, signal: Signal) {
        let members = family::members().unwrap_or_default();
        let handlers = family::handlers(&members, |pid| family::handles(pid, signal));
        tracing::info!(%signal, handlers = handlers.len(), "passed on to the application where it handles it");
        for pid in handlers {
            sent(kill(pid, signal), pid, signal);
        }
    }

    /// SIGKILL for all of its processes; whether they are gone.
    pub(crate) async fn kill(&mut self) -> bool {
        let killing = async {
            loop {
                // Between a look and its signals a process can have begun another one.
                self.signal(Signal::SIGKILL);
                if tokio::time::timeout(LOOK_AGAIN, self.gone()).await.is_ok() {
                    return;
                }
            }
        };
        tokio::time::timeout(KILLED_WAIT, killing).await.is_ok()
    }

    /// The terminal was closed: whether the application hears of that by itself.
    pub(crate) fn has_terminal(&self) -> bool {
        self.terminal.as_ref().is_some_and(|terminal| terminal.is_with(self.group))
    }

    /// Somebody wants all of this to stop (Ctrl-Z).
    pub(crate) fn stop(&mut self) {
        self.is_stopping = true;
        self.signal(Signal::SIGTSTP);
        if !stop_us() {
            self.go_on();
        }
    }

    /// Somebody wants all of this to go on (`fg`, `bg`).
    pub(crate) fn go_on(&mut self) {
        self.is_stopping = false;
        self.lend_terminal();
        self.signal(Signal::SIGCONT);
    }

    /// Waits for those that have ended, and answers to those that were stopped; who is left.
    fn look(&mut self) -> Left {
        loop {
            let (left, _) = self.reap();
            if left == Left::Nobody || self.code.is_none() {
                return left;
            }
            // What is left may be a helper of ours.
            let Some(others) = family::members() else { return left };
            if !others.is_empty() {
                self.tell_of(&others);
                return left;
            }
            // Who began another process and ended while the table was read is a child that has ended now.
            match self.reap() {
                (Left::Somebody, false) => return Left::Nobody,
                (left, false) => return left,
                (_, true) => {}
            }
        }
    }

    /// Waits for those that have ended; who is left, and whether there were any.
    fn reap(&mut self) -> (Left, bool) {
        let (mut ended, mut stopped, mut any) = (None, None, false);
        let first = self.group;
        let left = self.reaper.reap(|status| {
            any = true;
            match status {
                WaitStatus::Exited(pid, code) if pid == first => ended = Some(code),
                WaitStatus::Signaled(pid, signal, _) if pid == first => {
                    ended = Some(128 + signal as i32);
                }
                WaitStatus::Stopped(pid, signal) if pid == first => stopped = Some(signal),
                _ => {}
            }
        });
        if let Some(code) = ended {
            self.code = Some(u8::try_from(code).unwrap_or(1));
        }
        if let Some(signal) = stopped {
            self.was_stopped(signal);
        }
        (left, any)
    }

    /// Says why this goes on although the shell has ended.
    fn tell_of(&mut self, others: &[Member]) {
        if !self.is_told && !others.is_empty() {
            self.is_told = true;
            tracing::info!(
                code = self.code,
                processes = names(others),
                "the command has ended, but other processes that it started go on; following until they are gone"
            );
        }
    }

    /// The terminal stopped the first process: by Ctrl-Z, or because it asked for the terminal in the background.
    fn was_stopped(&mut self, signal: Signal) {
        let Some(terminal) = &self.terminal else { return };
        let (ours, group) = (our_group(), self.group);
        match signal {
            // It is what we asked for, and we were stopped for it and have gone on.
            Signal::SIGTSTP if self.is_stopping => self.is_stopping = false,
            Signal::SIGTTIN | Signal::SIGTTOU if terminal.hand_over(ours, group) => {
                self.gets_terminal = true;
                self.signal(Signal::SIGCONT);
            }
            Signal::SIGTSTP | Signal::SIGTTIN | Signal::SIGTTOU => {
                terminal.hand_over(group, ours);
                if !stop_us() {
                    self.go_on();
                }
            }
            _ => {}
        }
    }

    fn lend_terminal(&self) {
        if let Some(terminal) = self.terminal.as_ref().filter(|_| self.gets_terminal) {
            terminal.hand_over(our_group(), self.group);
        }
    }

    fn take_terminal_back(&self) {
        if let Some(terminal) = &self.terminal {
            terminal.hand_over(self.group, our_group());
        }
    }

    /// Its processes, for people.
    pub(crate) fn processes(&self) -> String {
        names(&family::members().unwrap_or_default())
    }
}

fn sent(result: Result<(), Errno>, to: Pid, signal: Signal) {
    match result {
        // It has ended meanwhile.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => {
            tracing::warn!(%error, process = to.as_raw(), %signal, "cannot pass the signal on");
        }
    }
}

fn names(members: &[Member]) -> String {
    let names = members.iter().map(|member| format!("{} ({})", member.name, member.pid));
    names.collect::<Vec<_>>().join(", ")
}
