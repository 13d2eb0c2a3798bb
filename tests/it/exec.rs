//! The application as a child (`--exec`), by the shell that is there: whatever it is made of, it hears each signal once,
//! and what it commits until the last of it is gone is in the replica.
//!
//! The application is a test of this binary's own: it inserts a row every few milliseconds, one for each signal that it
//! hears, and five more after the one that ends it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use ebbtide_testkit::process::{Output, Process};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;
use tokio::signal::unix::{SignalKind, signal};

use crate::support::{App, PATIENCE, Setup, Sidecar, wait_until};

pub(crate) const DATABASE: &str = "EBBTIDE_TEST_EXEC_DATABASE";
const ROWS: &str = "EBBTIDE_TEST_EXEC_ROWS";
const DEAF: &str = "EBBTIDE_TEST_EXEC_DEAF";

/// No application of these tests is left longer than this.
const LIFE: Duration = Duration::from_secs(180);

/// So many rows come after the signal that ends it.
pub(crate) const LAST: usize = 5;

/// The application, if this process was started as one.
#[test]
fn application() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(serve(Path::new(&path)));
    std::process::exit(0);
}

async fn serve(path: &Path) {
    let database = Connection::open(path).unwrap();
    database.busy_timeout(PATIENCE).unwrap();
    let say = |what: &str| {
        let row = (what, std::process::id());
        database.execute("INSERT INTO t VALUES (?1, ?2)", row).unwrap();
    };
    let kinds = [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGCONT,
    ];
    let mut listeners = kinds.map(|kind| signal(SignalKind::from_raw(kind as i32)).unwrap());
    let rows_max: usize = std::env::var(ROWS).map_or(usize::MAX, |rows| rows.parse().unwrap());
    let begun = Instant::now();
    let mut rows = 0;
    while rows < rows_max && begun.elapsed() < LIFE {
        let next = std::future::poll_fn(|context| {
            let mut all = listeners.iter_mut().zip(kinds);
            let found = all.find_map(|(listener, kind)| {
                listener.poll_recv(context).is_ready().then_some(kind)
            });
            found.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        });
        match tokio::time::timeout(Duration::from_millis(5), next).await {
            Ok(kind) => {
                say(kind.as_str());
                let ends = !matches!(kind, Signal::SIGUSR1 | Signal::SIGCONT);
                if ends && std::env::var_os(DEAF).is_none() {
                    break;
                }
            }
            Err(_) => say("row"),
        }
        rows += 1;
    }
    if rows_max == usize::MAX {
        for _ in 0..LAST {
            tokio::time::sleep(Duration::from_millis(20)).await;
            say("last");
        }
    }
}

/// A setup whose application a sidecar starts.
pub(crate) struct Place {
    pub(crate) setup: Setup,
}

impl Place {
    pub(crate) fn new() -> Place {
        let setup = Setup::new();
        App::prepared(&setup.database, "PRAGMA journal_mode = WAL; CREATE TABLE t (what, process)");
        Place { setup }
    }

    fn connect(&self) -> Connection {
        let database = Connection::open(&self.setup.database).unwrap();
        database.busy_timeout(PATIENCE).unwrap();
        database
    }

    /// `ebbtide replicate --exec`, with `APP` standing for the application in `script`.
    fn command(&self, script: &str) -> Command {
        self.started(&self.args(script))
    }

    fn started(&self, args: &[String]) -> Command {
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let mut command = self.setup.command(&args);
        command.env(DATABASE, &self.setup.database);
        command
    }

    pub(crate) fn args(&self, script: &str) -> Vec<String> {
        let exe = std::env::current_exe().unwrap();
        let app = format!("'{}' exec::application --exact --nocapture", exe.to_str().unwrap());
        let script = script.replace("APP", &app);
        let database = self.setup.text("app.db");
        let options = ["replicate", "--log-format", "json", "--exec"].map(str::to_owned);
        [options.as_slice(), &[script, database, self.setup.replica.clone()]].concat()
    }

