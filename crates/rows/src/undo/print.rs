//! An undo as a script.

use std::io::Write;

use super::super::error::RowsError;
use super::check::{CONFLICTS, fatal, which};
use super::references::{new_violations, note_violations};
use super::sink::Undo;
use super::steps::Phase;

impl Undo {
    /// Writes the script, which changes everything or nothing in whatever client runs it.
    ///
    /// A client may go on after a statement that fails, and then commit. So each statement that changes something is guarded
    /// by what was found before, the last statement before COMMIT rolls everything back if there is a conflict, and should
    /// BEGIN fail, because the database is busy, SAVEPOINT begins a transaction all the same.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn print(&mut self, mut out: impl Write, about: &str) -> Result<(), RowsError> {
        let policy = self.policy;
        for line in about.lines() {
            let line: String = line.chars().filter(|c| !c.is_control()).collect();
            writeln!(out, "-- {line}")?;
        }
        for refusal in self.refused() {
            let line = format!("{}: {}", refusal.what, refusal.why);
            let line: String = line.chars().filter(|c| !c.is_control()).collect();
            writeln!(out, "-- not undone: {line}")?;
        }
        for sql in begin() {
            writeln!(out, "{sql};")?;
        }
        writeln!(out, "BEGIN IMMEDIATE;\nSAVEPOINT ebbtide;")?;
        let on = "(SELECT foreign_keys FROM pragma_foreign_keys) = 1";
        writeln!(out, "{};", fatal("", "foreign keys are enforced: run it in no transaction", on))?;
        for sql in note_violations(&self.referring) {
            writeln!(out, "{sql};")?;
        }
        for phase in Phase::ALL {
            self.steps.each(phase, |sql| Ok::<_, RowsError>(writeln!(out, "{sql};")?))?;
        }
        for sql in new_violations(&self.referring[1]) {
            writeln!(out, "{sql};")?;
        }
        writeln!(
            out,
            "SELECT \"table\", \"row\", what, now, \"left\" FROM {CONFLICTS};\n\
             INSERT OR ROLLBACK INTO temp.ebbtide_guard SELECT count(*) FROM {CONFLICTS}{};\nCOMMIT;",
            which(policy)
        )?;
        Ok(out.flush()?)
    }
}

/// What comes before the transaction.
pub(super) fn begin() -> [&'static str; 5] {
    [
        "PRAGMA foreign_keys = OFF",
        "DROP TABLE IF EXISTS temp.ebbtide_conflict",
        "CREATE TEMP TABLE ebbtide_conflict (\"table\", \"row\", what, now, \"left\", is_fatal, found)",
        "DROP TABLE IF EXISTS temp.ebbtide_guard",
        "CREATE TEMP TABLE ebbtide_guard (conflicts CONSTRAINT nothing_was_changed CHECK (conflicts = 0))",
    ]
}
