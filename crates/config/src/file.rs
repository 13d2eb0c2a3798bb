//! The file as it is written, before anything in it is checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ebbtide_retention::Keep;
use ebbtide_store::Location;
use serde::Deserialize;
use toml::Spanned;

use crate::drills::drills;
use crate::placeholders::fill;
use crate::settings::{Settings, Word, Words};
use crate::value::{bytes, duration};
use crate::variables::Lookup;
use crate::{Database, Puts, defaults};

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct File {
    #[serde(default)]
    defaults: Settings,
    #[serde(default)]
    database: Vec<Spanned<Settings>>,
    pub(crate) shutdown_timeout: Option<String>,
    pub(crate) listen: Option<String>,
    pub(crate) listen_token_file: Option<String>,
    pub(crate) heartbeat_url: Option<String>,
    pub(crate) heartbeat_interval: Option<String>,
    pub(crate) webhook_url: Option<String>,
    pub(crate) webhook_secret_file: Option<String>,
}

/// A longer word is no misspelt key, and would cost much memory to compare.
const MISSPELT_BYTES_MAX: usize = 32;

impl File {
    /// # Errors
    /// With what is wrong, where, and what was probably meant.
    pub(crate) fn parse(text: &str) -> Result<File, String> {
        let file: File = toml::from_str(text).map_err(|error| with_suggestion(&error))?;
        let Settings { path, state, .. } = &file.defaults;
        for (key, value) in [("path", path), ("state", state)] {
            if value.is_some() {
                return Err(format!(
                    "[defaults] {key}: each database has one of its own, so it goes into its [[database]]"
                ));
            }
        }
        for database in &file.database {
            let (settings, begin) = (database.get_ref(), database.span().start);
            let lacks = match settings {
                Settings { path: None, .. } => "path",
                Settings { replica: None, .. } if file.defaults.replica.is_none() => "replica",
                _ => continue,
            };
            let line = 1 + text.bytes().take(begin).filter(|&byte| byte == b'\n').count();
            return Err(format!("the [[database]] of line {line} has no {lacks}"));
        }
        Ok(file)
    }

    /// The databases, with everything in its range.
    pub(crate) fn databases(&mut self, variable: Lookup<'_>) -> Result<Vec<Database>, String> {
        let defaults = &self.defaults;
        let databases = self.database.drain(..).map(Spanned::into_inner);
        databases.map(|settings| settings.or(defaults).check(variable)).collect()
    }
}

impl Settings {
    /// What it says of one database, with everything in its range.
    fn check(self, variable: Lookup<'_>) -> Result<Database, String> {
        let what = |settings: &Settings| settings.path.clone().unwrap_or_default();
        let fail = |what: String, why: String| format!("[[database]] {what}: {why}");
        let before = what(&self);
        let settings = self.expand(variable).map_err(|why| fail(before, why))?;
        let after = what(&settings);
        settings.in_range().map_err(|why| fail(after, why))
    }

    fn in_range(self) -> Result<Database, String> {
        let fail = |why: &str| why.to_owned();
        let path = PathBuf::from(self.path.unwrap_or_default());
        let replica = fill(&self.replica.unwrap_or_default(), &path)?;
        let location = replica.parse::<Location>().map_err(|error| fail(&error.to_string()))?;
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
            mirrors: mirrors(self.mirror.unwrap_or_default(), &path)?,
            drills: drills(
                self.drill.as_deref(),
                self.drill_file,
                self.drill_directory.as_deref(),
            )?,
            state: self.state.map(PathBuf::from),
            path,
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

fn mirrors(addresses: Vec<String>, database: &Path) -> Result<Vec<Location>, String> {
    let parse = |address: String| {
        let filled = fill(&address, database).map_err(|why| format!("mirror: {why}"))?;
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

/// The parser's own message, which shows the line, and what an unknown key was probably meant to be: the nearest of those
/// that the parser says it expected.
fn with_suggestion(error: &toml::de::Error) -> String {
    let mut words = error.message().split('`').skip(1).step_by(2);
    let is_unknown = error.message().starts_with("unknown field ");
    let short = |word: &&str| is_unknown && word.len() <= MISSPELT_BYTES_MAX;
    let meant = words.next().filter(short).and_then(|unknown| {
        let unknown = unknown.replace('_', "-");
        let close = |key: &&str| strsim::damerau_levenshtein(key, &unknown);
        words.min_by_key(close).filter(|key| close(key) <= 1 + unknown.len() / 4)
    });
    let message = error.to_string();
    match meant {
        Some(key) => format!("{}\ndid you mean `{key}`?", message.trim_end()),
        None => message.trim_end().to_owned(),
    }
}
