//! Identities as people make and use them. Would catch an identity that opens nothing, one that others can read, a secret
//! that is printed, and a replica whose keys are for somebody else than was said.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ebbtide_state::state_directory;
use ebbtide_testkit::s3_server::{Fault, S3Server};
use rusqlite::Connection;
use serde_json::Value;

use crate::support::{Ended, Setup, Sidecar, Terminal, image, wait_until};

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

/// Would catch a command that ends as if the store had failed, or shows a part, where nobody has named an identity.
#[test]
fn h34_every_command_that_reads_asks_for_an_identity_before_it_shows_anything() {
    let (setup, _, _) = encrypted();
    let (out, replica) = (setup.text("out"), setup.replica.as_str());
    setup.run(&["mark", "before", setup.database.to_str().unwrap()]).exits(0);
    for args in [
        &["restore", "-o", &out][..],
        &["verify", "--restore"],
        &["log"],
        &["log", "--json"],
        &["marks"],
        &["mark", "here"],
        &["drill"],
        &["prune", "--keep", "daily=1y"],
        &["dump", "-o", &out],
        &["export", "--format", "sql", "--at", "now", "-o", &out],
        &["fixture", "-o", &out],
        &["diff", "--from", "txid:2", "--to", "now"],
        &["undo", "--txid", "2"],
        &["copy", "--since", "txid:2"],
        &["copy", "--decrypt"],
    ] {
        let target = [out.as_str()];
        let to = if args[0] == "copy" { &target[..] } else { &[] };
        let refused = setup.run(&[args, &[replica], to].concat()).exits(2);
        refused.says("--identity FILE");
        assert_eq!(refused.out, "", "{args:?}");
        assert!(!fs::exists(&out).unwrap(), "{args:?}");
    }
    for args in [&["sql", "--at", "now"][..], &["when"]] {
        setup.run(&[args, &[replica, "SELECT 1"]].concat()).exits(2).says("--identity FILE");
    }
    setup.run(&["blame", replica, "t", "1"]).exits(2).says("--identity FILE");
}

/// Would catch a secret that is repeated on a terminal or in a log, because somebody gave it where a file is named.
#[test]
fn h39_a_secret_key_is_no_argument_no_variable_and_in_no_configuration() {
    let (setup, identity, recipient) = encrypted();
    let text = fs::read_to_string(&identity).unwrap();
    let secret = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
    let refused = |mut command: Command| {
        let ended = Ended::of(&mut command).exits(2);
        assert!(!format!("{}{}", ended.out, ended.said).contains(&secret[20..]), "{}", ended.said);
        ended
    };
    let (out, database) = (setup.text("out.db"), setup.database.to_str().unwrap());
    let restore = ["restore", "-o", &out, &setup.replica];
    for more in [["--identity", secret], ["--no-such-option", secret]] {
        let args = [&restore[..], &more].concat();
        refused(setup.command(&args)).says("an argument has a secret key in it");
    }
    let mut command = setup.command(&restore);
    command.env("EBBTIDE_IDENTITY_FILE", secret);
    refused(command).says("EBBTIDE_IDENTITY_FILE has a secret key in it");
    let config = setup.text("ebbtide.toml");
    for line in [
        format!("encrypt-to = ['{recipient}', '{secret}']"),
        format!("encrypt-to-file = '{secret}'"),
        format!("identity = '{secret}'"),
        format!("encrypt-to = '{secret}'"),
        "state = '${SECRET}'".to_owned(),
    ] {
        let table = format!("[[database]]\npath = '{database}'\nreplica = '{}'\n", setup.replica);
        fs::write(&config, format!("{table}{line}\n")).unwrap();
        for args in [
            &["config", "check", &config][..],
            &["config", "show", &config],
            &["doctor", "--config", &config],
            &["replicate", "--once", "--config", &config],
        ] {
            let mut command = setup.command(args);
            command.env("SECRET", secret);
            refused(command).says("line 4");
        }
    }
    assert!(!fs::exists(&out).unwrap());
}

/// Would catch a passphrase that is taken for another one, a prompt where nobody sits, and plain text after either.
#[test]
fn h34_an_identity_under_a_passphrase_opens_with_that_and_nothing_else() {
    let golden = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../replica/tests/golden"));
    let golden = |name: &str| golden.join(name).to_str().unwrap().to_owned();
    let (setup, replica, locked) = (Setup::new(), golden("v1-sealed"), golden("owner.age"));
    let (out, file) = (setup.text("out.db"), setup.text("passphrase"));
    let restore = |more: &[&str]| {
        let args = ["restore", "-o", &out, "--identity", &locked, &replica];
        setup.run(&[&args[..], more].concat())
    };
    restore(&[]).exits(2).says("name a file that has it (--passphrase-file)");
    restore(&["--passphrase-file", &file]).exits(2).says("passphrase: No such file");
    for (wrong, why) in [
        ("ebb and flow\n", "the passphrase is another"),
        ("ebb and flood \n", "the passphrase is another"),
        ("", "the passphrase is another"),
    ] {
        fs::write(&file, wrong).unwrap();
        let refused = restore(&["--passphrase-file", &file]).exits(2);
        refused.says(why).says("owner.age");
        assert!(!refused.said.contains("flo"), "{}", refused.said);
    }
    assert!(!fs::exists(&out).unwrap());
    fs::write(&file, "ebb and flood\n").unwrap();
    restore(&["--passphrase-file", &file]).exits(0);
}

