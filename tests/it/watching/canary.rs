//! What must not be seen of an encrypted replica, looked for in everything that leaves the database (H39, H40): the files of
//! replica and local state, the log at its finest, what is answered, and the memory of the process.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

use ebbtide_fault::DIED;
use ebbtide_keys::Identities;
use ebbtide_replica::{Key, KeyDocument};
use ebbtide_seal::{KeyUse, Unwrap as _};

use ebbtide_testkit::process::{Output, Process};

use super::page::encoded;
use super::{Client, Shown};
use crate::support::{Ended, PATIENCE, Setup, Sidecar, wait_until};

/// Nothing in it comes twice, so that no compression changes it.
const CANARY: &str = "canary 7c1e02 of/QWERTZ";

/// Follows a database with the canary in its rows, at the finest level, and gathers all that is said and written.
fn gather(setup: &Setup) -> Vec<(String, Vec<u8>)> {
    let app = setup.app();
    app.execute("INSERT INTO t (b) VALUES (?1)", [CANARY]).unwrap();
    let mut command = setup.replicate();
    command.args(["--log", "trace", "--listen", "127.0.0.1:0"]);
    let shown = Shown::spawn(&mut command);
    shown.sidecar.wait_until_it_follows();
    for _ in 0..3 {
        app.execute("INSERT INTO t (b) VALUES (?1)", [CANARY]).unwrap();
        app.execute("UPDATE t SET b = b || ' once more' WHERE id = 1", []).unwrap();
        setup.sync();
    }
    setup.run(&["mark", "here", setup.database.to_str().unwrap()]).exits(0);
    let mut found =
        vec![("status".to_owned(), setup.run(&["status", "--json"]).exits(0).out.into())];
    let page = format!("/database?name={}", setup.database.display());
    for path in ["/metrics", "/healthz", "/readyz", "/", &page] {
        let answer = shown.client.get(path);
        found.push((path.to_owned(), format!("{}{}", answer.head, answer.body).into()));
    }
    let log = setup.run(&["log", "--json", &setup.replica]).exits(0);
    found.push(("log".to_owned(), log.out.into()));
    let (code, said) = shown.sidecar.stop_and_tell();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("TRACE"), "{said}");
    found.push(("what the process said".to_owned(), said.into()));
    drop(app);
    files(setup.directory.path(), &mut found);
    let own = |name: &str| ["app.db", "app.db-wal", "app.db-shm", "owner.txt"].contains(&name);
    found.retain(|(name, _)| !own(name.rsplit('/').next().unwrap_or_default()));
    found
}

fn files(directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), found);
        } else if kind.is_file() {
            found.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap()));
        }
    }
}

