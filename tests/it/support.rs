//! What every test of the whole is made of: where it takes place ([`Setup`]), an application ([`App`]), the process that
//! follows ([`Sidecar`]), a command that has ended ([`Ended`]), and what the replica has ([`History`]).

mod app;
mod command;
mod history;
mod owner;
mod setup;
mod sidecar;
mod terminal;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) use app::{App, image, rows};
pub(crate) use command::{Ended, by_itself_in, command, ebbtide, limited};
pub(crate) use history::{Counts, History};
pub(crate) use owner::Owner;
pub(crate) use setup::Setup;
pub(crate) use sidecar::{Lines, Running, Sidecar};
pub(crate) use terminal::Terminal;

/// More than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `done`, looking often.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Changes a byte in the middle of the newest segment of a replica in a directory; the segment.
pub(crate) fn damage_newest(replica: &Path) -> PathBuf {
    let names = fs::read_dir(replica.join("log")).unwrap();
    let newest = names.map(|file| file.unwrap().path()).max().unwrap();
    let mut body = fs::read(&newest).unwrap();
    let middle = body.len() / 2;
    body[middle] ^= 1;
    fs::write(&newest, body).unwrap();
    newest
}