    /// A file of configuration that gives the application little time.
    fn impatient(&self, script: &str) -> Command {
        let config = self.setup.configure("shutdown-timeout = \"1s\"", "");
        let mut args = self.args(script);
        args.truncate(5);
        args.extend(["--config".to_owned(), config]);
        self.started(&args)
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        let database = self.connect();
        let count = "SELECT count(*) FROM t WHERE what = ?1";
        database.query_row(count, [what], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap()
    }

    pub(crate) fn wait_for_rows(&self) {
        wait_until("rows of the application", || self.count("row") > 3);
    }

    /// Every process that has written is gone.
    #[track_caller]
    fn assert_gone(&self) {
        let database = self.connect();
        let mut pids = database.prepare("SELECT DISTINCT process FROM t").unwrap();
        let pids = pids.query_map([], |row| row.get::<_, i32>(0)).unwrap();
        for pid in pids {
            assert_eq!(kill(Pid::from_raw(pid.unwrap()), None), Err(Errno::ESRCH));
        }
    }

    /// The replica ends with the application's last row.
    #[track_caller]
    pub(crate) fn assert_whole(&self) {
        self.setup.assert_exact();
    }
}

/// Whether there is such a program. Says so if not.
pub(crate) fn has(program: &str, test: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
    if !found.status.success() {
        eprintln!("NOT RUN: {test}: there is no {program} here");
    }
    found.status.success()
}

#[test]
fn o03_whatever_the_application_is_made_of_its_last_commits_are_in_the_replica() {
    let mut scripts =
        vec!["APP", "exec APP", "APP; true", "true && APP", "APP | cat", "(APP)", "APP & wait"];
    if has("setsid", "o03 with sessions") {
        scripts.push("setsid APP & wait");
        scripts.push("setsid -w APP; true");
    }
    for script in scripts {
        let place = Place::new();
        let sidecar = Sidecar::start_command(&mut place.command(script));
        place.wait_for_rows();
        let (_, said) = sidecar.stop_and_tell();
        assert_eq!(place.count("SIGTERM"), 1, "{script}: {said}");
        assert_eq!(place.count("last"), LAST, "{script}: {said}");
        place.assert_gone();
        place.assert_whole();
    }
}

#[test]
fn o36_what_goes_on_after_the_command_is_followed_until_it_is_gone() {
    let mut scripts = vec![("APP & exit 3", 3), ("(APP &) ; true", 0)];
    if has("setsid", "o36 with daemons") {
        scripts.push(("setsid APP >/dev/null 2>&1 & exit 4", 4));
        scripts.push(("(setsid APP >/dev/null 2>&1 &)", 0));
    }
    for (script, expected) in scripts {
        // It ends by itself…
        let place = Place::new();
        let mut command = place.command(script);
        let (code, said) = Sidecar::spawn_command(command.env(ROWS, "40")).end();
        assert_eq!(code, expected, "{script}: {said}");
        assert_eq!(place.count("row"), 40, "{script}: {said}");
        place.assert_gone();
        place.assert_whole();
        // …or it is told to.
        let place = Place::new();
        let sidecar = Sidecar::start_command(&mut place.command(script));
        place.wait_for_rows();
        let (code, said) = sidecar.stop_and_tell();
        assert_eq!(code, expected, "{script}: {said}");
        assert_eq!((place.count("SIGTERM"), place.count("last")), (1, LAST), "{script}: {said}");
        place.assert_gone();
        place.assert_whole();
    }
}

#[test]
fn o03_who_does_not_hear_is_killed_and_that_is_no_success() {
    for (script, by_itself) in [("APP", 137), ("APP; true", 137), ("APP & exit 0", 1)] {
        let place = Place::new();
        let mut command = place.impatient(script);
        let sidecar = Sidecar::start_command(command.env(DEAF, "1"));
        place.wait_for_rows();
        let (code, said) = sidecar.stop_and_tell();
        assert!([by_itself, 143].contains(&code), "{script}: {code}: {said}");
        assert!(said.contains("killing it"), "{script}: {said}");
        assert!(place.count("SIGTERM") == 1 && place.count("last") == 0, "{script}: {said}");
        place.assert_gone();
        place.assert_whole();
    }
}

#[test]
fn o12_messages_reach_the_application_that_handles_them_and_end_nobody() {
    let place = Place::new();
    // The shell would end by the first of them.
    let sidecar = Sidecar::start_command(&mut place.command("APP; true"));
    place.wait_for_rows();
    for (signal, name) in [(Signal::SIGUSR1, "SIGUSR1"), (Signal::SIGCONT, "SIGCONT")] {
        sidecar.process().signal(signal).unwrap();
        wait_until("the application to hear", || place.count(name) == 1);
    }
    sidecar.process().signal(Signal::SIGUSR2).unwrap();
    sidecar.process().line_with("SIGUSR2", PATIENCE);
    let rows = place.count("row");
    wait_until("it to go on", || place.count("row") > rows);
    let (code, said) = sidecar.stop_and_tell();
    // That of the shell, which ends by the signal.
    assert_eq!((code, place.count("last")), (143, LAST), "{said}");
    assert_eq!((place.count("SIGUSR1"), place.count("SIGCONT")), (1, 1), "{said}");
    place.assert_whole();
}

#[test]
fn o37_orphans_leave_no_zombies() {
    let place = Place::new();
    let script = "for i in 1 2 3; do (sh -c 'exit 1' &) ; done; APP";
    let sidecar = Sidecar::start_command(&mut place.command(script));
    place.wait_for_rows();
    let parent = sidecar.process().id();
    // With the application below it.
    wait_until("nobody but the shell to be left", || children(parent).len() == 1);
    let (code, said) = sidecar.stop_and_tell();
    assert_eq!((code, place.count("last")), (143, LAST), "{said}");
}

/// The children of a process, and their states.
pub(crate) fn children(parent: u32) -> Vec<(i32, char)> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let stat = std::fs::read_to_string(entry.unwrap().path().join("stat")).unwrap_or_default();
        let Some((before, after)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = after.split(' ').collect();
        if fields[1].parse() == Ok(parent) {
            let pid = before.split(' ').next().unwrap().parse().unwrap();
            children.push((pid, fields[0].chars().next().unwrap()));
        }
    }
    children
}

