//! `ebbtide list ADDRESS`: all replicas below an address, from the store alone.

mod table;

use std::sync::Arc;

use ebbtide_fleet::{Fleet, Known, Member, Newest, Options, Summary, look};
use ebbtide_replica::Timestamp;
use ebbtide_seal::{Keys, Unwrap};
use ebbtide_sidecar::clock;
use ebbtide_store::{KeyedStore, Keyring, Location, Store, StoreError};
use futures::future::{BoxFuture, FutureExt as _};
use serde_json::{Value, json};

use super::{drilled, tally};
use crate::args::List;
use crate::exit::{Code, Failure, Outcome};
use crate::progress_bar::{self, Counted};
use crate::user_directory::CachedFile;
use crate::{output, source, terminal};

/// What is kept of a fleet of ten thousand has ten megabytes.
const KNOWN_BYTES_MAX: u64 = 256 << 20;

/// Runs the command.
///
/// # Errors
/// When there is no replica, or some need attention.
pub(crate) async fn run(args: List, address: &str) -> Result<Outcome, Failure> {
    let root = source::address(address)?;
    let now = clock::now();
    let opener = Opener(args.identity.opener());
    let options = Options { with_history: args.history, has_identity: opener.0.is_some() };
    let members = members(&root, &opener, options, now, args.json).await?.members;
    if members.is_empty() {
        let why = format!("there is no replica in {root} or below it: check the address");
        return Err(Failure::new(Code::Nothing, why));
    }
    match args.json {
        true => members.iter().for_each(|member| output::json(as_json(member, now))),
        false => output::lines(&table::table(&members, now, terminal::width())),
    }
    let needing = members.iter().filter(|member| member.needs_attention(now)).count();
    match needing {
        0 => Ok(Outcome::Done),
        some => {
            let all = members.len();
            Err(Failure::new(Code::Failed, format!("{some} of {all} replicas need attention")))
        }
    }
}

/// Opens replicas with what opens their keys.
#[derive(Clone)]
pub(crate) struct Opener(pub(crate) Option<Arc<dyn Unwrap>>);

impl Opener {
    pub(crate) async fn open(self, place: Location) -> Result<Arc<dyn Store>, StoreError> {
        let keyring = Arc::new(Keyring::new(Keys::default(), self.0));
        Ok(Arc::new(KeyedStore::new(place.open().await?, keyring)))
    }

    /// As a fleet wants it.
    pub(crate) fn each(
        &self,
    ) -> impl Fn(Location) -> BoxFuture<'static, Result<Arc<dyn Store>, StoreError>>
    + Send
    + Sync
    + 'static {
        let opener = self.clone();
        move |place| opener.clone().open(place).boxed()
    }
}

/// The replicas below `root`, with what is known of them from before.
///
/// # Errors
/// When what is there cannot be listed.
pub(crate) async fn members(
    root: &Location,
    opener: &Opener,
    options: Options,
    now: Timestamp,
    quiet: bool,
) -> Result<Fleet, Failure> {
    let file = known_file(root);
    let known = file.as_ref().and_then(|file| file.read(KNOWN_BYTES_MAX));
    let mut known = known.map_or_else(Known::default, |json| Known::from_json(&json));
    let bar = progress_bar::bar("replicas", quiet);
    let progress = |done: usize, all: usize| {
        progress_bar::show(&bar, Counted::Number, done as u64, all as u64);
    };
    let looked = look(root, &opener.each(), options, &mut known, now, progress).await;
    bar.finish_and_clear();
    let fleet = looked.map_err(|error| Failure::new(Code::Failed, error))?;
    if let Some(file) = file.filter(|_| fleet.looked_at > 0) {
        file.replace(&known.to_json());
    }
    Ok(fleet.with_drills(drilled::last_of, now))
}

/// Where what is known of a fleet is kept.
fn known_file(root: &Location) -> Option<CachedFile> {
    let name = blake3::hash(root.place().as_os_str().as_encoded_bytes()).to_hex();
    CachedFile::of("fleets", format!("{}.json", &name[..32]))
}

fn as_json(member: &Member, now: Timestamp) -> Value {
    let Member { address, name, summary, drill } = member;
    let attention = member.needs_attention(now);
    let summary = match summary {
        Err(error) => {
            return json!({"address": address, "name": name, "attention": attention, "error": error});
        }
        Ok(summary) => summary,
    };
    let Summary { replica, page_size, created, encrypted, origin, newest, .. } = summary;
    let (txid, time) = match newest {
        Newest::Entry(point) => (Some(point.txid), Some(point.time)),
        Newest::AtLeast(txid) => (Some(*txid), None),
        Newest::None => (None, None),
    };
    let silence = summary.silence;
    let seconds = |micros: i64| micros as f64 / 1e6;
    let proved = drilled::record_of(replica, address).and_then(|record| record.proved);
    json!({
        "address": address,
        "name": name,
        "attention": attention,
        "complaints": member.complaints(now),
        "replica": replica.to_string(),
        "page_size": page_size,
        "created": created,
        "encrypted": encrypted,
        "host": origin.host,
        "database": origin.database,
        "newest_txid": txid.map(|txid| txid.to_string()),
        "newest_time": time,
        "newest_put": silence.map(|silence| silence.since),
        "silent_seconds": silence.map(|silence| seconds(silence.micros(now))),
        "longest_pause_seconds": silence.and_then(|silence| silence.longest_pause).map(seconds),
        "every_commit_from_txid": summary.window.to_string(),
        "oldest_time": summary.kept_since(),
        "older_states": summary.older_states,
        "objects": summary.objects,
        "bytes": summary.bytes,
        "database_bytes": summary.database_bytes,
        "last_proved": proved,
        "drill_failed": drill.failed.as_ref().map(|(at, why)| json!({"at": at, "error": why})),
        "history": summary.counted().map(|tally| tally::json(&tally)),
    })
}
