//! The machine of a page's reader: a directory, an application, and the programs that the pages name.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use ebbtide_testkit::process::{Output as Heard, Process};
use rusqlite::Connection;
use tempfile::TempDir;

use super::application::Application;
use super::exceptions::{ADDRESS, IN_A_MOMENT, is_skipped};
use super::page::{Page, Step, Typed};
use super::printed::{is_as_shown, tidied};
use crate::support::{PATIENCE, wait_until};

const EBBTIDE: &str = env!("CARGO_BIN_EXE_ebbtide");

/// A directory with the programs that the pages name, and mostly a database with its application.
pub(super) struct Machine {
    directory: TempDir,
    pub(super) application: Application,
    sidecars: Vec<Process>,
    /// Of the environment, besides.
    pub(super) variables: Vec<(&'static str, String)>,
    /// What stands in the place of the port of the documents, which others may have here.
    pub(super) address: String,
    /// What the service manager starts as `ebbtide`.
    pub(super) service: &'static str,
}

/// An address of this machine at which nobody listens just now.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

impl Machine {
    /// With `app.db` and an application that writes it.
    pub(super) fn new() -> Machine {
        let mut machine = Machine::empty();
        machine.application = Application::start(&machine.path("app.db"));
        machine
    }

    /// With nothing but programs.
    pub(super) fn empty() -> Machine {
        let directory = tempfile::tempdir().unwrap();
        let programs = directory.path().join("bin");
        fs::create_dir(&programs).unwrap();
        symlink(EBBTIDE, programs.join("ebbtide")).unwrap();
        // Asks the test, which is the service manager, and waits for it.
        let ask = "#!/bin/sh\necho \"$1 $2\" >request.new && mv request.new request\n\
                   while [ -e request ]; do sleep 0.01; done\n";
        let systemctl = programs.join("systemctl");
        fs::write(&systemctl, ask).unwrap();
        fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
        fs::DirBuilder::new().mode(0o700).create(directory.path().join("run")).unwrap();
        Machine {
            directory,
            application: Application::none(),
            sidecars: Vec::new(),
            variables: Vec::new(),
            address: free_address(),
            service: "ebbtide replicate app.db ./backup",
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(super) fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("sh");
        let programs = self.path("bin");
        let path = std::env::var("PATH").unwrap_or_default();
        shell.args(["-c", command]).current_dir(self.directory.path());
        shell.env("PATH", format!("{}:{path}", programs.display()));
        shell.env("EBBTIDE_RUNTIME_DIR", self.path("run")).env_remove("EBBTIDE_LOG");
        shell.env("XDG_CACHE_HOME", self.path("cache"));
        shell.envs(self.variables.iter().map(|(name, value)| (*name, value)));
        shell
    }

    /// Runs a command to its end, and does meanwhile what it asks the service manager for.
    pub(super) fn run(&mut self, command: &str) -> Output {
        let mut shell = self.shell(command);
        let running = thread::spawn(move || shell.output().unwrap());
        while !running.is_finished() {
            self.serve();
            thread::sleep(Duration::from_millis(5));
        }
        running.join().unwrap()
    }

    fn serve(&mut self) {
        let request = self.path("request");
        let Ok(asked) = fs::read_to_string(&request) else { return };
        match asked.trim() {
            "stop app" => self.application.stop(),
            "start app" => self.application = Application::start(&self.path("app.db")),
            "stop ebbtide" => self.stop_sidecars(),
            "start ebbtide" => {
                self.start_sidecar(self.service);
            }
            asked => panic!("no such request: {asked}"),
        }
        fs::remove_file(&request).unwrap();
    }

    /// Starts what follows, and waits until it does. What it said of that.
    pub(super) fn start_sidecar(&mut self, command: &str) -> String {
        let mut shell = self.shell(&format!("exec {command}"));
        let sidecar = Process::start(&mut shell, Heard::Stderr).unwrap();
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.contains("shows how")) {
            said.push(sidecar.line(PATIENCE).unwrap());
        }
        self.sidecars.push(sidecar);
        let asks = || self.shell("ebbtide status --json").output().unwrap().stdout;
        wait_until("the sidecar to follow", || {
            String::from_utf8_lossy(&asks()).contains("\"following\"")
        });
        said.join("\n")
    }

    pub(super) fn stop_sidecars(&mut self) {
        for mut sidecar in self.sidecars.drain(..) {
            sidecar.signal(nix::sys::signal::Signal::SIGTERM).unwrap();
            let ended = sidecar.wait(PATIENCE).unwrap();
            assert!(ended.success(), "{ended}");
        }
    }

