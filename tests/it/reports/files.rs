//! What operators and file systems do to the files: of the database, and of a replica in a directory.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ebbtide_replica::KeyPrefix;
use ebbtide_store::Location;

use super::{has, in_namespace, may_mount, rows_restored, shell};
use crate::support::{App, Counts, Ended, History, PATIENCE, Setup, Sidecar};
use crate::syscalls::{may_run, tampered};

fn same_inode_anew(database: &Path) -> bool {
    let before = std::fs::metadata(database).unwrap().ino();
    for name in ["app.db", "app.db-wal", "app.db-shm"] {
        let file = database.with_file_name(name);
        assert!(!file.exists() || std::fs::remove_file(file).is_ok());
    }
    drop(App::open(database));
    std::fs::metadata(database).unwrap().ino() == before
}

/// A shipper that knows files by their inodes takes a new file for the old one, and reads on where that ended.
#[test]
fn r13_a_new_database_that_got_the_inode_of_the_old_one_is_not_taken_for_it() {
    let (setup, app) = Setup::with_rows(20);
    assert_eq!(setup.follow().stop(), 0);
    drop(app);
    if !(0..50).any(|_| same_inode_anew(&setup.database)) {
        eprintln!("NOT RUN: r13: this file system gives no inode a second time");
        return;
    }
    let app = setup.app();
    app.insert(3, 700);
    let sidecar = setup.follow();
    app.insert(1, 700);
    setup.assert_exact_after(sidecar);
    assert_eq!((rows_restored(&setup), setup.history().counts().gaps), (4, 1));
}

/// Releases lie in directories of their own, and a link says which is current: the file at the path is another one from one
/// moment to the next. That is told, and what is there now is followed.
#[test]
fn r15_a_link_that_is_moved_to_another_release_is_told_and_the_new_database_followed() {
    let (setup, app) = Setup::with_rows(20);
    drop(app);
    for release in ["1", "2"] {
        std::fs::create_dir(setup.path(release)).unwrap();
        std::fs::copy(&setup.database, setup.path(release).join("app.db")).unwrap();
    }
    let (current, next) = (setup.path("current"), setup.path("next"));
    symlink("1", &current).unwrap();
    let setup = setup.called("current/app.db", "backup");
    let sidecar = setup.follow();
    drop(setup.app());
    symlink("2", &next).unwrap();
    std::fs::rename(&next, &current).unwrap();
    let app = setup.app();
    let line = sidecar.process().line_with("following again", PATIENCE);
    assert!(line.contains("replaced by another file"), "{line}");
    sidecar.wait_until_it_follows();
    app.insert(5, 700);
    setup.assert_exact_after(sidecar);
    assert_eq!(rows_restored(&setup), 25);
}

/// A rotation with copytruncate, or somebody who wants room, cuts the log that is in use. What was committed is in the
/// replica, SQLite has lost it, and that must not look healthy.
#[test]
fn r14_a_log_that_is_cut_is_told_and_everything_committed_can_be_restored() {
    let (setup, app) = Setup::with_rows(20);
    let sidecar = setup.follow();
    app.insert(20, 700);
    setup.sync();
    std::fs::OpenOptions::new()
        .write(true)
        .open(setup.path("app.db-wal"))
        .unwrap()
        .set_len(0)
        .unwrap();
    sidecar.process().line_with("the log was truncated while it was in use", PATIENCE);
    let shown = setup.report();
    assert_eq!(shown["attention"], serde_json::json!(["wal-index"]), "{shown}");
    let (code, said) = sidecar.stop_and_tell();
    assert_eq!(code, 0, "{said}");
    assert_eq!(rows_restored(&setup), 40);
}

/// A backup disk is mounted for reading, or belongs to somebody else: that is enough for all that only reads.
#[test]
fn r16_a_replica_that_may_only_be_read_is_listed_proved_and_restored() {
    if !may_mount("r16") {
        return;
    }
    let (setup, _app) = Setup::with_rows(20);
    setup.once().exits(0);
    let copy = setup.text("copy.db");
    for args in [
        &["log", &setup.replica][..],
        &["verify", "--restore", &setup.replica],
        &["restore", "-o", &copy, &setup.replica],
    ] {
        // Root may write wherever the file system does not say no.
        let script = r#"
            mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit
            ! touch "$1/file" 2>/dev/null || exit
            shift
            exec "$0" "$@"
        "#;
        let replica = [setup.replica.as_str()];
        let args: Vec<&OsStr> = replica.iter().chain(args).map(OsStr::new).collect();
        Ended::of(&mut in_namespace(&setup, script, &args)).exits(0);
    }
    setup.assert_exact();
}

