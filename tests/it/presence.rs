//! A replica loses its manifest, its newest snapshot, or everything, while it is followed and while nobody looks. Would catch
//! anything that is called durable and is not in the replica, and a replica that is replaced by a new one without a word.

use std::fs;
use std::path::Path;

use ebbtide_catalog::Target;
use ebbtide_testkit::oracle::{self, Image};
use ebbtide_testkit::s3_server::{Asked, Fault, S3Server};

use crate::support::{App, Setup, Sidecar, command, wait_until};

/// Removes the files of a directory and of those in it, and leaves the directories.
fn empty(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { empty(&path) } else { fs::remove_file(path).unwrap() }
    }
}

fn objects(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

/// The replica's end, restored by the command, is what the database is now.
#[track_caller]
fn assert_restores(setup: &Setup, replica: &str) {
    let output = setup.path("restored.db");
    setup.run(&["restore", "-o", output.to_str().unwrap(), &setup.text(replica)]).exits(0);
    let expected = Image::of(&oracle::committed(&setup.path("app.db")).unwrap());
    assert_eq!(Image::of_file(&output).unwrap(), expected);
    fs::remove_file(output).unwrap();
    fs::remove_dir_all(setup.path(".restored.db-ebbtide")).ok();
}

#[test]
fn o02_without_its_manifest_a_replica_is_read_and_a_start_puts_the_same_one_back() {
    let setup = Setup::new();
    let application = setup.app();
    let sidecar = setup.follow();
    application.insert(1, 100);
    assert_eq!(sidecar.stop(), 0);
    let manifest = setup.path("backup/ebbtide.json");
    let before = fs::read(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    assert_restores(&setup, "backup");
    for command in ["log", "verify"] {
        let ended = setup.run(&[command, &setup.text("backup")]).exits(0);
        ended.says("ebbtide.json is missing");
    }
    assert!(!manifest.exists(), "who reads writes nothing");
    let args = ["replicate", "--once", &setup.text("app.db"), &setup.text("backup")];
    setup.run(&args).exits(0);
    assert_eq!(fs::read(&manifest).unwrap(), before);
    // Not even without the local state, and without the beginning of the history, another one is made.
    fs::remove_dir_all(setup.path(".app.db-ebbtide")).unwrap();
    fs::remove_file(&manifest).unwrap();
    fs::remove_file(setup.path("backup/log/0000000000000001.seg")).unwrap();
    setup.run(&args).exits(0);
    let id =
        |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap()["replica"].clone();
    assert_eq!(id(&fs::read(&manifest).unwrap()), id(&before));
    assert_restores(&setup, "backup");
}

/// A rule of the bucket deletes what is old, and nothing of the replica says that it was to be.
#[test]
fn o02_a_beginning_of_the_log_that_is_gone_is_damage_to_every_command() {
    let setup = Setup::new();
    let application = setup.app();
    let sidecar = setup.follow();
    for _ in 0..6 {
        application.insert(1, 100);
        setup.run(&["sync", "--wait"]).exits(0);
    }
    assert_eq!(sidecar.stop(), 0);
    let (backup, output) = (setup.text("backup"), setup.text("restored.db"));
    let missing = "log/0000000000000001.seg: it is missing: entries 0000000000000001 to ";
    for txid in 1..=4 {
        fs::remove_file(setup.path(&format!("backup/log/{txid:016x}.seg"))).unwrap();
    }
    let lost = |args: &[&str]| {
        let ended = setup.run(args).exits(4);
        ended.says(missing);
        ended
    };
    lost(&["restore", "-o", &output, &backup]).says("--txid 2 ");
    lost(&["restore", "-o", &output, "--txid", "6", &backup]);
    lost(&["restore", "-o", &output, "--timestamp", "now", &backup]);
    lost(&["drill", &backup]);
    let verify = setup.run(&["verify", &backup]).exits(4);
    verify.prints(missing).prints("0000000000000002");
    lost(&["prune", "--keep", "every-commit=1h, last=1", &backup]);
    lost(&["mark", "here", "--txid", "6", &backup]);
    let log = setup.run(&["log", &backup]).exits(0);
    log.prints("not all of this, because entries 0000000000000001 to 0000000000000004 are in no");
    setup.run(&["list", &backup]).exits(1).prints("its history is not whole: log/0000000000000001");
    setup.run(&["restore", "-o", &output, "--txid", "2", &backup]).exits(0);
    empty(&setup.path("backup/log"));
    lost(&["restore", "-o", &setup.text("newest.db"), &backup]).says("--txid 2 ");
    lost(&["restore", "-o", &setup.text("newest.db"), "--txid", "6", &backup]).says("--txid 2 ");
    setup.run(&["log", &backup]).exits(0).prints("not all of this");
    setup.run(&["list", &backup]).exits(1).prints("its history is not whole: log/0000000000000001");
    assert!(!setup.path("newest.db").exists());
}

#[test]
fn o02_a_manifest_that_is_deleted_while_it_runs_is_put_back_and_needs_attention() {
    let setup = Setup::new();
    let application = setup.app();
    let sidecar = setup.follow();
    let manifest = setup.path("backup/ebbtide.json");
    let before = fs::read(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    application.insert(1, 100);
    setup.run(&["sync", "--wait"]).exits(0);
    assert_eq!(fs::read(&manifest).unwrap(), before);
    let (status, reports) = setup.status(&[]);
    assert_eq!((status, &reports[0]["attention"][0]), (1, &"manifest".into()), "{reports:?}");
    let table = setup.run(&["status"]).out;
    assert!(table.contains("was put back"), "{table}");
    assert_eq!(sidecar.stop(), 0);
    assert_restores(&setup, "backup");
}

/// A sync that is waited for must not succeed, the status must not be well, and no new replica may be begun by itself.
#[track_caller]
fn assert_gone(setup: &Setup, application: &App, replica: &Path) {
    application.insert(1, 100);
    setup.run(&["sync", "--wait", "--timeout", "2s"]).exits(1);
    wait_until("it to need attention", || setup.status(&[]).0 == 1);
    assert!(!replica.join("ebbtide.json").exists());
    assert_eq!(objects(&replica.join("snap")), 0);
}

#[test]
fn o02_a_directory_that_is_emptied_while_it_runs_is_noticed_and_begun_anew_only_when_told_to() {
    let setup = Setup::new();
    let application = setup.app();
    let sidecar = setup.follow();
    application.insert(1, 100);
    setup.run(&["sync", "--wait"]).exits(0);
    empty(&setup.path("backup"));
    assert_gone(&setup, &application, &setup.path("backup"));
    let (ended, _) = sidecar.stop_and_tell();
    assert_ne!(ended, 0);
    let args = ["replicate", "--once", &setup.text("app.db"), &setup.text("backup")];
    for _ in 0..2 {
        let ended = setup.run(&args).exits(4);
        ended.says("--begin-anew");
    }
    setup.run(&[&args[..], &["--begin-anew"]].concat()).exits(0);
    assert_restores(&setup, "backup");
}

#[test]
fn o02_a_bucket_that_is_empty_after_an_outage_is_not_called_durable() {
    let setup = Setup::new();
    let server = S3Server::start();
    let application = setup.app();
    let args = ["replicate", "--log-format", "json", &setup.text("app.db"), &server.address("app")];
    let mut replicate = command(&args);
    replicate.env("EBBTIDE_RUNTIME_DIR", setup.path("run")).envs(server.environment());
    let sidecar = Sidecar::start_command(&mut replicate);
    application.insert(1, 100);
    setup.run(&["sync", "--wait"]).exits(0);
    let durable = setup.status(&[]).1[0]["durable_txid"].clone();
    server.script(|_: &Asked| Some(Fault::Refused(503, "ServiceUnavailable")));
    application.insert(1, 100);
    wait_until("the outage to show", || !setup.status(&[]).1[0]["store_trouble"].is_null());
    empty(&server.file("app"));
    server.heal();
    assert_gone(&setup, &application, &server.file("app"));
    assert_eq!(setup.status(&[]).1[0]["durable_txid"], durable, "nothing more is durable");
    let (ended, _) = sidecar.stop_and_tell();
    assert_ne!(ended, 0);
}

#[test]
fn o02_a_place_that_is_empty_at_the_start_is_refused_however_it_is_written() {
    let setup = Setup::new();
    let application = setup.app();
    fs::create_dir(setup.path("disk")).unwrap();
    assert_eq!(setup.follow_other("app.db", "disk/backup").stop(), 0);
    // Not mounted: the mount point is there, and what was on it is not.
    fs::rename(setup.path("disk"), setup.path("unmounted")).unwrap();
    fs::create_dir(setup.path("disk")).unwrap();
    std::os::unix::fs::symlink(setup.path("disk"), setup.path("link")).unwrap();
    let disk = setup.text("disk/backup");
    for address in [
        disk.clone(),
        format!("file://{disk}"),
        setup.text("link/backup"),
        setup.text("disk/x/../backup"),
    ] {
        let ended = setup.run(&["replicate", "--once", &setup.text("app.db"), &address]).exits(4);
        ended.says("not mounted");
        assert_eq!(objects(&setup.path("disk")), 0, "nothing is made there");
    }
    // Another setup is another replica, and the old one carries on where it is.
    let args = ["replicate", "--once", &setup.text("app.db"), &setup.text("elsewhere")];
    fs::rename(setup.path(".app.db-ebbtide"), setup.path("kept")).unwrap();
    fs::create_dir(setup.path(".app.db-ebbtide")).unwrap();
    for file in fs::read_dir(setup.path("kept")).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), setup.path(".app.db-ebbtide").join(file.file_name())).unwrap();
        }
    }
    setup.run(&args).exits(0);
    fs::remove_dir_all(setup.path(".app.db-ebbtide")).unwrap();
    fs::rename(setup.path("kept"), setup.path(".app.db-ebbtide")).unwrap();
    fs::remove_dir(setup.path("disk")).unwrap();
    fs::rename(setup.path("unmounted"), setup.path("disk")).unwrap();
    application.insert(1, 100);
    let sidecar = setup.follow_other("app.db", "disk/backup");
    setup.run(&["sync", "--wait"]).exits(0);
    assert_eq!(sidecar.stop(), 0);
    assert_restores(&setup, "disk/backup");
}

