//! `ebbtide log`: the history of a replica.

mod changed;
mod kept;
mod line;
mod print;
mod screen;

use std::pin::pin;

use ebbtide_catalog::{Identity, Listing, first_of};
use ebbtide_replica::{Entry, Manifest, Timestamp, Txid};
use ebbtide_seal::KeyUse;
use ebbtide_store::{Store, StoreError, open_key};
use futures::TryStreamExt as _;

use changed::Changed;
use print::{Output, Print};
use screen::LogScreen;

use super::thinned::Thinned;
use super::{drill, marked, unreadable};
use crate::args::Log;
use crate::exit::{Code, Failure, Outcome};
use crate::screen::Screen;
use crate::source::Source;
use crate::when::{Point, When};
use crate::{clock, logging, output};

/// Runs the command.
///
/// # Errors
/// When there is no replica, or it cannot be read.
pub(crate) async fn run(args: Log) -> Result<Outcome, Failure> {
    let source = Source::find(&args.source, &args.access)?;
    let now = ebbtide_sidecar::clock::now();
    let (from, to) = (bound(args.from.as_ref(), now)?, bound(args.to.as_ref(), now)?);
    check_order(from, to, now)?;
    let store = source.open().await?;
    let manifest = readable(&*store).await?;
    let listing = list(&*store).await.map_err(|error| Failure::new(Code::Failed, error))?;
    let marks = marked::shown(&store, &manifest).await?;
    let thinned = Thinned::read(&*store, &manifest).await.map_err(unreadable)?;
    let mut changed = match args.tables || args.changed.is_some() {
        true => Some(Changed::open(&source, args.json).await?),
        false => None,
    };
    let page_bytes = manifest.page_size.offset();
    let mut print = Print::new(form(&args), args.newest, (from, to), now);
    print.head(&store.describe(), &manifest);
    if let Some(thinned) = &thinned {
        print.begin_after(thinned);
    }
    let window = thinned.as_ref().map_or(Txid::FIRST, Thinned::window);
    // Only what is shown is counted, unless it depends on that what is shown.
    let counts_held = args.changed.is_none() && print.is_holding();
    let newest = listing.log.last().and_then(|object| first_of(object.key)).unwrap_or(window);
    let history = ebbtide_catalog::chronology(&listing, window);
    let mut indexes = pin!(ebbtide_catalog::read_indexes(&*store, &manifest, history));
    let mut shown = None;
    while let Some((_, fetched)) = indexes.try_next().await.map_err(unreadable)? {
        let entries = fetched.index.entries().iter();
        // Packs that two processes have made may overlap.
        // What is left of the history before the window is not kept.
        let is_new = |entry: &&Entry| Some(entry.txid) > shown && entry.txid >= window;
        for entry in entries.filter(is_new) {
            if !print.note(entry) {
                continue;
            }
            let rows = match &mut changed {
                Some(changed) if !counts_held => {
                    changed.show(span(window, entry.txid), span(window, newest));
                    changed.by(entry).await?
                }
                _ => None,
            };
            if let Some(table) = &args.changed
                && !rows.as_ref().is_some_and(|rows| changed::has_table(rows, table))
            {
                continue;
            }
            print.entry(entry, page_bytes, rows.as_ref());
        }
        if let Some(changed) = &mut changed {
            changed.keep_some();
        }
        shown = shown.max(Some(fetched.index.footer().last));
        if output::is_gone() {
            return Ok(Outcome::Done);
        }
    }
    if let Some(mut changed) = changed
        && counts_held
    {
        count_held(&mut print, &mut changed).await?;
    }
    drill::show(&source, args.json);
    print.end(&args.source, &listing, &marks, thinned.as_ref());
    Ok(Outcome::Done)
}

/// For whom it is shown.
fn form(args: &Log) -> Output {
    match Screen::of_output(args.utc).filter(|_| !args.json) {
        _ if args.json => Output::Json,
        None => Output::Lines,
        Some(screen) => {
            let most = if args.all { Some(usize::MAX) } else { args.newest };
            Output::Screen(Box::new(LogScreen::new(screen, most, args.all)))
        }
    }
}

/// Counts the rows of the entries that will be shown.
async fn count_held(print: &mut Print, changed: &mut Changed) -> Result<(), Failure> {
    let all = print.held().len() as u64;
    for (done, held) in (0..).zip(print.held()) {
        changed.show(done, all);
        held.rows = changed.by(&held.entry).await?;
        changed.keep_some();
    }
    Ok(())
}

/// How many entries there are from one to another, which need not come after it.
fn span(from: Txid, to: Txid) -> u64 {
    to.get().saturating_sub(from.get())
}

/// What the replica is, once its index key is there: without that nothing of an encrypted one is shown, and not its head
/// either.
async fn readable(store: &dyn Store) -> Result<Manifest, Failure> {
    let identity = ebbtide_catalog::identify(store, None).await.map_err(unreadable)?;
    let Some(Identity { manifest, .. }) = identity else {
        let why = format!("there is no replica in {}: check the address", store.describe());
        return Err(Failure::new(Code::Nothing, why));
    };
    if let Some(encryption) = manifest.encryption {
        let index = open_key(store, manifest.replica, encryption.index, KeyUse::Index).await;
        index.map_err(|error| unreadable(error.into()))?;
    }
    Ok(manifest)
}

/// One end of what is to be shown. How it was read is printed.
fn bound(when: Option<&When>, now: Timestamp) -> Result<Option<Point>, Failure> {
    let Some(when) = when else { return Ok(None) };
    let reading = when.resolve(&clock::in_local_zone(now));
    let reading = reading.map_err(|error| Failure::new(Code::Usage, error))?;
    if let Some(said) = reading.said {
        logging::note(said);
    }
    Ok(Some(reading.point))
}

/// What begins after its end would show nothing, and somebody may take that for an answer.
fn check_order(from: Option<Point>, to: Option<Point>, now: Timestamp) -> Result<(), Failure> {
    let time = |point| match point {
        Point::Now => Some(now),
        Point::Time(time) => Some(time),
        Point::Txid(_) => None,
    };
    let (Some(from), Some(to)) = (from, to) else { return Ok(()) };
    let said = match (from, to) {
        (Point::Txid(from), Point::Txid(to)) if from > to => {
            Some(format!("txid {from}, comes after txid {to}"))
        }
        _ => time(from)
            .zip(time(to))
            .filter(|(from, to)| from > to)
            .map(|(from, to)| format!("{from}, comes after {to}")),
    };
    said.map_or(Ok(()), |said| {
        let why = format!(
            "--from, {said}, the end by --to: nothing lies between; give the earlier one as --from"
        );
        Err(Failure::new(Code::Usage, why))
    })
}

/// The names, without those of segments that are in packs, if all others are known then.
pub(super) async fn list(store: &dyn Store) -> Result<Listing, StoreError> {
    match ebbtide_catalog::list_recent(store).await? {
        (listing, None) => Ok(listing),
        (_, Some(_)) => ebbtide_catalog::list(store).await,
    }
}
