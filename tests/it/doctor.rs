//! `ebbtide doctor`: a good case, in which nothing is left behind, and one for each thing that it can find wrong.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use ebbtide_testkit::s3_server::{Asked, Fault, S3Server};
use nix::unistd::Uid;
use serde_json::Value;

use crate::support::{App, Ended, Running, Setup, command};
use crate::syscalls;

/// A user who is not root.
const OTHER: u32 = 65534;

/// What it says of the database and the replica of a setup.
fn doctor(setup: &Setup, more: &[&str]) -> Ended {
    let database = setup.database.to_str().unwrap();
    setup.run(&[&["doctor", "--json", database, &setup.replica], more].concat())
}

/// The findings of a check.
fn of<'a>(findings: &'a [Value], check: &str) -> Vec<&'a Value> {
    findings.iter().filter(|finding| finding["check"] == check).collect()
}

/// The check has this level, and no other.
#[track_caller]
fn assert_level(ended: &Ended, check: &str, level: &str) -> String {
    let findings = ended.json_lines();
    let found = of(&findings, check);
    let levels: Vec<&Value> = found.iter().map(|finding| &finding["level"]).collect();
    assert!(levels.iter().any(|found| **found == level), "{check}: {levels:?}: {}", ended.out);
    let is_it = |finding: &&&Value| finding["level"] == level;
    let it = found.iter().find(is_it).unwrap();
    format!("{} -> {}", it["seen"].as_str().unwrap(), it["advice"].as_str().unwrap_or_default())
}

/// Everything in a directory, by name.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_database_that_can_be_followed_is_in_order_and_nothing_is_made() {
    let (setup, app) = Setup::with_rows(3);
    let before = names(setup.directory.path());
    let ended = doctor(&setup, &[]).exits(0);
    for check in ["journal", "file-system", "rights", "lock", "local-state", "disk", "descriptors"]
    {
        let findings = ended.json_lines();
        assert_eq!(of(&findings, check).len(), 1, "{check}: {}", ended.out);
    }
    assert_level(&ended, "open", "ok");
    assert!(!ended.out.contains("\"fail\""), "{}", ended.out);
    assert_eq!(names(setup.directory.path()), before);
    // What is there afterwards is looked at, too: the replica that the database has by now.
    setup.once().exits(0);
    let ended = doctor(&setup, &[]).exits(0);
    assert!(assert_level(&ended, "replica", "ok").contains("which the local state knows"));
    assert_level(&ended, "put", "ok");
    assert_level(&ended, "conditional", "ok");
    let known = setup.run(&["doctor", setup.database.to_str().unwrap()]).exits(0);
    known.prints("which the local state knows").prints("  ok ");
    drop(app);
}

#[test]
fn a_bucket_is_tried_and_left_as_it_was() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let _app = setup.app();
    let ended = doctor(&setup, &[]).exits(0);
    for check in ["put", "get", "list", "conditional", "clock", "delete"] {
        assert_level(&ended, check, "ok");
    }
    assert!(assert_level(&ended, "replica", "ok").contains("there is none yet"));
    let left = fs::read_dir(server.file("app/probe")).map_or(0, Iterator::count);
    assert_eq!((left, server.unfinished_uploads()), (0, 0));
}

/// Would catch a right whose absence shows in the midst of something.
#[test]
fn each_right_that_is_missing_is_named() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let _app = setup.app();
    let deny = |operation: &'static str| {
        server.script(move |asked: &Asked| {
            (asked.operation() == operation).then_some(Fault::Refused(403, "AccessDenied"))
        });
    };
    for (operation, check, advice) in [
        ("PutObject", "put", "s3:PutObject"),
        ("ListObjectsV2", "list", "s3:ListBucket"),
        ("DeleteObject", "delete", "s3:DeleteObject"),
        ("CreateMultipartUpload", "conditional", "uploads in parts"),
    ] {
        deny(operation);
        let ended = doctor(&setup, &[]).exits(1);
        assert!(assert_level(&ended, check, "fail").contains(advice), "{}", ended.out);
        ended.says("1 check failed");
    }
    // Not the configuration of the bucket, which is asked for by GET as well.
    server.script(|asked: &Asked| {
        let is_get = asked.operation() == "GetObject" && asked.path.contains("/probe/");
        is_get.then_some(Fault::Refused(403, "AccessDenied"))
    });
    let ended = doctor(&setup, &[]).exits(1);
    assert!(assert_level(&ended, "get", "fail").contains("s3:GetObject"));

    // Whoever has another machine prune needs no right to delete.
    deny("DeleteObject");
    let file = setup.configure("", "prune = \"elsewhere\"");
    let ended = setup.run(&["doctor", "--json", "--config", &file]).exits(0);
    assert!(assert_level(&ended, "delete", "note").contains("stay under s3://backups/app/probe/"));
    server.heal();
}