/// Rights that are taken away are told, and once they are given back everything arrives.
#[test]
fn r18_a_replica_that_cannot_be_written_for_a_while_gets_everything_later() {
    let (setup, app) = Setup::with_rows(20);
    let sidecar = setup.follow();
    let (directory, aside) =
        (Path::new(&setup.replica).join(KeyPrefix::Log.name()), setup.path("aside"));
    std::fs::rename(&directory, &aside).unwrap();
    std::fs::write(&directory, "somebody's file").unwrap();
    app.insert(5, 700);
    sidecar.process().line_with("the log waits", PATIENCE);
    std::fs::remove_file(&directory).unwrap();
    std::fs::rename(&aside, &directory).unwrap();
    setup.sync();
    setup.assert_exact_after(sidecar);
    assert_eq!(setup.history().counts(), Counts::commits(5));
}

/// Another tool copies the replica, file by file, while it grows. Each copy can be restored, to a state that was.
#[test]
fn r21_a_copy_of_a_replica_that_is_being_written_can_be_restored() {
    let (setup, app) = Setup::with_rows(20);
    let sidecar = setup.follow();
    for copy in ["copy1", "copy2", "copy3", "copy4"] {
        app.insert(40, 700);
        let mut cp = Command::new("cp");
        cp.arg("-r").arg(&setup.replica).arg(setup.path(copy));
        let copying = cp.stderr(Stdio::piped()).spawn().unwrap();
        app.insert(40, 700);
        let copied = copying.wait_with_output().unwrap();
        // A temporary file may go while it is copied.
        let said = String::from_utf8_lossy(&copied.stderr);
        assert!(copied.status.success() || said.contains(".tmp-"), "{said}");
        setup.run(&["verify", &setup.text(copy)]).exits(0);
        let states = History::open(&setup.text(copy)).states(setup.directory.path());
        assert!(!states.is_empty(), "{copy}");
    }
    setup.assert_exact_after(sidecar);
}

/// Copy-on-write and network file systems cannot reserve room.
#[test]
fn r26_a_restore_goes_without_reserved_room_where_there_is_none_to_be_had() {
    if !may_run("r26") {
        return;
    }
    let (setup, _app) = Setup::with_rows(20);
    setup.once().exits(0);
    for error in ["EOPNOTSUPP", "ENOSYS"] {
        let (copy, log) = (setup.text("copy.db"), setup.path("strace"));
        let plain = setup.command(&["restore", "--force", "-o", &copy, &setup.replica]);
        let how = format!("error={error}");
        Ended::of(&mut tampered(&plain, "fallocate", &how, &[], &log)).exits(0);
        let strace = std::fs::read_to_string(&log).unwrap();
        assert!(strace.contains("INJECTED"), "{strace}");
    }
    setup.assert_exact();
}

/// The name of a file is no place for a stream. Somebody who has learnt that of other tools gets a file called `-`.
#[test]
fn r24_a_restore_does_not_make_a_file_called_minus() {
    let (setup, _app) = Setup::with_rows(20);
    setup.once().exits(0);
    let mut restore = setup.command(&["restore", "-o", "-", &setup.replica]);
    Ended::of(restore.current_dir(setup.directory.path())).exits(2).says("./-");
    assert!(!setup.path("-").exists());
}

