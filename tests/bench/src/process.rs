//! Processes that are measured: their output goes where nobody has to read it, and what they use is what the kernel counts.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ebbtide_testkit::process::{Usage, usage_of};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike as _;
use nix::unistd::Pid;

use crate::Result;

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts `command`, whose log goes to the file `log`, and listens to what it says.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Running> {
        let log = fs::File::options().create(true).append(true).open(log)?;
        Running::spawn(command.stdout(Stdio::piped()).stderr(log))
    }

    /// Starts `command`, and all that it says goes to the file `log`: a pipe that nobody reads would stop it.
    pub(crate) fn start_unheard(command: &mut Command, log: &Path) -> Result<Running> {
        let log = fs::File::options().create(true).append(true).open(log)?;
        Running::spawn(command.stdout(log.try_clone()?).stderr(log))
    }

    fn spawn(command: &mut Command) -> Result<Running> {
        command.stdin(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Ok(Running { child, stdin, stdout })
    }

    /// The next line of its output; nothing at the end.
    pub(crate) fn line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        let Some(stdout) = &mut self.stdout else { return Ok(None) };
        let read = stdout.read_line(&mut line)?;
        Ok((read > 0).then(|| line.trim_end().to_owned()))
    }

    /// Reads on until it says `last`, or ends.
    pub(crate) fn lines_to(&mut self, last: &str) -> Result<()> {
        while self.line()?.is_some_and(|line| line != last) {}
        Ok(())
    }

    /// All lines until its end.
    pub(crate) fn lines(&mut self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        while let Some(line) = self.line()? {
            lines.push(line);
        }
        Ok(lines)
    }

    /// What it has used so far.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Ok(usage_of(self.child.id())?)
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?)
    }

    /// Closes its input and waits for its end.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        drop(self.stdin.take());
        drop(self.stdout.take());
        Ok(self.child.wait()?)
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        // A full pipe would keep it from ending.
        let begun = Instant::now();
        self.lines()?;
        while self.is_alive()? && begun.elapsed() < Duration::from_secs(60) {
            sleep(Duration::from_millis(5));
        }
        if self.is_alive()? {
            self.child.kill()?;
        }
        Ok(self.child.wait()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

/// What came of a command that ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    pub(crate) time: Duration,
    pub(crate) cpu_time: Duration,
    pub(crate) resident_max: u64,
}

/// Runs `command` to its end. Its memory is looked at every few milliseconds.
pub(crate) fn run(command: &mut Command, log: &Path) -> Result<Done> {
    let log = fs::File::options().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let before = cpu_of_children()?;
    let begun = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let mut resident_max = 0;
    let status = loop {
        // Its last breath may not be seen; a peak lasts longer than this.
        resident_max = usage_of(child.id())
            .map_or(resident_max, |now| now.resident_bytes_max.max(resident_max));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        sleep(Duration::from_millis(2));
    };
    let time = begun.elapsed();
    Ok(Done { status, time, cpu_time: cpu_of_children()? - before, resident_max })
}

fn cpu_of_children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let [user, system] = [usage.user_time(), usage.system_time()];
    Ok(Duration::from_micros((user + system).num_microseconds().unsigned_abs()))
}
