//! The `ebbtide` binary as the tests start it, and what came of a run.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};

use serde_json::Value;

const EBBTIDE: &str = env!("CARGO_BIN_EXE_ebbtide");

/// `ebbtide` with these arguments, not yet started.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(EBBTIDE);
    command.args(args);
    by_itself_in(&mut command);
    command
}

/// The same within a limit of the shell's `ulimit`. What a file may not grow beyond is an error and no signal.
pub(crate) fn limited(limit: &str, args: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("trap '' XFSZ; ulimit {limit}; exec \"$@\""), "sh", EBBTIDE]);
    shell.args(args);
    by_itself_in(&mut shell);
    shell
}

/// Without what a developer has set, and with sockets outside the directories of this machine's own processes; for a
/// command that runs `ebbtide` in its turn.
pub(crate) fn by_itself_in(command: &mut Command) {
    command.env_remove("EBBTIDE_LOG").env("EBBTIDE_RUNTIME_DIR", runtime_directory());
    for (variable, name) in [("XDG_CACHE_HOME", "cache"), ("XDG_STATE_HOME", "state")] {
        command.env(variable, Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
    }
    // Where there is no memory left for a backtrace, the standard library waits for its own lock, for ever.
    command.env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
}

/// A private directory for the sockets of what is started without a [`Setup`](super::Setup), which has its own: whoever
/// asks for a status asks every socket of a directory.
fn runtime_directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("runtime");
    DirBuilder::new().mode(0o700).recursive(true).create(&directory).unwrap();
    directory
}

/// Runs `ebbtide` to its end.
pub(crate) fn ebbtide(args: &[&str]) -> Ended {
    Ended::of(&mut command(args))
}

/// A program that has ended, and all that it said.
#[derive(Debug)]
pub(crate) struct Ended {
    command: String,
    pub(crate) status: ExitStatus,
    /// On standard output.
    pub(crate) out: String,
    /// On standard error.
    pub(crate) said: String,
}

impl Ended {
    /// Runs a command to its end.
    pub(crate) fn of(command: &mut Command) -> Ended {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let [out, said] =
            [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ended { command: format!("{command:?}"), status, out, said }
    }

    /// Its exit code; a signal fails the test.
    #[track_caller]
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("{}: {self:?}", self.status))
    }

    /// It must have ended with this code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Ended {
        assert_eq!(self.code(), code, "{}: {}{}", self.command, self.out, self.said);
        self
    }

    /// It must have said this on standard error.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Ended {
        assert!(self.said.contains(text), "{}: not {text:?}, but {}", self.command, self.said);
        self
    }

    /// It must have said this on standard output.
    #[track_caller]
    pub(crate) fn prints(&self, text: &str) -> &Ended {
        assert!(self.out.contains(text), "{}: not {text:?}, but {}", self.command, self.out);
        self
    }

    /// Its standard output as one document.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// Its standard output as a document a line.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }
}
