//! The reader in Python (`examples/reader`), which was written from `docs/format.md` alone, beside `ebbtide restore`: both
//! give the same bytes. Would catch a format that the code has and its page has not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ebbtide_replica::{EntryKind, Txid};
use ebbtide_store::Store as _;
use ebbtide_testkit::actor::Ask;
use ebbtide_testkit::builder::{Builder, SECOND};
use ebbtide_testkit::workload::Options;
use ebbtide_wal::PageSize;

use crate::deltas::{Times, objects};
use crate::scene::Scene;
use crate::support::{Ended, Owner, Setup, Sidecar, ebbtide, wait_until};
use crate::thinned;

/// Set to a Python that has the packages, where a test must not pass without it.
const REQUIRED: &str = "EBBTIDE_TEST_READER";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A Python that has the reader's packages, if there is one. Says so if not.
fn python(test: &str) -> Option<PathBuf> {
    if let Some(python) = std::env::var_os(REQUIRED) {
        return Some(python.into());
    }
    let python = root().join("target/reader/bin/python");
    if !python.exists() {
        eprintln!("NOT RUN: {test}: there is no {}; see examples/reader", python.display());
        return None;
    }
    Some(python)
}

/// Runs the reader, which takes an identity as `ebbtide` does.
fn read(python: &Path, args: &[&str]) -> Ended {
    let script = root().join("examples/reader/reader.py");
    Ended::of(Command::new(python).arg("-B").arg(script).args(args))
}

/// Restores the states after these entries, and the newest, with both, and compares.
#[track_caller]
fn compare(python: &Path, replica: &str, txids: impl IntoIterator<Item = u64>) {
    compare_as(python, replica, &[], txids);
}

/// The same with what opens an encrypted replica.
#[track_caller]
fn compare_as(
    python: &Path,
    replica: &str,
    identity: &[&str],
    txids: impl IntoIterator<Item = u64>,
) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (ours, theirs) = (path("ours"), path("theirs"));
    let mut compared = 0;
    for stop in txids.into_iter().map(|txid| Some(format!("{txid:x}"))).chain([None]) {
        let stop: Vec<&str> = stop.iter().flat_map(|txid| ["--txid", txid]).collect();
        let which = [&stop[..], identity].concat();
        ebbtide(&[&["restore", "-o", &ours], &which[..], &[replica]].concat()).exits(0);
        read(python, &[&[replica, &theirs], &which[..]].concat()).exits(0);
        assert!(fs::read(&ours).unwrap() == fs::read(&theirs).unwrap(), "{replica}: {stop:?}");
        fs::remove_file(&ours).unwrap();
        fs::remove_file(&theirs).unwrap();
        compared += 1;
    }
    println!("{compared} restores of {replica} are the same");
}

/// The objects of a replica in memory, as a directory.
fn write(builder: &Builder, directory: &Path) {
    for (name, body) in builder.store.objects() {
        let file = directory.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, body).unwrap();
    }
}

fn golden(name: &str) -> PathBuf {
    root().join("crates/replica/tests/golden").join(name)
}

#[test]
fn the_golden_replica_is_read_by_both() {
    let Some(python) = python("the golden replica") else { return };
    compare(&python, golden("v1").to_str().unwrap(), 2..=5);
}

#[test]
fn the_golden_encrypted_replica_is_read_by_both() {
    let Some(python) = python("the golden encrypted replica") else { return };
    let (sealed, owner) = (golden("v1-sealed"), golden("owner.txt"));
    let identity = ["--identity", owner.to_str().unwrap()];
    compare_as(&python, sealed.to_str().unwrap(), &identity, 2..=5);
    let setup = Setup::new();
    let out = setup.text("out.db");
    let refused = read(&python, &[sealed.to_str().unwrap(), &out]);
    refused.exits(1).says("give --identity FILE");
    let other = Owner::new(&setup.path("other.txt"));
    let foreign = ["--identity", &other.identity];
    let refused = read(&python, &[&[sealed.to_str().unwrap(), &out], &foreign[..]].concat());
    refused.exits(1).says("nothing opens the key");
}