/// A umask that keeps nothing from anybody does not make a backup readable.
#[test]
fn r25_whatever_the_umask_only_the_owner_may_read_a_replica_and_what_is_restored() {
    let (setup, _app) = Setup::with_rows(20);
    let copy = setup.text("copy.db");
    let restore = ["restore", "-o", &copy, &setup.replica];
    for args in [&setup.once_args()[..], &restore] {
        let args: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        Ended::of(&mut shell(&setup, "umask 0; exec \"$0\" \"$@\"", &args)).exits(0);
    }
    let mut found = 0;
    let mut directories =
        vec![PathBuf::from(&setup.replica), setup.path(".app.db-ebbtide"), copy.into()];
    while let Some(path) = directories.pop() {
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(metadata.mode() & 0o077, 0, "{}", path.display());
        found += 1;
        if metadata.is_dir() {
            directories
                .extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    assert!(found > 10, "{found}");
}

/// One disk for everything runs full. What was committed is in the log, and is shipped once there is room.
#[test]
fn r22_a_disk_that_runs_full_and_is_enlarged_costs_nothing_that_was_committed() {
    if !may_mount("r22") || !has("sqlite3", "r22") {
        return;
    }
    let script = r#"
        set -eu
        mount -t tmpfs -o size=3m tmpfs "$1"
        cd "$1"
        sqlite3 app.db 'PRAGMA journal_mode = WAL; CREATE TABLE t (b)' >/dev/null
        "$0" replicate app.db backup 2>log & sidecar=$!
        until grep -q following log; do kill -0 $sidecar; sleep 0.02; done
        while sqlite3 app.db 'INSERT INTO t VALUES (randomblob(30000))' 2>&1; do :; done
        mount -o remount,size=30m "$1"
        sqlite3 app.db 'INSERT INTO t VALUES (randomblob(30000))'
        "$0" sync --wait app.db
        kill $sidecar
        wait $sidecar
        "$0" restore -o copy.db backup
        sqlite3 app.db .dump >here
        sqlite3 copy.db .dump >there
        cmp here there
        grep -c INSERT here
    "#;
    let setup = Setup::new();
    let disk = setup.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let ended = Ended::of(&mut in_namespace(&setup, script, &[disk.as_os_str()])).exits(0);
    assert!(ended.out.contains("disk is full"), "{}", ended.out);
}

#[test]
fn r32_a_database_in_an_image_layer_is_followed_through_its_copy() {
    if !may_mount("r32") || !has("sqlite3", "r32") {
        return;
    }
    // Who opens a file of a lower layer for reading alone has another file than who writes it later.
    let script = r#"
        set -eu
        cd "$1"
        mkdir low up
        sqlite3 low/app.db 'PRAGMA journal_mode = WAL; CREATE TABLE t (b); INSERT INTO t VALUES (1)' >/dev/null
        mount -t tmpfs tmpfs up
        mkdir up/up up/work merged
        mount -t overlay overlay -o lowerdir=low,upperdir=up/up,workdir=up/work merged
        "$0" replicate merged/app.db backup 2>log & sidecar=$!
        until grep -q following log; do kill -0 $sidecar; sleep 0.02; done
        for row in 1 2 3 4 5; do sqlite3 merged/app.db "INSERT INTO t VALUES ($row)"; done
        "$0" sync --wait merged/app.db
        kill $sidecar
        wait $sidecar
        "$0" restore -o copy.db backup
        sqlite3 copy.db 'SELECT count(*), sum(b) FROM t'
    "#;
    let setup = Setup::new();
    let directory = [setup.directory.path().as_os_str()];
    let ended = Ended::of(&mut in_namespace(&setup, script, &directory)).exits(0);
    assert_eq!(ended.out.lines().last(), Some("6|16"));
}

/// SMB has no answer but "invalid argument" when a directory is to be made durable by itself.
#[test]
fn r19_a_file_system_that_cannot_sync_a_directory_holds_replicas_and_restored_files() {
    if !may_run("r19") {
        return;
    }
    let (setup, app) = Setup::with_rows(20);
    setup.once().exits(0);
    app.insert(3, 700);
    let replica = Path::new(&setup.replica);
    let directories = ["", "log", "snap", "probe"].map(|name| replica.join(name));
    let (copy, log) = (setup.text("copies/copy.db"), setup.path("strace"));
    std::fs::create_dir(setup.path("copies")).unwrap();
    let once = setup.once_args();
    let restore = ["restore", "-o", &copy, &setup.replica];
    for (args, directories) in [(&once[..], &directories[..]), (&restore, &[setup.path("copies")])]
    {
        let mut run = tampered(&setup.command(args), "fsync", "error=EINVAL", directories, &log);
        Ended::of(&mut run).exits(0);
        let strace = std::fs::read_to_string(&log).unwrap();
        assert!(strace.contains("INJECTED"), "{args:?}: {strace}");
    }
    setup.assert_exact();
}

const PUTTING: &str = "EBBTIDE_TEST_REPORTS_PUTTING";

/// Not a test: puts an object into a replica and sweeps it, when this binary is started to do that.
#[test]
fn putting() {
    let Ok(replica) = std::env::var(PUTTING) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = replica.parse::<Location>().unwrap().open().await.unwrap();
        let key = "snap/00000000000000ff.seg".parse().unwrap();
        store.put(&key, "an object".into()).await.unwrap();
        assert_eq!(store.sweep().await.unwrap(), 0, "what cannot be locked may be in use");
    });
}

/// NFS without its lock daemon says that there are no locks to be had. Nobody else can be told from an abandoned file
/// then, so nothing is swept.
#[test]
fn r20_a_file_system_without_locks_holds_replicas() {
    if !may_run("r20") {
        return;
    }
    let (setup, _app) = Setup::with_rows(20);
    setup.once().exits(0);
    let somebodys = Path::new(&setup.replica).join("log").join(".tmp-0000000000000000");
    std::fs::write(&somebodys, "half an object").unwrap();
    for error in ["ENOLCK", "EOPNOTSUPP"] {
        let mut plain = Command::new(std::env::current_exe().unwrap());
        plain.args(["reports::files::putting", "--exact", "--test-threads=1"]);
        plain.env(PUTTING, &setup.replica);
        let log = setup.path("strace");
        let mut put = tampered(&plain, "flock", &format!("error={error}"), &[], &log);
        Ended::of(&mut put).exits(0);
        assert!(std::fs::read_to_string(&log).unwrap().contains("INJECTED"), "{error}");
        let put = Path::new(&setup.replica).join("snap/00000000000000ff.seg");
        assert_eq!(std::fs::read(&put).unwrap(), b"an object");
        std::fs::remove_file(put).unwrap();
        assert!(somebodys.exists(), "{error}");
    }
}

/// A directory of an automounter, as of /proc, is there and takes no other: "no such file", however often one asks.
#[test]
fn r47_a_directory_that_takes_no_directory_is_told() {
    let (setup, _app) = Setup::with_rows(20);
    let args = ["replicate", setup.database.to_str().unwrap(), "/proc/self/backup"];
    let sidecar = Sidecar::spawn_command(&mut setup.command(&args));
    sidecar.process().line_with("No such file or directory", PATIENCE);
    sidecar.kill();
}
