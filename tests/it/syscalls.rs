//! System calls that fail, and system calls within which a process dies, by `strace -e inject`.
//!
//! A commit writes its frames, syncs them, and only then publishes them. If the sync fails, or the application dies in it,
//! whole frames of a commit that never was are in the log, with the right checksums: a *phantom*. Each test proves first
//! that a reader who believes the frames would take it for a commit.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use ebbtide_catalog::Target;
use ebbtide_testkit::oracle::Image;
use ebbtide_testkit::process::{Output, Process};
use rusqlite::Connection;

use crate::exact::compare;
use crate::support::{PATIENCE, Setup, Sidecar, image, rows, wait_until};

const DATABASE: &str = "EBBTIDE_TEST_SYSCALLS_DATABASE";
const COMMITS: &str = "EBBTIDE_TEST_SYSCALLS_COMMITS";

/// When this is set, these tests must run.
const REQUIRED: &str = "EBBTIDE_TEST_STRACE";

/// Whether there is an strace, and it may trace. Says so if not.
pub(crate) fn may_run(test: &str) -> bool {
    static WORKS: OnceLock<bool> = OnceLock::new();
    let works = *WORKS.get_or_init(|| {
        let traced = Command::new("strace").args(["-D", "-o", "/dev/null", "true"]).status();
        traced.is_ok_and(|status| status.success())
    });
    assert!(works || std::env::var_os(REQUIRED).is_none(), "{REQUIRED} is set and strace fails");
    if !works {
        eprintln!("NOT RUN: {test}: there is no strace here, or it may not trace");
    }
    works
}

/// `command` with these calls tampered with. The tracer is not its parent, so that its process is that of the command.
pub(crate) fn tampered(
    command: &Command,
    calls: &str,
    how: &str,
    paths: &[PathBuf],
    log: &Path,
) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-qq", "-o"]).arg(log);
    strace.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:{how}")]);
    for path in paths {
        strace.arg("-P").arg(path);
    }
    strace.arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    strace
}

fn insert(database: &Connection) -> rusqlite::Result<usize> {
    database.execute("INSERT INTO t (b) VALUES (randomblob(3000))", [])
}

/// How many rows somebody finds who believes what is in the files, as a recovery does.
fn rows_of_copy(database: &Path) -> u32 {
    let directory = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("{}{suffix}", database.display());
        // Not by this process: closing a descriptor would drop its locks.
        let copied = Command::new("cp").arg(name).arg(directory.path()).status().unwrap();
        assert!(copied.success());
    }
    rows(&directory.path().join(database.file_name().unwrap()))
}

/// Not a test: the application, when this binary is started as one. It says what the database is after each commit, and
/// what a phantom would make of it after each that failed.
#[test]
fn application() {
    let Some(path) = std::env::var_os(DATABASE).map(PathBuf::from) else { return };
    let commits: u32 = std::env::var(COMMITS).unwrap().parse().unwrap();
    let database = Connection::open(&path).unwrap();
    database.pragma_update(None, "synchronous", "FULL").unwrap();
    println!("is {}", image(&path));
    for _ in 0..commits {
        match insert(&database) {
            Ok(_) => println!("is {}", image(&path)),
            Err(error) => println!("failed {} {}: {error}", rows(&path), rows_of_copy(&path)),
        }
    }
}

/// What an application has said.
#[derive(Default)]
struct Told {
    images: Vec<Image>,
    phantoms: usize,
}

impl Told {
    fn listen(&mut self, line: &str) {
        // The harness may have begun the line.
        if let Some((_, image)) = line.split_once("is ").filter(|_| !line.contains("failed")) {
            self.images.extend(image.parse::<Image>().ok());
        } else if let Some((_, counts)) = line.split_once("failed ") {
            let counts = counts.split_once(':').unwrap().0.split_once(' ').unwrap();
            let (committed, found): (u32, u32) =
                (counts.0.parse().unwrap(), counts.1.parse().unwrap());
            self.phantoms += usize::from(found > committed);
        }
    }
}

/// A database, and what its application told.
struct Scene {
    setup: Setup,
    told: Told,
}

impl Scene {
    fn new() -> Scene {
        let setup = Setup::new();
        setup.app();
        Scene { setup, told: Told::default() }
    }