/// Keys are opened by the tool of age itself, where the machine has it.
#[test]
fn the_keys_of_a_replica_are_files_that_age_opens() {
    let age = |identity: &str, file: &Path| {
        Command::new("age").args(["-d", "-i", identity]).arg(file).output()
    };
    let setup = Setup::with_rows(3).0.sealed();
    setup.once().exits(0);
    let of_setup = (setup.owner.as_ref().unwrap().identity.clone(), setup.path("backup/key"));
    let of_golden = (golden("owner.txt").to_str().unwrap().to_owned(), golden("v1-sealed/key"));
    for (identity, keys) in [of_setup, of_golden] {
        let files: Vec<_> = fs::read_dir(keys).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 2);
        for file in files {
            let Ok(opened) = age(&identity, &file) else {
                eprintln!(
                    "NOT RUN: the keys of a replica are files that age opens: there is no age"
                );
                return;
            };
            let said = String::from_utf8_lossy(&opened.stderr);
            assert!(opened.status.success(), "{}: {said}", file.display());
            let key: serde_json::Value = serde_json::from_slice(&opened.stdout).unwrap();
            let name = file.file_name().unwrap().to_str().unwrap();
            assert!(name.starts_with(key["id"].as_str().unwrap()), "{name}: {}", key["id"]);
        }
    }
}

/// Its manifest is made of what its header has.
#[test]
fn the_golden_pack_by_page_is_read_by_both() {
    let Some(python) = python("the golden pack by page") else { return };
    let directory = tempfile::tempdir().unwrap();
    let name = "pack/0000000000000001-000000000000003e.seg";
    let pack = fs::read(golden("by-page").join(name)).unwrap();
    fs::create_dir(directory.path().join("pack")).unwrap();
    fs::write(directory.path().join(name), &pack).unwrap();
    let replica: String = pack[16..32].iter().map(|byte| format!("{byte:02x}")).collect();
    let manifest = serde_json::json!({
        "format": 1, "replica": replica, "page_size": 1024,
        "created": "2026-11-21T09:30:00.000000Z", "created_by": "a test",
    });
    fs::write(directory.path().join("ebbtide.json"), manifest.to_string()).unwrap();
    compare(&python, directory.path().to_str().unwrap(), (2..=0x3e).step_by(7));
}

/// Commits that grow and cut the database, packs of both kinds beside the segments and in their place, deltas, a complete
/// entry, a second snapshot.
async fn history(page_size: u32) -> Builder {
    let mut builder = Builder::started(page_size, 5).await;
    for round in 0..30_u64 {
        builder.wait(SECOND);
        let size = 3 + usize::try_from(round * 7 % 11).unwrap();
        let page = usize::try_from(round % 3).unwrap();
        builder.commit(&[(page, round), (size - 1, 1000 + round)], size);
        if round % 3 == 0 {
            builder.cut().await;
        }
        if round == 20 {
            builder.snapshot().await;
            builder.claim();
        }
        if [9, 27].contains(&round) {
            let first = builder.last().txid.get() - 4;
            builder.cut().await;
            builder.delta(first).await;
            builder.claim();
        }
    }
    builder.cut().await;
    builder.pack(3, 12).await;
    builder.pack_in_order(13, 20).await;
    let segments: Vec<_> = builder.objects().await;
    for key in segments {
        if matches!(key, ebbtide_replica::Key::Log(first) if (3..=12).contains(&first.get())) {
            builder.store.delete(&key).await.unwrap();
        }
    }
    builder
}

#[test]
fn every_page_size_is_read_by_both() {
    let Some(python) = python("every page size") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for page_size in [512, 1024, 4096, 16384, 65536] {
        let builder = runtime.block_on(history(page_size));
        let directory = tempfile::tempdir().unwrap();
        write(&builder, directory.path());
        let last = builder.last().txid.get();
        compare(&python, directory.path().to_str().unwrap(), [2, 3, 7, 12, 13, 19, 25, last]);
        let (sealed, owner) = sealed(directory.path(), page_size);
        compare_as(&python, &sealed, &["--identity", &owner], [2, 7, 12, 19, last]);
    }
}

/// The replica in `directory` once more, encrypted on its way; it, and who opens it.
fn sealed(directory: &Path, number: u32) -> (String, String) {
    let sealed = directory.join(format!("sealed-{number}")).to_str().unwrap().to_owned();
    let owner = Owner::new(&directory.join(format!("owner-{number}.txt")));
    let to = ["--encrypt-to", &owner.recipient, directory.to_str().unwrap(), &sealed];
    ebbtide(&[&["copy"], &to[..]].concat()).exits(0);
    (sealed, owner.identity)
}

