//! A [`Workload`] in a process of its own that does what it is told, a step at a time.
//!
//! Where a [`Writer`](crate::writer::Writer) goes its own way, this one waits, so that a test decides what happens
//! between two of its commits. It is this test's own binary, as a writer is:
//!
//! ```no_run
//! #[test]
//! fn actor() {
//!     ebbtide_testkit::actor::run_if_asked();
//! }
//! // … and in other tests: Actor::start("actor", path, seed, &options)
//! ```

use std::env;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::oracle::Image;
use crate::process::{Output, Process};
use crate::workload::{CheckpointMode, Options, Rows, Step, Table, Workload, rows};
use crate::writer::{Commit, image, micros_now};

const PATIENCE: Duration = Duration::from_secs(60);
const READY: &str = "actor ready";
const DONE: &str = "actor done";

/// What an actor is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Whatever its seed decides.
    Any,
    /// One transaction with so many rows, of so many bytes at most.
    Insert(u32, u32),
    /// So many transactions with a row each, of so many bytes at most.
    InsertEach(u32, u32),
    /// A transaction that is rolled back after so many rows.
    Rollback(u32, u32),
    /// A checkpoint, which may find the database busy.
    Checkpoint(CheckpointMode),
    /// A read transaction begins on a connection of its own.
    OpenReader,
    /// The oldest reader ends.
    CloseReader,
    /// The whole database written again.
    Vacuum,
    /// All connections are closed and opened again.
    Restart,
}

/// What an actor has done.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its commits, each with what the database was after it.
    pub commits: Vec<Commit>,
    /// How long the step took, without looking at the database.
    pub took: Duration,
    /// The step in words.
    pub step: String,
}

/// An application that waits to be told.
#[derive(Debug)]
pub struct Actor {
    process: Process,
    begin: Image,
}

impl Actor {
    /// Starts the test `name` of this very binary as an actor on the database at `path`, which is created where there
    /// is none, and waits until it has opened it.
    ///
    /// # Errors
    ///
    /// When the process cannot be started.
    ///
    /// # Panics
    ///
    /// When it ends at once, as it does when there is no such test.
    pub fn start(name: &str, path: &Path, seed: u64, options: &Options) -> io::Result<Actor> {
        let mut command = Command::new(env::current_exe()?);
        command.args([name, "--exact", "--nocapture", "--test-threads=1"]);
        command.env("EBBTIDE_ACTOR_PATH", path);
        command.env("EBBTIDE_ACTOR_SEED", seed.to_string());
        command.env("EBBTIDE_ACTOR_OPTIONS", options.to_string());
        let process = Process::start(&mut command, Output::Stdout)?;
        let begin = process.line_with(READY, PATIENCE);
        let begin = begin.split_once(READY).map_or("", |(_, image)| image).trim();
        let begin = begin.parse().map_err(io::Error::other)?;
        Ok(Actor { process, begin })
    }

    /// The database as it found it.
    #[must_use]
    pub const fn begin(&self) -> Image {
        self.begin
    }

    /// Has it do something, and waits until that is done.
    ///
    /// # Panics
    ///
    /// When it dies of it, or takes longer than a minute.
    pub fn act(&mut self, ask: Ask) -> Told {
        self.ask(ask);
        self.answer()
    }

    /// Waits until it has done what it was asked.
    ///
    /// # Panics
    ///
    /// As [`Actor::act`].
    pub fn answer(&mut self) -> Told {
        let mut commits = Vec::new();
        loop {
            let line =
                self.process.line(PATIENCE).expect("an application that does what it is told");
            if let Some(done) = line.strip_prefix(DONE) {
                let (micros, step) = done.trim().split_once(' ').expect("a time and a step");
                let took = Duration::from_micros(micros.parse().expect("a number of microseconds"));
                return Told { commits, took, step: step.to_owned() };
            }
            commits.extend(Commit::parse(&line));
        }
    }

    /// Tells it to do something and does not wait.
    ///
    /// # Panics
    ///
    /// When it is not there any more.
    pub fn ask(&mut self, ask: Ask) {
        self.process.tell(&ask.to_line()).expect("an application that listens");
    }

    /// After a SIGKILL: waits for its end, and hands back the commits that it had still told.
    ///
    /// # Errors
    ///
    /// When it cannot be waited for.
    pub fn reap(&mut self) -> io::Result<Vec<Commit>> {
        let lines = self.process.reap()?;
        Ok(lines.iter().filter_map(|line| Commit::parse(line)).collect())
    }

    /// Has it close the database and end.
    ///
    /// # Errors
    ///
    /// When it fails.
    pub fn finish(mut self) -> io::Result<()> {
        let status = self.process.wait(PATIENCE)?;
        let failed = || io::Error::other(format!("the actor ended with {status}"));
        status.success().then_some(()).ok_or_else(failed)
    }