#[test]
fn a_store_that_keeps_no_word_on_names_is_told() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let _app = setup.app();
    server.script(|asked: &Asked| asked.conditional.then_some(Fault::Unconditional));
    let ended = doctor(&setup, &[]).exits(0);
    assert!(assert_level(&ended, "conditional", "warn").contains("two writers"));
}

#[test]
fn a_store_that_is_not_reached_says_why_and_nothing_else_is_tried() {
    let server = S3Server::start();
    let mut setup = Setup::new().in_bucket(&server);
    let _app = setup.app();
    let there = setup.replica.clone();
    setup.replica = there.replace("s3://backups/", "s3://elsewhere/");
    // The one behind this server would make it.
    server.script(|asked: &Asked| {
        let is_elsewhere = asked.path.starts_with("/elsewhere");
        is_elsewhere.then_some(Fault::Refused(404, "NoSuchBucket"))
    });
    let ended = doctor(&setup, &[]).exits(1);
    assert!(assert_level(&ended, "put", "fail").contains("bucket elsewhere does not exist"));
    assert!(of(&ended.json_lines(), "get").is_empty());
    server.heal();
    setup.replica = there;
    setup.variables.push(("AWS_ACCESS_KEY_ID", "somebody-else".to_owned()));
    let ended = doctor(&setup, &[]).exits(1);
    assert!(assert_level(&ended, "put", "fail").contains("check the credentials"));
    // Nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    setup.replica = format!("s3://backups/app?endpoint=http://127.0.0.1:{port}");
    let ended = doctor(&setup, &[]).exits(1);
    assert!(assert_level(&ended, "put", "fail").contains("cannot reach"));
}

/// A bucket that keeps what is deleted would cost more than anybody expects.
#[test]
fn what_a_bucket_keeps_beyond_a_prune_is_told() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let _app = setup.app();
    let configured = |versioning: Fault, lock: Fault| {
        server.script(move |asked: &Asked| match asked.query.split(['=', '&']).next() {
            Some("versioning") => Some(versioning.clone()),
            Some("object-lock") => Some(lock.clone()),
            _ => None,
        });
        doctor(&setup, &[]).exits(0)
    };
    let on = configured(Fault::Answered(VERSIONING_ON), Fault::Answered(LOCK_ON));
    assert!(assert_level(&on, "versioning", "note").contains("lifecycle rule"), "{}", on.out);
    assert!(assert_level(&on, "object-lock", "note").contains("deletes nothing before its time"));
    let none = Fault::Refused(404, "ObjectLockConfigurationNotFoundError");
    let off = configured(Fault::Answered(VERSIONING_SUSPENDED), none);
    assert!(assert_level(&off, "versioning", "ok").contains("off"), "{}", off.out);
    assert!(assert_level(&off, "object-lock", "ok").contains("off"));
    let denied = Fault::Refused(403, "AccessDenied");
    let unknown = configured(denied.clone(), denied);
    for check in ["versioning", "object-lock"] {
        assert!(assert_level(&unknown, check, "unknown").contains("owner can look"));
    }
}

const VERSIONING_ON: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>";
const VERSIONING_SUSPENDED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Suspended</Status></VersioningConfiguration>";
const LOCK_ON: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <ObjectLockConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><ObjectLockEnabled>Enabled</ObjectLockEnabled>\
    </ObjectLockConfiguration>";

