//! The WAL-reset bug of SQLite before 3.51.3, shown with SQLite 3.46.0 as the application, alone and beside `ebbtide
//! replicate`.
//!
//! A checkpointer reads the wal-index, and is held up. Meanwhile a writer begins the log anew, which it may, because an
//! earlier checkpoint had copied all of it. When the checkpointer goes on, it marks as many frames of the new log as
//! copied as the old one had. Frames that come up to that number are never copied, and the next restart loses them.
//!
//! Each case says what must come of it; the exit code is 0 if it did. Usage: `wal-reset PATH-OF-EBBTIDE`.

mod application;
mod sidecar;
mod stall;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use application::{Application, Health};
use sidecar::Sidecar;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// When the sidecar begins to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begins {
    Never,
    /// Before there is a checkpoint.
    First,
    /// While the checkpointer is held up, before the log restarts.
    BesideStalled,
    /// After the log was restarted, before the checkpointer goes on.
    BesideStale,
    /// After the checkpointer went on.
    TooLate,
}

const CASES: [(Begins, Health, &str); 5] = [
    (Begins::Never, Health::Malformed, "alone"),
    (Begins::First, Health::Sound, "beside ebbtide"),
    (
        Begins::BesideStalled,
        Health::Sound,
        "beside ebbtide, started while the checkpointer is held up",
    ),
    (Begins::BesideStale, Health::Sound, "beside ebbtide, started after the log was restarted"),
    (Begins::TooLate, Health::Malformed, "beside ebbtide, started after the checkpointer went on"),
];

fn main() -> ExitCode {
    let Some(ebbtide) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: wal-reset PATH-OF-EBBTIDE");
        return ExitCode::from(2);
    };
    println!("the application's SQLite is {}", rusqlite::version());
    let mut as_expected = true;
    for (begins, expected, what) in CASES {
        match run(&ebbtide, begins) {
            Ok(health) => {
                as_expected &= health == expected;
                let remark = if health == expected { "" } else { ", which was not expected" };
                println!("{what}: {health}{remark}");
            }
            Err(error) => {
                as_expected = false;
                println!("{what}: {error}");
            }
        }
    }
    if as_expected { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One application from its first commit to its last; how its database is then.
fn run(ebbtide: &Path, begins: Begins) -> Result<Health> {
    let directory = tempfile::tempdir()?;
    let mut sidecar = None;
    let mut follow_at = |now: Begins| -> Result<()> {
        if now == begins {
            sidecar = Some(Sidecar::start(ebbtide, directory.path())?);
        }
        Ok(())
    };
    let mut application = Application::open(&directory.path().join("app.db"))?;
    application.fill()?;
    follow_at(Begins::First)?;
    application.checkpoint()?;
    let stalled = application.begin_stalled_checkpoint()?;
    follow_at(Begins::BesideStalled)?;
    application.write_a_little()?;
    follow_at(Begins::BesideStale)?;
    application.let_go(stalled)?;
    follow_at(Begins::TooLate)?;
    application.write_more()?;
    let health = application.health()?;
    if let Some(sidecar) = sidecar {
        sidecar.stop()?;
        // A replica of a sound database is sound, too.
        if health == Health::Sound {
            sidecar::restore(ebbtide, directory.path())?;
            let restored = Application::open(&directory.path().join("restored.db"))?;
            if restored.health()? != Health::Sound || restored.rows()? != application.rows()? {
                return Err("what was restored is another database".into());
            }
        }
    }
    Ok(health)
}
