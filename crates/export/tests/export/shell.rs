//! SQLite's own shell, which is another SQLite than ours.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whether there is one. Says so if not.
pub(crate) fn is_there(test: &str) -> bool {
    let found = Command::new("sqlite3").arg("--version").stdout(Stdio::null()).status();
    let is_there = found.is_ok_and(|status| status.success());
    if !is_there {
        eprintln!("NOT RUN: {test}: there is no sqlite3 here");
    }
    is_there
}

/// Has the shell read a script into a database; all that it says is an error.
pub(crate) fn read(database: &Path, script: &[u8]) {
    let mut shell = Command::new("sqlite3");
    shell.arg(database).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    let mut stdin = shell.stdin.take().unwrap();
    let script = script.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&script).unwrap());
    let ended = shell.wait_with_output().unwrap();
    writing.join().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && said.is_empty(), "{said}");
}

/// What `.dump` prints.
pub(crate) fn dump(database: &Path) -> Vec<u8> {
    let ended = Command::new("sqlite3").arg(database).arg(".dump").output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    ended.stdout
}
