//! A replica loses its manifest, its newest snapshot, or everything, while it is followed and while nobody looks. Would catch
//! anything that is called durable and is not in the replica, and a replica that is replaced by a new one without a word.

use std::fs;
use std::path::Path;

use ebbtide_catalog::Target;
use ebbtide_testkit::oracle::{self, Image};
use ebbtide_testkit::s3_server::{Asked, Fault, S3Server};
use rusqlite::Connection;

use crate::control::{Place, code, insert, said};
use crate::support::{Replica, Sidecar, command, wait_until};

/// Removes the files of a folder and of those in it, and leaves the folders.
fn empty(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { empty(&path) } else { fs::remove_file(path).unwrap() }
    }
}

fn objects(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

/// The replica's end, restored by the command, is what the database is now.
#[track_caller]
fn assert_restores(place: &Place, replica: &str) {
    let output = place.path("restored.db");
    let ended = place.run(&["restore", "-o", output.to_str().unwrap(), &place.text(replica)]);
    assert_eq!(code(&ended), 0, "{}", said(&ended));
    let expected = Image::of(&oracle::committed(&place.path("app.db")).unwrap());
    assert_eq!(Image::of_file(&output).unwrap(), expected);
    fs::remove_file(output).unwrap();
    fs::remove_dir_all(place.path(".restored.db-ebbtide")).ok();
}

#[test]
fn o02_without_its_manifest_a_replica_is_read_and_a_start_puts_the_same_one_back() {
    let place = Place::new();
    let application = place.database("app.db");
    let sidecar = place.follow("app.db", "backup");
    insert(&application);
    assert_eq!(sidecar.stop(), 0);
    let manifest = place.path("backup/ebbtide.json");
    let before = fs::read(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    assert_restores(&place, "backup");
    for command in ["log", "verify"] {
        let ended = place.run(&[command, &place.text("backup")]);
        assert_eq!(code(&ended), 0, "{}", said(&ended));
        assert!(said(&ended).contains("ebbtide.json is missing"), "{}", said(&ended));
    }
    assert!(!manifest.exists(), "who reads writes nothing");
    let args = ["replicate", "--once", &place.text("app.db"), &place.text("backup")];
    let ended = place.run(&args);
    assert_eq!(code(&ended), 0, "{}", said(&ended));
    assert_eq!(fs::read(&manifest).unwrap(), before);
    // Not even without the local state, and without the beginning of the history, another one is made.
    fs::remove_dir_all(place.path(".app.db-ebbtide")).unwrap();
    fs::remove_file(&manifest).unwrap();
    fs::remove_file(place.path("backup/log/0000000000000001.seg")).unwrap();
    let ended = place.run(&args);
    assert_eq!(code(&ended), 0, "{}", said(&ended));
    let id =
        |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap()["replica"].clone();
    assert_eq!(id(&fs::read(&manifest).unwrap()), id(&before));
    assert_restores(&place, "backup");
}

#[test]
fn o02_a_manifest_that_is_deleted_while_it_runs_is_put_back_and_needs_attention() {
    let place = Place::new();
    let application = place.database("app.db");
    let sidecar = place.follow("app.db", "backup");
    let manifest = place.path("backup/ebbtide.json");
    let before = fs::read(&manifest).unwrap();
    fs::remove_file(&manifest).unwrap();
    insert(&application);
    let ended = place.run(&["sync", "--wait"]);
    assert_eq!(code(&ended), 0, "{}", said(&ended));
    assert_eq!(fs::read(&manifest).unwrap(), before);
    let (status, reports) = place.status(&[]);
    assert_eq!((status, &reports[0]["attention"][0]), (1, &"manifest".into()), "{reports:?}");
    let table = String::from_utf8(place.run(&["status"]).stdout).unwrap();
    assert!(table.contains("was put back"), "{table}");
    assert_eq!(sidecar.stop(), 0);
    assert_restores(&place, "backup");
}

/// A sync that is waited for must not succeed, the status must not be well, and no new replica may be begun by itself.
#[track_caller]
fn assert_gone(place: &Place, application: &Connection, replica: &Path) {
    insert(application);
    let ended = place.run(&["sync", "--wait", "--timeout", "2s"]);
    assert_eq!(code(&ended), 1, "{}", said(&ended));
    wait_until("it to need attention", || place.status(&[]).0 == 1);
    assert!(!replica.join("ebbtide.json").exists());
    assert_eq!(objects(&replica.join("snap")), 0);
}

#[test]
fn o02_a_folder_that_is_emptied_while_it_runs_is_noticed_and_begun_anew_only_when_told_to() {
    let place = Place::new();
    let application = place.database("app.db");
    let sidecar = place.follow("app.db", "backup");
    insert(&application);
    assert_eq!(code(&place.run(&["sync", "--wait"])), 0);
    empty(&place.path("backup"));
    assert_gone(&place, &application, &place.path("backup"));
    let (ended, _) = sidecar.stop_and_tell();
    assert_ne!(ended, 0);
    let args = ["replicate", "--once", &place.text("app.db"), &place.text("backup")];
    for _ in 0..2 {
        let ended = place.run(&args);
        assert_eq!(code(&ended), 4, "{}", said(&ended));
        assert!(said(&ended).contains("--begin-anew"), "{}", said(&ended));
    }
    let ended = place.run(&[&args[..], &["--begin-anew"]].concat());
    assert_eq!(code(&ended), 0, "{}", said(&ended));
    assert_restores(&place, "backup");
}

#[test]
fn o02_a_bucket_that_is_empty_after_an_outage_is_not_called_durable() {
    let place = Place::new();
    let server = S3Server::start();
    let application = place.database("app.db");
    let args = ["replicate", "--log-format", "json", &place.text("app.db"), &server.address("app")];
    let mut replicate = command(&args);
    replicate.env("EBBTIDE_RUNTIME_DIR", place.path("run")).envs(server.environment());
    let sidecar = Sidecar::start_command(&mut replicate);
    insert(&application);
    assert_eq!(code(&place.run(&["sync", "--wait"])), 0);
    let durable = place.status(&[]).1[0]["durable_txid"].clone();
    server.script(|_: &Asked| Some(Fault::Refused(503, "ServiceUnavailable")));
    insert(&application);
    wait_until("the outage to show", || !place.status(&[]).1[0]["store_trouble"].is_null());
    empty(&server.file("app"));
    server.heal();
    assert_gone(&place, &application, &server.file("app"));
    assert_eq!(place.status(&[]).1[0]["durable_txid"], durable, "nothing more is durable");
    let (ended, _) = sidecar.stop_and_tell();
    assert_ne!(ended, 0);
}

#[test]
fn o02_a_place_that_is_empty_at_the_start_is_refused_however_it_is_written() {
    let place = Place::new();
    let application = place.database("app.db");
    fs::create_dir(place.path("disk")).unwrap();
    assert_eq!(place.follow("app.db", "disk/backup").stop(), 0);
    // Not mounted: the mount point is there, and what was on it is not.
    fs::rename(place.path("disk"), place.path("unmounted")).unwrap();
    fs::create_dir(place.path("disk")).unwrap();
    std::os::unix::fs::symlink(place.path("disk"), place.path("link")).unwrap();
    let disk = place.text("disk/backup");
    for address in [
        disk.clone(),
        format!("file://{disk}"),
        place.text("link/backup"),
        place.text("disk/x/../backup"),
    ] {
        let ended = place.run(&["replicate", "--once", &place.text("app.db"), &address]);
        assert_eq!(code(&ended), 4, "{address}: {}", said(&ended));
        assert!(said(&ended).contains("not mounted"), "{}", said(&ended));
        assert_eq!(objects(&place.path("disk")), 0, "nothing is made there");
    }
    // Another place is another replica, and the old one carries on where it is.
    let args = ["replicate", "--once", &place.text("app.db"), &place.text("elsewhere")];
    fs::rename(place.path(".app.db-ebbtide"), place.path("kept")).unwrap();
    fs::create_dir(place.path(".app.db-ebbtide")).unwrap();
    for file in fs::read_dir(place.path("kept")).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), place.path(".app.db-ebbtide").join(file.file_name())).unwrap();
        }
    }
    assert_eq!(code(&place.run(&args)), 0);
    fs::remove_dir_all(place.path(".app.db-ebbtide")).unwrap();
    fs::rename(place.path("kept"), place.path(".app.db-ebbtide")).unwrap();
    fs::remove_dir(place.path("disk")).unwrap();
    fs::rename(place.path("unmounted"), place.path("disk")).unwrap();
    insert(&application);
    let sidecar = place.follow("app.db", "disk/backup");
    assert_eq!(code(&place.run(&["sync", "--wait"])), 0);
    assert_eq!(sidecar.stop(), 0);
    assert_restores(&place, "disk/backup");
}

