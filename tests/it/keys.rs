//! Identities as people make and use them. Would catch an identity that opens nothing, one that others can read, a secret
//! that is printed, and a replica whose keys are for somebody else than was said.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use ebbtide_state::state_directory;
use rusqlite::Connection;
use serde_json::Value;

use crate::support::Setup;

/// Makes an identity; its file, and its recipient.
fn keygen(setup: &Setup, name: &str) -> (String, String) {
    let path = setup.text(name);
    let said = setup.run(&["keygen", "-o", &path]).exits(0).out;
    let recipient = said.trim().strip_prefix("public key: ").unwrap().to_owned();
    (path, recipient)
}

/// A setup with an encrypted replica of three rows, and the identity that opens it.
fn encrypted() -> (Setup, String, String) {
    let (setup, _app) = Setup::with_rows(3);
    let (identity, recipient) = keygen(&setup, "owner.txt");
    let database = setup.database.to_str().unwrap().to_owned();
    setup
        .run(&["replicate", "--once", "--recipient", &recipient, &database, &setup.replica])
        .exits(0);
    (setup, identity, recipient)
}

fn rows(setup: &Setup, more: &[&str]) -> i64 {
    let out = setup.text("out.db");
    if fs::exists(&out).unwrap() {
        fs::remove_file(&out).unwrap();
    }
    setup.run(&[&["restore", "-o", &out, &setup.replica], more].concat()).exits(0);
    let restored = Connection::open(&out).unwrap();
    restored.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

fn wrapped(setup: &Setup) -> Vec<PathBuf> {
    let files = fs::read_dir(setup.path("backup/key")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn an_identity_is_its_owners_alone_and_is_never_replaced() {
    let setup = Setup::new();
    let (path, recipient) = keygen(&setup, "owner.txt");
    assert!(recipient.starts_with("age1") && recipient.len() == 62, "{recipient}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("# created: 2"), "{}", lines[0]);
    assert_eq!(lines[1], format!("# public key: {recipient}"));
    assert!(lines[2].starts_with("AGE-SECRET-KEY-1") && lines.len() == 3);
    setup.run(&["keygen", "-o", &path]).exits(2).says("owner.txt exists");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let printed = setup.run(&["keygen"]).exits(0);
    assert!(printed.out.contains("AGE-SECRET-KEY-1"), "a pipe gets it");
    assert!(!printed.said.contains("AGE-SECRET-KEY-1"), "the terminal does not");
}

#[test]
fn an_encrypted_replica_is_restored_with_an_identity_and_without_one_refused() {
    let (setup, identity, _) = encrypted();
    assert_eq!(rows(&setup, &["--identity", &identity]), 3);
    let out = setup.text("refused.db");
    let refused = setup.run(&["restore", "-o", &out, &setup.replica]).exits(2);
    refused.says("the replica is encrypted").says("--identity FILE");
    let (other, _) = keygen(&setup, "other.txt");
    let foreign = setup.run(&["restore", "-o", &out, "--identity", &other, &setup.replica]);
    foreign.exits(4).says("none of 1 identity opens").says("for other recipients");
    assert!(!fs::exists(&out).unwrap());
    let missing = setup.text("missing.txt");
    let unread = setup.run(&["restore", "-o", &out, "--identity", &missing, &setup.replica]);
    unread.exits(2).says("missing.txt");
    let command = format!("printf '' >{0}; exit 3", setup.text("ran"));
    let failed = setup.run(&["restore", "-o", &out, "--key-command", &command, &setup.replica]);
    failed.exits(2).says("the key command failed");
    assert!(fs::exists(setup.text("ran")).unwrap());
}

#[test]
fn keys_are_wrapped_for_others_and_no_longer_for_those_before() {
    let (setup, owner, _) = encrypted();
    let (successor, recipient) = keygen(&setup, "successor.txt");
    let before = wrapped(&setup);
    let rewrap = ["rewrap", "--identity", &owner, "--recipient", &recipient, &setup.replica];
    setup.run(&rewrap).exits(0).prints("wrapped for 1 recipient");
    let after = wrapped(&setup);
    assert_eq!(after.len(), before.len());
    assert!(after.iter().all(|key| !before.contains(key)), "{before:?} {after:?}");
    assert_eq!(rows(&setup, &["--identity", &successor]), 3);
    setup.run(&["key", "check", "--all", "--identity", &successor, &setup.replica]).exits(0);
    let check = ["key", "check", "--json", "--identity", &owner, &setup.replica];
    let checked = setup.run(&check).exits(4);
    let lines = checked.json_lines();
    assert!(lines.iter().all(|line| line["opens"] == false), "{lines:?}");
    setup.run(&rewrap).exits(4).says("for other recipients");
    let manifest: Value =
        serde_json::from_slice(&fs::read(setup.path("backup/ebbtide.json")).unwrap()).unwrap();
    let index = manifest["encryption"]["index"].as_str().unwrap();
    let of_index = |key: &PathBuf| key.to_str().unwrap().contains(&format!("/{index}-"));
    for key in after.iter().filter(|key| of_index(key)) {
        fs::remove_file(key).unwrap();
    }
    let gone = setup.run(&["key", "check", "--identity", &successor, &setup.replica]).exits(4);
    gone.says("is missing").prints("DOES NOT OPEN");
}

/// Would catch damage that nobody hears of for as long as an older form opens.
#[test]
fn h37_a_damaged_form_of_a_key_is_named_where_an_older_one_opens() {
    let (setup, owner, recipient) = encrypted();
    let rewrap = ["rewrap", "--keep-old", "--identity", &owner, "--recipient", &recipient];
    setup.run(&[&rewrap[..], &[&setup.replica]].concat()).exits(0);
    let check = ["key", "check", "--all", "--identity", &owner, &setup.replica];
    setup.run(&check).exits(0);
    let mut newest: Vec<PathBuf> = wrapped(&setup);
    newest.retain(|key| key.to_str().unwrap().ends_with("-00000002.age"));
    assert_eq!(newest.len(), 2);
    for key in newest {
        let sound = fs::read(&key).unwrap();
        let mut damaged = sound.clone();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        fs::write(&key, damaged).unwrap();
        let name = key.file_name().unwrap().to_str().unwrap();
        setup.run(&check).exits(4).says(name);
        let verify = ["verify", "--identity", &owner, &setup.replica];
        setup.run(&verify).exits(4).prints(name);
        assert_eq!(rows(&setup, &["--identity", &owner]), 3);
        fs::write(&key, sound).unwrap();
    }
    setup.run(&["verify", "--identity", &owner, &setup.replica]).exits(0);
}

/// Would catch a key that a killed start has left behind, and that nobody could be rid of: no key could be wrapped again.
#[test]
fn h37_a_key_that_was_left_behind_is_in_nobodys_way() {
    let (setup, owner, recipient) = encrypted();
    let other = setup.other_app("other.db");
    other.insert(1, 100);
    setup.once_other("other.db", "other", &["--recipient", &recipient]).exits(0);
    for key in fs::read_dir(setup.path("other/key")).unwrap().map(Result::unwrap) {
        fs::copy(key.path(), setup.path("backup/key").join(key.file_name())).unwrap();
    }
    let check = ["key", "check", "--all", "--identity", &owner, &setup.replica];
    setup.run(&check).exits(0).prints("left behind, and opens nothing here");
    let (successor, recipient) = keygen(&setup, "successor.txt");
    let rewrap = ["rewrap", "--identity", &owner, "--recipient", &recipient, &setup.replica];
    setup.run(&rewrap).exits(0).says("opens nothing here");
    assert_eq!(rows(&setup, &["--identity", &successor]), 3);
}

#[test]
fn a_lost_index_key_is_put_back_by_an_identity() {
    let (setup, identity, recipient) = encrypted();
    let database = setup.database.to_str().unwrap().to_owned();
    setup.app().insert(4, 900);
    fs::remove_file(state_directory(&setup.database).join("index.key")).unwrap();
    let again = ["replicate", "--once", "--recipient", &recipient, &database, &setup.replica];
    setup.run(&again).exits(1).says("ebbtide unlock");
    let unlock = ["unlock", "--identity", &identity, &database, &setup.replica];
    setup.run(&unlock).exits(0).prints("carries on from there");
    setup.run(&again).exits(0);
    assert_eq!(rows(&setup, &["--identity", &identity]), 7);
}

#[test]
fn a_mixture_of_plain_and_encrypted_is_refused() {
    let (setup, _, recipient) = encrypted();
    let database = setup.database.to_str().unwrap().to_owned();
    setup.once().exits(1).says("nothing is written there in plain text");
    let (plain, _app) = Setup::with_rows(1);
    plain.once().exits(0);
    let database_of_plain = plain.database.to_str().unwrap().to_owned();
    plain
        .run(&[
            "replicate",
            "--once",
            "--recipient",
            &recipient,
            &database_of_plain,
            &plain.replica,
        ])
        .exits(1)
        .says("is not encrypted: begin a new one");
    let recipients = setup.text("recipients.txt");
    fs::write(&recipients, format!("# me\n{recipient}\n")).unwrap();
    let config = format!(
        "[defaults]\nencrypt-to-file = '{recipients}'\n[[database]]\npath = '{database}'\nreplica = '{}'\n",
        setup.replica
    );
    let path = setup.text("ebbtide.toml");
    fs::write(&path, config).unwrap();
    setup.run(&["replicate", "--once", "--config", &path]).exits(0);
    fs::write(&recipients, "age1nobody\n").unwrap();
    setup.run(&["replicate", "--once", "--config", &path]).exits(2).says("line 1");
}
