//! `ebbtide undo`.

mod later;

use std::path::Path;

use ebbtide_moment::Proof;
use ebbtide_replica::{Point, Txid};
use ebbtide_rows::{Applied, Conflict, Options, Policy, Undo as Steps, diff};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use super::states::{About, compare};
use super::unrowed::failure;
use crate::args::Undo;
use crate::exit::{Code, Failure, Outcome};
use crate::{logging, output, terminal};

/// Runs the command.
///
/// # Errors
/// When a database cannot be read or written, and with exit code 6 when not all of it was undone.
pub(crate) fn run(args: Undo) -> Result<Outcome, Failure> {
    let policy = match (args.skip_conflicts, args.overwrite) {
        (true, _) => Policy::Skip,
        (_, true) => Policy::Overwrite,
        _ => Policy::Strict,
    };
    let mut steps = Steps::new(policy, args.drop);
    let options = Options { tables: args.tables.clone(), ..Options::default() };
    let mut states = String::new();
    let mut after = None;
    let begin = |about: &About| {
        states = about.text.clone();
        after = about.to;
        about.reading.into_iter().for_each(logging::note);
        match &about.gap {
            Some(gap) if !args.across_gap => {
                let why = format!("{gap}: --across-gap undoes the differences all the same");
                Err(Failure::new(Code::NotAllowed, why))
            }
            _ => Ok(()),
        }
    };
    // What is given back to a database is proved page by page. The differences are those on the way back.
    compare(&args.between, Proof::Page, begin, |before, after, extents| {
        let options = Options { extents: extents.clone(), ..options };
        diff(after, before, &options, &mut steps)
    })?;
    for refusal in steps.refused() {
        logging::note(format_args!("not undone: {}: {}", refusal.what, refusal.why));
    }
    match &args.apply {
        None => print(&states, &mut steps)?,
        Some(path) => apply(&args, &mut steps, path, after)?,
    }
    if steps.refused().is_empty() {
        return Ok(Outcome::Done);
    }
    let why = format!("{} of the differences are not undone", steps.refused().len());
    Err(Failure::new(Code::NotAllowed, why))
}

fn print(states: &str, steps: &mut Steps) -> Result<(), Failure> {
    let about = format!(
        "ebbtide undo: takes back what changed from {states}: {} rows.\n\
         Everything or nothing: if a row was changed since, it is listed, and nothing is changed.",
        steps.rows()
    );
    match steps.print(output::Stream::text(), &about) {
        Err(_) if output::is_gone() => Ok(()),
        printed => printed.map_err(failure),
    }
}

fn apply(args: &Undo, steps: &mut Steps, path: &Path, after: Option<Txid>) -> Result<(), Failure> {
    let failed = |error: rusqlite::Error| {
        Failure::new(Code::Failed, format!("cannot write {}: {error}", path.display()))
    };
    let connection = open(path).map_err(failed)?;
    let applied = steps.apply(&connection).map_err(failure)?;
    connection.close().map_err(|(_, error)| failed(error))?;
    let later = later::find(&args.between, after, &applied.conflicts);
    tell(args, steps.rows(), &applied, &later);
    let count = applied.conflicts_total;
    if !applied.is_done {
        let why =
            format!("nothing was changed, because of {}", terminal::number_of(count, "conflict"));
        return Err(Failure::new(Code::NotAllowed, why));
    }
    if count > 0 && !args.overwrite {
        let why = format!("{count} rows were changed since, and left as they are");
        return Err(Failure::new(Code::NotAllowed, why));
    }
    Ok(())
}

/// Opens the live database. Its log is not ours: it is not checkpointed, and the last close does not delete it.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    let absolute =
        std::path::absolute(path).map_err(|_| rusqlite::Error::InvalidPath(path.to_path_buf()))?;
    let connection = Connection::open_with_flags(absolute, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.execute_batch("PRAGMA trusted_schema = 0; PRAGMA wal_autocheckpoint = 0")?;
    Ok(connection)
}

fn tell(args: &Undo, rows: u64, applied: &Applied, later: &[Option<Point>]) {
    let by = |at: usize| later.get(at).copied().flatten();
    if args.json {
        let conflicts = applied.conflicts.iter().enumerate().map(|(at, conflict)| {
            let by = by(at).map(|Point { txid, time }| json!({ "txid": txid.to_string(), "time": time.to_string() }));
            json!({
                "changed_by": by,
                "table": conflict.table, "row": conflict.row, "what": conflict.what,
                "now": conflict.now, "left": conflict.left,
            })
        });
        output::json(json!({
            "undone": applied.is_done,
            "rows": rows,
            "conflicts_total": applied.conflicts_total,
            "conflicts": conflicts.collect::<Vec<_>>(),
        }));
        return;
    }
    for (at, conflict) in applied.conflicts.iter().enumerate() {
        output::line(as_text(conflict, by(at)));
    }
    let more = applied.conflicts_total.saturating_sub(applied.conflicts.len() as u64);
    if more > 0 {
        output::line(format_args!("and {more} more conflicts"));
    }
    if applied.is_done {
        let left = if args.overwrite { 0 } else { applied.conflicts_total };
        output::line(format_args!("undone: {} rows", rows.saturating_sub(left)));
    }
}

fn as_text(conflict: &Conflict, by: Option<Point>) -> String {
    let Conflict { table, row, what, now, left, .. } = conflict;
    let mut line = format!("conflict {table}");
    if !row.is_empty() {
        line += &format!(" {row}");
    }
    line += &format!(": {what}");
    if let Some(now) = now {
        line += &format!("; now {now}");
    }
    if let Some(left) = left {
        line += &format!("; it was left with {left}");
    }
    if let Some(Point { txid, time }) = by {
        line += &format!("; by txid {txid} of {time}");
    }
    line
}
