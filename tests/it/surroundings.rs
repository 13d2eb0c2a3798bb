//! What is around ebbtide on an ordinary day: names, variables, files that change, disks that are full, and databases
//! that another SQLite wrote or that are damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use ebbtide_testkit::oracle::{self, Image};
use ebbtide_testkit::s3_server::{ACCESS_KEY, Fault, NEXT_ACCESS_KEY, S3Server, SECRET_KEY};
use rusqlite::Connection;

use crate::support::{App, Ended, History, Setup, Sidecar, wait_until};
use crate::tidy::tree;

/// Names that SQLite would take for something else than a file's.
const STRANGE_NAMES: [&str; 6] =
    ["file:app.db", "file:app.db?mode=memory", ":memory:", "-app.db", "a%20b#c?d.db", "~app.db"];

/// O16: SQLite is built to read a name that begins with `file:` as a URI.
#[test]
fn o16_the_path_of_a_database_is_never_a_uri() {
    for name in STRANGE_NAMES {
        let (setup, directory) = (Setup::new(), tempfile::tempdir().unwrap());
        // With a slash before it a name is a path to everybody.
        App::open(&directory.path().join(name)).insert(1, 5000);
        let run = |args: &[&str]| {
            Ended::of(setup.command(args).current_dir(directory.path())).exits(0);
        };
        run(&["replicate", "--once", "--", name, "backup"]);
        let restore = ["restore", "--verify", "full", "-o", "./file:copy.db", "backup"];
        run(&restore);
        let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
        assert!(read("file:copy.db") == read(name), "{name}");
        let names = fs::read_dir(directory.path()).unwrap();
        let names: Vec<String> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        // The database, its state, the replica, the copy, and what belongs to that.
        let ours =
            |found: &String| found.contains(name) || found == "backup" || found.contains("copy.db");
        assert!(names.iter().all(ours), "{name}: {names:?}");
    }
}

/// O26: a directory whose name is a variable is nothing that anybody wants.
#[test]
fn o26_variables_in_a_configuration_are_expanded_and_one_that_is_not_set_is_named() {
    let setup = Setup::new();
    drop(setup.app());
    let config = "[[database]]\npath = \"${PLACE}/app.db\"\nreplica = \"${PLACE}/backup\"\n\
                  state = \"${PLACE}/state\"\n";
    fs::write(setup.path("ebbtide.toml"), config).unwrap();
    let file = setup.text("ebbtide.toml");
    let args = ["replicate", "--once", "--config", file.as_str()];
    let elsewhere = tempfile::tempdir().unwrap();
    let run = |variable: Option<&str>| {
        let mut command = setup.command(&args);
        command.current_dir(elsewhere.path()).env_remove("PLACE");
        variable.map(|value| command.env("PLACE", value));
        Ended::of(&mut command)
    };
    let ended = run(None).exits(2);
    ended.says("the variable PLACE is not set");
    run(Some(setup.text("").trim_end_matches('/'))).exits(0);
    assert!(setup.path("backup/ebbtide.json").exists() && setup.path("state").is_dir());
    fs::write(setup.path("ebbtide.toml"), config.replace("${PLACE}/backup", "~/backup")).unwrap();
    let ended = run(Some(&setup.text(""))).exits(2);
    ended.says("write ${HOME}");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "nothing was made elsewhere");
}

/// O26: on the command line the shell expands; what it has not expanded was quoted by mistake.
#[test]
fn o26_what_a_shell_would_have_expanded_is_no_replica() {
    let setup = Setup::new();
    drop(setup.app());
    let app = setup.text("app.db");
    for replica in ["~/backup", "~", "${HOME}/backup", "s3://bucket/${NAME}"] {
        for args in [&["replicate", "--once", app.as_str(), replica][..], &["log", replica]] {
            let ended = Ended::of(setup.command(args).current_dir(setup.path("run")));
            ended.exits(2).says("the shell's to expand");
        }
    }
    let mut once = setup.command(&["replicate", "--once", &app, "./~"]);
    Ended::of(once.current_dir(setup.path("run"))).exits(0);
}

/// O14: a limit of the size of our files stands for a full disk.
#[test]
fn o14_status_and_sync_say_why_a_put_failed() {
    let setup = Setup::new();
    let application = setup.app();
    let (app, replica) = (setup.text("app.db"), setup.text("backup"));
    let args = ["replicate", "--log-format", "json", &app, &replica];
    // In blocks of 512 bytes.
    let sidecar = Sidecar::start_command(&mut setup.limited("-f 200", &args));
    application.insert(1, 300_000);
    let why = "File too large";
    setup.run(&["sync", "--wait", "--timeout", "500ms", &app]).exits(1);
    wait_until("the status to say why", || {
        let (_, reports) = setup.status(&[]);
        let trouble = &reports[0]["store_trouble"]["error"];
        trouble.as_str().is_some_and(|error| error.contains(why) && error.contains("put log/"))
    });
    let ended = setup.run(&["sync", "--wait", "--timeout", "100ms", &app]);
    ended.says(why);
    let table = setup.run(&["status"]).out;
    assert!(table.contains(why), "{table}");
    sidecar.kill();
}

