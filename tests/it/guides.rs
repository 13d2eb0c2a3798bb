//! The commands of the README and of the guides, word for word and in order, beside an application that writes. Catches
//! a document that says what does not work, or not any more.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ebbtide_testkit::process::{Output as Heard, Process};
use rusqlite::Connection;
use tempfile::TempDir;

use super::tidy::tree::{read, tracked};
use crate::postgres;
use crate::support::wait_until;

const EBBTIDE: &str = env!("CARGO_BIN_EXE_ebbtide");

/// Commands that cannot run here, and why.
const SKIPPED: &[(&str, &str)] = &[
    ("cargo run --release --example quickstart", "it is built and run by .ci/run"),
    ("cargo run --release --example tenants", "it is built and run by .ci/run"),
    (
        "cargo run --release --example restore -- ./backup newest.db",
        "it is built and run by .ci/run",
    ),
    (
        "cargo run --release --example yesterday -- ./backup 'SELECT count(*) FROM sqlite_schema' 1",
        "it is built and run by .ci/run",
    ),
    ("ebbtide page ./backup", "it shows until it is ended; the tests of the page run it"),
    ("cargo test --workspace", "it is what runs this test"),
    ("cargo install --path crates/cli", "it installs what this test was built with"),
    ("export AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…", "the values are left out"),
    ("ebbtide replicate app.db 's3://bucket/app?region=eu-central-1'", "it needs Amazon's S3"),
    (
        "ebbtide replicate app.db 's3://backups/app?endpoint=http://127.0.0.1:9000&path-style=true'",
        "it needs MinIO at that port; `.ci/run minio` tries the same at another",
    ),
];

/// Where the documents have it listen.
const ADDRESS: &str = "127.0.0.1:9094";

/// Commands that succeed once the history is long enough, or the mirror has it.
const IN_A_MOMENT: &[&str] = &[
    "ebbtide log ./backup",
    "ebbtide restore -o copy.db --timestamp '1s ago' ./backup",
    "ebbtide restore -o earlier.db --timestamp '1s ago' --nearest before ./backup",
    "ebbtide verify ./mirrors/app.db",
    "ebbtide sync --wait tenants/acme/shop.db",
    "ebbtide sync --wait tenants/acme-inc/shop.db",
    "ebbtide restore -o from-both.db ./backup ./mirrors/app.db",
];

/// The commands of a document: the lines of its shell fences, without comments.
fn commands(document: &str) -> Vec<String> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in read(document).lines() {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => {
                let command = line.split(" # ").next().unwrap().trim_end();
                if !command.is_empty() && !command.starts_with('#') {
                    commands.push(command.to_owned());
                }
            }
            _ => {}
        }
    }
    commands
}

/// An address of this machine at which nobody listens just now.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A directory with a database, its application, and the programs that the documents name.
struct Machine {
    directory: TempDir,
    application: Application,
    sidecars: Vec<Process>,
    /// Of the environment, besides.
    variables: Vec<(&'static str, String)>,
    /// What stands in the place of the port of the documents, which others may have here.
    address: String,
}

impl Machine {
    fn new() -> Machine {
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
        let application = Application::start(&directory.path().join("app.db"));
        Machine {
            directory,
            application,
            sidecars: Vec::new(),
            variables: Vec::new(),
            address: free_address(),
        }
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("sh");
        let programs = self.directory.path().join("bin");
        let path = std::env::var("PATH").unwrap_or_default();
        shell.args(["-c", command]).current_dir(self.directory.path());
        shell.env("PATH", format!("{}:{path}", programs.display()));
        shell
            .env("EBBTIDE_RUNTIME_DIR", self.directory.path().join("run"))
            .env_remove("EBBTIDE_LOG");
        shell.envs(self.variables.iter().map(|(name, value)| (*name, value)));
        shell
    }

    /// Runs a command to its end, and does meanwhile what it asks the service manager for.
    fn run(&mut self, command: &str) -> Output {
        let mut shell = self.shell(command);
        let running = thread::spawn(move || shell.output().unwrap());
        while !running.is_finished() {
            self.serve();
            thread::sleep(Duration::from_millis(5));
        }
        running.join().unwrap()
    }

