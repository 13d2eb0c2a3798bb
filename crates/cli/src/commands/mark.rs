//! `ebbtide mark`: a state gets a name, and is kept.

use std::time::Duration;

use ebbtide_catalog::Target;
use ebbtide_replica::Txid;
use ebbtide_retention::{MarkError, Marking, Period, mark};
use ebbtide_sidecar::follow::Phase;
use serde_json::json;
use tokio::task::block_in_place;

use super::choice::target;
use super::mark_id::MarkId;
use super::status::gather;
use super::sync::{find, until_durable};
use super::{failure, quote};
use crate::args::Mark;
use crate::exit::{Code, Failure, Outcome};
use crate::source::Source;
use crate::{logging, output};

/// Runs the command.
///
/// # Errors
/// When there is no such state, or it is not certain that it will be kept.
pub(crate) async fn run(args: Mark) -> Result<Outcome, Failure> {
    let source = Source::find(&args.source, &args.access)?;
    let now = ebbtide_sidecar::clock::now();
    let (mut target, read_as) = target(args.timestamp.as_ref(), args.txid, now)?;
    if let Some(read_as) = &read_as {
        logging::note(read_as);
    }
    if target == Target::Latest
        && let Some(txid) = block_in_place(|| synced(&source, args.timeout))?
    {
        target = Target::Txid(txid);
    }
    let store = source.open().await?;
    let random = getrandom::u64().map_err(|error| Failure::new(Code::Failed, error))?;
    let (name, lasts) = (args.name.clone(), args.lasts.unwrap_or(Period::Forever));
    let marking = Marking { name, lasts, target, random, now };
    let made = mark(store, marking).await.map_err(failed)?;
    for notice in &made.notices {
        logging::note(notice);
    }
    let (txid, time) = (made.mark.txid, made.mark.contents.time);
    let id = MarkId::of(&made.mark).to_string();
    if args.json {
        output::json(json!({
            "what": "mark",
            "id": id,
            "name": args.name,
            "txid": txid.to_string(),
            "time": time.to_string(),
            "for": made.mark.contents.lasts,
            "chain": made.mark.chain.to_string(),
            "notices": made.notices.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }));
        return Ok(Outcome::Done);
    }
    let lasts = made.mark.contents.lasts.map_or(String::new(), |lasts| format!(" for {lasts}"));
    output::line(format_args!("marked txid {txid} of {time} as {}{lasts}", args.name));
    let (name, replica) = (quote::word(&args.name), quote::word(&args.source));
    logging::next(format!("`ebbtide restore --mark {name} -o OUT {replica}` gives that state"));
    Ok(Outcome::Done)
}

/// What is durable once everything that is committed now is, if somebody follows the database.
fn synced(source: &Source, patience: Duration) -> Result<Option<Txid>, Failure> {
    let (reports, silent) = gather();
    for why in silent {
        tracing::warn!(why, "it may follow the database");
    }
    let replica = source.location.to_string();
    let report = match &source.database {
        Some(path) => find(path, &reports),
        None => reports.iter().find(|report| report.replica == replica),
    };
    // One that was let go is as durable as it gets.
    let report = report.filter(|report| report.phase != Some(Phase::Ended));
    let Some(report) = report else {
        if let Some(path) = &source.database {
            let path = path.display();
            logging::note(format_args!(
                "no running `ebbtide replicate` follows {path}: what its replica has is marked"
            ));
        }
        return Ok(None);
    };
    until_durable(report, patience).map(Some)
}

fn failed(error: MarkError) -> Failure {
    match error {
        MarkError::Plan(error) => failure(error.into()),
        error @ MarkError::Unwritable(_) => Failure::new(Code::Usage, error),
        error @ MarkError::Condemned { .. } => Failure::new(Code::Nothing, error),
        error => Failure::new(Code::Failed, error),
    }
}
