//! `ebbtide drill`.

mod fleet;
mod metrics;
mod one;

use ebbtide_restore::{DrillRecord, Drilled};
use ebbtide_state::peek;
use serde_json::json;

use super::drilled::{as_json, remember, said};
use super::failure;
use crate::args::Drill;
use crate::exit::{Code, Failure, Outcome};
use crate::output;
use crate::source::Source;
use one::one;

/// What stands at the end of an address for all replicas below it.
const ALL_BELOW: &str = "/**";

/// Runs the command.
///
/// # Errors
/// When the replica does not give its states, with exit code 4, or there is no room for them.
pub(crate) async fn run(args: Drill) -> Result<Outcome, Failure> {
    let (before_keys, keys) = args.source.split_once('?').unwrap_or((&args.source, ""));
    if let Some(root) = before_keys.strip_suffix(ALL_BELOW) {
        let mark = if keys.is_empty() { "" } else { "?" };
        let root = format!("{root}{mark}{keys}");
        return fleet::run(args, &root).await;
    }
    if args.within.is_some() || args.budget.is_some() || args.metrics.is_some() {
        let why = format!(
            "--within, --budget and --metrics are for all replicas below an address: {before_keys}{ALL_BELOW}"
        );
        return Err(Failure::new(Code::Usage, why));
    }
    let source = Source::find(&args.source, &args.access)?;
    let store = source.open().await?;
    let address = store.address();
    let state = source.state_directory();
    let known = state.as_deref().and_then(|directory| peek(directory).ok().flatten());
    let durable = known.map(|position| (position.replica, position.state));
    let (result, record) = one(&args, store, durable, state.as_deref()).await;
    if let Some(directory) = &state {
        record.write(directory).map_err(failure)?;
    }
    let drilled = result.map_err(failure)?;
    remember(&drilled.replica, &address, &record);
    print(args.json, &drilled, &record);
    match record.failed {
        Some(failed) => Err(Failure::new(Code::Damaged, failed.error)),
        None => Ok(Outcome::Done),
    }
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

fn print(json: bool, drilled: &Drilled, record: &DrillRecord) {
    if json {
        output::json(as_json(drilled, record));
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
