//! ebbtide on a terminal: who hears what is typed there, what is shown, and what happens when it is closed.
//!
//! The terminal is a pseudoterminal of the test's own, with an interactive shell on it, as a person has.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::errno::Errno;
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;

use crate::exec::{DATABASE, LAST, Place, children, has};
use crate::support::{History, Setup, by_itself_in, command, wait_until};

/// A shell on a terminal. Both are gone when this is dropped.
struct Terminal {
    /// Nothing once it was closed.
    master: Option<File>,
    shell: Child,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn open(setup: &Setup) -> Terminal {
        let pty = openpty(None, None).unwrap();
        let slave = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut shell = Command::new("setsid");
        shell.args(["--ctty", "sh", "-i"]).current_dir(setup.directory.path());
        shell.env("PS1", "ready> ").env("TERM", "xterm").env_remove("ENV").env_remove("NO_COLOR");
        by_itself_in(&mut shell);
        let mut shell = setup.equip(shell);
        shell.stdin(slave()).stdout(slave()).stderr(slave());
        let shell = shell.spawn().unwrap();
        drop(pty.slave);
        let master = File::from(pty.master);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut output, all) = (master.try_clone().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It fails once nobody has the other end any more.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                all.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        let terminal = Terminal { master: Some(master), shell, shown };
        terminal.wait_for("ready> ");
        terminal
    }

