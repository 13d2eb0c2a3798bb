//! Too few descriptors, too little memory, no room on the disk, no right to write: each is said and ends with its exit
//! code, nothing that was there is lost, and once there is enough again everything goes on.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output as Ended};

use ebbtide_fault::WAITS;
use ebbtide_replica::EntryKind;
use ebbtide_testkit::oracle::{self, Image};
use ebbtide_testkit::process::{Output, Process};
use ebbtide_testkit::sparse::hollow;
use ebbtide_wal::PageSize;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{PATIENCE, Replica, Sidecar, command, limited};

/// A database of about a quarter of a megabyte that compresses well, and the place of its replica.
struct Ground {
    folder: TempDir,
    database: PathBuf,
    replica: String,
    application: Connection,
}

impl Ground {
    fn new() -> Ground {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("app.db");
        let replica = folder.path().join("backup").to_str().unwrap().to_owned();
        let application = Connection::open(&database).unwrap();
        application.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (b)").unwrap();
        let ground = Ground { folder, database, replica, application };
        ground.insert(60);
        ground
    }

    fn insert(&self, rows: u32) {
        for _ in 0..rows {
            self.application.execute("INSERT INTO t VALUES (zeroblob(4000))", []).unwrap();
        }
    }

    fn once(&self) -> [&str; 4] {
        ["replicate", "--once", self.database.to_str().unwrap(), &self.replica]
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("copy.db")
    }

    /// What is restored is what the database is.
    fn assert_exact(&self) {
        Replica::open(&self.replica).assert_ends_with(&self.database, self.folder.path());
    }

    /// Runs a start within each limit; whatever became of it, the next one brings everything to its end.
    fn start_within(&self, limits: impl Iterator<Item = String>, judge: impl Fn(&str, &Ended)) {
        for limit in limits {
            self.insert(1);
            judge(&limit, &limited(&limit, &self.once()).output().unwrap());
            let ended = command(&self.once()).output().unwrap();
            assert!(ended.status.success(), "after {limit}: {}", said(&ended));
            self.assert_exact();
        }
    }

    /// Restores within each limit: the file is there and right, or not at all.
    fn restore_within(&self, limits: impl Iterator<Item = String>, judge: impl Fn(&str, &Ended)) {
        let output = self.output();
        let args = ["restore", "-o", output.to_str().unwrap(), &self.replica];
        let expected = Image::of(&oracle::committed(&self.database).unwrap());
        for limit in limits {
            let ended = limited(&limit, &args).output().unwrap();
            judge(&limit, &ended);
            if output.exists() {
                assert_eq!(Image::of_file(&output).unwrap(), expected, "{limit}");
                std::fs::remove_file(&output).unwrap();
            } else {
                assert!(!ended.status.success(), "{limit}: {}", said(&ended));
            }
        }
    }
}

