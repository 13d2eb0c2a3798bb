//! `ebbtide key check`.

use ebbtide_replica::Timestamp;
use ebbtide_seal::{KeyId, KeyUse};
use ebbtide_store::KeyError;
use serde_json::json;

use super::wrapped::{self, WrappedKeys};
use crate::args::{Key, KeyCheck, KeyCommand};
use crate::exit::{Code, Failure, Outcome};
use crate::output;
use crate::source::Source;
use crate::terminal::number_of;

/// Runs the command.
///
/// # Errors
/// When a key that was to be opened is not.
pub(crate) async fn run(args: Key) -> Result<Outcome, Failure> {
    match args.command {
        KeyCommand::Check(check) => run_check(check).await,
    }
}

async fn run_check(args: KeyCheck) -> Result<Outcome, Failure> {
    if args.access.identity.opener().is_none() {
        return Err(Failure::new(Code::Usage, "name the identity to check: --identity FILE"));
    }
    // What this host has by itself does not count: it is the identity that is tried.
    let store = Source::find(&args.source, &args.access)?.open_as_owner().await?;
    let (manifest, index) = wrapped::encrypted(&store).await?;
    let keys = WrappedKeys::list(&store).await?;
    let newest = keys.newest_but(index);
    let chosen = keys.ids().filter(|&id| args.all || id == index || Some(id) == newest);
    // One that is not listed is missing, which opening it says.
    let mut chosen: Vec<KeyId> = chosen.collect();
    if !chosen.contains(&index) {
        chosen.push(index);
    }
    let mut failure = None;
    for id in chosen {
        let opened = wrapped::open(&store, &manifest, index, id).await;
        let key_use = wrapped::key_use(index, id);
        say(&args, id, key_use, keys.wrapped(id), opened.as_ref().err());
        // What was left behind opens nothing, and nothing misses it.
        failure = failure.or(opened.err().filter(|error| !is_stray(error)));
    }
    if let Some(error) = failure {
        return Err(Failure::new(Code::of_key(&error), error));
    }
    let damaged = store.keyring().map(|keyring| keyring.damaged()).unwrap_or_default();
    match damaged.first() {
        None => Ok(Outcome::Done),
        Some((key, why)) => {
            let forms = number_of(damaged.len() as u64, "wrapped key");
            let why = format!(
                "{forms} damaged, the first is {key} ({why}). An older form opens: `ebbtide rewrap` makes a new one"
            );
            Err(Failure::new(Code::Damaged, why))
        }
    }
}

/// Whether a key was made for something else, by a start or a copy that was killed before its manifest.
fn is_stray(error: &KeyError) -> bool {
    matches!(error, KeyError::Stray { .. })
}

fn say(
    args: &KeyCheck,
    id: KeyId,
    key_use: KeyUse,
    wrapped: Option<Timestamp>,
    error: Option<&KeyError>,
) {
    let wrapped = wrapped.map(|at| at.to_string());
    if args.json {
        output::json(json!({
            "what": "key",
            "id": id.to_string(),
            "use": key_use.name(),
            "wrapped": wrapped,
            "opens": error.is_none(),
            "error": error.map(ToString::to_string),
        }));
        return;
    }
    let opens = match error {
        None => "opens",
        Some(error) if is_stray(error) => "left behind, and opens nothing here",
        Some(_) => "DOES NOT OPEN",
    };
    let wrapped = wrapped.map_or_else(String::new, |at| format!(", wrapped {at}"));
    output::line(format_args!("{id}  {:<5}  {opens}{wrapped}", key_use.name()));
}
