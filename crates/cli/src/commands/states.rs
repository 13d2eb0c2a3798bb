//! The two states of a comparison: two files, or two moments of a replica.

use std::path::Path;

use ebbtide_moment::{Moment, Proof, Target};
use ebbtide_replica::{Point, Timestamp, Txid};
use ebbtide_rows::{Extents, RowsError, Side};
use ebbtide_trace::{Between as Found, Comparison, Reading, Scope};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::past::{self, failure};
use super::{changes, choice, unrowed};
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
    /// The later one; nothing for two files.
    pub(super) to: Option<Txid>,
    /// How much is compared; nothing for two files.
    pub(super) reading: Option<Reading>,
}

/// Opens both states and compares them: `begin` hears of them first, and may refuse; `diff` gets them with the rows that
/// can differ.
///
/// # Errors
/// When they cannot be read, or what is called fails.
pub(super) fn compare<T>(
    between: &Between,
    proof: Proof,
    begin: impl FnOnce(&About) -> Result<(), Failure>,
    diff: impl FnOnce(Side<'_>, Side<'_>, &Extents) -> Result<T, RowsError>,
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
    diff: impl FnOnce(Side<'_>, Side<'_>, &Extents) -> Result<T, RowsError>,
) -> Result<T, Failure> {
    // All are looked at before one is opened.
    let looked = (Looked::at(old)?, Looked::at(new)?);
    let text = format!("{} to {}", old.display(), new.display());
    begin(&About { text, json: Value::Null, gap: None, to: None, reading: None })?;
    let (old, new) = (looked.0.open()?, looked.1.open()?);
    let all = Extents::default();
    let found = old.with_side(|old| new.with_side(|new| diff(old, new, &all)));
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
    diff: impl FnOnce(Side<'_>, Side<'_>, &Extents) -> Result<T, RowsError>,
) -> Result<T, Failure> {
    let source = Source::find(source, &between.access)?;
    let now = ebbtide_sidecar::clock::now();
    let (from, to) = targets(between, now)?;
    let replica = past::open(&source).await?;
    let old = replica.at(from, now, proof).await.map_err(failure)?;
    let new = replica.at(to, now, proof).await.map_err(failure)?;
    if old.txid() > new.txid() {
        let why = format!("txid {} comes after txid {}", old.txid(), new.txid());
        return Err(Failure::new(Code::Usage, why));
    }
    let scope = if between.full { Scope::Full } else { Scope::Changed };
    // SQLite waits for pages where it is called.
    block_in_place(|| {
        let comparison = Comparison::look(&old, &new, scope).map_err(changes::failure)?;
        begin(&about(&old, &new, &comparison))?;
        let found = comparison.run(diff).map_err(changes::failure)?;
        tracing::debug!(traffic = ?replica.traffic(), "both states were read");
        Ok(found)
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

fn about(old: &Moment, new: &Moment, comparison: &Comparison) -> About {
    let state = |moment: &Moment| json!({ "txid": moment.txid().to_string(), "time": moment.time().to_string() });
    let text =
        format!("txid {} of {} to txid {} of {}", old.txid(), old.time(), new.txid(), new.time());
    let reading = comparison.reading();
    let gap = gap(comparison.between());
    let json = json!({
        "what": "states", "from": state(old), "to": state(new), "proof": new.proof().name(),
        "gap": gap.as_deref(), "compared": reading.name(),
        "why_full": reading.why_full().map(|why| why.to_string()),
    });
    About { text, json, gap, to: Some(new.txid()), reading: Some(reading) }
}

/// Whether there is more than transactions between two states: history that was missed, or that is no longer kept.
fn gap(between: &Found) -> Option<String> {
    if let Some(window) = between.kept_from {
        return Some(format!("single transactions are kept from txid {window} on"));
    }
    let resync = between.resync?;
    let Point { txid, time } = resync;
    Some(format!("entry {txid} of {time} made up for history that was missed"))
}
