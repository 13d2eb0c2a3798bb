//! `ebbtide marks`, and `ebbtide unmark`.

use std::sync::Arc;

use ebbtide_catalog::{PlanError, Progress, StoredMark, Survey, Target};
use ebbtide_replica::{Mark, Timestamp};
use ebbtide_store::Store;

use super::mark_id::MarkId;
use super::{failure, mark_line, marked};
use crate::args::{Marks, Unmark};
use crate::exit::{Code, Failure, Outcome};
use crate::output;
use crate::source::Source;

/// Lists the marks.
///
/// # Errors
/// When there is no replica, or it cannot be read.
pub(crate) async fn run(args: Marks) -> Result<Outcome, Failure> {
    let source = Source::find(&args.source, &args.access)?;
    let now = ebbtide_sidecar::clock::now();
    let store = source.open().await?;
    let marks = marked::all(&store).await?;
    if marks.is_empty() {
        if !args.json {
            output::line("nothing is marked");
        }
        return Ok(Outcome::Done);
    }
    let mut survey = Survey::recent(Arc::clone(&store), Arc::new(Progress::default()))
        .await
        .map_err(|error| failure(error.into()))?;
    if !args.json {
        output::line("TXID              TIME                         KEPT  NAME");
    }
    for stored in &marks {
        let is_kept = is_kept(&mut survey, &store, &stored.mark, now).await?;
        if args.json {
            let mut line = mark_line::as_json(stored);
            line["kept"] = is_kept.into();
            output::json(line);
        } else {
            output::line(as_text(stored, is_kept, now));
        }
    }
    Ok(Outcome::Done)
}

fn as_text(stored: &StoredMark, is_kept: bool, now: Timestamp) -> String {
    let StoredMark { mark, .. } = stored;
    let (txid, time, name) = (mark.txid, mark.contents.time, &mark.contents.name);
    let kept = if is_kept { "yes" } else { "no" };
    let lasts = mark_line::lasts(stored, now);
    format!("{txid}  {time}  {kept:<4}  {name}  ({lasts}; {})", MarkId::of(mark))
}

/// Whether the state of a mark is kept, or can be had although the newest horizon does not keep it yet.
async fn is_kept(
    survey: &mut Survey,
    store: &Arc<dyn Store>,
    mark: &Mark,
    now: Timestamp,
) -> Result<bool, Failure> {
    let known = survey.known();
    let chain = known.kept(mark.txid).and_then(|state| state.chain());
    if mark.txid < known.window() {
        if chain.is_some() {
            return Ok(chain == Some(mark.chain));
        }
        // It plans by another horizon, so it is not used again.
        let progress = Arc::new(Progress::default());
        let own = Survey::recent(Arc::clone(store), progress).await;
        let mut own = own.map_err(|error| failure(error.into()))?;
        let target = Target::Marked { txid: mark.txid, chain: mark.chain };
        return match own.plan(target, now).await {
            Ok(_) => Ok(true),
            Err(PlanError::Store(error)) => Err(Failure::new(Code::Failed, error)),
            Err(_) => Ok(false),
        };
    }
    let head = survey.head().await.map_err(|error| failure(error.into()))?;
    Ok(head.is_some_and(|head| mark.txid <= head))
}

/// Removes a mark.
///
/// # Errors
/// When there is none, several have the name, or the store does not allow it.
pub(crate) async fn unmark(args: Unmark) -> Result<Outcome, Failure> {
    let source = Source::find(&args.source, &args.access)?;
    let store = source.open().await?;
    let (key, said) = match args.mark.parse::<MarkId>() {
        // Also one that cannot be read.
        Ok(id) if is_there(&store, id).await? => (id.key(), id.to_string()),
        _ => {
            let StoredMark { mark, .. } = marked::find(&store, &args.mark).await?;
            let (txid, time) = (mark.txid, mark.contents.time);
            (mark.key(), format!("{} of txid {txid}, {time}", mark.contents.name))
        }
    };
    store.delete(&key).await.map_err(|error| Failure::new(Code::Failed, error))?;
    output::line(format_args!("removed the mark {said}: its state is kept as the policy says"));
    Ok(Outcome::Done)
}

async fn is_there(store: &Arc<dyn Store>, id: MarkId) -> Result<bool, Failure> {
    let size = store.size(&id.key()).await;
    Ok(size.map_err(|error| Failure::new(Code::Failed, error))?.is_some())
}
