//! `ebbtide prune`.

use std::collections::BTreeMap;

use ebbtide_catalog::PlanError;
use ebbtide_config::Prices;
use ebbtide_replica::{Key, KeyPrefix, Timestamp};
use ebbtide_retention::{
    Deleted, GRACE_MICROS, Keep, Outlook, Pass, Preview, PruneError, Pruned, preview, prune, undo,
};
use ebbtide_sidecar::clock;
use ebbtide_store::Object;
use serde_json::{Value, json};

use super::failure as failure_of_restore;
use crate::args::Prune;
use crate::exit::{Code, Failure, Outcome};
use crate::source::Source;
use crate::{output, terminal};

/// How many states are shown to a person.
const STATES_SHOWN: usize = 12;

const BY: &str = concat!("ebbtide ", env!("CARGO_PKG_VERSION"));

/// Runs the command.
///
/// # Errors
/// When something stands in the way; then nothing was deleted that is needed.
pub(crate) async fn run(args: Prune) -> Result<Outcome, Failure> {
    let source = Source::find(&args.source, &args.access)?;
    let keep = args.keep.or(source.keep);
    let store = source.open().await?;
    if args.undo {
        let undone = undo(store, BY).await.map_err(failure)?;
        if args.json {
            output::json(json!({
                "undone": undone.number, "objects": undone.objects, "bytes": undone.bytes, "window": undone.window,
            }));
        } else {
            output::line(format_args!(
                "taken back: {} objects, {}, that horizon {} had condemned; every commit is kept again from txid {} on",
                undone.objects,
                terminal::bytes(undone.bytes),
                undone.number,
                undone.window
            ));
        }
        return Ok(Outcome::Done);
    }
    if args.confirm {
        let pass =
            Pass { keep, confirm_shrink: args.confirm_shrink, thorough: true, by: BY.to_owned() };
        let pruned = prune(store, &pass).await.map_err(failure)?;
        if args.json { output::json(pruned_json(&pruned)) } else { print_pruned(&pruned) }
    } else {
        // Nothing is put, so the store is not asked for its time.
        let shown = preview(store, keep.as_ref(), clock::now()).await.map_err(failure)?;
        if args.json { output::json(preview_json(&shown)) } else { print_preview(&shown, keep) }
    }
    Ok(Outcome::Done)
}

fn failure(error: PruneError) -> Failure {
    let code = match error {
        PruneError::Missing(_) | PruneError::Damaged { .. } => Code::Damaged,
        PruneError::Shrinks { .. } => Code::Usage,
        PruneError::NothingToUndo(_) | PruneError::Plan(PlanError::Nothing(_)) => Code::Nothing,
        PruneError::Plan(error) => return failure_of_restore(ebbtide_restore::Error::Plan(error)),
        PruneError::Proof(error) => return failure_of_restore(error),
        _ => Code::Failed,
    };
    Failure::new(code, error)
}

fn print_preview(shown: &Preview, keep: Option<Keep>) {
    let outlook = &shown.outlook;
    match keep {
        Some(keep) => output::line(format_args!("policy: {keep}")),
        None => output::line("no policy (keep): all history is kept"),
    }
    print_kept(outlook);
    if !shown.packed.is_empty() {
        print_objects("goes now, because it is in packs", &shown.packed);
    }
    if !shown.due.is_empty() {
        print_objects("goes now, because it was condemned more than a day ago", &shown.due);
    } else if let (Some(at), false) = (shown.due_at, outlook.carried.is_empty()) {
        let bytes = outlook.carried.iter().map(|object| object.size).sum();
        output::line(format_args!(
            "condemned before: {} objects, {}; they go after {}",
            outlook.carried.len(),
            terminal::bytes(bytes),
            seconds(at)
        ));
    }
    if outlook.unneeded.is_empty() {
        output::line("nothing else would go");
    } else {
        print_objects(
            "would be condemned, because nothing that is kept needs it",
            &outlook.unneeded,
        );
        output::line(
            "it would be deleted a day later, and could be taken back within 13 hours (--undo)",
        );
    }
    if !(shown.packed.is_empty() && shown.due.is_empty() && outlook.unneeded.is_empty()) {
        output::line("nothing was changed: --confirm does it");
    }
}

fn print_kept(outlook: &Outlook) {
    let (head, window) = (outlook.head.point, outlook.window);
    output::line(format_args!("newest state: txid {} of {}", head.txid, seconds(head.time)));
    if window > head.txid {
        output::line("of the commits, only the newest state is kept");
    } else {
        output::line(format_args!("kept: every commit from txid {window} on"));
    }
    if outlook.states.is_empty() {
        return;
    }
    output::line(format_args!("kept before that: {}", count(outlook.states.len(), "state")));
    let skipped = outlook.states.len().saturating_sub(STATES_SHOWN);
    if skipped > 0 {
        output::line(format_args!("  … {skipped} older ones (--json has all)"));
    }
    for kept in &outlook.states[skipped..] {
        let until = match kept.until {
            Some(until) => format!("until {}", seconds(until)),
            None => "as long as that is so".to_owned(),
        };
        let state = &kept.state;
        output::line(format_args!(
            "  txid {} of {}  {}, {until}",
            state.txid,
            seconds(state.time),
            state.why.join(", ")
        ));
    }
    for txid in &outlook.lost_marks {
        output::line(format_args!("  txid {txid} is marked, and cannot be kept any more"));
    }
}