    fn serve(&mut self) {
        let request = self.directory.path().join("request");
        let Ok(asked) = fs::read_to_string(&request) else { return };
        match asked.trim() {
            "stop app" => self.application.stop(),
            "start app" => self.application = Application::start(&self.path("app.db")),
            "stop ebbtide" => self.stop_sidecars(),
            "start ebbtide" => self.start_sidecar("ebbtide replicate app.db ./backup"),
            asked => panic!("no such request: {asked}"),
        }
        fs::remove_file(&request).unwrap();
    }

    fn start_sidecar(&mut self, command: &str) {
        let mut shell = self.shell(&format!("exec {command}"));
        self.sidecars.push(Process::start(&mut shell, Heard::Stderr).unwrap());
        let asks = || self.shell("ebbtide status --json").output().unwrap().stdout;
        wait_until("the sidecar to follow", || {
            String::from_utf8_lossy(&asks()).contains("\"following\"")
        });
    }

    fn stop_sidecars(&mut self) {
        for mut sidecar in self.sidecars.drain(..) {
            sidecar.signal(nix::sys::signal::Signal::SIGTERM).unwrap();
            let ended = sidecar.wait(crate::support::PATIENCE).unwrap();
            assert!(ended.success(), "{ended}");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the commands of a document; how many were run.
    fn follow(&mut self, document: &str) -> usize {
        let mut ran = 0;
        for command in commands(document) {
            if SKIPPED.iter().any(|(skipped, _)| *skipped == command) {
                continue;
            }
            if self.makes_database(&command) {
                ran += 1;
                continue;
            }
            if command.starts_with("sqlite3 ")
                && self.run("sqlite3 --version").status.code() != Some(0)
            {
                eprintln!("skipped, because there is no sqlite3: {command}");
                continue;
            }
            if command.contains("psql ") && self.variables.is_empty() {
                eprintln!("skipped, because there is no PostgreSQL: {command}");
                continue;
            }
            if command.starts_with("curl ") && self.run("curl --version").status.code() != Some(0) {
                eprintln!("skipped, because there is no curl: {command}");
                continue;
            }
            ran += 1;
            let command = command.replace(ADDRESS, &self.address);
            if command.starts_with("ebbtide replicate ") && !command.contains("--once") {
                self.start_sidecar(&command);
                continue;
            }
            let mut ended = self.run(&command);
            if IN_A_MOMENT.contains(&command.as_str()) {
                wait_until(&command, || {
                    ended.status.success() || {
                        ended = self.run(&command);
                        ended.status.success()
                    }
                });
            }
            let said = String::from_utf8_lossy(&ended.stderr);
            assert!(ended.status.success(), "{document}: {command}: {said}");
        }
        ran
    }
}

impl Machine {
    /// Does what a command of SQLite's shell does that makes a database; whether it is one.
    fn makes_database(&self, command: &str) -> bool {
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
}

/// Notes a row every few milliseconds.
struct Application {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Application {
    fn start(database: &Path) -> Application {
        let connection = Connection::open(database).unwrap();
        connection.busy_timeout(crate::support::PATIENCE).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS notes (text);
                 INSERT INTO notes VALUES ('the first')",
            )
            .unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Acquire) {
                connection.execute("INSERT INTO notes VALUES ('a note')", []).unwrap();
                thread::sleep(Duration::from_millis(10));
            }
        });
        Application { ends, thread: Some(thread) }
    }

