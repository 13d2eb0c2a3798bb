//! A running `ebbtide`, and other processes whose outputs a test listens to.

use std::io::{BufRead as _, BufReader, PipeReader};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use ebbtide_testkit::process::{Output, Process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{PATIENCE, wait_until};

/// A running `ebbtide replicate`.
pub(crate) struct Sidecar(Process);

impl Sidecar {
    /// Waits until it follows the database.
    pub(crate) fn wait_until_it_follows(&self) {
        self.0.line_with("\"following\"", PATIENCE);
    }

    /// Starts a command.
    pub(crate) fn spawn_command(command: &mut Command) -> Sidecar {
        Sidecar(Process::start(command, Output::Stderr).unwrap())
    }

    /// Starts a command that follows, and waits until it does.
    pub(crate) fn start_command(command: &mut Command) -> Sidecar {
        let sidecar = Sidecar::spawn_command(command);
        sidecar.wait_until_it_follows();
        sidecar
    }

    /// Waits until it has ended by itself; its exit code and what it said.
    pub(crate) fn end(mut self) -> (i32, String) {
        let status = self.0.wait(PATIENCE).unwrap();
        (status.code().unwrap(), self.0.reap().unwrap().join("\n"))
    }

    /// Asks it to end, and waits; its exit code.
    pub(crate) fn stop(self) -> i32 {
        let (code, said) = self.stop_and_tell();
        eprintln!("{said}");
        code
    }

    /// The same, and what it said.
    pub(crate) fn stop_and_tell(self) -> (i32, String) {
        self.0.signal(Signal::SIGTERM).unwrap();
        self.end()
    }

    pub(crate) fn kill(self) {
        self.0.kill().unwrap();
    }

    /// Waits for its end after a signal that kills.
    pub(crate) fn reap(&mut self) {
        self.0.reap().unwrap();
    }

    pub(crate) fn process(&self) -> &Process {
        &self.0
    }
}

/// A process whose outputs go where the test says. It is killed when this is dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        Running(command.spawn().unwrap())
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the process to end", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// The same; its exit code.
    pub(crate) fn wait(&mut self) -> i32 {
        self.ended().code().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

/// What comes out of a pipe, read as it comes.
pub(crate) struct Lines(Arc<Mutex<String>>, JoinHandle<()>);

impl Lines {
    pub(crate) fn of(reader: PipeReader) -> Lines {
        let said = Arc::new(Mutex::new(String::new()));
        let all = Arc::clone(&said);
        let thread = std::thread::spawn(move || {
            for line in BufReader::new(reader).lines() {
                let line = line.unwrap() + "\n";
                all.lock().unwrap().push_str(&line);
            }
        });
        Lines(said, thread)
    }

    /// Waits until this was said.
    pub(crate) fn wait_for(&self, text: &str) {
        wait_until(text, || self.0.lock().unwrap().contains(text));
    }

    /// Everything, once nobody can say any more.
    pub(crate) fn all(self) -> String {
        self.1.join().unwrap();
        let said = self.0.lock().unwrap();
        said.clone()
    }
}
