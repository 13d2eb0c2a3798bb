//! `ebbtide status` and `ebbtide sync` against running processes. Would catch a lag that is not shown, a sync that returns
//! before the store has confirmed, a health that lies, and a socket that lets anybody in.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use ebbtide_testkit::s3_server::{Asked, Fault, S3Server};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{PATIENCE, Setup, Sidecar, wait_until};

fn sockets(setup: &Setup) -> Vec<PathBuf> {
    fs::read_dir(setup.path("run")).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_sync_that_was_waited_for_is_durable_and_the_status_says_so() {
    let setup = Setup::new();
    let application = setup.app();
    let sidecar = setup.follow();
    for _ in 0..20 {
        application.insert(1, 100);
        let ended = setup.run(&["sync", "--wait", &setup.text("app.db")]).exits(0);
        let last = setup.history().entries().pop().unwrap();
        let told = ended.out;
        assert!(told.contains(&format!("durable up to txid {}", last.txid)), "{told}");
    }
    let last = setup.history().entries().pop().unwrap();
    let (code, reports) = setup.status(&[]);
    assert_eq!(code, 0, "{reports:?}");
    let [report] = reports.as_slice() else { panic!("one database: {reports:?}") };
    assert_eq!(report["database"], setup.text("app.db"));
    assert_eq!(report["replica"], setup.text("backup"));
    assert_eq!(report["process"], sidecar.process().id());
    assert_eq!((&report["phase"], &report["healthy"]), (&"following".into(), &true.into()));
    assert_eq!(report["durable_txid"], last.txid.to_string());
    assert_eq!(report["captured_txid"], last.txid.to_string());
    assert_eq!(report["durable_time"], last.time.to_string());
    let restore = |chain: &str, to: &str| {
        let (to, backup) = (setup.text(to), setup.text("backup"));
        setup.run(&["restore", "-o", &to, "--expect-chain", chain, &backup]).status.code()
    };
    let chain = report["durable_chain"].as_str().unwrap();
    assert_eq!(restore(&format!("{chain}@{}", last.txid), "known.db"), Some(0));
    assert_eq!(restore(&"0".repeat(64), "another.db"), Some(4));
    assert_eq!(report["lag_seconds"], 0.0);
    assert!(report["log_frames"].as_u64().unwrap() >= 20);
    assert!(report["log_bytes"].as_u64().unwrap() >= 20 * 4096);
    assert_eq!(report["readers"], Value::Array(Vec::new()));
    assert!(report["segments"].as_u64().unwrap() >= 20);
    assert_eq!(report["snapshot_txid"], "0000000000000002");
    let table = setup.run(&["status"]).out;
    assert!(table.contains(&setup.text("app.db")) && table.contains("following"), "{table}");
    assert_eq!(sidecar.stop(), 0);
    assert!(sockets(&setup).is_empty(), "the socket goes with its process");
}

/// Ten commits a second would wait for a token, and here the next token comes in a quarter of an hour.
#[test]
fn a_sync_does_not_wait_for_the_next_put_that_is_due() {
    let setup = Setup::new();
    let application = setup.app();
    let config = setup.configure("", "puts-per-second = 0.001\nputs-burst = 1");
    let args = ["replicate", "--log-format", "json", "--config", &config];
    let sidecar = Sidecar::start_command(&mut setup.command(&args));
    let lag = |setup: &Setup| setup.report()["lag_seconds"].as_f64().unwrap();
    for _ in 0..5 {
        // Those that are captured together go in one put, which may be the one that is due.
        wait_until("a commit that is not durable", || {
            application.insert(1, 100);
            lag(&setup) > 0.0
        });
        setup.run(&["sync", "--wait"]).exits(0);
        assert_eq!(lag(&setup).to_string(), "0");
    }
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn the_process_that_keeps_the_log_is_named() {
    let setup = Setup::new();
    let application = setup.app();
    let sidecar = setup.follow();
    application.insert(1, 100);
    assert_eq!(setup.report()["readers"], Value::Array(Vec::new()));
    application.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
    let (code, reports) = setup.status(&[]);
    assert_eq!(code, 0, "a reader is worth knowing, and nothing wrong");
    let reader = &reports[0]["readers"][0];
    assert_eq!(reader["pid"], std::process::id());
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    assert_eq!(reader["name"], name.trim_end());
    application.execute_batch("COMMIT").unwrap();
    assert_eq!(setup.report()["readers"], Value::Array(Vec::new()));
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn a_store_that_is_away_shows_as_trouble_and_lag_and_a_sync_says_so() {
    let setup = Setup::new();
    let application = setup.app();
    let sidecar = setup.follow();
    setup.run(&["sync", "--wait"]).exits(0);
    fs::rename(setup.path("backup"), setup.path("elsewhere")).unwrap();
    fs::write(setup.path("backup"), "a file where the replica was").unwrap();
    application.insert(1, 100);
    wait_until("the trouble to show", || !setup.report()["store_trouble"].is_null());
    let (status, reports) = setup.status(&[]);
    assert_eq!(status, 1, "{reports:?}");
    assert_eq!(reports[0]["healthy"], false);
    assert!(reports[0]["lag_seconds"].as_f64().unwrap() > 0.0, "{reports:?}");
    let ended = setup.run(&["sync", "--wait", "--timeout", "200ms"]).exits(1);
    ended.says("not durable within 200ms");
    // Asking alone is no promise.
    setup.run(&["sync", &setup.text("app.db")]).exits(0);
    fs::remove_file(setup.path("backup")).unwrap();
    fs::rename(setup.path("elsewhere"), setup.path("backup")).unwrap();
    setup.run(&["sync", "--wait", "--timeout", "60s", &setup.text("app.db")]).exits(0);
    let (status, reports) = setup.status(&[]);
    assert_eq!((status, reports[0]["lag_seconds"].as_f64()), (0, Some(0.0)), "{reports:?}");
    assert_eq!(sidecar.stop(), 0);
}

/// The bucket refuses a few puts, each of which is tried again within a second or two. Would catch an alarm at every one
/// of them.
#[test]
fn a_put_that_is_tried_again_shows_as_trouble_and_is_healthy() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let application = setup.app();
    let sidecar = setup.follow();
    server.script(|_: &Asked| Some(Fault::Refused(503, "SlowDown")));
    application.insert(1, 100);
    let trouble = |setup: &Setup| setup.report()["store_trouble"].clone();
    wait_until("the trouble to show", || !trouble(&setup).is_null());
    let (status, reports) = setup.status(&[]);
    assert_eq!((status, &reports[0]["healthy"]), (0, &true.into()), "{reports:?}");
    assert_eq!(reports[0]["attention"], Value::Array(Vec::new()));
    wait_until("it to last", || setup.status(&[]).0 == 1);
    assert_eq!(setup.report()["attention"][0], "store");
    server.heal();
    wait_until("it to pass", || setup.status(&[]).0 == 0);
    assert_eq!(trouble(&setup), Value::Null);
    assert_eq!(sidecar.stop(), 0);
}

/// What an SQLite with the WAL-reset bug leaves behind, or a process that died in the midst of beginning the log anew:
/// the next frames count as copied and never will be. Would catch that nobody hears of it before the pages are missed.
#[test]
fn a_wal_index_that_is_damaged_is_told() {
    let setup = Setup::new();
    let application = setup.app();
    application.insert(1, 100);
    let shm = OpenOptions::new().read(true).write(true).open(setup.path("app.db-shm")).unwrap();
    // `nBackfill`, right behind the two copies of the header.
    shm.write_all_at(&1000_u32.to_ne_bytes(), 96).unwrap();
    let sidecar = setup.follow();
    sidecar.process().line_with("more frames were copied into the database than", PATIENCE);
    let (status, reports) = setup.status(&[]);
    assert_eq!((status, &reports[0]["attention"][0]), (1, &"wal-index".into()), "{reports:?}");
    let table = setup.run(&["status"]).out;
    assert!(table.contains("the wal-index is damaged"), "{table}");
    // Everything is shipped all the same.
    application.insert(1, 100);
    setup.run(&["sync", "--wait"]).exits(0);
    assert_eq!(sidecar.stop(), 0);
    // Closed after the application's connection: closing it drops the locks of this process.
    drop(application);
    drop(shm);
}

#[test]
fn nobody_there_is_not_healthy_and_a_killed_process_leaves_nothing_in_the_way() {
    let setup = Setup::new();
    let _application = setup.app();
    let ended = setup.run(&["status"]).exits(1);
    ended.says("no running `ebbtide replicate`");
    setup.run(&["sync"]).exits(1);
    let sidecar = setup.follow();
    let left = sockets(&setup);
    sidecar.kill();
    assert_eq!(sockets(&setup), left, "a killed process cannot clean up");
    setup.run(&["status"]).exits(1);
    let sidecar = setup.follow();
    assert_eq!(sockets(&setup).len(), 1, "the next one does it");
    let ended = setup.run(&["sync", &setup.text("other.db")]).exits(1);
    ended.says("other.db");
    // The same file by another name.
    std::os::unix::fs::symlink(setup.path("app.db"), setup.path("link.db")).unwrap();
    setup.run(&["sync", "--wait", &setup.text("link.db")]).exits(0);
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn a_database_of_the_configuration_that_nobody_follows_is_not_healthy() {
    let setup = Setup::new();
    let (_one, _two) = (setup.other_app("one.db"), setup.other_app("two.db"));
    let mut config = String::new();
    for name in ["one", "two"] {
        let (database, replica) = (setup.path(&format!("{name}.db")), setup.path(name));
        config += &format!("[[database]]\npath = {database:?}\nreplica = {replica:?}\n");
    }
    fs::write(setup.path("ebbtide.toml"), config).unwrap();
    let one = setup.follow_other("one.db", "one");
    let config = ["--config", &setup.text("ebbtide.toml")];
    let (status, reports) = setup.status(&config);
    assert_eq!((status, reports.len()), (1, 2));
    assert_eq!((&reports[0]["healthy"], &reports[1]["healthy"]), (&true.into(), &false.into()));
    assert!(reports[1]["process"].is_null() && reports[1]["phase"].is_null());
    let two = setup.follow_other("two.db", "two");
    let (status, reports) = setup.status(&config);
    assert_eq!((status, reports.len()), (0, 2), "two processes, one answer: {reports:?}");
    assert_ne!(reports[0]["process"], reports[1]["process"]);
    assert_eq!((one.stop(), two.stop()), (0, 0));
}

#[test]
fn a_process_that_does_not_answer_is_not_healthy() {
    let setup = Setup::new();
    let _application = setup.app();
    let sidecar = setup.follow();
    sidecar.process().signal(Signal::SIGSTOP).unwrap();
    wait_until("it to stop", || sidecar.process().is_stopped());
    let ended = setup.run(&["status"]);
    sidecar.process().signal(Signal::SIGCONT).unwrap();
    ended.exits(1).says("does not answer");
    wait_until("it to go on", || setup.status(&[]).0 == 0);
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn a_directory_that_others_may_enter_is_not_used_and_everything_else_goes_on() {
    let setup = Setup::new();
    let application = setup.app();
    fs::set_permissions(setup.path("run"), Permissions::from_mode(0o755)).unwrap();
    let sidecar = setup.spawn();
    let warning = sidecar.process().line_with("no socket", PATIENCE);
    assert!(warning.contains("others may enter it"), "{warning}");
    sidecar.wait_until_it_follows();
    assert!(sockets(&setup).is_empty());
    application.insert(1, 100);
    assert_eq!(sidecar.stop(), 0);
    let kinds = setup.history().entries();
    assert_eq!(kinds.last().unwrap().kind, ebbtide_replica::EntryKind::Commit);
}

/// Sends bytes and hands back what is answered until the other end hangs up.
fn raw(socket: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    // It may hang up before it has read everything.
    stream.write_all(bytes).ok();
    stream.shutdown(std::net::Shutdown::Write).ok();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok();
    answer
}

#[test]
fn what_is_no_request_is_refused_and_changes_nothing() {
    let setup = Setup::new();
    let _application = setup.app();
    let sidecar = setup.follow();
    let socket = sockets(&setup).pop().unwrap();
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for bytes in [
        b"\n".to_vec(),
        b"{\"verb\":\"stop\"}\n".to_vec(),
        b"{\"verb\":\"sync\",\"database\":\"/etc/passwd\"}\n".to_vec(),
        vec![b'{'; 1 << 20],
        vec![0xff; 100],
    ] {
        let answer = raw(&socket, &bytes);
        assert!(answer.is_empty() || answer.contains("refused"), "{answer}");
    }
    // Many that say nothing keep nobody else from asking.
    let silent: Vec<UnixStream> = (0..20).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"{\"verb\":\"status\"}\n").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert!(answer.contains("\"phase\":\"following\""), "{answer}");
    drop(silent);
    assert_eq!(setup.status(&[]).0, 0);
    assert_eq!(sidecar.stop(), 0);
}

/// Would catch a process whose answers wait for peers that say nothing.
#[test]
fn z16_peers_that_say_nothing_keep_nobody_waiting() {
    let setup = Setup::new();
    let database = setup.app();
    let sidecar = setup.follow();
    let socket = sockets(&setup).pop().unwrap();
    let silent: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    database.execute("INSERT INTO t (b) VALUES (1)", []).unwrap();
    setup.run(&["sync", "--wait"]).exits(0);
    assert_eq!(setup.status(&[]).0, 0);
    drop(silent);
    assert_eq!(sidecar.stop(), 0);
}