#[test]
fn o02_the_newest_snapshot_is_made_again_at_once_when_it_is_deleted() {
    let setup = Setup::new();
    let application = setup.app();
    let sidecar = setup.follow();
    empty(&setup.path("backup/snap"));
    application.insert(1, 100);
    setup.run(&["sync", "--wait", "--timeout", "60s"]).exits(0);
    assert_eq!(objects(&setup.path("backup/snap")), 1);
    assert_eq!(setup.status(&[]).0, 0);
    assert_restores(&setup, "backup");
    assert_eq!(sidecar.stop(), 0);
}

/// By cron, once in a while, with snapshots that are missing each time: what `--once` says is done can be restored.
#[test]
fn o06_o35_once_ends_well_only_when_what_is_there_can_be_restored() {
    let setup = Setup::new();
    let application = setup.app();
    let args = ["replicate", "--once", &setup.text("app.db"), &setup.text("backup")];
    for round in 0..4 {
        application.insert(1, 100);
        setup.run(&args).exits(0);
        assert_restores(&setup, "backup");
        let snapshots = objects(&setup.path("backup/snap"));
        assert_eq!(snapshots, 1, "{round}: the one that is due is made, and no other");
        empty(&setup.path("backup/snap"));
    }
    // The same with a hole in the log.
    setup.run(&args).exits(0);
    for _ in 0..2 {
        application.insert(1, 100);
        setup.run(&args).exits(0);
    }
    let entries = setup.history().entries();
    let middle = entries[entries.len() - 3].txid;
    fs::remove_file(setup.path(&format!("backup/log/{middle}.seg"))).unwrap();
    assert_ne!(setup.restore(&["--dry-run", "-o", "x"]).code(), 0);
    setup.run(&args).exits(0);
    assert_restores(&setup, "backup");
    setup.history().restore(Target::Latest, setup.directory.path());
}