/// A line for each kind of object, and what they cost.
fn print_objects(what: &str, objects: &[Object]) {
    let bytes: u64 = objects.iter().map(|object| object.size).sum();
    output::line(format_args!(
        "{what}: {}, {}{}",
        count(objects.len(), "object"),
        terminal::bytes(bytes),
        dollars(bytes)
    ));
    for (kind, (number, bytes)) in by_kind(objects) {
        output::line(format_args!("  {kind}: {number}, {}", terminal::bytes(bytes)));
    }
}

fn by_kind(objects: &[Object]) -> BTreeMap<&'static str, (usize, u64)> {
    let mut kinds = BTreeMap::new();
    for object in objects {
        let kind = match object.key.prefix() {
            Some(KeyPrefix::Log) => "segments",
            Some(KeyPrefix::Pack) => "packs",
            Some(KeyPrefix::Delta) => "deltas",
            Some(KeyPrefix::Snapshot) => "snapshots",
            Some(KeyPrefix::Horizon | KeyPrefix::Mark | KeyPrefix::Wrapped) | None => "others",
        };
        let (number, bytes) = kinds.entry(kind).or_insert((0, 0));
        *number += 1;
        *bytes += object.size;
    }
    kinds
}

/// What so many bytes cost, if that is a cent a month or more.
#[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
fn dollars(bytes: u64) -> String {
    let dollars = Prices::default().stored(bytes as f64);
    if dollars < 0.01 { String::new() } else { format!(", about ${dollars:.2} a month in S3") }
}

fn count(number: usize, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

/// A time to the second.
fn seconds(time: Timestamp) -> String {
    format!("{:.0}", jiff::Timestamp::from(time))
}

fn print_pruned(pruned: &Pruned) {
    print_kept(&pruned.outlook);
    for (what, deleted) in
        [("in packs", &pruned.packed), ("condemned more than a day ago", &pruned.condemned)]
    {
        if deleted.objects > 0 {
            let bytes = terminal::bytes(deleted.bytes);
            output::line(format_args!("deleted, {what}: {} objects, {bytes}", deleted.objects));
        }
        print_retained(deleted);
    }
    match pruned.horizon {
        Some(number) => {
            print_objects(&format!("condemned by horizon {number}"), &pruned.outlook.unneeded);
            let at = pruned.outlook.now.as_micros().saturating_add(GRACE_MICROS);
            let at = Timestamp::from_micros(at).map(seconds).unwrap_or_default();
            output::line(format_args!(
                "it is deleted by the first prune after {at}; --undo takes it back within 13 hours"
            ));
        }
        None => match pruned.waits_until {
            Some(at) => {
                print_objects("not needed any more", &pruned.outlook.unneeded);
                output::line(format_args!(
                    "it is condemned by the first prune after {}, once what was condemned before is deleted",
                    seconds(at)
                ));
            }
            None => output::line("nothing more to condemn"),
        },
    }
}

fn print_retained(deleted: &Deleted) {
    let Some((key, why)) = deleted.retained.first() else { return };
    output::line(format_args!(
        "retained by the store: {}; the first is {key}: {why}",
        count(deleted.retained.len(), "object")
    ));
}

fn objects_json(objects: &[Object]) -> Value {
    let named = |object: &Object| json!({ "name": object.key, "bytes": object.size });
    objects.iter().map(named).collect()
}

fn outlook_json(outlook: &Outlook) -> Value {
    let states = outlook.states.iter().map(|kept| {
        json!({
            "txid": kept.state.txid, "time": kept.state.time, "until": kept.state.until,
            "why": kept.state.why, "kept_until": kept.until,
        })
    });
    json!({
        "newest": outlook.head.point,
        "every_commit_from": outlook.window,
        "states": states.collect::<Value>(),
        "given_up_states": outlook.given_up,
        "lost_marks": outlook.lost_marks,
        "condemned_before": outlook.carried,
        "unneeded": objects_json(&outlook.unneeded),
    })
}

fn preview_json(shown: &Preview) -> Value {
    json!({
        "changed": false,
        "packed": objects_json(&shown.packed),
        "due": objects_json(&shown.due),
        "due_at": shown.due_at,
        "outlook": outlook_json(&shown.outlook),
    })
}

fn pruned_json(pruned: &Pruned) -> Value {
    let deleted = |deleted: &Deleted| {
        let retained = deleted.retained.iter();
        let retained =
            retained.map(|(key, why): &(Key, _)| json!({ "name": key, "why": why.to_string() }));
        json!({
            "objects": deleted.objects, "bytes": deleted.bytes, "retained": retained.collect::<Value>(),
        })
    };
    json!({
        "changed": true,
        "packed": deleted(&pruned.packed),
        "condemned_before": deleted(&pruned.condemned),
        "horizon": pruned.horizon,
        "waits_until": pruned.waits_until,
        "outlook": outlook_json(&pruned.outlook),
    })
}
