//! A [`Workload`] in a process of its own, which can be killed at any moment.
//!
//! The process is the test's own binary: it is started again with nothing to run but one test, which calls
//! [`run_if_asked`] and does nothing in an ordinary run. So no other binary has to be built first.
//!
//! ```no_run
//! #[test]
//! fn writer() {
//!     ebbtide_testkit::writer::run_if_asked();
//! }
//! // … and in other tests: Writer::start("writer", &task)
//! ```
//!
//! After each commit the writer says what it has done. A writer that is killed may have made one commit more than it
//! has said.

use std::env;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::oracle::{self, Image};
use crate::process::{Output, Process};
use crate::workload::{Options, Workload, rows};

/// What a writer is to do.
#[derive(Debug, Clone)]
pub struct Task {
    /// The database, which is created where there is none.
    pub path: PathBuf,
    /// The seed of the workload.
    pub seed: u64,
    /// How the database is set up.
    pub options: Options,
    /// After so many commits the writer closes the database and ends.
    pub commits_max: u64,
    /// How many it makes a second. `None`: as many as it can.
    pub commits_per_second: Option<u32>,
    /// Whether it looks at the whole database after each commit, and says what it saw.
    pub images: bool,
}

/// What a writer has said of one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Counted from 0.
    pub index: u64,
    /// Microseconds since the epoch, taken once the commit was done.
    pub micros: u64,
    /// Rows in all tables together.
    pub rows: i64,
    /// The database after the commit, if it was asked for.
    pub image: Option<Image>,
}

/// A writer that runs.
#[derive(Debug)]
pub struct Writer {
    process: Process,
    begin: Option<Image>,
}

const PATIENCE: Duration = Duration::from_secs(60);
const READY: &str = "writer ready";

impl Writer {
    /// Starts the test `name` of this very binary as a writer, and waits until it has opened the database. The name
    /// is the one that the binary lists, with its modules: `a::b::writer`.
    ///
    /// # Errors
    ///
    /// When the process cannot be started.
    ///
    /// # Panics
    ///
    /// When it ends at once, as it does when there is no such test.
    pub fn start(name: &str, task: &Task) -> io::Result<Writer> {
        let mut command = Command::new(env::current_exe()?);
        command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
        command.env("EBBTIDE_WRITER_PATH", &task.path);
        command.env("EBBTIDE_WRITER_SEED", task.seed.to_string());
        command.env("EBBTIDE_WRITER_OPTIONS", task.options.to_string());
        command.env("EBBTIDE_WRITER_COMMITS", task.commits_max.to_string());
        command.env("EBBTIDE_WRITER_RATE", task.commits_per_second.unwrap_or(0).to_string());
        command.env("EBBTIDE_WRITER_IMAGES", task.images.to_string());
        let process = Process::start(&mut command, Output::Stdout)?;
        let begin = process.line_with(READY, PATIENCE);
        let image = begin.split_once(READY).map_or("", |(_, image)| image).trim();
        Ok(Writer { process, begin: image.parse().ok() })
    }

    /// The database before the first commit, if images were asked for.
    #[must_use]
    pub const fn begin(&self) -> Option<Image> {
        self.begin
    }

    /// The next commit, or `None` once the writer has ended.
    ///
    /// # Panics
    ///
    /// When it says nothing for a minute.
    pub fn commit(&self) -> Option<Commit> {
        loop {
            let line = self.process.line(PATIENCE)?;
            if let Some(commit) = Commit::parse(&line) {
                return Some(commit);
            }
        }
    }

    /// The commits that it has told and nobody has asked for yet.
    pub fn commits_so_far(&self) -> Vec<Commit> {
        parse_all(&self.process.lines_so_far())
    }

    /// SIGKILL. Hands back the commits that it had still told.
    ///
    /// # Errors
    ///
    /// When it cannot be killed.
    pub fn kill(self) -> io::Result<Vec<Commit>> {
        self.process.kill().map(|lines| parse_all(&lines))
    }

    /// Waits until it has made all its commits and closed the database, and hands back those not yet asked for.
    ///
    /// # Errors
    ///
    /// When it fails.
    ///
    /// # Panics
    ///
    /// When it says nothing for a minute.
    pub fn finish(mut self) -> io::Result<Vec<Commit>> {
        let commits = std::iter::from_fn(|| self.commit()).collect();
        let status = self.process.wait(PATIENCE)?;
        if status.success() {
            Ok(commits)
        } else {
            Err(io::Error::other(format!("the writer ended with {status}")))
        }
    }

    /// The process, to be signalled or measured.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }
}

/// Is the writer if this process was started as one, and returns at once if not.
///
/// # Panics
///
/// When the workload fails.
pub fn run_if_asked() {
    let Some(task) = Task::from_environment() else { return };
    // The other end of the standard input closes when the test ends, however it does.
    thread::spawn(|| {
        let end = io::stdin().read(&mut [0]);
        eprintln!("the writer ends with its test: {end:?}");
        exit(1);
    });
    run(&task, &mut io::stdout()).expect("a workload that runs, and somebody who listens");
}