#[test]
fn clocks_that_are_apart_are_told_with_how_far() {
    // 2025-01-01.
    const STORE: i64 = 1_735_689_600;
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let _app = setup.app();
    server.script(|asked: &Asked| {
        let is_asked = asked.operation() == "HeadObject" && asked.path.contains("/probe/");
        is_asked.then_some(Fault::Dated("Wed, 01 Jan 2025 00:00:00 GMT"))
    });
    let ended = doctor(&setup, &[]).exits(0);
    let said = assert_level(&ended, "clock", "warn");
    let (_, rest) = said.split_once("store's are ").unwrap_or_else(|| panic!("{said}"));
    let seconds: i64 = rest.split(' ').next().unwrap().parse().unwrap();
    let apart = ebbtide_testkit::writer::micros_now() as i64 / 1_000_000 - STORE;
    assert!((apart - 120..=apart).contains(&seconds), "{said}: {apart}");
    assert!(said.contains("NTP"), "{said}");
}

/// By what the kernel would say of the file system, because no test can mount another machine's.
#[test]
fn a_file_system_on_which_locks_do_not_work_is_named() {
    let name = "a_file_system_on_which_locks_do_not_work_is_named";
    if !syscalls::may_run(name) {
        return;
    }
    let setup = Setup::new();
    let _app = setup.app();
    let database = setup.database.to_str().unwrap();
    // The first eight bytes of what statfs gives are the kind.
    let on = |kind: u64| {
        let bytes: String = kind.to_ne_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let command = setup.command(&["doctor", "--json", database, &setup.replica]);
        let how = format!("poke_exit=@arg2={bytes}");
        let log = setup.path("strace");
        Ended::of(&mut syscalls::tampered(&command, "statfs", &how, &[], &log))
    };
    for (kind, file_system) in [(0x6969, "NFS"), (0xff53_4d42, "CIFS"), (0x0102_1997, "9p")] {
        let said = assert_level(&on(kind).exits(1), "file-system", "fail");
        assert!(said.contains(file_system) && said.contains("a disk of this machine"), "{said}");
    }
    let layer = assert_level(&on(0x794c_7630).exits(0), "file-system", "warn");
    assert!(layer.contains("layer of a container"), "{layer}");
    let memory = assert_level(&on(0x0102_1994).exits(0), "file-system", "warn");
    assert!(memory.contains("goes with the machine"), "{memory}");
    assert_level(&on(0xef53).exits(0), "file-system", "ok");
}

#[test]
fn a_rollback_journal_fails_unless_a_start_may_switch_it() {
    let setup = Setup::new();
    let _app = App::prepared(&setup.database, "CREATE TABLE t (b)");
    let ended = doctor(&setup, &[]).exits(1);
    assert!(assert_level(&ended, "journal", "fail").contains("PRAGMA journal_mode=WAL"));
    let file = setup.configure("", "enable-wal = true");
    let ended = setup.run(&["doctor", "--json", "--config", &file]).exits(0);
    assert_level(&ended, "journal", "note");
}

#[test]
fn a_process_that_has_the_database_to_itself_is_named() {
    let setup = Setup::new();
    drop(setup.app());
    let alone = App::prepared(
        &setup.database,
        "PRAGMA locking_mode = EXCLUSIVE; INSERT INTO t (b) VALUES (1)",
    );
    let ended = doctor(&setup, &[]).exits(1);
    let process = format!("process {}", std::process::id());
    assert!(assert_level(&ended, "lock", "fail").contains(&process), "{}", ended.out);
    drop(alone);
    let ended = doctor(&setup, &[]).exits(0);
    assert_level(&ended, "lock", "ok");
}

