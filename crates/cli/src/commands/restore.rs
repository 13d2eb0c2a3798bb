//! `ebbtide restore`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ebbtide_catalog::{Nothing, Outline, PlanError, Progress, Target, outline};
use ebbtide_replica::Timestamp;
use ebbtide_restore::{LocalState, Options, Report, restore};
use ebbtide_store::Store;
use serde_json::json;
use tokio::task::block_in_place;

use super::choice::target;
use super::release::of_its_process;
use super::{marked, neighbours, quote, sources};
use crate::args::{Integrity, Restore};
use crate::destination::Destination;
use crate::exit::{Failure, Outcome};
use crate::progress_bar::watch;
use crate::source::Source;
use crate::{integrity, logging, output, terminal};

/// Runs the command.
///
/// # Errors
/// When the state cannot be restored exactly, or the target must not be touched.
pub(crate) async fn run(args: Restore) -> Result<Outcome, Failure> {
    let source = Source::find(args.source(), &args.access)?;
    let destination = Destination::find(&args, &source)?;
    let output = &destination.path;
    if let Some(link) = &destination.link {
        let (link, output) = (link.display(), output.display());
        logging::note(format_args!("{link} is a link and leads to {output}"));
    }
    let now = ebbtide_sidecar::clock::now();
    let (mut target, read_as) = target(args.timestamp.as_ref(), args.txid, now)?;
    if let Some(read_as) = &read_as {
        logging::note(read_as);
    }
    if args.if_not_exists && output.symlink_metadata().is_ok() {
        say(
            &args,
            || json!({"restored": false, "output": output, "why": "it exists"}),
            || format!("{} exists: nothing to do", output.display()),
        );
        return Ok(Outcome::Done);
    }
    let (store, location) = sources::open(&source, &args).await?;
    let place = Place { store, location, destination: &destination };
    if let Some(meant) = &args.mark {
        let mark = marked::find(&place.store, meant).await?.mark;
        target = Target::Marked { txid: mark.txid, chain: mark.chain };
    }
    let is_free = args.force || output.symlink_metadata().is_err();
    let released = match is_free && !args.dry_run {
        // Until the end of this restore, whichever it is.
        true => block_in_place(|| of_its_process(output))?,
        false => None,
    };
    let mut done = attempt(&args, &place, target, now).await;
    if let Err(error) = &done
        && let Some(point) = neighbours::chosen(error, args.nearest)
    {
        logging::note(error);
        let target = Target::Txid(point.txid);
        done = attempt(&args, &place, target, now).await;
    }
    match done {
        Ok(done) => {
            let follower = released.as_ref().map(|released| released.process);
            let next = next(&args, &source, &destination, &done, follower);
            tell(&args, output, &done, read_as.as_deref(), next.as_deref());
            Ok(Outcome::Done)
        }
        Err(ebbtide_restore::Error::Plan(PlanError::Nothing(Nothing::Replica { place })))
            if args.if_replica_exists =>
        {
            say(
                &args,
                || json!({"restored": false, "why": "there is no replica"}),
                || format!("there is no replica in {place}: nothing to do"),
            );
            Ok(Outcome::Done)
        }
        Err(error) => Err(neighbours::refusal(error, &args)),
    }
}

/// Where a state comes from and goes to.
struct Place<'a> {
    store: Arc<dyn Store>,
    /// The replica with which the database goes on.
    location: String,
    destination: &'a Destination,
}

async fn attempt(
    args: &Restore,
    place: &Place<'_>,
    target: Target,
    now: Timestamp,
) -> Result<Done, ebbtide_restore::Error> {
    if args.dry_run {
        let store = Arc::clone(&place.store);
        return Ok(Done::Dry(outline(store, target, args.expect_chain, now).await?));
    }
    write(args, place, target, now).await.map(Done::Wet)
}

enum Done {
    Dry(Outline),
    Wet(Report),
}

