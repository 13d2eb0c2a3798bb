//! An application of `tests/applications`: a process that does what it is told, a line for a line.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ebbtide_testkit::process::{Output, Process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::PATIENCE;

/// One that runs.
pub(super) struct Program {
    process: Process,
    /// Which SQLite it has.
    pub(super) version: String,
    /// How long the longest answer took.
    pub(super) longest: Duration,
}

/// What a database has in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// The number of the last transaction.
    pub(super) number: u64,
    /// The hash of all rows.
    pub(super) rows: String,
    /// The hash of all pages, from a SQLite that can tell.
    pub(super) pages: Option<String>,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// A transaction has this number, and left these rows.
    Committed(u64, String),
    State(State),
    Failed(String),
}

impl Program {
    /// Starts `command` on the database and waits until it has opened it.
    pub(super) fn start(command: &str, database: &Path, pragmas: &[String]) -> Program {
        let script = format!("exec {command} \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "application"]).arg(database).args(pragmas);
        // As people start it: from the root of the tree.
        shell.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let process = Process::start(&mut shell, Output::Stdout).unwrap();
        let ready = process.line(PATIENCE).expect("an application that starts");
        let version = ready.strip_prefix("ready ").unwrap_or_else(|| panic!("{ready}")).to_owned();
        Program { process, version, longest: Duration::ZERO }
    }

    /// Its answer to `request`; nothing if it was killed.
    pub(super) fn ask(&mut self, request: &str) -> Option<Answer> {
        let began = Instant::now();
        self.process.tell(request).ok()?;
        let line = self.process.line(PATIENCE)?;
        self.longest = self.longest.max(began.elapsed());
        Some(Answer::parse(&line).unwrap_or_else(|| panic!("{request} is answered by {line}")))
    }

    /// Has it do what cannot fail.
    #[track_caller]
    pub(super) fn run(&mut self, sql: &str) {
        assert_eq!(self.ask(&format!("run {sql}")), Some(Answer::Done), "{sql}");
    }

    /// What its database has in it.
    #[track_caller]
    pub(super) fn look(&mut self) -> State {
        self.state("look")
    }

    /// What is in another file, which must be sound.
    #[track_caller]
    pub(super) fn read(&mut self, path: &Path) -> State {
        self.state(&format!("read {}", path.to_str().unwrap()))
    }

    #[track_caller]
    fn state(&mut self, request: &str) -> State {
        match self.ask(request) {
            Some(Answer::State(state)) => state,
            answer => panic!("{request} is answered by {answer:?}"),
        }
    }

    /// SIGKILL, as soon as this is called: also while another thread asks it something.
    pub(super) fn killer(&self) -> impl Fn() + Send + use<> {
        let id = Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        // It is not waited for before its end was noticed, so the number stays its own.
        move || kill(id, Signal::SIGKILL).unwrap()
    }

    /// Closes everything and ends.
    pub(super) fn finish(mut self) {
        let status = self.process.wait(PATIENCE).unwrap();
        assert!(status.success(), "the application ended with {status}");
    }
}

impl Answer {
    fn parse(line: &str) -> Option<Answer> {
        if let Some(why) = line.strip_prefix("failed ") {
            return Some(Answer::Failed(why.to_owned()));
        }
        let words: Vec<&str> = line.split(' ').collect();
        Some(match words[..] {
            ["done"] => Answer::Done,
            ["committed", number, rows] => Answer::Committed(number.parse().ok()?, rows.to_owned()),
            ["state", number, rows, pages] => Answer::State(State {
                number: number.parse().ok()?,
                rows: rows.to_owned(),
                pages: (pages != "-").then(|| pages.to_owned()),
            }),
            _ => return None,
        })
    }
}
