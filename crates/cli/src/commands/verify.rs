//! `ebbtide verify`.

use std::sync::Arc;

use ebbtide_catalog::{Progress, Target};
use ebbtide_replica::{Point, Timestamp};
use ebbtide_restore::{Depth, Finding, Options, Sample, Severity, Share, Verification};
use ebbtide_restore::{restore, sample, verify};
use ebbtide_store::Store;
use serde_json::json;

use super::choice::target;
use super::{failure, marked};
use crate::args::{Integrity, Verify};
use crate::exit::{Code, Failure, Outcome};
use crate::progress_bar::watch;
use crate::source::Source;
use crate::{integrity, logging, output, terminal};

/// Runs the command.
///
/// # Errors
/// When something is damaged or missing, with exit code 4.
pub(crate) async fn run(args: Verify) -> Result<Outcome, Failure> {
    let source = Source::find(&args.source, &args.access)?;
    let store = source.open().await?;
    let progress = Arc::new(Progress::default());
    if let Some(share) = args.sample {
        return run_sample(store, share, args.json).await;
    }
    // What is wrong with the arguments is said before all is read.
    let now = ebbtide_sidecar::clock::now();
    let wanted = wanted(&store, &args, now).await?;
    let proving = verify(Arc::clone(&store), &progress);
    let verification = watch("verify", args.json, &progress, proving).await.map_err(failure)?;
    let restored = match args.restore && verification.is_sound() {
        true => Some(try_restore(store, wanted, args.json, now).await?),
        false => None,
    };
    print(&args, &verification, restored.as_ref());
    judge(&verification.findings)
}

/// The state that `--restore` is about.
async fn wanted(store: &Arc<dyn Store>, args: &Verify, now: Timestamp) -> Result<Target, Failure> {
    if let Some(meant) = &args.mark {
        let mark = marked::find(store, meant).await?.mark;
        return Ok(Target::Marked { txid: mark.txid, chain: mark.chain });
    }
    let (target, read_as) = target(args.timestamp.as_ref(), args.txid, now)?;
    if let Some(read_as) = &read_as {
        logging::note(read_as);
    }
    Ok(target)
}

/// Proves the share of today.
async fn run_sample(store: Arc<dyn Store>, share: Share, json: bool) -> Result<Outcome, Failure> {
    let micros = ebbtide_sidecar::clock::now().as_micros();
    let day = u64::try_from(micros.div_euclid(86_400_000_000)).unwrap_or(0);
    let progress = Arc::new(Progress::default());
    let proving = sample(store, Sample { share, day }, &progress);
    let sampled = watch("verify", json, &progress, proving).await.map_err(failure)?;
    if json {
        output::json(json!({ "sound": sampled.is_sound(), "sample": sampled }));
    } else {
        print_findings(&sampled.findings);
        output::line(format_args!(
            "replica {} in {}: read {} of {} objects, {} of {}, the share of {} of day {}",
            sampled.replica,
            sampled.place,
            sampled.read.len(),
            sampled.objects_total,
            terminal::bytes(sampled.bytes),
            terminal::bytes(sampled.bytes_total),
            sampled.share,
            sampled.day
        ));
        if sampled.is_sound() {
            output::line("what was read is sound");
        }
    }
    judge(&sampled.findings)
}

/// The end of the command, by what was found.
fn judge(findings: &[Finding]) -> Result<Outcome, Failure> {
    let damage = findings.iter().filter(|found| found.severity == Severity::Damage).count();
    if damage == 0 {
        return Ok(Outcome::Done);
    }
    let why = format!("{damage} of the replica's objects cannot be relied on");
    Err(Failure::new(Code::Damaged, why))
}

/// Restores the state into a directory that is removed afterwards, and checks it with SQLite; what was restored.
async fn try_restore(
    store: Arc<dyn Store>,
    target: Target,
    json: bool,
    now: Timestamp,
) -> Result<Restored, Failure> {
    let directory = tempfile::tempdir().map_err(|error| Failure::new(Code::Failed, error))?;
    let output = directory.path().join("verify.db");
    let check = integrity::check_of(Integrity::Full);
    let options = Options { check, ..Options::new(target, output, now) };
    let progress = Arc::new(Progress::default());
    let restoring = restore(store, &options, &progress);
    let report = watch("restore", json, &progress, restoring).await.map_err(failure)?;
    let (txid, unchecked) = (report.outline.point.state.txid().to_string(), report.unchecked);
    Ok(Restored { txid, unchecked })
}

/// What was restored, and why SQLite could not check it, or not all of it.
struct Restored {
    txid: String,
    unchecked: Option<String>,
}

/// What can be restored, in words.
fn restorable(verification: &Verification) -> String {
    let range = |[first, last]: &[Point; 2]| match first.txid == last.txid {
        true => format!("txid {} of {}", last.txid, last.time),
        false => format!("txid {} to {} of {}", first.txid, last.txid, last.time),
    };
    let ranges: Vec<String> = verification.restorable.iter().map(range).collect();
    match ranges.is_empty() {
        true => "nothing can be restored".to_owned(),
        false => format!("can be restored: {}", ranges.join("; ")),
    }
}

fn print_findings(findings: &[Finding]) {
    for finding in findings {
        let severity = match finding.severity {
            Severity::Note => "note",
            Severity::Damage => "DAMAGE",
        };
        output::line(format_args!("{severity}: {finding}"));
    }
}

fn print(args: &Verify, verification: &Verification, restored: Option<&Restored>) {
    if args.json {
        output::json(json!({
            "sound": verification.is_sound(),
            "verification": verification,
            "restored": restored.map(|restored| &restored.txid),
            "unchecked": restored.and_then(|restored| restored.unchecked.as_ref()),
        }));
        return;
    }
    print_findings(&verification.findings);
    let counts = &verification.counts;
    output::line(format_args!(
        "replica {} in {}: {} segments, {} packs, {} deltas, {} snapshots, {}",
        verification.replica,
        verification.place,
        counts.segments,
        counts.packs,
        counts.deltas,
        counts.snapshots,
        terminal::bytes(counts.bytes)
    ));
    match verification.depth {
        Depth::Bytes => output::line(format_args!(
            "proved {} entries by {}",
            counts.entries, verification.depth
        )),
        Depth::Index => output::line(format_args!(
            "proved {} of {} entries; {} gaps; {}",
            counts.digests, counts.entries, counts.gaps, verification.depth
        )),
        Depth::Pages => output::line(format_args!(
            "proved {} pages and {} of {} entries; {} gaps",
            counts.pages, counts.digests, counts.entries, counts.gaps
        )),
    }
    if let Some(thinned) = &verification.thinned {
        output::line(format_args!(
            "history before txid {} is thinned; {} of {} states vouched for by horizon {}, {} objects condemned",
            thinned.window, thinned.proved, thinned.states, thinned.horizon, thinned.condemned
        ));
    }
    if verification.depth > Depth::Bytes {
        output::line(restorable(verification));
    }
    match restored {
        Some(Restored { txid, unchecked: None }) => output::line(format_args!(
            "restored txid {txid} to a temporary file; SQLite's integrity_check says ok"
        )),
        Some(Restored { txid, unchecked: Some(why) }) => {
            output::line(format_args!("restored txid {txid} to a temporary file; {why}"));
        }
        None => {}
    }
    if verification.is_sound() {
        output::line("sound");
    }
}