/// A sidecar's own packs and deltas, and a database that was set back.
#[test]
fn what_a_sidecar_has_put_is_read_by_both() {
    let Some(python) = python("what a sidecar has put") else { return };
    for setup in [Setup::in_memory(), Setup::in_memory().sealed()] {
        compare_what_a_sidecar_puts(&python, Scene::of(setup));
    }
}

fn compare_what_a_sidecar_puts(python: &Path, mut scene: Scene) {
    let pages = PageSize::new(512).unwrap();
    let mut actor = scene.start_actor(19, &Options::plain(pages));
    scene.act(&mut actor, Ask::Insert(2000, 800));
    let config = scene.configure("", "puts-per-second = 1000.0");
    let args = ["replicate", "--log-format", "json", "--config", &config];
    let mut command = scene.command(&args);
    let sidecar = Sidecar::start_command(Times::hours(500).of(&mut command));
    wait_until("deltas and packs", || {
        scene.act(&mut actor, Ask::InsertEach(5, 200));
        scene.act(&mut actor, Ask::Any);
        objects(&scene, "delta").len() >= 2 && objects(&scene, "pack").len() >= 2
    });
    scene.act(&mut actor, Ask::InsertEach(20, 200));
    assert_eq!(sidecar.stop(), 0);
    actor.finish().unwrap();
    let middle = scene.history().head().unwrap().get() / 2;
    let database = scene.database.to_str().unwrap();
    let back = format!("{middle:x}");
    scene.restore(&["--force", "-o", database, "--txid", &back]).exits(0);
    scene.app().insert(3, 300);
    scene.once().exits(0);
    let entries = scene.history().entries();
    assert!(
        entries.iter().any(|entry| entry.kind == EntryKind::Resync && entry.txid > Txid::FIRST)
    );
    let last = scene.history().head().unwrap().get();
    let txids = (2..last).step_by(usize::try_from(last / 12).unwrap().max(1));
    let identity = scene.owner.iter().map(|owner| owner.identity.as_str());
    let identity: Vec<&str> = identity.flat_map(|file| ["--identity", file]).collect();
    compare_as(python, &scene.replica, &identity, txids.chain([middle, last - 1]));
}

#[test]
fn a_thinned_history_is_read_by_both() {
    let Some(python) = python("a thinned history") else { return };
    let (setup, _) = thinned::setup();
    compare(&python, &setup.replica, [5, 9, 10, 11, 12]);
    let out = setup.text("out.db");
    read(&python, &[&setup.replica, &out, "--txid", "7"]).exits(1).says("entry 7");
    assert!(!fs::exists(&out).unwrap());
    let (sealed, owner) = sealed(&setup.path("backup"), 1);
    compare_as(&python, &sealed, &["--identity", &owner], [5, 9, 10, 11, 12]);
}

/// Each object in turn is away or has another byte: the reader gives the right bytes or none.
#[test]
fn damage_is_refused_or_does_not_matter() {
    let Some(python) = python("damage") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let builder = runtime.block_on(history(512));
    let setup = Setup::new();
    let directory = setup.path("backup");
    write(&builder, &directory);
    let (right, out) = (builder.last().image(), setup.text("out.db"));
    let (mut refused, mut exact) = (0, 0);
    let names = builder.store.objects().into_iter().map(|(name, _)| name);
    let newest = names.filter(|name| name.starts_with("log/")).max().unwrap();
    for (index, (name, body)) in builder.store.objects().into_iter().enumerate() {
        let file = directory.join(&name);
        let mut changed = body.to_vec();
        let at = index * 97 % changed.len();
        changed[at] ^= 0x10;
        fs::write(&file, changed).unwrap();
        // Nothing tells that there was a newer one.
        let faults = if name == newest { &["another byte"][..] } else { &["another byte", "away"] };
        for what in faults {
            let ended = read(&python, &[&setup.replica, &out]);
            match ended.code() {
                0 => {
                    assert!(fs::read(&out).unwrap() == right, "{name}: {what}");
                    fs::remove_file(&out).unwrap();
                    exact += 1;
                }
                1 => {
                    assert!(!fs::exists(&out).unwrap(), "{name}: {what}");
                    refused += 1;
                }
                code => panic!("{name}: {what}: {code}: {}", ended.said),
            }
            fs::remove_file(&file).ok();
        }
        fs::write(&file, body).unwrap();
    }
    println!("{refused} faults were refused, {exact} did not matter");
    assert!(refused >= 10 && exact >= 10, "{refused} and {exact}");
}
