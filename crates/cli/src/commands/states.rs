//! The two states of a comparison: two files, or two moments of a replica.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use ebbtide_moment::{Moment, Proof, Target};
use ebbtide_replica::{EntryKind, Manifest, Timestamp, Txid};
use ebbtide_rows::{RowsError, Side};
use ebbtide_sql::Past;
use ebbtide_store::Store;
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::log::list;
use super::past::{self, failure, sql_failure};
use super::thinned::Thinned;
use super::{choice, unreadable, unrowed};
use crate::args::Between;
use crate::database_file::Looked;
use crate::exit::{Code, Failure, Outcome};
use crate::runtime::Workers;
use crate::source::Source;
use crate::{logging, runtime};

/// What there is to say of the two states.
pub(super) struct About {
    /// Both, in words.
    pub(super) text: String,
    /// Both, for programs; null for two files.
    pub(super) json: Value,
    /// Why the differences are not those of single transactions.
    pub(super) gap: Option<String>,
}

/// Opens both states and compares them: `begin` hears of them first, and may refuse.
///
/// # Errors
/// When they cannot be read, or what is called fails.
pub(super) fn compare<T>(
    between: &Between,
    proof: Proof,
    begin: impl FnOnce(&About) -> Result<(), Failure>,
    diff: impl FnOnce(Side<'_>, Side<'_>) -> Result<T, RowsError>,
) -> Result<T, Failure> {
    let is_named = between.txid.is_some() || between.from.is_some();
    match &between.sides[..] {
        [old, new] if !is_named => files((Path::new(old), Path::new(new)), begin, diff),
        [_, _] => {
            let why = "--txid, --from and --to are for one replica: name it alone, or two files without them";
            Err(Failure::new(Code::Usage, why))
        }
        [source] if is_named => {
            let mut found = None;
            runtime::run(Workers::Cores, async {
                found = Some(moments(source, between, proof, begin, diff).await?);
                Ok(Outcome::Done)
            })?;
            found.ok_or_else(|| Failure::new(Code::Failed, "nothing was compared"))
        }
        _ => {
            let why =
                "say which two states: two files, or one replica with --txid N or --from WHEN";
            Err(Failure::new(Code::Usage, why))
        }
    }
}

fn files<T>(
    (old, new): (&Path, &Path),
    begin: impl FnOnce(&About) -> Result<(), Failure>,
    diff: impl FnOnce(Side<'_>, Side<'_>) -> Result<T, RowsError>,
) -> Result<T, Failure> {
    // All are looked at before one is opened.
    let looked = (Looked::at(old)?, Looked::at(new)?);
    let text = format!("{} to {}", old.display(), new.display());
    begin(&About { text, json: Value::Null, gap: None })?;
    let (old, new) = (looked.0.open()?, looked.1.open()?);
    let found = old.with_side(|old| new.with_side(|new| diff(old, new)));
    let found = found.map_err(unrowed::failure)?;
    old.finish()?;
    new.finish()?;
    Ok(found)
}

async fn moments<T>(
    source: &str,
    between: &Between,
    proof: Proof,
    begin: impl FnOnce(&About) -> Result<(), Failure>,
    diff: impl FnOnce(Side<'_>, Side<'_>) -> Result<T, RowsError>,
) -> Result<T, Failure> {
    let source = Source::find(source, &between.config)?;
    let now = ebbtide_sidecar::clock::now();
    let (from, to) = targets(between, now)?;
    let replica = past::open(&source).await?;
    let old = replica.at(from, now, proof).await.map_err(failure)?;
    let new = replica.at(to, now, proof).await.map_err(failure)?;
    if old.txid() > new.txid() {
        let why = format!("txid {} comes after txid {}", old.txid(), new.txid());
        return Err(Failure::new(Code::Usage, why));
    }
    let store = Arc::clone(replica.survey().await.store());
    let gap = gap(&*store, replica.manifest(), old.txid(), new.txid()).await?;
    begin(&about(&old, &new, gap))?;
    // SQLite waits for pages where it is called.
    block_in_place(|| {
        let connect = |moment: &Moment| Past::connect(moment).map_err(sql_failure);
        let (old, new) = (connect(&old)?, connect(&new)?);
        let found = diff(Side::new(&old, "main"), Side::new(&new, "main"));
        // SQLite says only that reading failed.
        found.map_err(|error| {
            let cause = [&old, &new].into_iter().find_map(|past| past.main().take_failure());
            cause.map_or_else(|| unrowed::failure(error), failure)
        })
    })
}

/// The earlier and the later state. How a time was read is said.
fn targets(between: &Between, now: Timestamp) -> Result<(Target, Target), Failure> {
    let (to, said) = choice::target(between.to.as_ref(), between.txid, now)?;
    let (from, also) = match between.txid {
        None => choice::target(between.from.as_ref(), None, now)?,
        Some(number) => {
            let before = number.txid().previous().ok_or_else(|| {
                Failure::new(Code::Nothing, "txid 1 is the first: there is no state before it")
            })?;
            (Target::Txid(before), None)
        }
    };
    also.into_iter().chain(said).for_each(logging::note);
    Ok((from, to))
}

fn about(old: &Moment, new: &Moment, gap: Option<String>) -> About {
    let state = |moment: &Moment| json!({ "txid": moment.txid().to_string(), "time": moment.time().to_string() });
    let text =
        format!("txid {} of {} to txid {} of {}", old.txid(), old.time(), new.txid(), new.time());
    let json = json!({
        "what": "states", "from": state(old), "to": state(new), "proof": new.proof().name(),
        "gap": gap.as_deref(),
    });
    About { text, json, gap }
}

/// Whether there is more than transactions between two states: history that was missed, or that is no longer kept.
async fn gap(
    store: &dyn Store,
    manifest: &Manifest,
    from: Txid,
    to: Txid,
) -> Result<Option<String>, Failure> {
    let thinned = Thinned::read(store, manifest).await.map_err(unreadable)?;
    if let Some(window) =
        thinned.map(|thinned| thinned.window()).filter(|window| *window > from.next())
    {
        return Ok(Some(format!("single transactions are kept from txid {window} on")));
    }
    let listing = list(store).await.map_err(|error| Failure::new(Code::Failed, error))?;
    let objects = ebbtide_catalog::chronology(&listing, from.next());
    let mut indexes = pin!(ebbtide_catalog::read_indexes(store, manifest, objects));
    while let Some((_, fetched)) = indexes.try_next().await.map_err(unreadable)? {
        let mut entries = fetched.index.entries().iter();
        let is_resync = |entry: &&ebbtide_replica::Entry| {
            entry.kind == EntryKind::Resync && entry.txid > from && entry.txid <= to
        };
        if let Some(entry) = entries.find(is_resync) {
            return Ok(Some(format!(
                "entry {} of {} made up for history that was missed",
                entry.txid, entry.time
            )));
        }
        if fetched.index.footer().last >= to {
            break;
        }
    }
    Ok(None)
}