/// O13: who replaces a key puts the new one into the file and then withdraws the old one.
#[test]
fn o13_a_key_that_is_replaced_while_it_runs_is_used_at_once() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let application = setup.app();
    let file = setup.path("credentials");
    let write = |key: &str| {
        let text =
            format!("[default]\naws_access_key_id={key}\naws_secret_access_key={SECRET_KEY}\n");
        fs::write(&file, text).unwrap();
    };
    write(ACCESS_KEY);
    let app = setup.text("app.db");
    let mut command = setup.replicate();
    for (name, _) in server.environment() {
        command.env_remove(name);
    }
    command
        .env("AWS_SHARED_CREDENTIALS_FILE", &file)
        .env("AWS_CONFIG_FILE", setup.path("none"))
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let sidecar = Sidecar::start_command(&mut command);
    write(NEXT_ACCESS_KEY);
    server.script(|asked| {
        (asked.key == ACCESS_KEY).then_some(Fault::Refused(403, "InvalidAccessKeyId"))
    });
    application.insert(1, 100);
    setup.run(&["sync", "--wait", &app]).exits(0);
    let (code, reports) = setup.status(&[]);
    assert_eq!((code, &reports[0]["store_trouble"]), (0, &serde_json::Value::Null));
    assert_eq!(sidecar.stop(), 0);
    server.heal();
    setup.assert_exact();
}

/// Makes the schema of a database one that this SQLite cannot read, as libSQL's is that has a table with `RANDOM ROWID`.
fn make_foreign(database: &Connection) {
    let change = "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = 'CREATE TABLE foreign_one (a) RANDOM ROWID' WHERE name = 'foreign_one';
         PRAGMA writable_schema = RESET;";
    database.execute_batch("CREATE TABLE foreign_one (a)").unwrap();
    database.execute_batch(change).unwrap();
}

/// O9: pages need no schema.
#[test]
fn o09_a_schema_that_only_another_sqlite_can_read_is_followed() {
    let setup = Setup::new();
    let application = setup.app();
    make_foreign(&application);
    drop(application);
    let plain = App::prepared(&setup.database, "");
    plain.query_row("SELECT count(*) FROM t", [], |_| Ok(())).unwrap_err();
    plain.execute_batch("PRAGMA writable_schema = ON").unwrap();
    let (app, replica, copy) = (setup.text("app.db"), setup.text("backup"), setup.text("copy.db"));
    let run = |args: &[&str]| {
        setup.run(args).exits(0);
    };
    let sidecar = setup.follow();
    plain.insert(20, 100);
    run(&["sync", "--wait", &app]);
    // The log is kept short by checkpoints of ours, which need no schema either.
    assert_eq!(sidecar.stop(), 0);
    plain.insert(1, 100);
    run(&["replicate", "--once", &app, &replica]);
    // The last to close it leaves all in the file.
    drop(plain);
    run(&["restore", "-o", &copy, &replica]);
    assert!(fs::read(&copy).unwrap() == fs::read(&app).unwrap());
}

/// Lets a row of an auto_vacuum database go on at a page far beyond its end.
fn damage(path: &Path) {
    damage_at(path, 755_004_834, 9000);
}

/// The same with a row of so many bytes, which goes on at this page.
fn damage_at(path: &Path, page: u32, bytes: u32) {
    let database = Connection::open(path).unwrap();
    database
        .execute_batch(
            "PRAGMA page_size = 4096; PRAGMA auto_vacuum = FULL; PRAGMA journal_mode = WAL;
             CREATE TABLE t (a);",
        )
        .unwrap();
    database.execute("INSERT INTO t VALUES (zeroblob(?))", [bytes]).unwrap();
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 't'";
    let root: u32 = database.query_row(sql, [], |row| row.get(0)).unwrap();
    drop(database);
    let mut bytes = fs::read(path).unwrap();
    // The row is the first of its page, so it ends where the page does, with the number of the page where it goes on.
    let end = root as usize * 4096;
    let next = u32::from_be_bytes(bytes[end - 4..end].try_into().unwrap());
    assert!((3..10).contains(&next), "{next}");
    bytes[end - 4..end].copy_from_slice(&page.to_be_bytes());
    fs::write(path, bytes).unwrap();
}

