//! Applications with other builds of SQLite than ours (hazard A36): Python's, better-sqlite3, modernc's for Go, and one
//! of 2014. They lie in `tests/applications`; `EBBTIDE_TEST_APPLICATION` has the command that starts one.
//!
//! Up to three processes write to one database, checkpoint it, read it for long and vacuum it, with memory-mapped files
//! and any page size, while the sidecar and they themselves are killed; each commit is told with the hash of all rows,
//! and most with the hash of all pages. Then every state of the history is restored and read by the same SQLite.
//!
//! `.ci/run applications` gets all four and runs this with each.

mod course;
mod history;
mod program;

use std::io::Write;

use ebbtide_testkit::for_each_seed;
use ebbtide_testkit::minio::MinIO;

use crate::support::Setup;
use crate::tally::Tally;

use course::Course;

/// The command that starts the application; says how to name one if there is none.
fn application() -> Option<String> {
    let command = std::env::var("EBBTIDE_TEST_APPLICATION").ok().filter(|text| !text.is_empty());
    if command.is_none() {
        let said = "skipped: set EBBTIDE_TEST_APPLICATION='python3 tests/applications/python/application.py' to test \
                    beside another build of SQLite";
        // Straight to the terminal: the harness keeps what tests print that pass.
        writeln!(std::io::stderr(), "{said}").expect("a terminal, or nothing");
    }
    command
}

#[test]
fn a36_every_state_of_an_application_with_another_sqlite_is_restored() {
    let Some(command) = application() else { return };
    let mut tally = Tally::new("applications");
    for_each_seed(4, |seed| {
        let compared = Course::new(&command, Setup::in_memory(), seed).run(&mut tally);
        compared.assert_right(&format!("seed {seed}"));
    });
    tally.print();
}

#[test]
fn a36_every_state_of_an_application_with_another_sqlite_is_restored_from_minio() {
    let Some(command) = application() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let Some(minio) = runtime.block_on(MinIO::find()) else { return };
    let mut tally = Tally::new("applications beside minio");
    for_each_seed(1, |seed| {
        let setup = Setup::in_memory().in_minio(&minio, &format!("application-{seed}"));
        let compared = Course::new(&command, setup, seed + 100).run(&mut tally);
        compared.assert_right(&format!("seed {seed}"));
    });
    tally.print();
    runtime.block_on(minio.remove());
}
