//! Situations from public reports about other tools: backup, replication, log shipping, sidecars, containers. Each was
//! tried here as its reporter met it; docs/testing.md has a row for each, with the address of the report.
//!
//! Would catch what users of such tools run into on ordinary days and report years later.

mod applications;
mod containers;
mod databases;
mod environment;
mod failover;
mod files;
mod names;
mod store;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output};

use ebbtide_catalog::Target;
use ebbtide_replica::EntryKind;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{Replica, Sidecar, command, ebbtide};

/// A folder with a database in it, an application that has it open, and the place of its replica.
struct Site {
    folder: TempDir,
    database: PathBuf,
    replica: String,
    application: Connection,
}

impl Site {
    fn new() -> Site {
        Site::prepared("PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, b)")
    }

    /// With a database that begins by this.
    fn prepared(sql: &str) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("app.db");
        let replica = folder.path().join("backup").to_str().unwrap().to_owned();
        let application = Connection::open(&database).unwrap();
        application.execute_batch(sql).unwrap();
        let site = Site { folder, database, replica, application };
        site.insert(20);
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn insert(&self, rows: u32) {
        for _ in 0..rows {
            let sql = "INSERT INTO t (b) VALUES (randomblob(700))";
            self.application.execute(sql, []).unwrap();
        }
    }

    fn follow(&self) -> Sidecar {
        Sidecar::start(&self.database, &self.replica)
    }

    /// `ebbtide replicate --once` of the database.
    fn once(&self) -> Output {
        ebbtide(&self.once_args())
    }

    fn once_args(&self) -> [&str; 4] {
        ["replicate", "--once", self.database.to_str().unwrap(), &self.replica]
    }

    /// Everything that is committed is durable now.
    #[track_caller]
    fn sync(&self) {
        succeeds(&ebbtide(&["sync", "--wait", self.database.to_str().unwrap()]));
    }

    /// The replica ends with the database as it is, byte for byte.
    #[track_caller]
    fn assert_exact(&self) {
        Replica::open(&self.replica).assert_ends_with(&self.database, self.folder.path());
    }

    /// The same after the sidecar has ended, everything being durable.
    #[track_caller]
    fn assert_exact_after(&self, sidecar: Sidecar) {
        let (code, said) = sidecar.stop_and_tell();
        assert_eq!(code, 0, "{said}");
        self.assert_exact();
    }

    /// How many commits the replica has, and how many gaps.
    fn commits_and_gaps(&self) -> (usize, usize) {
        let entries = Replica::open(&self.replica).entries();
        let commits = entries.iter().filter(|entry| entry.kind == EntryKind::Commit).count();
        let gaps =
            entries.iter().filter(|entry| ebbtide_catalog::missed_since(entry).is_some()).count();
        (commits, gaps)
    }

    /// How many rows the newest state has that can be restored.
    fn rows_restored(&self) -> i64 {
        let copy = self.path("rows.db");
        Replica::open(&self.replica).restore_into(Target::Latest, &copy);
        let rows = Connection::open(&copy)
            .unwrap()
            .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
            .unwrap();
        std::fs::remove_file(&copy).unwrap();
        rows
    }
}

fn code(ended: &Output) -> i32 {
    ended.status.code().unwrap()
}

fn said(ended: &Output) -> String {
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

#[track_caller]
fn succeeds(ended: &Output) {
    assert_eq!(code(ended), 0, "{}", said(ended));
}

/// Says that a test has not run for want of a program. Those that need one are few, and each stands in docs/testing.md.
fn has(program: &str, test: &str) -> bool {
    let found = Command::new(program).arg("-version").output().is_ok();
    if !found {
        eprintln!("NOT RUN: {test}: there is no {program} here");
    }
    found
}

/// The shell runs `script`, in which `$0` is the `ebbtide` of these tests and `$1` and so on are `args`.
fn shell(script: &str, args: &[&OsStr]) -> Command {
    with_program("sh", &["-c", script], args)
}

/// The same in a mount namespace of its own, in which it is root.
fn in_namespace(script: &str, args: &[&OsStr]) -> Command {
    with_program("unshare", &["--user", "--map-root-user", "--mount", "sh", "-c", script], args)
}

/// Whether there can be such a namespace. Says so if not.
fn may_mount(test: &str) -> bool {
    let mut tried = Command::new("unshare");
    tried.args(["--user", "--map-root-user", "--mount", "true"]);
    let may = tried.status().is_ok_and(|status| status.success());
    if !may {
        eprintln!("NOT RUN: {test}: nothing can be mounted here");
    }
    may
}

/// `program` runs with its `options`, with `ebbtide` and `args` behind them and the environment of a test.
fn with_program(program: &str, options: &[&str], args: &[&OsStr]) -> Command {
    let ebbtide = command(&[]);
    let mut outer = Command::new(program);
    outer.args(options).arg(ebbtide.get_program()).args(args);
    for (name, value) in ebbtide.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer
}
