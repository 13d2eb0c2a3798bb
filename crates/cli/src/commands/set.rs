//! `ebbtide add`, `remove`, `list` and `reload`: what a running `replicate` follows.

use std::time::Duration;

use ebbtide_sidecar::control::{Answer, Peer, Request, Synced, ask_all, peers};
use ebbtide_sidecar::{ListedDatabase, ListedPattern, SetList};
use ebbtide_store::Location;
use serde_json::json;

use super::answered::answered;
use super::status::{gather, nobody};
use super::sync::{find, in_sync, missing, tell};
use crate::args::{Add, List, Reload, Remove};
use crate::escape::OneLine;
use crate::exit::{Code, Failure, Outcome};
use crate::{output, source};

/// How long to wait until a configuration was read again.
const RELOAD_PATIENCE: Duration = Duration::from_secs(30);

/// Has a database followed.
///
/// # Errors
/// When it is not followed in time.
pub(crate) fn add(args: Add) -> Result<Outcome, Failure> {
    let location = match source::address(&args.replica)? {
        // The process that follows may be in another directory.
        Location::Directory(path) => Location::Directory(absolute(&path)?),
        bucket => bucket,
    };
    let database = absolute(&args.database)?;
    let Some(database) = database.to_str().map(str::to_owned) else {
        let why = format!("{}: a name that is no UTF-8 cannot be sent", database.display());
        return Err(Failure::new(Code::Usage, why));
    };
    let wait_millis = millis(args.timeout);
    let request = Request::Add { database, replica: location.to_string(), wait_millis };
    outcome(ask(chosen(args.process)?, &request, args.timeout, in_sync)?)
}

/// Has a database followed no more.
///
/// # Errors
/// When its last sync is not confirmed in time.
pub(crate) fn remove(args: Remove) -> Result<Outcome, Failure> {
    let (reports, silent) = gather();
    let report = find(&args.database, &reports).ok_or_else(|| missing(&args.database, &silent))?;
    let is_its = |peer: &Peer| report.process == Some(peer.process);
    let peer = peers().into_iter().find(is_its).ok_or_else(nobody)?;
    let wait_millis = millis(args.timeout);
    let request = Request::Remove { database: report.database.clone(), wait_millis };
    outcome(ask(peer, &request, args.timeout, in_sync)?)
}

/// Shows what is followed.
///
/// # Errors
/// When nobody answers.
pub(crate) fn list(args: List) -> Result<Outcome, Failure> {
    let mut failed = Vec::new();
    let mut found = 0;
    for (peer, answer) in ask_all(peers(), &Request::List, Duration::ZERO) {
        let list = |answer| if let Answer::List(list) = answer { Some(list) } else { None };
        match answered(&peer, answer, list) {
            Ok(Some(list)) => {
                found += 1;
                show(&peer, &list, args.json);
            }
            Ok(None) => {}
            Err(why) => failed.push(why),
        }
    }
    match failed.is_empty() {
        false => Err(Failure::new(Code::Failed, failed.join("; "))),
        true if found == 0 => Err(nobody()),
        true => Ok(Outcome::Done),
    }
}

/// Has the configuration read again.
///
/// # Errors
/// When it is not taken.
pub(crate) fn reload(args: Reload) -> Result<Outcome, Failure> {
    let of = |answer| if let Answer::Reloaded(reloaded) = answer { Some(reloaded) } else { None };
    let reloaded = ask(chosen(args.process)?, &Request::Reload, RELOAD_PATIENCE, of)?;
    if args.json {
        let json = serde_json::to_string(&reloaded);
        output::json(json.map_err(|error| Failure::new(Code::Failed, error))?);
    } else {
        output::line(format_args!(
            "the configuration was read again: {} unchanged, {} added, {} restarted, {} removed",
            reloaded.unchanged, reloaded.added, reloaded.restarted, reloaded.removed
        ));
    }
    Ok(Outcome::Done)
}

fn absolute(path: &std::path::Path) -> Result<std::path::PathBuf, Failure> {
    let failed = |error| Failure::new(Code::Usage, format!("{}: {error}", path.display()));
    std::path::absolute(path).map_err(failed)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The process that is meant.
fn chosen(process: Option<u32>) -> Result<Peer, Failure> {
    let all = peers();
    let answering = ask_all(all, &Request::List, Duration::ZERO);
    let is_there = |(_, answer): &(Peer, std::io::Result<Option<Answer>>)| {
        matches!(answer, Ok(Some(_)) | Err(_))
    };
    let mut meant: Vec<Peer> =
        answering.into_iter().filter(is_there).map(|(peer, _)| peer).collect();
    meant.retain(|peer| process.is_none_or(|process| peer.process == process));
    match (meant.pop(), meant.as_slice()) {
        (None, _) => Err(nobody()),
        (Some(peer), []) => Ok(peer),
        (Some(peer), others) => {
            let mut all: Vec<u32> = others.iter().map(|other| other.process).collect();
            all.push(peer.process);
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            let why =
                format!("several processes run: name one with --process ({})", all.join(", "));
            Err(Failure::new(Code::Usage, why))
        }
    }
}

fn ask<T>(
    peer: Peer,
    request: &Request,
    patience: Duration,
    wanted: impl FnOnce(Answer) -> Option<T>,
) -> Result<T, Failure> {
    let (peer, answer) = ask_all(vec![peer], request, patience).pop().ok_or_else(nobody)?;
    let answer = answered(&peer, answer, wanted);
    answer.map_err(|why| Failure::new(Code::Failed, why))?.ok_or_else(nobody)
}

/// What became of one database.
fn outcome(all: Vec<Synced>) -> Result<Outcome, Failure> {
    let (mut done, mut failed) = (0, Vec::new());
    all.into_iter().for_each(|one| tell(one, &mut done, &mut failed));
    match failed.is_empty() {
        true => Ok(Outcome::Done),
        false => Err(Failure::new(Code::Failed, failed.join("; "))),
    }
}

fn show(peer: &Peer, list: &SetList, json: bool) {
    for database in &list.databases {
        let ListedDatabase { database, replica, pattern, added, phase } = database;
        let phase = phase.name();
        if json {
            output::json(json!({
                "what": "database", "database": database, "replica": replica, "pattern": pattern,
                "added": added, "phase": phase, "process": peer.process,
            }));
            continue;
        }
        let why = match pattern {
            Some(pattern) => pattern.as_str(),
            None if *added => "added",
            None => "configured",
        };
        output::line(format_args!("{}  {phase}  {replica}  ({why})", OneLine(database)));
    }
    for listed in &list.patterns {
        let ListedPattern { pattern, databases, need_wal, unfinished, other_files, unreadable } =
            listed;
        if json {
            output::json(json!({
                "what": "pattern", "pattern": pattern, "databases": databases, "need_wal": need_wal,
                "unfinished": unfinished, "other_files": other_files, "unreadable": unreadable,
                "process": peer.process,
            }));
            continue;
        }
        let besides = [
            (need_wal, "need enable-wal"),
            (unfinished, "not whole yet"),
            (other_files, "no databases"),
            (unreadable, "not readable"),
        ];
        let besides = besides.iter().filter(|(count, _)| **count > 0);
        let besides: String = besides.map(|(count, what)| format!(", {count} {what}")).collect();
        output::line(format_args!("{pattern}: {databases} followed{besides}"));
    }
}