/// Would catch a passphrase that is shown while it is typed, and a terminal that shows nothing any more afterwards.
#[test]
fn h34_a_passphrase_is_asked_for_on_a_terminal_and_is_not_shown() {
    let golden = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../replica/tests/golden"));
    let golden = |name: &str| golden.join(name).to_str().unwrap().to_owned();
    let (setup, replica, locked) = (Setup::new(), golden("v1-sealed"), golden("owner.age"));
    let out = setup.text("out.db");
    let restore = ["restore", "-o", &out, "--identity", &locked, &replica];
    for (typed, code) in [("ebb and flow\n", 2), ("ebb and flood\n", 0)] {
        let mut terminal = Terminal::start(&setup, &restore);
        terminal.shows("passphrase of ");
        terminal.types(typed);
        let (exit, shown) = terminal.ended();
        assert_eq!(exit, Some(code), "{shown}");
        assert!(!shown.contains("flo"), "{shown}");
        assert_eq!(fs::exists(&out).unwrap(), code == 0, "{shown}");
    }
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

/// A host is offline while somebody who had an identity leaves. Would catch a page key that comes from its spool, that the
/// recipients of now do not open, and of which nobody hears; and one that can no longer be wrapped for them.
#[test]
fn h37_a_key_that_waited_in_a_spool_is_for_the_recipients_before_until_it_is_wrapped_again() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server).sealed();
    let old = setup.owner.as_ref().unwrap();
    setup.app().insert(3, 700);
    let mut command = setup.replicate();
    command.env("FAILPOINT_SETTINGS", "page-key-millis=200");
    let sidecar = Sidecar::start_command(&mut command);
    setup.sync();
    server.script(|asked| {
        (asked.operation() == "PutObject").then_some(Fault::Refused(503, "SlowDown"))
    });
    let waiting = state_directory(&setup.database).join("spool/key");
    // What nobody has open goes through the spool.
    wait_until("a key in the spool, and commits after it", || {
        let is_waiting = fs::read_dir(&waiting).is_ok_and(|mut keys| keys.next().is_some());
        setup.app().insert(2, 700);
        wait_until("rest", || setup.report()["resting"] == true);
        is_waiting
    });
    sidecar.kill();
    server.heal();
    let (new, recipient) = keygen(&setup, "successor.txt");
    let replica = setup.replica.as_str();
    let rewrap = ["rewrap", "--recipient", &recipient, "--identity", &old.identity];
    setup.run(&[&rewrap[..], &[replica]].concat()).exits(0);
    let check = ["key", "check", "--all", "--identity", &new, replica];
    setup.run(&check).exits(0);
    let database = setup.database.to_str().unwrap();
    setup.run(&["replicate", "--once", "--recipient", &recipient, database, replica]).exits(0);
    let late = setup.run(&check).exits(4);
    late.says("for other recipients");
    let out = setup.text("out.db");
    let restore = ["restore", "--force", "--identity", &new, "-o", &out, replica];
    setup.run(&restore).exits(4).says("for other recipients");
    // Both identities open all of them; afterwards the new one does.
    setup.run(&[&rewrap[..], &["--identity", &new, replica]].concat()).exits(0);
    setup.run(&check).exits(0);
    setup.run(&restore).exits(0);
    assert_eq!(image(Path::new(&out)), image(&setup.database));
}

/// Would catch a state that is lost with a key under which there is no page of it, nor of any other.
#[test]
fn h37_a_key_without_a_page_takes_nothing_with_it() {
    let (setup, identity, recipient) = encrypted();
    let before = wrapped(&setup);
    let database = setup.database.to_str().unwrap();
    // A start that has nothing to ship claims the replica, under a key of its own.
    setup
        .run(&["replicate", "--once", "--recipient", &recipient, database, &setup.replica])
        .exits(0);
    let added: Vec<PathBuf> =
        wrapped(&setup).into_iter().filter(|key| !before.contains(key)).collect();
    assert_eq!(added.len(), 1);
    fs::remove_file(&added[0]).unwrap();
    assert_eq!(rows(&setup, &["--identity", &identity]), 3);
    setup.run(&["verify", "--identity", &identity, &setup.replica]).exits(0);
    setup.run(&["verify", database]).exits(0);
    let plain = ["copy", "--decrypt", "--verify", "--identity", &identity, &setup.replica];
    setup.run(&[&plain[..], &[&setup.text("plain")]].concat()).exits(0);
    // That nothing is under it is seen without any key.
    setup.run(&["verify", &setup.replica]).exits(0).prints("no page is under it");
    let used = before.iter().find(|key| {
        let moved = setup.path("moved");
        fs::rename(key, &moved).unwrap();
        let ended = setup.run(&["verify", &setup.replica]);
        fs::rename(&moved, key).unwrap();
        ended.out.contains("the page key is missing: the pages of")
    });
    assert!(used.is_some(), "{before:?}");
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