    /// The process, to be signalled or measured.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }
}

/// Is the actor if this process was started as one, and returns at once if not.
///
/// # Panics
///
/// When the workload fails.
pub fn run_if_asked() {
    let Some(path) = env::var_os("EBBTIDE_ACTOR_PATH") else { return };
    let word = |name| env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let seed = word("EBBTIDE_ACTOR_SEED").parse().expect("a seed");
    let options = word("EBBTIDE_ACTOR_OPTIONS").parse().expect("options of a workload");
    run(Path::new(&path), seed, options).expect("a workload that runs, and somebody who listens");
}

fn run(path: &Path, seed: u64, options: Options) -> Result<(), Box<dyn std::error::Error>> {
    let mut workload = Workload::new(path, seed, options)?;
    let mut output = io::stdout();
    writeln!(output, "\n{READY} {}", image(path))?;
    let mut index = 0;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let ask = Ask::parse(&line).ok_or_else(|| format!("nothing to do is {line}"))?;
        let began = Instant::now();
        let mut looked = Duration::ZERO;
        let mut told = Ok(());
        let mut committed = |sql: &rusqlite::Connection| {
            let look = Instant::now();
            let micros = micros_now();
            let rows = rows(sql).expect("tables that can be counted");
            let commit = Commit { index, micros, rows, image: Some(image(path)) };
            told = writeln!(output, "{commit}").and_then(|()| output.flush());
            index += 1;
            looked += look.elapsed();
        };
        let step = match ask.step() {
            None => workload.step(&mut committed)?,
            Some(step) => {
                workload.take(&step, &mut committed)?;
                step
            }
        };
        told?;
        let took = began.elapsed().saturating_sub(looked).as_micros();
        writeln!(output, "{DONE} {took} {step:?}")?;
        output.flush()?;
    }
    Ok(())
}

impl Ask {
    fn step(self) -> Option<Step> {
        let rows = |count, bytes| Rows { table: Table(1), count, bytes };
        Some(match self {
            Ask::Any => return None,
            Ask::Insert(count, bytes) => Step::Insert(rows(count, bytes)),
            Ask::InsertEach(count, bytes) => Step::InsertEach(rows(count, bytes)),
            Ask::Rollback(count, bytes) => Step::Rollback(rows(count, bytes)),
            Ask::Checkpoint(mode) => Step::Checkpoint(mode),
            Ask::OpenReader => Step::OpenReader,
            Ask::CloseReader => Step::CloseReader,
            Ask::Vacuum => Step::Vacuum,
            Ask::Restart => Step::Restart,
        })
    }

    fn to_line(self) -> String {
        match self {
            Ask::Any => "any".to_owned(),
            Ask::Insert(count, bytes) => format!("insert {count} {bytes}"),
            Ask::InsertEach(count, bytes) => format!("each {count} {bytes}"),
            Ask::Rollback(count, bytes) => format!("rollback {count} {bytes}"),
            Ask::Checkpoint(mode) => format!("checkpoint {}", mode.name()),
            Ask::OpenReader => "open".to_owned(),
            Ask::CloseReader => "close".to_owned(),
            Ask::Vacuum => "vacuum".to_owned(),
            Ask::Restart => "restart".to_owned(),
        }
    }

    fn parse(line: &str) -> Option<Ask> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words.get(at)?.parse::<u32>().ok();
        Some(match *words.first()? {
            "any" => Ask::Any,
            "insert" => Ask::Insert(number(1)?, number(2)?),
            "each" => Ask::InsertEach(number(1)?, number(2)?),
            "rollback" => Ask::Rollback(number(1)?, number(2)?),
            "checkpoint" => Ask::Checkpoint(CheckpointMode::named(words.get(1)?)?),
            "open" => Ask::OpenReader,
            "close" => Ask::CloseReader,
            "vacuum" => Ask::Vacuum,
            "restart" => Ask::Restart,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use ebbtide_wal::PageSize;

    use super::*;

    #[test]
    fn actor() {
        run_if_asked();
    }

    #[test]
    fn an_actor_does_what_it_is_told_and_tells_what_came_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let options = Options::plain(PageSize::new(1024).unwrap());
        let mut actor = Actor::start("actor::tests::actor", &path, 3, &options).unwrap();
        let each = actor.act(Ask::InsertEach(3, 100));
        assert_eq!(each.commits.len(), 4, "a table and three rows: {each:?}");
        assert_eq!(actor.act(Ask::Rollback(3, 100)).commits, []);
        let busy = actor.act(Ask::Checkpoint(CheckpointMode::Truncate));
        assert_eq!(busy.step, "Checkpoint(Truncate)");
        let last = actor.act(Ask::Insert(5, 100)).commits[0].image;
        actor.finish().unwrap();
        assert_eq!(last, Some(Image::of_file(&path).unwrap()));
    }
}
