//! What may be in the place of the target, and what a restore does with it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ebbtide_catalog::Target;
use ebbtide_restore::{Error, Options};
use tempfile::TempDir;

use crate::builder::{Builder, options, restore_with};

async fn sample() -> Builder {
    let mut builder = Builder::started(512, 3).await;
    builder.commit(&[(1, 1)], 4);
    builder.cut().await;
    builder
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("app.db");
    (directory, target)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn forced(target: &Path) -> Options {
    Options { force: true, ..options(Target::Latest, target) }
}

/// Refused, without a trace.
async fn assert_refused(builder: &Builder, options: &Options, because: &str) {
    let directory = options.output.parent().unwrap();
    let before = names(directory);
    let error = restore_with(&builder.store, options).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(error.to_string().contains(because), "{error}");
    assert_eq!(names(directory), before);
}

#[tokio::test]
async fn d01_an_existing_target_is_refused_or_moved_aside() {
    let builder = sample().await;
    for old in [&b""[..], b"not even a database"] {
        let (directory, target) = place();
        fs::write(&target, old).unwrap();
        assert_refused(&builder, &options(Target::Latest, &target), "exists").await;
        assert_eq!(fs::read(&target).unwrap(), old);
        let report = restore_with(&builder.store, &forced(&target)).await.unwrap();
        assert_eq!(fs::read(&target).unwrap(), builder.last().image());
        let [aside] = &report.moved_aside[..] else { panic!("{:?}", report.moved_aside) };
        assert_eq!(fs::read(aside).unwrap(), old);
        let name = aside.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("app.db.before-restore-2026"), "{name}");
        assert_eq!(names(directory.path()), ["app.db".to_owned(), name]);
    }
}

/// SQLite would take a log that was left behind for part of the restored database, and silently give wrong rows.
#[tokio::test]
async fn d02_what_sqlite_left_behind_is_refused_or_moved_aside() {
    let builder = sample().await;
    for suffix in ["-wal", "-journal"] {
        let (directory, target) = place();
        let stale = directory.path().join(format!("app.db{suffix}"));
        fs::write(&stale, "stale").unwrap();
        fs::write(directory.path().join("app.db-shm"), "").unwrap();
        assert_refused(&builder, &options(Target::Latest, &target), suffix).await;
        fs::remove_file(directory.path().join("app.db-shm")).unwrap();
        let report = restore_with(&builder.store, &forced(&target)).await.unwrap();
        assert!(!stale.exists());
        let [aside] = &report.moved_aside[..] else { panic!("{:?}", report.moved_aside) };
        assert!(aside.to_str().unwrap().ends_with(suffix), "{}", aside.display());
        assert_eq!(fs::read(aside).unwrap(), b"stale");
    }
}

/// Nothing in them could become part of the restored database, and nobody finds them beside it.
#[tokio::test]
async fn d02_what_has_nothing_in_it_is_moved_aside_without_being_asked() {
    let builder = sample().await;
    for (suffix, body) in [("-wal", ""), ("-journal", ""), ("-shm", "stale"), ("-shm", "")] {
        let (directory, target) = place();
        fs::write(directory.path().join(format!("app.db{suffix}")), body).unwrap();
        let report = restore_with(&builder.store, &options(Target::Latest, &target)).await.unwrap();
        let [aside] = &report.moved_aside[..] else { panic!("{:?}", report.moved_aside) };
        assert!(aside.to_str().unwrap().ends_with(suffix), "{}", aside.display());
        assert_eq!(names(directory.path()).len(), 2);
    }
}

/// The database and its log stay together, under names by which SQLite finds one from the other.
#[tokio::test]
async fn d02_a_database_keeps_its_log_when_it_is_moved_aside() {
    let builder = sample().await;
    let (directory, target) = place();
    fs::write(&target, "database").unwrap();
    fs::write(directory.path().join("app.db-wal"), "log").unwrap();
    let report = restore_with(&builder.store, &forced(&target)).await.unwrap();
    let [database, log] = &report.moved_aside[..] else { panic!("{:?}", report.moved_aside) };
    assert_eq!(log.as_os_str().to_str().unwrap(), format!("{}-wal", database.display()));
}

