//! `ebbtide copy`.

use std::sync::Arc;

use ebbtide_catalog::Progress;
use ebbtide_copy::{Copied, CopyError, Options, copy, copy_since};
use ebbtide_replica::Point;
use ebbtide_restore::{Severity, verify};
use serde_json::json;

use super::choice::target as target_of;
use super::failure as failure_of_restore;
use crate::args::Copy;
use crate::exit::{Code, Failure, Outcome};
use crate::source::{Source, address};
use crate::terminal::Counted;
use crate::{logging, output, terminal};

/// Runs the command.
///
/// # Errors
/// When the replica was not copied whole, with exit code 4 if an object of the source is damaged.
pub(crate) async fn run(args: Copy) -> Result<Outcome, Failure> {
    let source = Source::find(&args.source, &args.access)?;
    let target = address(&args.target)?;
    let (from, to) = (source.open().await?, target.open().await);
    let to = to.map_err(|error| Failure::new(Code::Failed, error))?;
    let progress = Arc::new(Progress::default());
    let bar = terminal::bar("copy", Counted::Objects, args.json);
    let counts = || {
        let counts = progress.counts();
        (counts.objects_done, counts.objects_total)
    };
    let options = Options { bytes_per_second: args.bandwidth, ..Options::default() };
    let place = to.describe();
    let now = ebbtide_sidecar::clock::now();
    let since = args.since.as_ref().map(|since| target_of(Some(since), None, now)).transpose()?;
    let copying = async {
        let to = Arc::clone(&to);
        let Some((target, read_as)) = since else {
            return Ok((copy(from, to, options, &progress).await?, None));
        };
        if let Some(read_as) = read_as {
            logging::note(read_as);
        }
        copy_since(from, to, target, now, options, &progress).await
    };
    let (copied, first) = terminal::watch(&bar, counts, copying).await.map_err(failure)?;
    print(&args, &copied, first, &place);
    if !copied.damaged.is_empty() {
        let why = format!(
            "{} objects are damaged at the source and were not copied",
            copied.damaged.len()
        );
        return Err(Failure::new(Code::Damaged, why));
    }
    if args.verify {
        let proving = verify(to, &progress);
        let verification = terminal::watch(&bar, counts, proving).await;
        let verification = verification.map_err(failure_of_restore)?;
        let mut found = verification.findings.iter();
        if let Some(found) = found.find(|found| found.severity == Severity::Damage) {
            return Err(Failure::new(Code::Damaged, format!("the copy is not sound: {found}")));
        }
        if !args.json {
            output::line("the copy is sound");
        }
    }
    Ok(Outcome::Done)
}

fn failure(error: CopyError) -> Failure {
    let error = match error {
        CopyError::Plan(error) => return failure_of_restore(error.into()),
        error => error,
    };
    let code = match &error {
        CopyError::NoReplica { .. } => Code::Nothing,
        CopyError::SamePlace { .. } => Code::Usage,
        CopyError::OtherReplica { .. } => Code::Fenced,
        CopyError::Differs { .. } => Code::Damaged,
        CopyError::Source(error) if error.is_about_object() => Code::Damaged,
        CopyError::Plan(_)
        | CopyError::Source(_)
        | CopyError::Target(_)
        | CopyError::Vanished { .. } => Code::Failed,
    };
    Failure::new(code, error)
}

fn print(args: &Copy, copied: &Copied, first: Option<Point>, place: &str) {
    if args.json {
        output::json(json!({
            "target": place,
            "copied": copied,
            "first_txid": first.map(|first| first.txid.to_string()),
            "first_time": first.map(|first| first.time.to_string()),
        }));
        return;
    }
    for damaged in &copied.damaged {
        output::line(format_args!("DAMAGE: {damaged}"));
    }
    output::line(format_args!(
        "copied {} objects, {}, of replica {} to {place}; {} were there",
        copied.objects,
        terminal::bytes(copied.bytes),
        copied.replica,
        copied.present
    ));
    if let Some(Point { txid, time }) = first {
        output::line(format_args!("it has every state that is kept from txid {txid} of {time} on"));
    }
}
