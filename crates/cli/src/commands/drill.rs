//! `ebbtide drill`.

use std::sync::Arc;
use std::time::Instant;

use ebbtide_catalog::Progress;
use ebbtide_restore::{Drill as What, DrillRecord, Drilled, Proved, arbitrary, drill};
use ebbtide_sidecar::clock;
use ebbtide_state::peek;
use serde_json::json;

use super::failure;
use crate::args::{Drill, Integrity};
use crate::exit::{Code, Failure, Outcome};
use crate::source::Source;
use crate::terminal::Counted;
use crate::{integrity, output, terminal};

/// Runs the command.
///
/// # Errors
/// When the replica does not give its states, with exit code 4, or there is no room for them.
pub(crate) async fn run(args: Drill) -> Result<Outcome, Failure> {
    let source = Source::find(&args.source, &args.access)?;
    let store = source.open().await?;
    let state = source.state_directory();
    let known = state.as_deref().and_then(|directory| peek(directory).ok().flatten());
    let (now, begun) = (clock::now(), Instant::now());
    let directory = args.directory.unwrap_or_else(std::env::temp_dir);
    let what = What {
        directory: (!args.no_file).then_some(directory),
        check: integrity::check_of(Integrity::Full),
        bytes_per_second: args.bandwidth,
        random: arbitrary(&source.location.to_string(), now),
        durable: known.map(|position| (position.replica, position.state)),
        now,
    };
    let progress = Arc::new(Progress::default());
    let bar = terminal::bar("drill", Counted::Pages, args.json);
    let counts = || {
        let counts = progress.counts();
        (counts.pages_done, counts.pages_total)
    };
    let drilling = drill(store, &what, &progress);
    let result = terminal::watch(&bar, counts, drilling).await;
    let ended = clock::now();
    let before = || state.as_deref().and_then(DrillRecord::read).unwrap_or_default();
    let record = match &result {
        Ok(drilled) => DrillRecord::after(drilled, ended, begun.elapsed(), None),
        Err(error) => before().failed(ended, ebbtide_store::error_chain(error)),
    };
    if let Some(directory) = &state {
        record.write(directory).map_err(failure)?;
    }
    let drilled = result.map_err(failure)?;
    print(args.json, &drilled, &record);
    match record.failed {
        Some(failed) => Err(Failure::new(Code::Damaged, failed.error)),
        None => Ok(Outcome::Done),
    }
}

fn print(json: bool, drilled: &Drilled, record: &DrillRecord) {
    if json {
        output::json(json!({
            "replica": drilled.replica.to_string(),
            "place": drilled.place,
            "proved": record.proved,
            "failed": record.failed,
        }));
        return;
    }
    let Some(proved) = &record.proved else { return };
    output::line(format_args!(
        "replica {} in {}: {}",
        drilled.replica,
        drilled.place,
        said(proved)
    ));
}

/// Shows what the last drills of a database came to, if it is known which one it is, for `ebbtide log`.
pub(crate) fn show(source: &Source, json: bool) {
    let Some(record) = source.state_directory().as_deref().and_then(DrillRecord::read) else {
        return;
    };
    if json {
        output::json(json!({"what": "drill", "proved": record.proved, "failed": record.failed}));
        return;
    }
    if let Some(proved) = &record.proved {
        output::line(said(proved));
    }
    if let Some(failed) = &record.failed {
        output::line(format_args!("the drill at {} failed: {}", failed.at, failed.error));
    }
}

/// What was proved, in a line.
pub(crate) fn said(proved: &Proved) -> String {
    let older = proved.older.map(|older| format!(", and txid {} of {}", older.txid, older.time));
    let compared = if proved.compared { "; as the live database has it" } else { "" };
    format!(
        "proved txid {} of {}{}: {}{compared} ({:.1} s, {} fetched, at {})",
        proved.txid,
        proved.time,
        older.unwrap_or_default(),
        proved.what,
        proved.seconds,
        terminal::bytes(proved.bytes_fetched),
        proved.at
    )
}
