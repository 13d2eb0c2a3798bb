//! A terminal at which somebody types.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::pty::openpty;

use super::{Setup, by_itself_in, wait_until};

/// A terminal with a command.
pub(crate) struct Terminal {
    child: Child,
    keys: File,
    /// All that was shown.
    shown: Arc<Mutex<String>>,
    /// How much of it was looked at.
    seen: usize,
}

impl Terminal {
    /// With the command as the leader of a session whose terminal it is, so that Ctrl-C reaches it as a signal.
    pub(crate) fn start(setup: &Setup, args: &[&str]) -> Terminal {
        let pair = openpty(None, None).unwrap();
        let run = setup.command(args);
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg("--wait").arg(run.get_program()).args(run.get_args());
        let mut command = setup.equip(command);
        by_itself_in(&mut command);
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
        Terminal { child, keys, shown, seen: 0 }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until it has shown this, after what was waited for before.
    #[track_caller]
    pub(crate) fn shows(&mut self, text: &str) {
        let (shown, seen) = (Arc::clone(&self.shown), self.seen);
        let find = || shown.lock().unwrap()[seen..].find(text).map(|at| seen + at + text.len());
        wait_until(text, || find().is_some());
        self.seen = find().unwrap();
    }

    /// Types this again and again until it shows that.
    #[track_caller]
    pub(crate) fn types_until(&mut self, keys: &str, text: &str) {
        let (shown, seen) = (Arc::clone(&self.shown), self.seen);
        wait_until(text, || {
            self.types(keys);
            thread::sleep(Duration::from_millis(300));
            shown.lock().unwrap()[seen..].contains(text)
        });
        self.shows(text);
    }

    /// Waits for the end of the command: its exit code, and all that was shown.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.shown.lock().unwrap().clone())
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
