//! The arguments of `ebbtide undo`.

use std::path::PathBuf;

use clap::Args as Arguments;

use super::between::Between;

/// `ebbtide undo`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide undo --txid 2a ./backup >back.sql                the script that takes one transaction back
  sqlite3 app.db <back.sql                                 run it: everything or nothing
  ebbtide undo --txid 2a --table orders --apply app.db ./backup
  ebbtide undo --from '10m ago' --to '5m ago' ./backup >back.sql
  ebbtide undo before.db after.db >back.sql                what differs between two files
  ebbtide undo --apply app.db before.db after.db           the same, with the conflicts named
  ebbtide undo --apply app.db --skip-conflicts before.db after.db

What is undone are the differences from the earlier state to the later one, in a database that may have gone on since. A row is given back only \
if it still is as the later state has it; one that was changed again is a conflict, and then nothing is changed, unless \
--skip-conflicts leaves such rows as they are or --overwrite sets them to what they were. Triggers do not fire, and \
references to rows that are not there are conflicts, too.

A table, index, view or trigger that was dropped comes back; one that was created goes with --drop only; one whose \
definition was changed is not undone, and named. The application may go on meanwhile, and the database's log is not touched.

Exit codes: 0 all of it was undone, or is in the script; 1 a database cannot be read or written; 3 there is no such state; \
4 the replica is damaged; 6 there are conflicts, or \
something cannot be undone: without --skip-conflicts and --overwrite nothing was changed by --apply then, if it says so.")]
pub struct Undo {
    /// Which states.
    #[command(flatten)]
    pub between: Between,
    /// Only this table, with its indexes and triggers; may be given several times.
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<String>,
    /// Run it in this database, instead of printing a script.
    #[arg(long, value_name = "DB")]
    pub apply: Option<PathBuf>,
    /// Leave rows as they are that were changed again, and undo the rest.
    #[arg(long, conflicts_with = "overwrite")]
    pub skip_conflicts: bool,
    /// Set rows to what they were before, whatever came later.
    #[arg(long)]
    pub overwrite: bool,
    /// Also where history was missed in between: the differences are not those of single transactions then.
    #[arg(long)]
    pub across_gap: bool,
    /// Drop tables, indexes, views and triggers that were created in between.
    #[arg(long)]
    pub drop: bool,
    /// Print what came of --apply as JSON.
    #[arg(long, requires = "apply")]
    pub json: bool,
}
