//! Other processes: started, listened to line by line, signalled, measured, and never left behind.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// A process of a test. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    stdin: Option<ChildStdin>,
}

/// Which of a process's outputs is listened to. The other one goes where the test's own goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Where results go.
    Stdout,
    /// Where logs go.
    Stderr,
}

/// CPU time and memory of a process, so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// In user and kernel together.
    pub cpu_time: Duration,
    /// The most that was resident at once.
    pub resident_bytes_max: u64,
    /// Open file descriptors; 0 where they are not shown.
    pub descriptors: usize,
}

impl Process {
    /// Starts `command`, whose standard input stays open until this is dropped.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(command: &mut Command, output: Output) -> io::Result<Process> {
        command.stdin(Stdio::piped());
        match output {
            Output::Stdout => command.stdout(Stdio::piped()),
            Output::Stderr => command.stderr(Stdio::piped()),
        };
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let lines = match output {
            Output::Stdout => child.stdout.take().map(listen),
            Output::Stderr => child.stderr.take().map(listen),
        };
        let lines = lines.expect("the output was asked to be a pipe");
        Ok(Process { child, lines, stdin })
    }

    /// The next line, or `None` once the output is closed.
    ///
    /// # Panics
    ///
    /// When none comes within `patience`.
    pub fn line(&self, patience: Duration) -> Option<String> {
        self.hear(patience)
            .unwrap_or_else(|| panic!("process {} said nothing for {patience:?}", self.id()))
    }

    /// The first line that has `text` in it.
    ///
    /// # Panics
    ///
    /// When it does not come within `patience`, or the output is closed before: with all that was said instead.
    pub fn line_with(&self, text: &str, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        let mut said = String::new();
        loop {
            match self.hear(deadline.saturating_duration_since(Instant::now())) {
                Some(Some(line)) if line.contains(text) => return line,
                Some(Some(line)) => said = said + &line + "\n",
                Some(None) => {
                    panic!("process {} ended before it said {text:?}:\n{said}", self.id())
                }
                None => panic!(
                    "process {} did not say {text:?} within {patience:?}, but:\n{said}",
                    self.id()
                ),
            }
        }
    }

    /// The next line, or that the output is closed; nothing when neither comes within `patience`.
    fn hear(&self, patience: Duration) -> Option<Option<String>> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => Some(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Some(None),
            Err(RecvTimeoutError::Timeout) => None,
        }
    }

    /// Says a line on its standard input.
    ///
    /// # Errors
    ///
    /// When it does not listen any more.
    pub fn tell(&mut self, line: &str) -> io::Result<()> {
        let Some(stdin) = &mut self.stdin else { return Err(io::ErrorKind::BrokenPipe.into()) };
        writeln!(stdin, "{line}")
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// What it has said and nobody has asked for yet.
    pub fn lines_so_far(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Sends a signal. SIGSTOP and SIGCONT freeze and thaw it.
    ///
    /// # Errors
    ///
    /// When the process is gone and has been waited for.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let id = i32::try_from(self.id()).expect("a process's id is a pid_t");
        Ok(kill(Pid::from_raw(id), signal)?)
    }

    /// Whether SIGSTOP has reached it: a thread on another CPU may go on for a moment.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        // The state follows the name, which may have parentheses of its own.
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    }

    /// SIGKILL. Hands back everything that it had still said, to the last whole line.
    ///
    /// # Errors
    ///
    /// When it cannot be killed or waited for.
    pub fn kill(mut self) -> io::Result<Vec<String>> {
        self.child.kill()?;
        self.reap()
    }

    /// Waits for a process that was killed. Hands back everything that it had still said, to the last whole line.
    ///
    /// # Errors
    ///
    /// When it cannot be waited for.
    pub fn reap(&mut self) -> io::Result<Vec<String>> {
        self.child.wait()?;
        Ok(self.lines.iter().collect())
    }

    /// Closes its standard input and waits for its end.
    ///
    /// # Errors
    ///
    /// When it cannot be waited for, or has not ended within `patience`.
    pub fn wait(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                let what = format!("process {} still runs after {patience:?}", self.id());
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What it has used so far.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn usage(&self) -> io::Result<Usage> {
        usage_of(self.id())
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

/// What the process with this number has used so far.
///
/// # Errors
///
/// When there is none.
pub fn usage_of(id: u32) -> io::Result<Usage> {
    let directory = format!("/proc/{id}");
    let clock = clock_getcpuclockid(Pid::from_raw(id.cast_signed()))?;
    let resident = resident_max(&fs::read_to_string(format!("{directory}/status"))?);
    // ebbtide shows them to root alone.
    let descriptors = fs::read_dir(format!("{directory}/fd")).map_or(0, Iterator::count);
    let missing = || io::Error::other(format!("{directory} is not as proc(5) has it"));
    Ok(Usage {
        cpu_time: Duration::from(clock.now()?),
        resident_bytes_max: resident.ok_or_else(missing)?,
        descriptors,
    })
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already, and has been waited for then; nothing is lost if either call says so.
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

/// Lines go through a thread, so that a process never waits for its test and a test can wait with a deadline.
fn listen(output: impl io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = String::new();
        // A line without its end is what a killed process left of one.
        while output.read_line(&mut line).is_ok() && line.ends_with('\n') {
            if sender.send(line.trim_end().to_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    receiver
}

fn resident_max(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Process {
        Process::start(Command::new("sh").args(["-c", script]), Output::Stdout).unwrap()
    }

    #[test]
    fn a_process_is_heard_measured_and_waited_for() {
        let mut process = shell("echo one; echo two; read line; exit 7");
        assert_eq!(process.line_with("two", PATIENCE), "two");
        assert!(process.usage().unwrap().resident_bytes_max > 0);
        assert_eq!(process.wait(PATIENCE).unwrap().code(), Some(7));
        assert_eq!(process.line(PATIENCE), None);
    }

    #[test]
    fn a_killed_process_leaves_what_it_had_said() {
        let process = shell("echo one; echo two; read line; echo never");
        assert_eq!(process.line(PATIENCE).as_deref(), Some("one"));
        process.signal(Signal::SIGSTOP).unwrap();
        process.signal(Signal::SIGCONT).unwrap();
        assert_eq!(process.line(PATIENCE).as_deref(), Some("two"));
        assert_eq!(process.kill().unwrap(), Vec::<String>::new());
    }
}