#[test]
fn who_has_it_open_is_told_with_the_sqlite_that_it_has() {
    let setup = Setup::new();
    let app = setup.app();
    let ended = doctor(&setup, &[]).exits(0);
    let process = format!("process {}", std::process::id());
    let open = assert_level(&ended, "application", "ok");
    assert!(open.contains(&process) && open.contains("has it open"), "{open}");
    // That of this test's binary, which is the bundled one.
    let sqlite = assert_level(&ended, "sqlite", "ok");
    assert!(sqlite.contains("an SQLite of 20"), "{sqlite}");
    drop(app);
    let ended = doctor(&setup, &[]).exits(0);
    assert!(!ended.out.contains(&process), "{}", ended.out);
}

#[test]
fn another_replicator_and_a_running_ebbtide_are_named() {
    let setup = Setup::new();
    let app = setup.app();
    fs::create_dir(setup.path(".app.db-litestream")).unwrap();
    let ended = doctor(&setup, &[]).exits(0);
    assert!(assert_level(&ended, "replicator", "note").contains("is Litestream's"));
    fs::remove_dir(setup.path(".app.db-litestream")).unwrap();
    let sidecar = setup.follow();
    let ended = doctor(&setup, &[]).exits(0);
    let process = format!("process {} follows it", sidecar.process().id());
    assert!(assert_level(&ended, "replicator", "note").contains(&process), "{}", ended.out);
    // It was looked at without disturbing anybody.
    app.insert(3, 100);
    setup.assert_exact_after(sidecar);
}

/// A process is known by the name that the kernel has of it.
#[test]
fn a_litestream_that_runs_is_told_and_one_that_has_the_database_open_is_refused() {
    let setup = Setup::new();
    let _app = setup.app();
    let program = setup.path("litestream");
    // Not a copy: another test that forks would hold it open for writing.
    symlink("/bin/sleep", &program).unwrap();
    let run = |open: Stdio| {
        let running = Running::start(Command::new(&program).arg("600").stdin(open));
        let process = format!("process {} (litestream)", running.id());
        (running, process)
    };
    let (idle, process) = run(Stdio::null());
    let ended = doctor(&setup, &[]).exits(0);
    let said = assert_level(&ended, "replicator", "warn");
    assert!(said.contains(&process) && said.contains("does not replicate this"), "{said}");
    drop(idle);
    let (_holding, process) = run(File::open(&setup.database).unwrap().into());
    let ended = doctor(&setup, &[]).exits(1);
    let said = assert_level(&ended, "replicator", "fail");
    assert!(said.contains(&process) && said.contains("end it before ebbtide"), "{said}");
}

#[test]
fn what_is_configured_for_later_is_tried_now() {
    let setup = Setup::new();
    let _app = setup.app();
    setup.once().exits(0);
    let with = |global: &str, more: &str| {
        let file = setup.configure(global, more);
        setup.run(&["doctor", "--json", "--config", &file])
    };
    let ended = with("", "encrypt-to = [\"age1nobody\"]").exits(1);
    assert_level(&ended, "recipient", "fail");
    assert!(assert_level(&ended, "replica", "fail").contains("it is not encrypted"));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let ended = with(&format!("listen = \"{address}\""), "").exits(1);
    assert_level(&ended, "listener", "fail");
    drop(taken);
    let ended = with(&format!("listen = \"{address}\""), "").exits(0);
    assert_level(&ended, "listener", "ok");

    let secret = setup.path("secret");
    fs::write(&secret, "0123456789abcdef").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let hook = format!("webhook-url = \"http://127.0.0.1:1/\"\nwebhook-secret-file = {secret:?}");
    let ended = with(&hook, "").exits(1);
    assert!(assert_level(&ended, "notices", "fail").contains("chmod 600"));

    let ended = with("", "log-max = \"1000 TiB\"").exits(0);
    assert_level(&ended, "disk", "warn");
    with("", "log-max = \"1 KiB\"").exits(2).says("log-max");
}