/// O40: where the pages could be, the database is taken as it is: once, as a step of history.
#[test]
fn o40_a_database_that_grows_by_pages_that_nobody_wrote_is_taken_as_it_is() {
    let setup = Setup::new();
    damage_at(&setup.path("app.db"), 1000, 3_250_000);
    let sidecar = setup.follow();
    let before = setup.history().entries().len();
    let application = Connection::open(setup.path("app.db")).unwrap();
    application.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
    for _ in 0..60 {
        application.execute("INSERT INTO t VALUES (randomblob(600))", []).unwrap();
    }
    // The owner of page 1000 is noted on page 822.
    let pages = fs::metadata(setup.path("app.db")).unwrap().len() / 4096;
    assert!((750..822).contains(&pages), "{pages}");
    wait_until("it to be followed again", || {
        let (_, reports) = setup.status(&[]);
        reports[0]["phase"] == "following" && !reports[0]["last_failure"].is_null()
    });
    application.execute("INSERT INTO t VALUES (randomblob(600))", []).unwrap();
    let (app, replica, copy) = (setup.text("app.db"), setup.text("backup"), setup.text("copy.db"));
    setup.run(&["sync", "--wait", &app]).exits(0);
    let told = History::open(&replica).entries();
    assert!(told.len() < before + 100, "{} entries", told.len());
    let expected = Image::of(&oracle::committed(Path::new(&app)).unwrap());
    assert_eq!(sidecar.stop(), 0);
    setup.run(&["restore", "-o", &copy, &replica]).exits(0);
    // The log counts the pages in between, and SQLite does not.
    assert_eq!(Image::of(&oracle::committed(Path::new(&copy)).unwrap()), expected);
    drop(application);
}

/// What an application does to it that does not know: SQLite notes who owns that page, far beyond the end.
fn grow(path: &Path) -> Connection {
    let application = Connection::open(path).unwrap();
    application.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
    for _ in 0..12 {
        application.execute("INSERT INTO t VALUES (randomblob(600))", []).unwrap();
    }
    // The application sees nothing of it.
    let pages: u32 = application.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    assert!(pages < 100, "{pages}");
    application
}

/// O11: a database of three terabytes, by its own word.
#[test]
fn o11_a_database_that_claims_pages_that_are_nowhere_is_refused_at_once() {
    let setup = Setup::new();
    damage(&setup.path("app.db"));
    let _application = grow(&setup.path("app.db"));
    let ended = setup.once().exits(1);
    let said = ended.said;
    assert!(said.contains("claims") && said.contains("is damaged"), "{said}");
}

/// O40: it becomes so while it is followed. What was shipped before stays, and the process hears what it is told.
#[test]
fn o40_a_database_that_begins_to_claim_such_pages_is_told_and_the_process_ends_when_it_is_told_to()
{
    let setup = Setup::new();
    damage(&setup.path("app.db"));
    let sidecar = setup.follow();
    let before = setup.history().entries();
    let _application = grow(&setup.path("app.db"));
    wait_until("the damage to be told", || {
        let (_, reports) = setup.status(&[]);
        reports[0]["error"].as_str().is_some_and(|error| error.contains("is damaged"))
    });
    let (code, told) = sidecar.stop_and_tell();
    assert_eq!(code, 1, "{told}");
    let after = setup.history().entries();
    assert_eq!(after[..before.len()], before);
    // Not an entry for each attempt.
    assert!(after.len() <= before.len() + 12, "{} entries", after.len());
}

/// O27: the example with the binary of a build, as its documentation has it.
#[test]
fn o27_the_example_runs_with_a_relative_path() {
    let directory = tempfile::tempdir().unwrap();
    let tool = |name: &str, script: &str| {
        let path = directory.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    // Everything but ebbtide is made up: no server, no database.
    tool("minio", "exec sleep 60");
    tool("curl", "exit 0");
    tool("sqlite3", "touch \"$1\"; case \"$2\" in *count*) echo 5;; esac");
    fs::create_dir(directory.path().join("build")).unwrap();
    // A process that is told to end by a signal ends with another code than ebbtide, which confirms its last sync.
    let script = "echo \"$1\" >> \"$CALLS\"; trap 'exit 0' TERM
                  [ \"$1\" != replicate ] || while :; do sleep 0.05; done";
    tool("build/ebbtide", script);
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.arg(tree::root().join("examples/minio/run.sh"))
        .current_dir(directory.path())
        .env("PATH", path)
        .env("EBBTIDE", "build/ebbtide")
        .env("CALLS", directory.path().join("calls"));
    Ended::of(&mut bash).exits(0);
    let calls = fs::read_to_string(directory.path().join("calls")).unwrap();
    assert_eq!(calls, "replicate\nlog\nrestore\n");
}
