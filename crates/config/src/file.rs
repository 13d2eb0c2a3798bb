//! The file as it is written, before anything in it is checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ebbtide_retention::Keep;
use ebbtide_store::Location;
use serde::Deserialize;

use crate::drills::drills;
use crate::value::{bytes, duration};
use crate::variables::{Lookup, expand};
use crate::{Database, Puts, defaults};

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct File {
    #[serde(default)]
    pub(crate) defaults: Defaults,
    #[serde(default)]
    pub(crate) database: Vec<Entry>,
    pub(crate) shutdown_timeout: Option<String>,
}

/// What it says of all databases that do not say otherwise.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Defaults {
    puts_per_second: Option<f64>,
    puts_burst: Option<f64>,
    snapshot_interval: Option<String>,
    log_max: Option<String>,
    spool_max: Option<String>,
    checkpoint_frames: Option<u32>,
    enable_wal: Option<bool>,
    keep: Option<Words>,
    prune: Option<String>,
    mirror: Option<Vec<String>>,
    drill: Option<String>,
    drill_file: Option<bool>,
    drill_directory: Option<String>,
}

/// A policy as it is written: each word with its value.
type Words = BTreeMap<String, Word>;

/// A period, or a number.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Number(i64),
}

/// What it says of a database.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Entry {
    path: String,
    replica: String,
    puts_per_second: Option<f64>,
    puts_burst: Option<f64>,
    snapshot_interval: Option<String>,
    log_max: Option<String>,
    spool_max: Option<String>,
    checkpoint_frames: Option<u32>,
    enable_wal: Option<bool>,
    keep: Option<Words>,
    prune: Option<String>,
    mirror: Option<Vec<String>>,
    drill: Option<String>,
    drill_file: Option<bool>,
    drill_directory: Option<String>,
    state: Option<String>,
}

/// The keys that there are.
const KEYS: [&str; 19] = [
    "database",
    "defaults",
    "shutdown-timeout",
    "path",
    "replica",
    "puts-per-second",
    "puts-burst",
    "snapshot-interval",
    "log-max",
    "spool-max",
    "checkpoint-frames",
    "enable-wal",
    "keep",
    "prune",
    "mirror",
    "drill",
    "drill-file",
    "drill-directory",
    "state",
];

/// A longer word is no misspelt key, and would cost much memory to compare.
const MISSPELT_BYTES_MAX: usize = 32;

impl File {
    /// # Errors
    /// With what is wrong, where, and what was probably meant.
    pub(crate) fn parse(text: &str) -> Result<File, String> {
        toml::from_str(text).map_err(|error| with_suggestion(&error))
    }
}

impl Entry {
    /// The same with its variables replaced.
    fn expand(self, variable: Lookup<'_>) -> Result<Entry, String> {
        let what = self.path.clone();
        let text = |key: &str, text: &str| {
            expand(text, variable).map_err(|why| format!("[[database]] {what}: {key} = {why}"))
        };
        let maybe = |key, value: Option<String>| value.map(|value| text(key, &value)).transpose();
        let mirror = self.mirror.map(|all| all.iter().map(|one| text("mirror", one)).collect());
        Ok(Entry {
            mirror: mirror.transpose()?,
            path: text("path", &self.path)?,
            replica: text("replica", &self.replica)?,
            snapshot_interval: maybe("snapshot-interval", self.snapshot_interval)?,
            log_max: maybe("log-max", self.log_max)?,
            spool_max: maybe("spool-max", self.spool_max)?,
            drill: maybe("drill", self.drill)?,
            drill_directory: maybe("drill-directory", self.drill_directory)?,
            state: maybe("state", self.state)?,
            ..self
        })
    }