    /// Runs the application until it ends or is killed, with its syncs tampered with, if `how` says so.
    fn run(&mut self, commits: u32, how: Option<&str>) {
        let mut plain = Command::new(std::env::current_exe().unwrap());
        plain.args(["syscalls::application", "--exact", "--nocapture", "--test-threads=1"]);
        plain.env(DATABASE, &self.setup.database).env(COMMITS, commits.to_string());
        let log = self.setup.path("strace");
        let mut run = match how {
            Some(how) => tampered(&plain, "fsync,fdatasync", how, &[], &log),
            None => plain,
        };
        let process = Process::start(&mut run, Output::Stdout).unwrap();
        while let Some(line) = process.line(PATIENCE) {
            self.told.listen(&line);
        }
    }

    /// Every state that was told can be restored, and no other.
    fn assert_exact(self) {
        let states = self.setup.history().states(self.setup.directory.path());
        compare(self.told.images, states.into_iter().map(|(_, image)| image).collect());
    }
}

#[test]
fn a01_a_commit_in_which_the_application_was_killed_is_never_shipped() {
    if !may_run("a01") {
        return;
    }
    let mut scene = Scene::new();
    let sidecar = scene.setup.follow();
    // The first sync of all is that of the log's header, which is no commit yet.
    for sync in [3, 5, 9] {
        let before = scene.told.images.len();
        scene.run(50, Some(&format!("signal=KILL:when={sync}")));
        assert!(scene.told.images.len() - before < 20, "it was killed");
        // The sidecar has the wal-index open, so nothing is recovered: the frames stay what they are, nothing.
        let (committed, found) = (rows(&scene.setup.database), rows_of_copy(&scene.setup.database));
        assert_eq!(found, committed + 1, "a phantom lies in the log");
    }
    scene.run(5, None);
    assert_eq!(sidecar.stop(), 0);
    scene.assert_exact();
}

#[test]
fn a02_a_commit_whose_sync_failed_is_never_shipped() {
    if !may_run("a02") {
        return;
    }
    let mut scene = Scene::new();
    let sidecar = scene.setup.follow();
    scene.run(30, Some("error=EIO:when=3+3"));
    assert!(scene.told.phantoms >= 5, "only {} phantoms", scene.told.phantoms);
    assert_eq!(sidecar.stop(), 0);
    scene.assert_exact();
}

/// The system's answer is made up, and all else is as it would be: a test cannot mount what it likes.
#[test]
fn b10_a_network_file_system_is_refused_by_name() {
    if !may_run("b10") {
        return;
    }
    // As they stand in linux/magic.h and in memory.
    let kinds = [("NFS", 0x6969_u64), ("SMB2", 0xfe53_4d42), ("FUSE or virtiofs", 0x6573_5546)];
    for (name, magic) in kinds {
        let scene = Scene::new();
        let log = scene.setup.path("strace");
        let bytes: String = magic.to_ne_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let how = format!("poke_exit=@arg2={bytes}");
        let directory = [scene.setup.path("")];
        let mut replicate = tampered(&scene.setup.replicate(), "statfs", &how, &directory, &log);
        let (code, said) = Sidecar::spawn_command(&mut replicate).end();
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(&format!("it lies on {name}, where SQLite's locks")), "{said}");
    }
}

#[test]
fn b04_a_state_directory_that_cannot_be_written_costs_neither_commits_nor_the_application() {
    if !may_run("b04") {
        return;
    }
    for how in ["error=ENOSPC:when=5", "error=EIO:when=9"] {
        let mut scene = Scene::new();
        let log = scene.setup.path("strace");
        let state = scene.setup.path(".app.db-ebbtide");
        let files = ["position.0", "position.1", "pages.0", "pages.1"].map(|name| state.join(name));
        let calls = "pwrite64,ftruncate";
        let mut replicate = tampered(&scene.setup.replicate(), calls, how, &files, &log);
        let sidecar = Sidecar::start_command(&mut replicate);
        // One at a time, so that each is put, and remembered, by itself.
        let mut commits = 0;
        wait_until("the write that fails", || {
            scene.run(1, None);
            commits += 1;
            sidecar.process().lines_so_far().iter().any(|line| line.contains("app.db-ebbtide/"))
        });
        scene.run(20, None);
        assert_eq!(scene.told.images.len(), 2 * commits + 21, "no commit failed");
        // Another thread's share of the faults may come in the last sync, which then says so.
        let code = sidecar.stop();
        assert!(code == 0 || code == 1, "{how}: {code}");
        assert_eq!(scene.setup.follow().stop(), 0, "{how}");
        let strace = std::fs::read_to_string(&log).unwrap();
        assert!(strace.contains("INJECTED"), "{how}: {strace}");
        let directory = scene.setup.directory.path();
        let (last, restored) = scene.setup.history().restore(Target::Latest, directory);
        assert_eq!(Some(&restored), scene.told.images.last(), "{how}: txid {last}");
        scene.assert_exact();
    }
}