#[test]
fn o02_the_newest_snapshot_is_made_again_at_once_when_it_is_deleted() {
    let place = Place::new();
    let application = place.database("app.db");
    let sidecar = place.follow("app.db", "backup");
    empty(&place.path("backup/snap"));
    insert(&application);
    let ended = place.run(&["sync", "--wait", "--timeout", "60s"]);
    assert_eq!(code(&ended), 0, "{}", said(&ended));
    assert_eq!(objects(&place.path("backup/snap")), 1);
    assert_eq!(place.status(&[]).0, 0);
    assert_restores(&place, "backup");
    assert_eq!(sidecar.stop(), 0);
}

/// By cron, once in a while, with snapshots that are missing each time: what `--once` says is done can be restored.
#[test]
fn o06_o35_once_ends_well_only_when_what_is_there_can_be_restored() {
    let place = Place::new();
    let application = place.database("app.db");
    let args = ["replicate", "--once", &place.text("app.db"), &place.text("backup")];
    for round in 0..4 {
        insert(&application);
        let ended = place.run(&args);
        assert_eq!(code(&ended), 0, "{round}: {}", said(&ended));
        assert_restores(&place, "backup");
        let snapshots = objects(&place.path("backup/snap"));
        assert_eq!(snapshots, 1, "{round}: the one that is due is made, and no other");
        empty(&place.path("backup/snap"));
    }
    // The same with a hole in the log.
    assert_eq!(code(&place.run(&args)), 0);
    for _ in 0..2 {
        insert(&application);
        assert_eq!(code(&place.run(&args)), 0);
    }
    let entries = Replica::open(&place.text("backup")).entries();
    let middle = entries[entries.len() - 3].txid;
    fs::remove_file(place.path(&format!("backup/log/{middle}.seg"))).unwrap();
    assert_ne!(code(&place.run(&["restore", "--dry-run", "-o", "x", &place.text("backup")])), 0);
    let ended = place.run(&args);
    assert_eq!(code(&ended), 0, "{}", said(&ended));
    assert_restores(&place, "backup");
    Replica::open(&place.text("backup")).restore(Target::Latest, place.folder.path());
}