async fn write(
    args: &Restore,
    place: &Place<'_>,
    target: Target,
    now: Timestamp,
) -> Result<Report, ebbtide_restore::Error> {
    let Place { store, location, destination } = place;
    let (store, location) = (Arc::clone(store), location.clone());
    let check = integrity::check_of(args.verify);
    let state = destination.state.clone().map(|directory| LocalState { directory, location });
    let output = destination.path.clone();
    let (force, expect) = (args.force, args.expect_chain);
    let bytes_per_second = args.bandwidth;
    let options = Options { target, output, force, state, expect, check, bytes_per_second, now };
    let progress = Arc::new(Progress::default());
    watch("restore", args.json, &progress, restore(store, &options, &progress)).await
}

/// What to do next, as a command.
fn next(
    args: &Restore,
    source: &Source,
    to: &Destination,
    done: &Done,
    follower: Option<u32>,
) -> Option<String> {
    let Done::Wet(report) = done else { return None };
    if let Some(process) = follower {
        return Some(format!(
            "start the application; process {process} follows the database again"
        ));
    }
    let replica = quote::word(args.source());
    // What one of several lacks the others have given, and would have to again.
    let sources = quote::words(&args.sources);
    let output = quote::word(&to.path.to_string_lossy());
    if to.state.is_none() {
        let stop = report.outline.point.state.point;
        let txid = report.outline.commit.unwrap_or(stop).txid.get();
        return Some(format!(
            "look at this copy; to go on with it, stop the application and run `ebbtide restore --force --txid {txid:x} \
             -o DATABASE {sources}`"
        ));
    }
    let follow = match &source.database {
        Some(_) if args.access.config.exists() => {
            format!(
                "ebbtide replicate --config {}",
                quote::word(&args.access.config.to_string_lossy())
            )
        }
        Some(_) => {
            format!("ebbtide replicate {output} {}", quote::word(&source.location.to_string()))
        }
        None => format!("ebbtide replicate {output} {replica}"),
    };
    Some(format!("start `{follow}`, which carries on from here, and the application"))
}

fn tell(args: &Restore, output: &Path, done: &Done, read_as: Option<&str>, next: Option<&str>) {
    let (outline, report) = match done {
        Done::Dry(outline) => (outline, None),
        Done::Wet(report) => (&report.outline, Some(report)),
    };
    for notice in &outline.notices {
        logging::note(notice);
    }
    let moved: &[PathBuf] = report.map_or(&[], |report| &report.moved_aside);
    for moved in moved {
        logging::note(format_args!("what was in its place is now {}", moved.display()));
    }
    for lost in report.map_or(&[][..], |report| &report.lost) {
        logging::note(format_args!("of the file that was there, this could not be kept: {lost}"));
    }
    let unchecked = report.and_then(|report| report.unchecked.as_deref());
    if let Some(why) = unchecked {
        logging::note(format_args!("the file is exact, and could not be checked: {why}"));
    }
    let (txid, time) = (outline.point.state.txid(), outline.point.state.time());
    let as_json = || {
        json!({
            "restored": report.is_some(),
            "output": output,
            "replica": outline.replica.to_string(),
            "txid": txid.to_string(),
            "time": time.to_string(),
            "commit_txid": outline.commit.map(|commit| commit.txid.to_string()),
            "commit_time": outline.commit.map(|commit| commit.time.to_string()),
            "chain": outline.point.state.chain.to_string(),
            "head": outline.head.to_string(),
            "is_newest": outline.is_newest,
            "database_bytes": outline.database_bytes(),
            "snapshot": outline.snapshot.map(|key| key.to_string()),
            "objects": outline.objects,
            "object_bytes": outline.object_bytes,
            "bytes_fetched": report.map(|report| report.bytes_fetched),
            "read_as": read_as,
            "verified": args.verify != Integrity::None && report.is_some() && unchecked.is_none(),
            "unchecked": unchecked,
            "not_kept": report.map(|report| &report.lost),
            "next": next,
            "notices": outline.notices.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "moved_aside": moved,
        })
    };
    say(args, as_json, || {
        let size = terminal::bytes(outline.database_bytes());
        // A claim is no commit, and its time is that of a start.
        let commit = outline.commit.unwrap_or(outline.point.state.point);
        let (txid, time) = (commit.txid, commit.time);
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
    if let Some(next) = next.filter(|_| !args.json) {
        logging::next(next);
    }
}

fn say(args: &Restore, json: impl FnOnce() -> serde_json::Value, text: impl FnOnce() -> String) {
    if args.json { output::json(json()) } else { output::line(text()) }
}
