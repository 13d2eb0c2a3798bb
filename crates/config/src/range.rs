//! What is written of a database, checked: each value within its range.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ebbtide_retention::Keep;
use ebbtide_store::Location;

use crate::drills::drills;
use crate::placeholders::fill;
use crate::prices::{Prices, budget};
use crate::settings::{Values, Word, Words};
use crate::value::{bytes, duration};
use crate::{Database, Puts, defaults};

/// Fewer puts a second are no replication.
const PUTS_MIN: f64 = 0.001;

/// The database at `path`, with everything in its range. `below` is its path below the directory of a pattern, if one names
/// it.
pub(crate) fn in_range(
    values: Values,
    path: &Path,
    below: Option<&Path>,
    prices: &Prices,
) -> Result<Database, String> {
    let fail = |why: &str| why.to_owned();
    let replica = fill(&values.replica.unwrap_or_default(), path, below)?;
    let location = replica.parse::<Location>().map_err(|error| fail(&error.to_string()))?;
    let positive = |key: &str, value: Option<f64>, least: f64, default: f64| match value {
        None => Ok(default),
        Some(value) if value.is_finite() && value >= least => Ok(value),
        Some(value) => Err(fail(&format!("{key} = {value} must be at least {least}"))),
    };
    let budget = values.budget.as_deref().map(budget).transpose()?;
    let usual = defaults::PUTS.per_second;
    let per_second = match budget {
        None => positive("puts-per-second", values.puts_per_second, PUTS_MIN, usual)?,
        Some(_) if values.puts_per_second.is_some() => {
            return Err(fail(
                "budget says how many puts there may be, and so does puts-per-second: leave one of them out",
            ));
        }
        Some(budget) => affordable(budget, prices)?,
    };
    let burst = positive("puts-burst", values.puts_burst, 1.0, defaults::PUTS.burst)?;
    let puts = Puts { per_second, burst };
    let interval = values.snapshot_interval.map(|text| span("snapshot-interval", &text));
    let snapshot_interval = interval.transpose().map_err(|why| fail(&why))?;
    if snapshot_interval.is_some_and(|interval| interval < Duration::from_secs(60)) {
        return Err(fail("snapshot-interval must be at least a minute"));
    }
    let size = |key: &str, text: Option<String>, least: u64, default: u64| {
        text.map_or(Ok(default), |text| bytes(key, &text, least)).map_err(|why| fail(&why))
    };
    let log_bytes_max = size("log-max", values.log_max, 16 << 20, defaults::LOG_BYTES_MAX)?;
    let spool_bytes_max = size("spool-max", values.spool_max, 0, defaults::SPOOL_BYTES_MAX)?;
    // In that of one database, braces are a part of the name.
    let state = |text: String| match below {
        Some(_) => fill(&text, path, below).map(PathBuf::from),
        None => Ok(PathBuf::from(text)),
    };
    Ok(Database {
        location,
        puts,
        budget,
        snapshot_interval,
        log_bytes_max,
        spool_bytes_max,
        checkpoint_frames: checkpoint_frames(values.checkpoint_frames).map_err(|why| fail(&why))?,
        enable_wal: values.enable_wal.unwrap_or(false),
        restore_if_missing: values.restore_if_missing.unwrap_or(false),
        keep: values.keep.as_ref().map(policy).transpose()?,
        prunes: prunes(values.prune.as_deref())?,
        mirrors: mirrors(values.mirror.unwrap_or_default(), path, below)?,
        drills: drills(
            values.drill.as_deref(),
            values.drill_file,
            values.drill_directory.as_deref(),
        )?,
        state: values.state.map(state).transpose()?,
        encrypt_to: values.encrypt_to.unwrap_or_default(),
        encrypt_to_file: values.encrypt_to_file.map(PathBuf::from),
        path: path.to_owned(),
    })
}

/// How many puts a second a budget pays for.
fn affordable(budget: f64, prices: &Prices) -> Result<f64, String> {
    let puts = prices.puts_per_second(budget);
    if !puts.is_finite() {
        return Err(
            "budget: puts cost nothing, as [prices] says: set puts-per-second instead".to_owned()
        );
    }
    if puts < PUTS_MIN {
        return Err(format!(
            "budget = {budget} USD/month pays for less than a put in {} s",
            1.0 / PUTS_MIN
        ));
    }
    Ok(puts)
}

fn policy(words: &Words) -> Result<Keep, String> {
    let words: Vec<(&str, String)> = words
        .iter()
        .map(|(word, value)| match value {
            Word::Text(text) => (word.as_str(), text.clone()),
            Word::Number(number) => (word.as_str(), number.to_string()),
        })
        .collect();
    let words = words.iter().map(|(word, value)| (*word, value.as_str()));
    Keep::from_words(words).map_err(|error| error.to_string())
}

fn mirrors(
    addresses: Vec<String>,
    database: &Path,
    below: Option<&Path>,
) -> Result<Vec<Location>, String> {
    let parse = |address: String| {
        let filled = fill(&address, database, below).map_err(|why| format!("mirror: {why}"))?;
        filled.parse().map_err(|error| format!("mirror: {error}"))
    };
    addresses.into_iter().map(parse).collect()
}

fn prunes(configured: Option<&str>) -> Result<bool, String> {
    match configured {
        None | Some("here") => Ok(true),
        Some("elsewhere") => Ok(false),
        Some(other) => Err(format!("prune = \"{other}\" must be \"here\" or \"elsewhere\"")),
    }
}

fn checkpoint_frames(configured: Option<u32>) -> Result<u32, String> {
    let Some(frames) = configured else { return Ok(defaults::CHECKPOINT_FRAMES) };
    if !(10..=1_000_000).contains(&frames) {
        return Err(format!("checkpoint-frames = {frames} must be between 10 and 1000000"));
    }
    Ok(frames)
}

/// The span of time under a key.
pub(crate) fn span(key: &str, text: &str) -> Result<Duration, String> {
    duration(text).map_err(|why| format!("{key} = {why}"))
}
