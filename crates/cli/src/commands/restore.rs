//! `ebbtide restore`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ebbtide_replica::Timestamp;
use ebbtide_replica::state::state_folder;
use ebbtide_replica::store::Store;
use ebbtide_restore::{
    LocalState, Nothing, Options, Outline, Progress, Report, Target, outline, restore,
};
use serde_json::json;

use super::failure;
use crate::args::{Integrity, Restore};
use crate::escape::{self, OneLine};
use crate::exit::{Code, Failure, Outcome};
use crate::source::Source;
use crate::when::Point;
use crate::{clock, integrity, terminal};

/// Runs the command.
///
/// # Errors
/// When the state cannot be restored exactly, or the target must not be touched.
pub(crate) async fn run(args: Restore) -> Result<Outcome, Failure> {
    let source = Source::find(&args.source, &args.config)?;
    let output = output(&args, &source)?;
    let now = clock::now();
    let (target, read_as) = target(&args, now)?;
    if let Some(read_as) = &read_as {
        eprintln!("note: {read_as}");
    }
    if args.if_not_exists && output.symlink_metadata().is_ok() {
        say(
            &args,
            || json!({"restored": false, "output": output, "why": "it exists"}),
            || format!("{} exists: nothing to do", output.display()),
        );
        return Ok(Outcome::Done);
    }
    let store = source.open().await?;
    let done = if args.dry_run {
        outline(Arc::clone(&store), target, args.expect_chain, now).await.map(Done::Dry)
    } else {
        write(&args, Arc::clone(&store), &output, target, now).await.map(Done::Wet)
    };
    match done {
        Ok(done) => {
            tell(&args, &output, &done, read_as.as_deref());
            Ok(Outcome::Done)
        }
        Err(ebbtide_restore::Error::Nothing(Nothing::Replica { place }))
            if args.if_replica_exists =>
        {
            say(
                &args,
                || json!({"restored": false, "why": "there is no replica"}),
                || format!("there is no replica in {place}: nothing to do"),
            );
            Ok(Outcome::Done)
        }
        Err(error) => Err(failure(error)),
    }
}

enum Done {
    Dry(Outline),
    Wet(Report),
}

fn output(args: &Restore, source: &Source) -> Result<PathBuf, Failure> {
    let named = args.output.clone().or_else(|| source.database.clone());
    named.ok_or_else(|| {
        Failure::new(Code::Usage, "name the database file to write with -o OUT".to_owned())
    })
}

/// The state that is wanted, and how that was read from the arguments, if they do not say it themselves.
fn target(args: &Restore, now: Timestamp) -> Result<(Target, Option<String>), Failure> {
    let Some(when) = &args.timestamp else {
        let Some(number) = args.txid else { return Ok((Target::Latest, None)) };
        return Ok((Target::Txid(number.txid()), number.said()));
    };
    let reading = when.resolve(&clock::in_local_zone(now));
    let reading = reading.map_err(|error| Failure::new(Code::Usage, error))?;
    let target = match reading.point {
        // Whatever an entry is dated by a clock that was ahead, it was made before now.
        Point::Now => Target::Latest,
        Point::Time(time) => Target::Time(time),
        Point::Txid(txid) => Target::Txid(txid),
    };
    Ok((target, reading.said))
}

async fn write(
    args: &Restore,
    store: Arc<dyn Store>,
    output: &Path,
    target: Target,
    now: Timestamp,
) -> Result<Report, ebbtide_restore::Error> {
    let location = store.describe();
    let check = integrity::check_of(args.verify);
    let state = Some(LocalState { folder: state_folder(output), location });
    let (output, force, expect) = (output.to_owned(), args.force, args.expect_chain);
    let options = Options { target, output, force, state, expect, check, now };
    let progress = Arc::new(Progress::default());
    let bar = terminal::bar("restore", 0, args.json);
    let counts = || {
        let counts = progress.counts();
        (counts.pages_done, counts.pages_total)
    };
    terminal::watch(&bar, counts, restore(store, &options, &progress)).await
}

fn tell(args: &Restore, output: &Path, done: &Done, read_as: Option<&str>) {
    let (outline, report) = match done {
        Done::Dry(outline) => (outline, None),
        Done::Wet(report) => (&report.outline, Some(report)),
    };
    for notice in &outline.notices {
        eprintln!("note: {}", OneLine(notice));
    }
    let moved: &[PathBuf] = report.map_or(&[], |report| &report.moved_aside);
    for moved in moved {
        eprintln!("note: what was in its place is now {}", OneLine(moved.display()));
    }
    let (txid, time) = (outline.point.txid, outline.point.time);
    let as_json = || {
        json!({
            "restored": report.is_some(),
            "output": output,
            "replica": outline.replica.to_string(),
            "txid": txid.to_string(),
            "time": time.to_string(),
            "chain": outline.point.chain.to_string(),
            "head": outline.head.to_string(),
            "is_newest": outline.is_newest,
            "database_bytes": outline.database_bytes(),
            "snapshot": outline.snapshot.map(|key| key.to_string()),
            "objects": outline.objects,
            "object_bytes": outline.object_bytes,
            "bytes_fetched": report.map(|report| report.bytes_fetched),
            "read_as": read_as,
            "verified": args.verify != Integrity::None,
            "notices": outline.notices.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "moved_aside": moved,
        })
    };
    say(args, as_json, || {
        let size = terminal::bytes(outline.database_bytes());
        let newest = if outline.is_newest { ", the newest" } else { "" };
        match report {
            Some(_) => {
                format!("restored {} ({size}) to txid {txid} of {time}{newest}", output.display())
            }
            None => format!(
                "would restore {} ({size}) to txid {txid} of {time}{newest}, from {} objects with {}",
                output.display(),
                outline.objects,
                terminal::bytes(outline.object_bytes)
            ),
        }
    });
}

fn say(args: &Restore, json: impl FnOnce() -> serde_json::Value, text: impl FnOnce() -> String) {
    if args.json {
        println!("{}", escape::json(&json().to_string()));
    } else {
        println!("{}", OneLine(text()));
    }
}