/// A command as process 1, as in a container; nothing where that is not allowed, which is said.
fn as_process_one(command: &Command, before: &str, test: &str) -> Option<Process> {
    let unshare = ["--fork", "--pid", "--mount-proc", "--kill-child"];
    let tried = Command::new("unshare").args(unshare).arg("true").status();
    if !tried.is_ok_and(|status| status.success()) {
        eprintln!("NOT RUN: {test}: no process may have its own process 1 here");
        return None;
    }
    let mut outer = Command::new("unshare");
    outer.args(unshare).args(["sh", "-c", &format!("{before} exec \"$@\""), "sh"]);
    outer.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    Some(Process::start(&mut outer, Output::Stderr).unwrap())
}

#[test]
fn o37_process_one_passes_signals_on_and_leaves_no_zombies() {
    let place = Place::new();
    let name = "o37_process_one_passes_signals_on_and_leaves_no_zombies";
    let command = place.command("(sh -c 'exit 1' &); APP; true");
    let Some(mut outer) = as_process_one(&command, "", name) else { return };
    outer.line_with("\"following\"", PATIENCE);
    place.wait_for_rows();
    let (one, _) = children(outer.id())[0];
    let one_id = u32::try_from(one).unwrap();
    wait_until("zombies to be gone", || !children(one_id).iter().any(|(_, state)| *state == 'Z'));
    kill(Pid::from_raw(one), Signal::SIGTERM).unwrap();
    outer.wait(PATIENCE).unwrap();
    assert_eq!((place.count("SIGTERM"), place.count("last")), (1, LAST));
    place.assert_whole();
}

#[test]
fn o37_process_one_without_an_application_leaves_no_zombies() {
    let place = Place::new();
    let name = "o37_process_one_without_an_application_leaves_no_zombies";
    // A child that process 1 has from before it was ebbtide, and one that comes to it.
    let before = "true & (sh -c 'sleep 0.2; sleep 0.2' &);";
    let Some(mut outer) = as_process_one(&place.setup.replicate(), before, name) else { return };
    outer.line_with("\"following\"", PATIENCE);
    let (one, _) = children(outer.id())[0];
    wait_until("nobody to be left", || children(u32::try_from(one).unwrap()).is_empty());
    kill(Pid::from_raw(one), Signal::SIGTERM).unwrap();
    assert_eq!(outer.wait(PATIENCE).unwrap().code(), Some(0));
}

#[test]
fn z17_the_application_can_be_kept_from_the_stores_credentials() {
    let place = Place::new();
    let seen = place.setup.path("seen");
    let script = format!("env | grep ^AWS_ > '{}'; true", seen.display());
    let variables = [
        ("AWS_ACCESS_KEY_ID", "an-id"),
        ("AWS_SECRET_ACCESS_KEY", "a-secret"),
        ("AWS_SESSION_TOKEN", "a-token"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/"),
        ("AWS_REGION", "eu-central-1"),
    ];
    let mut run = place.command(&script);
    run.envs(variables);
    let seen_of = |run: &mut Command| {
        assert_eq!(run.output().unwrap().status.code(), Some(0));
        let seen = std::fs::read_to_string(&seen).unwrap();
        variables.map(|(name, value)| seen.contains(&format!("{name}={value}\n")))
    };
    assert_eq!(seen_of(&mut run), [true; 6]);
    run.arg("--exec-without-credentials");
    assert_eq!(seen_of(&mut run), [false, false, false, false, false, true]);
}