fn said(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

#[test]
fn b06_with_too_few_descriptors_it_says_so_and_nothing_is_lost() {
    let ground = Ground::new();
    let judge = |limit: &str, ended: &Ended| match ended.status.code() {
        Some(0) => {}
        Some(1) => {
            let said = said(ended);
            // SQLite has one sentence for every reason.
            let is_told = said.contains("Too many open files") || said.contains("unable to open");
            assert!(is_told, "{limit}: {said}");
        }
        code => panic!("{limit}: {code:?}: {}", said(ended)),
    };
    let limits = |from: u32| (from..36).step_by(3).map(|files| format!("-n {files}"));
    ground.start_within(limits(9), judge);
    ground.restore_within(limits(9), judge);
}

/// Without memory a process ends wherever it is, as at a kill.
#[test]
fn b07_with_too_little_memory_nothing_is_lost() {
    let ground = Ground::new();
    let limits = || [30, 40, 60, 90, 150, 250].map(|mib| format!("-v {}", mib << 10)).into_iter();
    let judge = |_: &str, _: &Ended| {};
    ground.start_within(limits(), judge);
    ground.restore_within(limits(), judge);
}

/// Most of it is a hole, but it is read, hashed, written and proved like any other. Would catch a restore that takes the
/// more memory the larger the database is.
#[test]
fn d18_a_restore_takes_a_fraction_of_the_memory_that_the_database_would() {
    let folder = tempfile::tempdir().unwrap();
    let [database, replica, output] =
        ["app.db", "backup", "copy.db"].map(|name| folder.path().join(name));
    hollow(&database, PageSize::new(4096).unwrap(), 1 << 16).unwrap();
    let application = Connection::open(&database).unwrap();
    let sidecar = Sidecar::start(&database, replica.to_str().unwrap());
    for _ in 0..10 {
        application.execute("INSERT INTO t (body) VALUES (randomblob(60000))", []).unwrap();
    }
    assert_eq!(sidecar.stop(), 0);
    // With the last connection the log goes into the file.
    drop(application);
    let expected = Image::of_file(&database).unwrap();
    let args = ["restore", "-o", output.to_str().unwrap(), replica.to_str().unwrap()];
    let mut restore = command(&args);
    restore.env("FAILPOINTS", "restore.publish.synced=1:wait");
    let mut restore = Process::start(&mut restore, Output::Stderr).unwrap();
    restore.line_with(WAITS, PATIENCE);
    let taken = restore.usage().unwrap().resident_bytes_max;
    assert!(taken < expected.bytes / 4, "{taken} bytes for {}", expected.bytes);
    restore.tell("").unwrap();
    assert!(restore.wait(PATIENCE).unwrap().success());
    assert_eq!(Image::of_file(&output).unwrap(), expected);
}

/// A limit of the file's size stands for a full disk: the same calls fail.
#[test]
fn d04_without_room_nothing_is_restored_and_nothing_is_left() {
    let ground = Ground::new();
    assert!(command(&ground.once()).output().unwrap().status.success());
    let output = ground.output();
    std::fs::write(&output, "what was there").unwrap();
    let names = || {
        let files = std::fs::read_dir(ground.folder.path()).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let args = ["restore", "--force", "-o", output.to_str().unwrap(), &ground.replica];
    let ended = limited("-f 64", &args).output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{}", said(&ended));
    assert!(said(&ended).contains("make room for"), "{}", said(&ended));
    assert_eq!(names(), before);
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "what was there");
}

/// Our checkpoints find no room in the database's file: what was committed goes on being read from the log.
#[test]
fn b05_a_database_that_cannot_grow_is_followed_from_its_log() {
    let ground = Ground::new();
    let database = ground.database.to_str().unwrap();
    let args = ["replicate", "--log-format", "json", database, &ground.replica];
    // In blocks of 512 bytes: less than the database will have, and more than any object.
    let sidecar = Sidecar::start_command(&mut limited("-f 8000", &args));
    ground.insert(2000);
    sidecar.process().line_with("cannot be copied into the database", PATIENCE);
    let (code, said) = sidecar.stop_and_tell();
    assert_eq!(code, 0, "{said}");
    ground.assert_exact();
    let entries = Replica::open(&ground.replica).entries();
    let commits = entries.iter().filter(|entry| entry.kind == EntryKind::Commit).count();
    assert_eq!(commits, 2000, "{said}");
}

/// The user that it runs as may read the database, and nothing else of it.
#[test]
fn a38_a_wal_index_that_cannot_be_written_is_refused() {
    let ground = Ground::new();
    let (folder, index) = (ground.folder.path(), ground.database.with_extension("db-shm"));
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&index, PermissionsExt::from_mode(0o444)).unwrap();
    let Some(mut stranger) = as_somebody_else(folder, &ground.once()) else { return };
    let ended = stranger.output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{}", said(&ended));
    let why = "its -shm file cannot be opened for reading and locking: Permission denied";
    assert!(said(&ended).contains(why), "{}", said(&ended));
}

/// The same in a folder in which that user may make no files, and the application is not there: SQLite has neither log
/// nor wal-index. Would catch a database that is tried again for ever, with no more said than that it cannot be opened.
#[test]
fn a38_a_folder_that_cannot_be_written_and_has_no_wal_index_is_refused_by_name() {
    let Ground { folder, database, replica, application } = Ground::new();
    drop(application);
    assert!(!database.with_extension("db-shm").exists());
    let args = ["replicate", database.to_str().unwrap(), &replica];
    let Some(mut stranger) = as_somebody_else(folder.path(), &args) else { return };
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o555)).unwrap();
    // Whether the database itself may be written makes no difference but to SQLite's words.
    let ends = [0o444, 0o666].map(|mode| {
        std::fs::set_permissions(&database, PermissionsExt::from_mode(mode)).unwrap();
        Sidecar::spawn_command(&mut stranger).end()
    });
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    for (code, said) in ends {
        assert_eq!(code, 1, "{said}");
        let why = format!("the directory {} cannot be written", folder.path().display());
        assert!(said.contains(&why), "{said}");
        assert!(said.contains("run ebbtide as the application's user"), "{said}");
    }
}

/// The command as a user who is not root, to whom permissions mean nothing; none if that cannot be.
fn as_somebody_else(folder: &Path, args: &[&str]) -> Option<Command> {
    if folder.metadata().unwrap().uid() != 0 {
        return Some(command(args));
    }
    // Where he may enter.
    let (program, runtime) = (folder.join("ebbtide"), folder.join("runtime"));
    std::fs::copy(env!("CARGO_BIN_EXE_ebbtide"), &program).unwrap();
    let mut stranger = Command::new("setpriv");
    stranger.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    let may = stranger.arg("--version").output().is_ok_and(|ended| ended.status.success());
    if !may {
        let said = "skipped: root may write everywhere, and nobody else can be asked";
        writeln!(std::io::stderr(), "{said}").expect("a terminal, or nothing");
        return None;
    }
    std::fs::create_dir(&runtime).unwrap();
    std::os::unix::fs::chown(&runtime, Some(65534), Some(65534)).unwrap();
    let mut stranger = Command::new("setpriv");
    stranger.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).args(args);
    stranger.env("EBBTIDE_RUNTIME_DIR", runtime);
    Some(stranger)
}