fn shows(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

#[test]
fn h39_a_canary_of_the_rows_is_in_nothing_that_is_written_or_said() {
    let sealed = Setup::new().sealed();
    let found = gather(&sealed);
    assert!(found.len() > 12, "{}", found.len());
    for (name, bytes) in &found {
        assert!(!shows(bytes, CANARY.as_bytes()), "{name} shows it");
    }
    // The search finds what is there to be found.
    let plain = gather(&Setup::new());
    let shown = plain.iter().filter(|(_, bytes)| shows(bytes, CANARY.as_bytes()));
    let shown: Vec<&String> = shown.map(|(name, _)| name).collect();
    assert!(!shown.is_empty() && shown.iter().all(|name| name.contains("/backup/")), "{shown:?}");
}

/// A core dump has pages and keys in it. Would catch one that is written although nobody asked for it.
#[test]
fn h39_no_core_is_dumped() {
    for setup in Setup::in_each_form() {
        setup.app().insert(3, 700);
        for place in ["shipper.found.claimed", "shipper.segment.landed"] {
            let mut command = setup.limited("-c unlimited", &setup.once_args());
            let ended = Ended::of(command.env("FAILPOINTS", format!("{place}=1")));
            if ended.said.contains(DIED) {
                assert!(!ended.status.core_dumped(), "{place}");
                setup.app().insert(1, 700);
            }
        }
        let sidecar = setup.follow();
        let limits = fs::read_to_string(format!("/proc/{}/limits", sidecar.process().id()));
        if let Ok(limits) = limits {
            let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
            assert_eq!(cores.split_whitespace().nth(4), Some("0"), "{cores}");
        }
        assert_eq!(sidecar.stop(), 0);
    }
}

/// H40: a page key that is no longer used does not stay in the memory of the process; the index key does, which shows that
/// the search finds keys.
#[test]
fn h40_a_page_key_is_not_in_memory_after_its_day() {
    let setup = Setup::new().sealed();
    let app = setup.app();
    app.insert(3, 700);
    let mut command = setup.replicate();
    let sidecar = Sidecar::start_command(command.env("FAILPOINT_SETTINGS", "page-key-millis=200"));
    // One for the snapshot, and some that follow each other.
    wait_until("several page keys", || {
        app.insert(1, 700);
        setup.sync();
        keys(&setup).len() >= 6
    });
    let mut listed = keys(&setup);
    listed.sort_by_key(|file| file.metadata().unwrap().modified().unwrap());
    let documents = opened(&setup, &listed);
    let id = sidecar.process().id();
    let Some(now) = memory(id) else {
        eprintln!("NOT RUN: the memory of a process cannot be read here");
        assert_eq!(sidecar.stop(), 0);
        return;
    };
    let (index, mut pages): (Vec<_>, Vec<_>) =
        documents.iter().partition(|document| document.key_use == KeyUse::Index);
    let has = |document: &KeyDocument| shows_any(&now, document.key.as_bytes());
    assert!(index.iter().all(|document| has(document)), "the search finds no key");
    // The last one may be in use. Of each one before, there is nothing, nor of what was wrapped, which has it in digits.
    pages.pop();
    assert!(pages.len() >= 4, "{}", pages.len());
    for document in pages {
        assert!(!has(document), "{document:?} is in memory");
        assert!(
            !shows_any(&now, document.key.to_hex().as_bytes()),
            "{document:?} is there in digits"
        );
    }
    for document in index {
        assert!(
            !shows_any(&now, document.key.to_hex().as_bytes()),
            "{document:?} is there in digits"
        );
    }
    assert_eq!(sidecar.stop(), 0);
}

/// A process has opened keys with an identity, and goes on. Would catch what was read to come so far: the file of the
/// identity, its passphrase, and what was in the wrapped keys.
#[test]
fn h40_neither_an_identity_file_nor_its_passphrase_stays_in_memory() {
    let setup = Setup::new().sealed();
    setup.app().insert(3, 700);
    setup.once().exits(0);
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../replica/tests/golden");
    let golden = fs::canonicalize(golden).unwrap();
    let golden = |name: &str| golden.join(name).to_str().unwrap().to_owned();
    let passphrase = "ebb and flood";
    fs::write(setup.path("passphrase"), format!("{passphrase}\n")).unwrap();
    let identity = setup.owner.as_ref().unwrap().identity.clone();
    let locked =
        ["--identity", &golden("owner.age"), "--passphrase-file", &setup.text("passphrase")];
    for (replica, clear, args) in [
        (&setup.replica, &identity, &["--identity", &identity][..]),
        (&golden("v1-sealed"), &golden("owner.txt"), &locked),
    ] {
        let mut command = setup.command(&[&["page", replica], args].concat());
        command.env_remove("EBBTIDE_IDENTITY_FILE");
        let process = Process::start(&mut command, Output::Stdout).unwrap();
        let client = Client::new(&process.line(PATIENCE).unwrap());
        let page = format!("/database?name={}", encoded(replica));
        wait_until("the history to be read", || client.get(&page).ok().contains("id=\"picked\""));
        let Some(now) = memory(process.id()) else {
            eprintln!("NOT RUN: the memory of a process cannot be read here");
            return;
        };
        process.kill().unwrap();
        assert!(shows_any(&now, replica.as_bytes()), "the search finds nothing");
        let text = fs::read_to_string(clear).unwrap();
        let secret = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
        assert!(!shows_any(&now, &secret.as_bytes()[20..]), "the identity is there: {args:?}");
        assert!(!shows_any(&now, passphrase.as_bytes()), "the passphrase is there");
        if *replica != setup.replica {
            continue;
        }
        let documents = opened(&setup, &keys(&setup));
        let mut opened = documents.iter();
        assert!(opened.any(|document| shows_any(&now, document.key.as_bytes())), "no key is found");
        for document in &documents {
            let digits = document.key.to_hex();
            assert!(!shows_any(&now, digits.as_bytes()), "{document:?} is there in digits");
        }
    }
}

/// What wrapped keys of the replica hold.
fn opened(setup: &Setup, files: &[PathBuf]) -> Vec<KeyDocument> {
    let owner = setup.owner.as_ref().unwrap();
    let identity = Identities::read(Path::new(&owner.identity), &|_| Err(String::new())).unwrap();
    let open = |file: &PathBuf| {
        let json = identity.unwrap(&fs::read(file).unwrap()).unwrap();
        KeyDocument::from_json(&json).unwrap()
    };
    files.iter().map(open).collect()
}

fn shows_any(memory: &[Vec<u8>], what: &[u8]) -> bool {
    memory.iter().any(|piece| shows(piece, what))
}

/// The wrapped keys of the replica.
fn keys(setup: &Setup) -> Vec<PathBuf> {
    let files = fs::read_dir(setup.path("backup/key")).into_iter().flatten();
    let files = files.map(|file| file.unwrap().path());
    files
        .filter(|file| {
            let name = format!("key/{}", file.file_name().unwrap().to_str().unwrap());
            matches!(name.parse(), Ok(Key::Wrapped { .. }))
        })
        .collect()
}

/// All that a process can write in its memory, if that can be read.
fn memory(id: u32) -> Option<Vec<Vec<u8>>> {
    let maps = fs::read_to_string(format!("/proc/{id}/maps")).ok()?;
    let memory = File::open(format!("/proc/{id}/mem")).ok()?;
    let mut pieces = Vec::new();
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next()?, fields.next()?);
        if !rights.starts_with("rw") || line.contains("[vvar") || line.ends_with("-shm") {
            continue;
        }
        let (from, to) = range.split_once('-')?;
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut piece = vec![0; usize::try_from(to - from).unwrap()];
        if memory.read_exact_at(&mut piece, from).is_ok() {
            pieces.push(piece);
        }
    }
    (!pieces.is_empty()).then_some(pieces)
}