    fn press(&mut self, keys: &str) {
        self.master.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    fn wait_for(&self, text: &str) {
        wait_until(&format!("{text:?} on the terminal"), || self.shown().contains(text));
    }

    /// The number that `echo` showed behind this.
    fn number(&self, before: &str) -> i32 {
        wait_until(before, || self.said(before).is_some());
        self.said(before).unwrap()
    }

    fn said(&self, before: &str) -> Option<i32> {
        let shown = self.shown();
        let mut after = shown.split(before).skip(1);
        after.find_map(|after| after.split_once(['\r', '\n'])?.0.parse().ok())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.master = None;
        // It may have ended by itself.
        self.shell.kill().and_then(|()| self.shell.wait()).ok();
    }
}

/// Writes a file that runs ebbtide when an interactive shell reads it.
fn script(place: &Place, args: &[String]) {
    let quoted: Vec<String> = std::iter::once(env!("CARGO_BIN_EXE_ebbtide").to_owned())
        .chain(args.iter().cloned())
        .map(|arg| format!("'{}'", arg.replace('\'', r"'\''")))
        .collect();
    let database = place.setup.text("app.db");
    let text = format!("export {DATABASE}='{database}'\n{}\n", quoted.join(" "));
    std::fs::write(place.setup.path("follow"), text).unwrap();
}

/// `ebbtide replicate --exec` on a terminal, with the application running. Nothing where there is no `setsid`.
fn with_application(test: &str, line: &str) -> Option<(Place, Terminal)> {
    if !has("setsid", test) {
        return None;
    }
    let place = Place::new();
    script(&place, &place.args("APP; true"));
    let mut terminal = Terminal::open(&place.setup);
    terminal.press(line);
    place.wait_for_rows();
    Some((place, terminal))
}

fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn parent(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The application and the ebbtide above it.
fn processes(place: &Place) -> (i32, i32) {
    let database = Connection::open(&place.setup.database).unwrap();
    let query = "SELECT process FROM t LIMIT 1";
    let application: i32 = database.query_row(query, [], |row| row.get(0)).unwrap();
    // Below the shell that --exec began.
    (application, parent(parent(application)))
}

fn wait_until_gone(pid: i32) {
    wait_until("ebbtide to end", || {
        kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH) || state(pid) == Some('Z')
    });
}

#[test]
fn o37_ctrl_c_is_heard_once_and_the_last_commits_are_in_the_replica() {
    let name = "o37_ctrl_c_is_heard_once_and_the_last_commits_are_in_the_replica";
    let line = ". ./follow; echo code=$?\n";
    let Some((place, mut terminal)) = with_application(name, line) else { return };
    terminal.press("\x03");
    assert_eq!(terminal.number("code="), 130, "{}", terminal.shown());
    assert_eq!((place.count("SIGINT"), place.count("last")), (1, LAST), "{}", terminal.shown());
    place.assert_whole();
}

#[test]
fn o37_in_a_pipeline_ctrl_c_is_heard_once_too() {
    let name = "o37_in_a_pipeline_ctrl_c_is_heard_once_too";
    let line = ". ./follow 2>&1 | cat\n";
    let Some((place, mut terminal)) = with_application(name, line) else { return };
    let (_, ebbtide) = processes(&place);
    terminal.press("\x03");
    wait_until_gone(ebbtide);
    assert_eq!((place.count("SIGINT"), place.count("last")), (1, LAST), "{}", terminal.shown());
    place.assert_whole();
}

#[test]
fn o37_ctrl_z_stops_all_of_it_and_fg_has_it_go_on() {
    let name = "o37_ctrl_z_stops_all_of_it_and_fg_has_it_go_on";
    for line in [". ./follow\n", ". ./follow 2>&1 | cat\n"] {
        let Some((place, mut terminal)) = with_application(name, line) else { return };
        let (application, ebbtide) = processes(&place);
        terminal.press("\x1a");
        wait_until("all to be stopped", || {
            [application, ebbtide].iter().all(|&pid| state(pid) == Some('T'))
        });
        let rows = place.count("row");
        terminal.press("fg; echo ended=$?\n");
        wait_until("it to hear that it goes on", || place.count("SIGCONT") > 0);
        wait_until("it to go on", || place.count("row") > rows);
        terminal.press("\x03");
        wait_until_gone(ebbtide);
        let counts = ["SIGCONT", "SIGINT", "last"].map(|what| place.count(what));
        assert_eq!(counts, [1, 1, LAST], "{}", terminal.shown());
        place.assert_whole();
    }
}

#[test]
fn o12_the_end_of_the_terminal_is_an_end_with_a_last_sync() {
    let name = "o12_the_end_of_the_terminal_is_an_end_with_a_last_sync";
    for line in [". ./follow\n", ". ./follow 2>&1 | cat\n"] {
        let Some((place, mut terminal)) = with_application(name, line) else { return };
        let (_, ebbtide) = processes(&place);
        // Which closes it, once the thread that reads has seen that, too.
        terminal.shell.kill().unwrap();
        terminal.master = None;
        wait_until_gone(ebbtide);
        let counts = (place.count("SIGHUP"), place.count("last"));
        assert_eq!(counts, (1, LAST), "{line}: {}", terminal.shown());
        place.assert_whole();
    }
}

#[test]
fn o12_without_an_application_the_end_of_the_terminal_is_an_end_unless_it_is_ignored() {
    let name = "o12_without_an_application_the_end_of_the_terminal_is_an_end_unless_it_is_ignored";
    if !has("setsid", name) || !has("nohup", name) {
        return;
    }
    for ignored in [false, true] {
        let place = Place::new();
        let replica = place.setup.replica.clone();
        let database = place.setup.text("app.db");
        script(&place, &["replicate".to_owned(), database, replica.clone()]);
        let mut terminal = Terminal::open(&place.setup);
        terminal.press(if ignored { "nohup sh ./follow &\n" } else { ". ./follow\n" });
        let head = || History::open(&replica).head();
        wait_until("a replica", || Path::new(&replica).exists() && head().is_some());
        let shell = terminal.shell.id();
        let ours = |pid: &i32| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.contains("replicate")
        };
        let mut below = children(shell).into_iter().flat_map(|(pid, _)| {
            let further = children(u32::try_from(pid).unwrap()).into_iter().map(|(pid, _)| pid);
            [pid].into_iter().chain(further.collect::<Vec<i32>>())
        });
        let ebbtide = below.rfind(ours).unwrap();
        let application = Connection::open(&place.setup.database).unwrap();
        terminal.shell.kill().unwrap();
        terminal.master = None;
        if ignored {
            let before = head();
            application.execute("INSERT INTO t VALUES ('after', 0)", []).unwrap();
            wait_until("the row in the replica", || head() > before);
            kill(Pid::from_raw(ebbtide), Signal::SIGTERM).unwrap();
        }
        wait_until_gone(ebbtide);
        place.assert_whole();
    }
}

/// What a command shows on a terminal, with these variables.
fn shown_by(args: &[&str], variables: &[(&str, &str)]) -> String {
    let pty = openpty(None, None).unwrap();
    let mut command = command(args);
    command.env_remove("NO_COLOR").env("TERM", "xterm").envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(pty.slave));
    command.status().unwrap();
    drop(command);
    let (mut shown, mut bytes) = (Vec::new(), [0; 4096]);
    let mut master = File::from(pty.master);
    // It fails once all was read, because nobody has the other end.
    while let Ok(count @ 1..) = master.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..count]);
    }
    String::from_utf8(shown).unwrap()
}

#[test]
fn o32_colours_are_for_terminals_and_people_that_take_them() {
    let place = Place::new();
    let args = place.setup.once_args();
    let has_colours = |variables| {
        let shown = shown_by(&args, variables);
        assert!(shown.contains("following"), "{shown}");
        shown.contains('\x1b')
    };
    assert!(has_colours(&[]));
    assert!(has_colours(&[("NO_COLOR", "")]));
    assert!(!has_colours(&[("NO_COLOR", "1")]));
    assert!(!has_colours(&[("TERM", "dumb")]));
}