/// Does the task in this process and tells each commit on `output`, a line each.
///
/// # Errors
///
/// When the workload fails, or nobody listens any more.
///
/// # Panics
///
/// When a commit cannot be looked at.
pub fn run(task: &Task, output: &mut dyn Write) -> Result<(), Box<dyn std::error::Error>> {
    let mut workload = Workload::new(&task.path, task.seed, task.options.clone())?;
    let look = || task.images.then(|| image(&task.path));
    let begin = look().map_or(String::new(), |image| image.to_string());
    writeln!(output, "{READY} {begin}").and_then(|()| output.flush())?;
    let begun = Instant::now();
    let mut index = 0;
    while index < task.commits_max {
        let mut told = Ok(());
        workload.step(&mut |sql| {
            let micros = micros_now();
            let rows = rows(sql).expect("tables that can be counted");
            let commit = Commit { index, micros, rows, image: look() };
            told = writeln!(output, "{commit}").and_then(|()| output.flush());
            index += 1;
            pause(task, begun, index);
        })?;
        told?;
    }
    Ok(())
}

pub(crate) fn image(path: &Path) -> Image {
    Image::of(&oracle::committed(path).expect("a database that can be read"))
}

/// Waits until it is time for commit `index`.
fn pause(task: &Task, begun: Instant, index: u64) {
    if let Some(rate) = task.commits_per_second {
        let due = Duration::from_micros(index.saturating_mul(1_000_000) / u64::from(rate));
        thread::sleep(due.saturating_sub(begun.elapsed()));
    }
}

/// The time as commits have it, in µs since the epoch.
///
/// # Panics
///
/// When the clock is before 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "an application dates its rows by the clock")]
pub fn micros_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(since.as_micros()).expect("a clock before the year 586,000")
}

impl Task {
    fn from_environment() -> Option<Task> {
        let path = env::var_os("EBBTIDE_WRITER_PATH")?;
        let word = |name| env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
        let number = |name| word(name).parse::<u64>().unwrap_or_else(|_| panic!("{name} is odd"));
        let rate = u32::try_from(number("EBBTIDE_WRITER_RATE")).expect("a rate of commits");
        Some(Task {
            path: Path::new(&path).to_owned(),
            seed: number("EBBTIDE_WRITER_SEED"),
            options: word("EBBTIDE_WRITER_OPTIONS").parse().expect("options of a workload"),
            commits_max: number("EBBTIDE_WRITER_COMMITS"),
            commits_per_second: (rate > 0).then_some(rate),
            images: word("EBBTIDE_WRITER_IMAGES") == "true",
        })
    }
}

impl std::fmt::Display for Commit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "commit {} {} {}", self.index, self.micros, self.rows)?;
        self.image.map_or(Ok(()), |image| write!(f, " {image}"))
    }
}

impl Commit {
    /// A line of a writer, unless it is one of the test harness.
    pub(crate) fn parse(line: &str) -> Option<Commit> {
        // The harness prints "test a::b ... " and no line end before the first line of a test that runs.
        let mut words = line.get(line.find("commit ")?..)?.splitn(5, ' ').skip(1);
        let index = words.next()?.parse().ok()?;
        let micros = words.next()?.parse().ok()?;
        let rows = words.next()?.parse().ok()?;
        let image = words.next().map(str::parse).transpose().ok()?;
        Some(Commit { index, micros, rows, image })
    }
}

fn parse_all(lines: &[String]) -> Vec<Commit> {
    lines.iter().filter_map(|line| Commit::parse(line)).collect()
}

#[cfg(test)]
mod tests {
    use ebbtide_wal::PageSize;

    use super::*;
    use crate::oracle::Keep;
    use crate::oracle::Oracle;

    #[test]
    fn writer() {
        run_if_asked();
    }

    fn task(directory: &Path) -> Task {
        Task {
            path: directory.join("app.db"),
            seed: 11,
            options: Options::plain(PageSize::new(1024).unwrap()),
            commits_max: 25,
            commits_per_second: None,
            images: true,
        }
    }

    #[test]
    fn a_writer_tells_every_commit_and_leaves_the_last_one_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let writer = Writer::start("writer::tests::writer", &task(directory.path())).unwrap();
        assert!(writer.begin().is_some());
        let commits = writer.finish().unwrap();
        let indexes: Vec<u64> = commits.iter().map(|commit| commit.index).collect();
        assert_eq!(indexes, (0..25).collect::<Vec<u64>>());
        let file = Image::of_file(&directory.path().join("app.db")).unwrap();
        assert_eq!(commits.last().unwrap().image, Some(file));
    }

    #[test]
    fn a_killed_writer_has_made_one_commit_more_than_it_told_at_most() {
        let directory = tempfile::tempdir().unwrap();
        let mut task = task(directory.path());
        (task.commits_max, task.commits_per_second) = (u64::MAX, Some(200));
        let writer = Writer::start("writer::tests::writer", &task).unwrap();
        let mut told: Vec<Commit> = (0..20).map_while(|_| writer.commit()).collect();
        assert!(writer.process().usage().unwrap().descriptors > 3);
        told.extend(writer.kill().unwrap());

        let mut oracle = Oracle::new(Keep::Hashes);
        oracle.capture(&task.path).unwrap();
        let again = tempfile::tempdir().unwrap();
        (task.path, task.commits_max) = (again.path().join("app.db"), told.len() as u64 + 1);
        let replay = Writer::start("writer::tests::writer", &task).unwrap().finish().unwrap();
        let left = replay.iter().rposition(|commit| commit.image == Some(oracle.images()[0]));
        let left = left.expect("one of the commits that the same seed makes");
        assert!(left + 1 >= told.len(), "{left} is older than the last that was told");
    }
}