    /// The same with what the file says of all databases, where it says nothing itself.
    fn or(self, defaults: &Defaults) -> Entry {
        let defaults = defaults.clone();
        Entry {
            puts_per_second: self.puts_per_second.or(defaults.puts_per_second),
            puts_burst: self.puts_burst.or(defaults.puts_burst),
            snapshot_interval: self.snapshot_interval.or(defaults.snapshot_interval),
            log_max: self.log_max.or(defaults.log_max),
            spool_max: self.spool_max.or(defaults.spool_max),
            checkpoint_frames: self.checkpoint_frames.or(defaults.checkpoint_frames),
            enable_wal: self.enable_wal.or(defaults.enable_wal),
            keep: self.keep.or(defaults.keep),
            prune: self.prune.or(defaults.prune),
            mirror: self.mirror.or(defaults.mirror),
            drill: self.drill.or(defaults.drill),
            drill_file: self.drill_file.or(defaults.drill_file),
            drill_directory: self.drill_directory.or(defaults.drill_directory),
            ..self
        }
    }

    /// The same, with everything in its range.
    pub(crate) fn check(
        self,
        defaults: &Defaults,
        variable: Lookup<'_>,
    ) -> Result<Database, String> {
        let entry = self.or(defaults).expand(variable)?;
        let what = entry.path.clone();
        entry.in_range().map_err(|why| format!("[[database]] {what}: {why}"))
    }

    fn in_range(self) -> Result<Database, String> {
        let fail = |why: &str| why.to_owned();
        let location =
            self.replica.parse::<Location>().map_err(|error| fail(&error.to_string()))?;
        let positive = |key: &str, value: Option<f64>, least: f64, default: f64| match value {
            None => Ok(default),
            Some(value) if value.is_finite() && value >= least => Ok(value),
            Some(value) => Err(fail(&format!("{key} = {value} must be at least {least}"))),
        };
        let puts = Puts {
            per_second: positive(
                "puts-per-second",
                self.puts_per_second,
                0.001,
                defaults::PUTS.per_second,
            )?,
            burst: positive("puts-burst", self.puts_burst, 1.0, defaults::PUTS.burst)?,
        };
        let interval = self.snapshot_interval.map(|text| span("snapshot-interval", &text));
        let snapshot_interval = interval.transpose().map_err(|why| fail(&why))?;
        if snapshot_interval.is_some_and(|interval| interval < Duration::from_secs(60)) {
            return Err(fail("snapshot-interval must be at least a minute"));
        }
        let size = |key: &str, text: Option<String>, least: u64, default: u64| {
            text.map_or(Ok(default), |text| bytes(key, &text, least)).map_err(|why| fail(&why))
        };
        let log_bytes_max = size("log-max", self.log_max, 16 << 20, defaults::LOG_BYTES_MAX)?;
        let spool_bytes_max = size("spool-max", self.spool_max, 0, defaults::SPOOL_BYTES_MAX)?;
        Ok(Database {
            path: self.path.into(),
            location,
            puts,
            snapshot_interval,
            log_bytes_max,
            spool_bytes_max,
            checkpoint_frames: checkpoint_frames(self.checkpoint_frames)
                .map_err(|why| fail(&why))?,
            enable_wal: self.enable_wal.unwrap_or(false),
            keep: self.keep.as_ref().map(policy).transpose()?,
            prunes: prunes(self.prune.as_deref())?,
            mirrors: mirrors(self.mirror.unwrap_or_default())?,
            drills: drills(
                self.drill.as_deref(),
                self.drill_file,
                self.drill_directory.as_deref(),
            )?,
            state: self.state.map(PathBuf::from),
        })
    }
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

fn mirrors(addresses: Vec<String>) -> Result<Vec<Location>, String> {
    let parse = |address: String| address.parse().map_err(|error| format!("mirror: {error}"));
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

/// The parser's own message, which shows the line, and what an unknown key was probably meant to be.
fn with_suggestion(error: &toml::de::Error) -> String {
    let message = error.to_string();
    let unknown = message.split("unknown field `").nth(1).and_then(|rest| rest.split('`').next());
    let short = unknown.filter(|unknown| unknown.len() <= MISSPELT_BYTES_MAX);
    let meant = short.and_then(|unknown| {
        let unknown = unknown.replace('_', "-");
        let close = |key: &&str| strsim::damerau_levenshtein(key, &unknown);
        KEYS.into_iter().min_by_key(close).filter(|key| close(key) <= 1 + unknown.len() / 4)
    });
    match meant {
        Some(key) => format!("{}\ndid you mean `{key}`?", message.trim_end()),
        None => message.trim_end().to_owned(),
    }
}