    /// Whether every sidecar has ended by itself, and so is none any more.
    pub(super) fn has_ended(&mut self) -> bool {
        self.sidecars.retain_mut(|sidecar| sidecar.ended().unwrap().is_none());
        self.sidecars.is_empty()
    }

    /// Does what a page says; how many commands were run.
    pub(super) fn follow(&mut self, document: &str) -> usize {
        self.follow_page(Page::open(document))
    }

    /// The same with the part of it under this heading.
    pub(super) fn follow_section(&mut self, document: &str, heading: &str) -> usize {
        self.follow_page(Page::section(document, heading))
    }

    fn follow_page(&mut self, mut page: Page) -> usize {
        let mut ran = 0;
        for step in page.steps() {
            match step {
                Step::File { name, text } => {
                    let text = text.replace(ADDRESS, &self.address);
                    fs::write(self.path(&name), text).unwrap();
                }
                Step::Run { commands, shown } => {
                    let mut printed = String::new();
                    let mut is_whole = true;
                    for command in commands {
                        match self.obey(&page.path, &command) {
                            Some(said) => (printed, ran) = (printed + &said, ran + 1),
                            None => is_whole = false,
                        }
                    }
                    if let Some(shown) = shown.filter(|_| is_whole) {
                        let printed = tidied(&printed, &self.directory.path().to_string_lossy());
                        if !is_as_shown(&page.shown(&shown), &printed) {
                            page.prints(shown, printed);
                        }
                    }
                }
            }
        }
        page.compare();
        ran
    }

    /// Runs one command of a document; what it printed, unless it cannot run here.
    fn obey(&mut self, document: &str, typed: &Typed) -> Option<String> {
        let command = typed.line.as_str();
        if is_skipped(command) {
            return None;
        }
        if self.makes_database(command) {
            return Some("wal\n".to_owned());
        }
        let lacks = ["sqlite3", "curl"].into_iter().find(|program| {
            command.contains(&format!("{program} "))
                && self.run(&format!("{program} --version")).status.code() != Some(0)
        });
        if let Some(program) = lacks {
            eprintln!("skipped, because there is no {program}: {command}");
            return None;
        }
        if command.contains("psql ") && self.variables.is_empty() {
            eprintln!("skipped, because there is no PostgreSQL: {command}");
            return None;
        }
        let command = command.replace(ADDRESS, &self.address);
        if command.starts_with("ebbtide replicate ") && !command.contains("--once") {
            return Some(self.start_sidecar(&command) + "\n");
        }
        // In the order in which a terminal shows it.
        let command = format!("exec 2>&1\n{command}");
        let mut ended = self.run(&command);
        if IN_A_MOMENT.contains(&typed.line.as_str()) {
            wait_until(&command, || {
                ended.status.success() || {
                    ended = self.run(&command);
                    ended.status.success()
                }
            });
        }
        // The shell waits for nobody, which the pages say.
        let is_locked = |ended: &Output| {
            let said = String::from_utf8_lossy(&ended.stdout);
            typed.line.starts_with("sqlite3 ") && said.contains("database is locked")
        };
        wait_until(&typed.line, || {
            !is_locked(&ended) || {
                ended = self.run(&command);
                !is_locked(&ended)
            }
        });
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert_eq!(ended.status.code(), Some(typed.code), "{document}: {}: {said}", typed.line);
        Some(said)
    }

    /// Does what a command of SQLite's shell does that makes a database, also where there is no such shell; whether it is
    /// one.
    pub(super) fn makes_database(&self, command: &str) -> bool {
        let Some((name, sql)) = command.strip_prefix("sqlite3 ").and_then(|it| it.split_once(" '"))
        else {
            return false;
        };
        if !sql.starts_with("PRAGMA journal_mode = WAL; CREATE") {
            return false;
        }
        let connection = Connection::open(self.path(name)).unwrap();
        connection.execute_batch(sql.strip_suffix('\'').unwrap()).unwrap();
        true
    }

    /// What a query for a number says of a database here.
    pub(super) fn number(&self, database: impl AsRef<Path>, sql: &str) -> u32 {
        let database = Connection::open(self.directory.path().join(database)).unwrap();
        database.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// How many notes of the application a database here has.
    pub(super) fn notes(&self, database: &str) -> u32 {
        self.number(database, "SELECT count(*) FROM notes")
    }
}