/// Another process that holds a lock as SQLite does.
struct Holder(Child);

impl Holder {
    fn of(path: &Path, start: u64, length: u64) -> Option<Holder> {
        let script = "import fcntl,sys\nf=open(sys.argv[1],'r+b')\n\
                      fcntl.lockf(f,fcntl.LOCK_SH|fcntl.LOCK_NB,int(sys.argv[3]),int(sys.argv[2]))\n\
                      print('locked',flush=True)\nsys.stdin.read()";
        let mut child = Command::new("python3")
            .args(["-c", script])
            .arg(path)
            .args([start.to_string(), length.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        assert_eq!(line, "locked\n");
        Some(Holder(child))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.stdin.take().unwrap().flush().unwrap();
        self.0.wait().unwrap();
    }
}

#[tokio::test]
async fn d03_an_open_target_is_refused_even_by_force() {
    let builder = sample().await;
    for (name, start, length) in
        [("app.db", 0x4000_0002, 510), ("app.db-shm", 128, 1), ("app.db-shm", 124, 1)]
    {
        let (directory, target) = place();
        fs::write(&target, "database").unwrap();
        let locked = directory.path().join(name);
        fs::write(&locked, "x").unwrap();
        let Some(holder) = Holder::of(&locked, start, length) else {
            eprintln!("skipped: there is no python3 to hold a lock with");
            return;
        };
        let process = holder.0.id().to_string();
        assert_refused(&builder, &forced(&target), &format!("process {process} has it open")).await;
        drop(holder);
        restore_with(&builder.store, &forced(&target)).await.unwrap();
    }
}

#[tokio::test]
async fn d05_what_a_killed_restore_left_is_removed_and_what_a_living_one_writes_is_not() {
    let builder = sample().await;
    let (directory, target) = place();
    let abandoned = directory.path().join(".app.db.ebbtide-restore-abcdefgh");
    let other = directory.path().join(".other.db.ebbtide-restore-abcdefgh");
    let living = directory.path().join(".app.db.ebbtide-restore-hgfedcba");
    fs::write(&abandoned, "half").unwrap();
    fs::write(&other, "half").unwrap();
    let lock = fs::File::create(&living).unwrap();
    lock.lock().unwrap();
    restore_with(&builder.store, &options(Target::Latest, &target)).await.unwrap();
    assert!(!abandoned.exists() && other.exists() && living.exists());
}

#[tokio::test]
async fn d13_only_the_owner_may_read_what_was_restored() {
    let builder = sample().await;
    let (_directory, target) = place();
    restore_with(&builder.store, &options(Target::Latest, &target)).await.unwrap();
    assert_eq!(target.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
}

#[tokio::test]
async fn d17_what_is_not_a_regular_file_is_refused_even_by_force() {
    let builder = sample().await;
    let (directory, target) = place();
    let elsewhere = directory.path().join("elsewhere");
    fs::write(&elsewhere, "elsewhere").unwrap();
    symlink(&elsewhere, &target).unwrap();
    assert_refused(&builder, &forced(&target), "symbolic link").await;
    assert_eq!(fs::read(&elsewhere).unwrap(), b"elsewhere");
    fs::remove_file(&target).unwrap();
    fs::create_dir(&target).unwrap();
    assert_refused(&builder, &forced(&target), "a directory").await;
    fs::remove_dir(&target).unwrap();
    assert!(Command::new("mkfifo").arg(&target).status().unwrap().success());
    assert_refused(&builder, &forced(&target), "a pipe").await;
}

#[tokio::test]
async fn d17_a_second_name_of_the_target_keeps_the_old_content() {
    let builder = sample().await;
    let (directory, target) = place();
    fs::write(&target, "old").unwrap();
    let second = directory.path().join("second");
    fs::hard_link(&target, &second).unwrap();
    restore_with(&builder.store, &forced(&target)).await.unwrap();
    assert_eq!(fs::read(&second).unwrap(), b"old");
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let builder = sample().await;
    let (directory, _) = place();
    let target = directory.path().join("no/such/app.db");
    let error = restore_with(&builder.store, &options(Target::Latest, &target)).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused { .. }) && error.to_string().contains("no/such"),
        "{error}"
    );
}
