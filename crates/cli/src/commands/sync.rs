//! `ebbtide sync`: what is committed now is shipped now.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::args::Sync;
use crate::exit::{Code, Failure, Outcome};
use crate::output;
use ebbtide_replica::Txid;
use ebbtide_sidecar::control::{Answer, Peer, Report, Request, Synced, ask_all, peers};

use super::answered::answered;
use super::status::{gather, nobody};

/// Runs the command.
///
/// # Errors
/// When the database is not followed, or what is committed did not become durable in time.
pub(crate) fn run(args: Sync) -> Result<Outcome, Failure> {
    let (reports, silent) = gather();
    let wanted = match &args.database {
        None => None,
        Some(path) => Some(find(path, &reports).ok_or_else(|| missing(path, &silent))?),
    };
    let wait = args.wait.then_some(args.timeout);
    let wait_millis = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    let request =
        Request::Sync { database: wanted.map(|report| report.database.clone()), wait_millis };
    let chosen = |peer: &Peer| wanted.is_none_or(|report| report.process == Some(peer.process));
    let asked: Vec<Peer> = peers().into_iter().filter(chosen).collect();
    let (mut done, mut failed) = (0, Vec::new());
    for (peer, answer) in ask_all(asked, &request, wait.unwrap_or_default()) {
        match synced(&peer, answer) {
            Ok(all) => {
                let believed =
                    all.into_iter().filter(|one| peer.may_tell_of(one.database.as_ref()));
                believed.for_each(|synced| tell(synced, &mut done, &mut failed));
            }
            Err(why) => failed.push(why),
        }
    }
    match failed.is_empty() {
        false => Err(Failure::new(Code::Failed, failed.join("; "))),
        true if done == 0 => Err(nobody()),
        true => Ok(Outcome::Done),
    }
}

/// Waits until everything that is committed now in the database of this report is durable; up to which entry that is.
///
/// # Errors
/// When it does not become so in time.
pub(super) fn until_durable(report: &Report, patience: Duration) -> Result<Txid, Failure> {
    let wait_millis = Some(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
    let request = Request::Sync { database: Some(report.database.clone()), wait_millis };
    let asked = peers().into_iter().filter(|peer| report.process == Some(peer.process));
    let mut why = format!("the process that follows {} is gone", report.database);
    for (peer, answer) in ask_all(asked.collect(), &request, patience) {
        let all = match synced(&peer, answer) {
            Ok(all) => all,
            Err(error) => {
                why = error;
                continue;
            }
        };
        for synced in all.into_iter().filter(|one| one.database == report.database) {
            match (synced.txid.map(|txid| txid.parse()), synced.error) {
                (Some(Ok(txid)), None) => return Ok(txid),
                (_, Some(error)) => why = error,
                (_, None) => why = "it has nothing durable yet".to_owned(),
            }
        }
    }
    let why = format!("what is committed did not become durable, so nothing is marked: {why}");
    Err(Failure::new(Code::Failed, why))
}

fn synced(peer: &Peer, answer: io::Result<Option<Answer>>) -> Result<Vec<Synced>, String> {
    answered(peer, answer, in_sync).map(Option::unwrap_or_default)
}

/// What became of each database, if that was asked.
pub(super) fn in_sync(answer: Answer) -> Option<Vec<Synced>> {
    if let Answer::Sync(all) = answer { Some(all) } else { None }
}

pub(super) fn tell(synced: Synced, done: &mut usize, failed: &mut Vec<String>) {
    *done += 1;
    match (synced.error, synced.txid) {
        (Some(why), _) => failed.push(format!("{}: {why}", synced.database)),
        (None, Some(txid)) => {
            output::line(format_args!("{}: durable up to txid {txid}", synced.database))
        }
        (None, None) => output::line(format_args!("{}: on its way", synced.database)),
    }
}

/// The database that is followed under this path, or is the same file.
pub(super) fn find<'a>(path: &Path, reports: &'a [Report]) -> Option<&'a Report> {
    let absolute = std::path::absolute(path).ok();
    let same = |report: &&Report| absolute.as_deref() == Some(Path::new(&report.database));
    let real = path.canonicalize().ok();
    let same_file = |report: &&Report| {
        real.is_some() && Path::new(&report.database).canonicalize().ok() == real
    };
    reports.iter().find(same).or_else(|| reports.iter().find(same_file))
}

pub(super) fn missing(path: &Path, silent: &[String]) -> Failure {
    let besides = silent.iter().map(|why| format!("; {why}")).collect::<String>();
    let why = format!("no running `ebbtide replicate` follows {}{besides}", path.display());
    Failure::new(Code::Failed, why)
}
