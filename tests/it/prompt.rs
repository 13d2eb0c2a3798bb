//! The prompt of `ebbtide sql` at a terminal of its own, as somebody types at it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::pty::openpty;

use crate::support::{Setup, wait_until};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const UP: &str = "\x1b[A";
const ENTER: &str = "\r";
const PROMPT: &str = "ebbtide> ";

/// A terminal with the prompt.
struct Terminal {
    child: Child,
    keys: File,
    /// All that was shown.
    shown: Arc<Mutex<String>>,
    /// How much of it was looked at.
    seen: usize,
}

impl Terminal {
    /// As the leader of a session whose terminal it is, so that Ctrl-C reaches it as a signal while a statement runs.
    fn open(setup: &Setup) -> Terminal {
        let pair = openpty(None, None).unwrap();
        let run = setup.command(&["sql", "--at", "txid:2", &setup.replica]);
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg("--wait").arg(run.get_program()).args(run.get_args());
        let mut command = setup.equip(command);
        crate::support::by_itself_in(&mut command);
        command.env("TERM", "xterm").env("XDG_STATE_HOME", setup.path("state"));
        let side = || Stdio::from(pair.slave.try_clone().unwrap());
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
        drop(command);
        drop(pair.slave);
        let keys = File::from(pair.master);
        let (mut screen, shown) = (keys.try_clone().unwrap(), Arc::<Mutex<String>>::default());
        let writes = Arc::clone(&shown);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // The terminal is gone with the last process that has it.
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                writes.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        let mut terminal = Terminal { child, keys, shown, seen: 0 };
        terminal.shows(PROMPT);
        terminal
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until it has shown this, after what was waited for before.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        let (shown, seen) = (Arc::clone(&self.shown), self.seen);
        let find = || shown.lock().unwrap()[seen..].find(text).map(|at| seen + at + text.len());
        wait_until(text, || find().is_some());
        self.seen = find().unwrap();
    }

    /// Types this again and again until it shows that.
    #[track_caller]
    fn types_until(&mut self, keys: &str, text: &str) {
        let (shown, seen) = (Arc::clone(&self.shown), self.seen);
        wait_until(text, || {
            self.types(keys);
            thread::sleep(Duration::from_millis(300));
            shown.lock().unwrap()[seen..].contains(text)
        });
        self.shows(text);
    }

    /// Ctrl-D ends it, with exit code 0.
    #[track_caller]
    fn ends(mut self) {
        self.types(CTRL_D);
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.shown.lock().unwrap());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if thread::panicking() {
            let ended = self.child.try_wait();
            eprintln!("ended: {ended:?}\nshown: {:?}", self.shown.lock().unwrap());
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn setup() -> Setup {
    let setup = Setup::new();
    let app = setup.app();
    app.execute_batch(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT);
         INSERT INTO orders VALUES (1, 'paid'), (2, 'open')",
    )
    .unwrap();
    setup.once().exits(0);
    setup
}

#[test]
fn statements_are_completed_remembered_and_go_on_in_the_next_line() {
    let setup = setup();
    let mut terminal = Terminal::open(&setup);
    // What is shown is another word than what was typed.
    terminal.types("SELECT upper(sta\t) FROM orders WHERE id = 1;\r");
    terminal.shows("PAID");
    terminal.shows(PROMPT);
    terminal.types(UP);
    terminal.types(ENTER);
    terminal.shows("PAID");
    terminal.shows(PROMPT);
    terminal.types("SELECT 40\r");
    terminal.types("+ 2 AS n;\r");
    terminal.shows("42");
    terminal.shows(PROMPT);
    terminal.types(".mode json\r");
    terminal.shows(PROMPT);
    terminal.types("SELECT lower('OPEN') AS word;\r");
    terminal.shows("{\"word\":\"open\"}");
    terminal.shows(PROMPT);
    terminal.types("SELEC;\r");
    terminal.shows("syntax error");
    terminal.shows(PROMPT);
    terminal.types(".tables\r");
    terminal.shows("\"name\":\"orders\"");
    terminal.shows(PROMPT);
    terminal.ends();
    // Another session knows what was typed in this one: the last line but one.
    let mut terminal = Terminal::open(&setup);
    terminal.types(UP);
    terminal.types(UP);
    terminal.types(UP);
    terminal.types(ENTER);
    terminal.shows("word\r\n");
    terminal.shows("open");
    terminal.shows(PROMPT);
    terminal.ends();
}

#[test]
fn t05_ctrl_c_ends_a_line_or_a_statement_and_never_the_prompt() {
    let setup = setup();
    let mut terminal = Terminal::open(&setup);
    terminal.types("SELECT nonsense");
    terminal.types(CTRL_C);
    terminal.shows(PROMPT);
    terminal.types("SELECT 40 + 2 AS n;\r");
    terminal.shows("42");
    terminal.shows(PROMPT);
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n;\r";
    terminal.types(endless);
    terminal.shows("FROM n;");
    // It would never end by itself. What is typed before it has begun interrupts nothing.
    terminal.types_until(CTRL_C, "interrupted");
    terminal.shows(PROMPT);
    terminal.types("SELECT 40 + 3 AS n;\r");
    terminal.shows("43");
    terminal.shows(PROMPT);
    terminal.ends();
}