    fn stop(&mut self) {
        self.ends.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn o25_the_commands_of_the_readme_work_as_they_stand_there() {
    let mut machine = Machine::new();
    assert!(machine.follow("README.md") >= 5);
    machine.stop_sidecars();
}

/// The worst minute of the year, by the book.
#[test]
fn o25_the_runbook_works_as_it_stands_there() {
    let mut machine = Machine::new();
    machine.start_sidecar("ebbtide replicate app.db ./backup");
    let entries = || {
        let log = machine.shell("ebbtide log --json ./backup").output().unwrap();
        String::from_utf8(log.stdout).unwrap().lines().count()
    };
    wait_until("some history", || entries() > 8);
    assert!(machine.follow("docs/guides/recover.md") >= 10);
    let log = machine.run("ebbtide log ./backup");
    let log = String::from_utf8(log.stdout).unwrap();
    assert!(log.contains("set back to 4 by a restore, 5 to "), "{log}");
    machine.application.stop();
    machine.stop_sidecars();
    let newest = machine.run("ebbtide restore -o newest.db ./backup");
    assert!(newest.status.success());
    let rows = |name: &str| -> u32 {
        let database = Connection::open(machine.path(name)).unwrap();
        database.query_row("SELECT count(*) FROM notes", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(rows("newest.db"), rows("app.db"), "it is followed again");
}

/// The drill: customer 7's orders are deleted by the transaction 2a, while the application goes on.
#[test]
fn o25_the_guide_to_deleted_rows_works_as_it_stands_there() {
    let mut machine = Machine::new();
    machine.application.stop();
    machine.start_sidecar("ebbtide replicate app.db ./backup");
    let database = Connection::open(machine.path("app.db")).unwrap();
    database.busy_timeout(crate::support::PATIENCE).unwrap();
    let commit = |sql: &str| -> u64 {
        database.execute_batch(sql).unwrap();
        let synced = machine.shell("ebbtide sync --wait app.db").output().unwrap();
        assert!(synced.status.success(), "{}", String::from_utf8_lossy(&synced.stderr));
        let log = machine.shell("ebbtide log --json ./backup").output().unwrap();
        let lines = String::from_utf8(log.stdout).unwrap();
        let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        u64::from_str_radix(last["last_txid"].as_str().unwrap(), 16).unwrap()
    };
    let mut txid = commit(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INT, total REAL);
         INSERT INTO orders VALUES (1, 7, 10), (2, 8, 20), (3, 7, 30.5), (4, 7, 40), (5, 9, 50)",
    );
    assert!(txid < 0x28, "{txid}");
    while txid < 0x29 {
        txid = commit("INSERT INTO notes VALUES ('another')");
    }
    let gone = commit(
        "BEGIN; DELETE FROM orders WHERE customer = 7; INSERT INTO notes VALUES ('cleaned up'); COMMIT",
    );
    assert_eq!(gone, 0x2a);
    commit("INSERT INTO orders VALUES (6, 7, 60)");
    drop(database);
    let fell = machine
        .run("ebbtide when --falls ./backup 'SELECT count(*) FROM orders WHERE customer = 7'");
    assert!(String::from_utf8_lossy(&fell.stdout).contains("2a"), "{fell:?}");
    let list = machine.run("ebbtide log --changed orders ./backup");
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.contains("orders -3") && !list.contains("another"), "{list}");
    assert!(machine.follow("docs/guides/somebody-deleted-rows.md") >= 11);
    let database = Connection::open(machine.path("app.db")).unwrap();
    let sql = "SELECT group_concat(id || ' ' || customer || ' ' || total) FROM (SELECT * FROM orders ORDER BY id)";
    let rows: String = database.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, "1 7 10.0,2 8 20.0,3 7 30.5,4 7 40.0,5 9 50.0,6 7 60.0");
    machine.stop_sidecars();
}

#[test]
fn o25_the_guide_to_comparing_works_as_it_stands_there() {
    assert!(Machine::new().follow("docs/guides/comparing.md") >= 10);
}

/// With the configuration that stands there, too.
#[test]
fn o25_the_guide_to_what_is_kept_works_as_it_stands_there() {
    const GUIDE: &str = "docs/guides/retention.md";
    let mut machine = Machine::new();
    let text = read(GUIDE);
    let config = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    fs::write(machine.path("ebbtide.toml"), config).unwrap();
    let all = commands(GUIDE);
    assert_eq!(machine.follow(GUIDE), all.len(), "every command is run");
    assert!(all.len() >= 20);
    machine.application.stop();
    machine.stop_sidecars();
    let moved = machine.run("ebbtide restore -o moved.db ./elsewhere");
    assert!(moved.status.success());
    let rows = |name: &str| -> u32 {
        let database = Connection::open(machine.path(name)).unwrap();
        database.query_row("SELECT count(*) FROM notes", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(rows("moved.db"), rows("app.db"), "it goes on there");
    let log = machine.run("ebbtide log ./elsewhere").stdout;
    let log = String::from_utf8(log).unwrap();
    assert!(log.contains("before-migration") && !log.contains("release-7"), "{log}");
}

/// With the configuration that stands there, too, at a port of the test's own.
#[test]
fn o25_the_guide_to_watching_works_as_it_stands_there() {
    const GUIDE: &str = "docs/guides/watching.md";
    let mut machine = Machine::new();
    let text = read(GUIDE);
    let config = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(config.contains(ADDRESS), "{config}");
    let config = config.replace(ADDRESS, &machine.address);
    fs::write(machine.path("ebbtide.toml"), config).unwrap();
    assert!(machine.follow(GUIDE) >= 3);
    machine.application.stop();
    machine.stop_sidecars();
    // The other lines are those of the configuration, too.
    let more = text.split("```toml\n").nth(2).unwrap().split("```").next().unwrap();
    let whole = format!("{more}\n[[database]]\npath = \"app.db\"\nreplica = \"./backup\"\n");
    let config = ebbtide_config::Config::parse(&whole).unwrap();
    assert!(config.heartbeat.is_some() && config.webhook.is_some());
}

/// With a tenant that is there from the beginning.
#[test]
fn o25_the_guide_to_a_thousand_databases_works_as_it_stands_there() {
    const GUIDE: &str = "docs/guides/a-thousand-databases.md";
    let mut machine = Machine::new();
    let text = read(GUIDE);
    let config = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    fs::write(machine.path("ebbtide.toml"), config).unwrap();
    fs::create_dir_all(machine.path("tenants/first")).unwrap();
    assert!(machine.makes_database(
        "sqlite3 tenants/first/shop.db 'PRAGMA journal_mode = WAL; CREATE TABLE t (a)'"
    ));
    let all = commands(GUIDE);
    assert_eq!(machine.follow(GUIDE), all.len(), "every command is run");
    assert!(all.len() >= 15);
    machine.application.stop();
    machine.stop_sidecars();
}

#[test]
fn o25_the_guide_to_encryption_works_as_it_stands_there() {
    const GUIDE: &str = "docs/guides/encryption.md";
    let mut machine = Machine::new();
    let all = commands(GUIDE);
    assert_eq!(machine.follow(GUIDE), all.len(), "every command is run");
    machine.application.stop();
    machine.stop_sidecars();
    let restored = machine.run("ebbtide restore --identity successor.txt -o newest.db ./backup");
    assert!(restored.status.success(), "{restored:?}");
    let rows = |name: &str| -> u32 {
        let database = Connection::open(machine.path(name)).unwrap();
        database.query_row("SELECT count(*) FROM notes", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(rows("newest.db"), rows("app.db"));
    let refused = machine.run("ebbtide restore --identity owner.txt -o refused.db ./backup");
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
}

#[test]
fn o25_the_guide_to_fixtures_works_as_it_stands_there() {
    assert!(Machine::new().follow("docs/guides/fixtures.md") >= 4);
}

/// With a real PostgreSQL, where there is one.
#[test]
fn o25_the_guide_to_postgres_works_as_it_stands_there() {
    let mut machine = Machine::new();
    let database = postgres::server("the guide to PostgreSQL").map(|server| server.database());
    if let Some(database) = &database {
        machine.variables = database.variables();
    }
    assert!(machine.follow("docs/guides/from-sqlite-to-postgres.md") >= 3);
    let read = |name: &str| fs::read_to_string(machine.path(name)).unwrap();
    if database.is_some() {
        let rows = |text: &str| text.lines().filter(|line| line.contains("the first")).count();
        assert_eq!((rows(&read("notes.csv")), rows(&read("notes-there.csv"))), (1, 1));
    }
    assert!(read("report.json").contains("\"becomes\": \"text\""));
}

/// A skipped command that no document has any more is a reason that nobody needs.
#[test]
fn o25_what_is_skipped_is_there() {
    let guides = tracked(".md").filter(|(path, _)| path.starts_with("docs/guides/"));
    let documents = guides.map(|(path, _)| path).chain(["README.md".to_owned()]);
    let all: Vec<String> = documents.flat_map(|document| commands(&document)).collect();
    for (skipped, why) in SKIPPED {
        assert!(all.iter().any(|command| command == skipped), "{skipped} ({why})");
    }
    assert!(IN_A_MOMENT.iter().all(|command| all.iter().any(|known| known == command)));
}