#[test]
fn files_that_are_not_ours_or_not_there_are_told() {
    let setup = Setup::new();
    let ended = doctor(&setup, &[]).exits(1);
    assert!(assert_level(&ended, "file", "fail").contains("there is no such file"));
    // A configuration may name what is still to come.
    let file = setup.configure("", "");
    assert_level(&setup.run(&["doctor", "--json", "--config", &file]).exits(0), "file", "warn");
    fs::write(&setup.database, "no database at all, but long enough to be looked at").unwrap();
    assert_level(&doctor(&setup, &[]).exits(1), "file", "fail");
    fs::remove_file(&setup.database).unwrap();
    let _app = setup.app();
    symlink("/nowhere", setup.path(".app.db-ebbtide")).unwrap();
    assert_level(&doctor(&setup, &[]).exits(1), "local-state", "fail");
    setup.run(&["doctor", &setup.text("absent.db")]).exits(2).says("name DB and REPLICA");
}

#[test]
fn too_few_descriptors_are_told_before_they_are_missing() {
    let setup = Setup::new();
    let _app = setup.app();
    let database = setup.database.to_str().unwrap();
    let mut limited = setup.limited("-n 100", &["doctor", "--json", database, &setup.replica]);
    let ended = Ended::of(&mut limited).exits(1);
    assert!(assert_level(&ended, "descriptors", "fail").contains("LimitNOFILE"));
}

#[test]
fn every_database_of_a_pattern_is_looked_at() {
    let setup = Setup::new();
    fs::create_dir(setup.path("tenants")).unwrap();
    let _apps = ["tenants/a.db", "tenants/b.db"].map(|name| setup.other_app(name));
    fs::write(setup.path("tenants/notes.db"), "not one").unwrap();
    let (pattern, replica) = (setup.text("tenants/*.db"), setup.text("backup/{relative}"));
    let text = format!("[[database]]\npath = {pattern:?}\nreplica = {replica:?}\n");
    fs::write(setup.path("ebbtide.toml"), text).unwrap();
    let ended = setup.run(&["doctor", "--json", "--config", &setup.text("ebbtide.toml")]).exits(0);
    assert!(assert_level(&ended, "pattern", "ok").contains("2 databases"));
    assert_eq!(of(&ended.json_lines(), "journal").len(), 2);
}

#[test]
fn what_another_user_may_not_do_is_told_to_that_user() {
    let name = "what_another_user_may_not_do_is_told_to_that_user";
    if !Uid::effective().is_root() {
        eprintln!("NOT RUN: {name}: only root can act for another user");
        return;
    }
    let setup = Setup::new();
    let mut tried = command(&["--version"]);
    tried.uid(OTHER).gid(OTHER).stdout(Stdio::null()).stderr(Stdio::null());
    if !tried.status().is_ok_and(|status| status.success()) {
        eprintln!("NOT RUN: {name}: another user cannot run the binary where it lies");
        return;
    }
    let _app = setup.app();
    for (path, mode) in [(".", 0o755), ("app.db", 0o644), ("run", 0o700)] {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(setup.path(path), permissions).unwrap();
    }
    let database = setup.database.to_str().unwrap();
    let mut asked = setup.command(&["doctor", "--json", database, &setup.replica]);
    let ended = Ended::of(asked.uid(OTHER).gid(OTHER)).exits(1);
    assert!(assert_level(&ended, "rights", "fail").contains("app.db"), "{}", ended.out);
    assert!(assert_level(&ended, "local-state", "fail").contains("cannot be written"));
    assert!(assert_level(&ended, "open", "fail").contains("cannot be written"));
    assert_level(&ended, "application", "unknown");

    // By its group it may do all that; by the rights of everybody it may, too, but what it made would be its own alone.
    let give = |group: u32, modes: [u32; 2]| {
        for (path, mode) in [
            (".", modes[0]),
            ("app.db", modes[1]),
            ("app.db-wal", modes[1]),
            ("app.db-shm", modes[1]),
        ] {
            let path = setup.path(path);
            chown(&path, Some(0), Some(group)).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut asked = setup.command(&["doctor", "--json", database, &setup.replica]);
        Ended::of(asked.uid(OTHER).gid(OTHER))
    };
    assert_level(&give(OTHER, [0o770, 0o660]), "rights", "ok");
    let refused = assert_level(&give(0, [0o777, 0o666]), "rights", "fail");
    assert!(refused.contains("belongs to user 0") && refused.contains("chmod g+rw"), "{refused}");
}
