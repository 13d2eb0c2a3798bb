//! The configuration file: strict, so that a misspelt key is an error and not a default.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ebbtide_replica::store::Location;
use ebbtide_shipper::Rate;
use ebbtide_watcher::Limits;
use serde::Deserialize;

use crate::exit::{Code, Failure};

/// The defaults, beside what they mean. None of them is anywhere else.
pub mod defaults {
    use super::{Duration, Limits, Rate};

    /// One put a second in the long run, and five minutes' worth at once after a rest.
    pub const PUTS: Rate = Rate { per_second: 1.0, burst: 300.0 };
    /// A snapshot a day.
    pub const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
    /// The log waits for the store up to this size…
    pub const LOG_BYTES_MAX: u64 = 256 << 20;
    /// …then so much is spooled, compressed, on the local disk; then the log is let go.
    pub const SPOOL_BYTES_MAX: u64 = 1 << 30;
    /// How long the last sync of a stopping process may take.
    pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
    /// The log is kept at about 4 MB while a database is written at leisure, as SQLite keeps it by itself, and below
    /// 16 MB beside a writer that never pauses.
    pub const LIMITS: Limits = Limits {
        checkpoint_frames: 1000,
        checkpoint_interval: Duration::from_secs(60),
        barrier_frames: 3000,
        barrier_budget: Duration::from_millis(20),
        truncate_bytes: 8 << 20,
        idle: Duration::from_secs(5),
    };
}

/// What the file says, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The databases to follow.
    pub databases: Vec<Database>,
    /// How long the last sync may take.
    pub shutdown_timeout: Duration,
}

/// One database.
#[derive(Debug, Clone)]
pub struct Database {
    /// Its file.
    pub path: PathBuf,
    /// Its replica.
    pub location: Location,
    /// How many puts are allowed.
    pub puts: Rate,
    /// How often a snapshot is made.
    pub snapshot_interval: Duration,
    /// How long the log may get while it waits for the store, in bytes.
    pub log_bytes_max: u64,
    /// How much is spooled on the local disk then, in bytes.
    pub spool_bytes_max: u64,
    /// Between which limits the log is kept while the store is there.
    pub limits: Limits,
    /// Whether it is switched to a write-ahead log if it has none.
    pub enable_wal: bool,
    /// Where the local state is kept, if not beside the database.
    pub state: Option<PathBuf>,
}

impl Database {
    /// A database with the defaults for all else.
    #[must_use]
    pub fn new(path: PathBuf, location: Location) -> Database {
        Database {
            path,
            location,
            puts: defaults::PUTS,
            snapshot_interval: defaults::SNAPSHOT_INTERVAL,
            log_bytes_max: defaults::LOG_BYTES_MAX,
            spool_bytes_max: defaults::SPOOL_BYTES_MAX,
            limits: defaults::LIMITS,
            enable_wal: false,
            state: None,
        }
    }

    /// How it is shipped.
    #[must_use]
    pub fn shipping(&self) -> ebbtide_shipper::Options {
        ebbtide_shipper::Options { puts: self.puts, spool_bytes_max: self.spool_bytes_max }
    }

    /// How long the log may get where there is nothing to spool yet: as much of the disk as both together.
    #[must_use]
    pub fn waiting_bytes_max(&self) -> u64 {
        self.log_bytes_max.saturating_add(self.spool_bytes_max)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    database: Vec<Entry>,
    shutdown_timeout: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    path: PathBuf,
    replica: String,
    puts_per_second: Option<f64>,
    puts_burst: Option<f64>,
    snapshot_interval: Option<String>,
    log_max: Option<String>,
    spool_max: Option<String>,
    checkpoint_frames: Option<u32>,
    #[serde(default)]
    enable_wal: bool,
    state: Option<PathBuf>,
}

const KEYS: [&str; 12] = [
    "database",
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
    "state",
];

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// With what is wrong, where, and what was probably meant.
    pub fn read(path: &Path) -> Result<Config, Failure> {
        let fail = |why: String| Failure::new(Code::Usage, format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
        Config::parse(&text).map_err(fail)
    }

    fn parse(text: &str) -> Result<Config, String> {
        let file: File = toml::from_str(text).map_err(|error| with_suggestion(&error))?;
        if file.database.is_empty() {
            return Err("it names no database: add a [[database]] with path and replica".to_owned());
        }
        let databases: Vec<Database> =
            file.database.into_iter().map(Entry::check).collect::<Result<_, _>>()?;
        for (at, database) in databases.iter().enumerate() {
            let earlier = &databases[..at];
            if earlier.iter().any(|other| other.path == database.path) {
                return Err(format!("{} is there twice", database.path.display()));
            }
            if let Some(other) = earlier.iter().find(|other| other.location == database.location) {
                return Err(format!(
                    "{} and {} have the same replica; each needs one of its own",
                    other.path.display(),
                    database.path.display()
                ));
            }
        }
        let timeout = file.shutdown_timeout.map(|text| duration("shutdown-timeout", &text));
        let shutdown_timeout = timeout.transpose()?.unwrap_or(defaults::SHUTDOWN_TIMEOUT);
        Ok(Config { databases, shutdown_timeout })
    }
}

impl Entry {
    fn check(self) -> Result<Database, String> {
        let what = self.path.display().to_string();
        let fail = |why: &str| format!("[[database]] {what}: {why}");
        let location =
            self.replica.parse::<Location>().map_err(|error| fail(&error.to_string()))?;
        let positive = |key: &str, value: Option<f64>, least: f64, default: f64| match value {
            None => Ok(default),
            Some(value) if value.is_finite() && value >= least => Ok(value),
            Some(value) => Err(fail(&format!("{key} = {value} must be at least {least}"))),
        };
        let puts = Rate {
            per_second: positive(
                "puts-per-second",
                self.puts_per_second,
                0.001,
                defaults::PUTS.per_second,
            )?,
            burst: positive("puts-burst", self.puts_burst, 1.0, defaults::PUTS.burst)?,
        };
        let interval = self.snapshot_interval.map(|text| duration("snapshot-interval", &text));
        let snapshot_interval =
            interval.transpose().map_err(|why| fail(&why))?.unwrap_or(defaults::SNAPSHOT_INTERVAL);
        if snapshot_interval < Duration::from_secs(60) {
            return Err(fail("snapshot-interval must be at least a minute"));
        }
        let size = |key: &str, text: Option<String>, least: u64, default: u64| {
            text.map_or(Ok(default), |text| bytes(key, &text, least)).map_err(|why| fail(&why))
        };
        let log_bytes_max = size("log-max", self.log_max, 16 << 20, defaults::LOG_BYTES_MAX)?;
        let spool_bytes_max = size("spool-max", self.spool_max, 0, defaults::SPOOL_BYTES_MAX)?;
        Ok(Database {
            path: self.path,
            location,
            puts,
            snapshot_interval,
            log_bytes_max,
            spool_bytes_max,
            limits: limits(self.checkpoint_frames).map_err(|why| fail(&why))?,
            enable_wal: self.enable_wal,
            state: self.state,
        })
    }
}

fn duration(key: &str, text: &str) -> Result<Duration, String> {
    crate::when::duration(text).map_err(|why| format!("{key} = {why}"))
}

/// The default limits, with another length at which the log is checkpointed.
fn limits(checkpoint_frames: Option<u32>) -> Result<Limits, String> {
    let Some(frames) = checkpoint_frames else { return Ok(defaults::LIMITS) };
    if !(10..=1_000_000).contains(&frames) {
        return Err(format!("checkpoint-frames = {frames} must be between 10 and 1000000"));
    }
    Ok(Limits { checkpoint_frames: frames, barrier_frames: frames * 3, ..defaults::LIMITS })
}

/// A size such as "256 MiB" or "2GB", in bytes.
fn bytes(key: &str, text: &str, least: u64) -> Result<u64, String> {
    const UNITS: [(&str, u64); 8] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("", 1),
    ];
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|&(_, factor)| factor);
    let size = number.parse::<u64>().ok().zip(factor);
    let size = size.and_then(|(number, factor)| number.checked_mul(factor));
    match size {
        Some(size) if size >= least => Ok(size),
        Some(_) => Err(format!("{key} = \"{text}\" must be at least {} MiB", least >> 20)),
        None => Err(format!(
            "{key} = \"{text}\" is no size: write for example \"256 MiB\", \"2GB\" or \"0\""
        )),
    }
}

/// The parser's own message, which shows the line, and what an unknown key was probably meant to be.
fn with_suggestion(error: &toml::de::Error) -> String {
    let message = error.to_string();
    let unknown = message.split("unknown field `").nth(1).and_then(|rest| rest.split('`').next());
    let meant = unknown.and_then(|unknown| {
        let unknown = unknown.replace('_', "-");
        let close = |key: &&str| strsim::damerau_levenshtein(key, &unknown);
        KEYS.into_iter().min_by_key(close).filter(|key| close(key) <= 1 + unknown.len() / 4)
    });
    match meant {
        Some(key) => format!("{}\ndid you mean `{key}`?", message.trim_end()),
        None => message.trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(text).unwrap_err()
    }

    #[test]
    fn a_database_needs_a_path_and_a_replica_and_no_more() {
        let text = "[[database]]\npath = \"/data/app.db\"\nreplica = \"/backup/app\"\n";
        let config = Config::parse(text).unwrap();
        let [database] = config.databases.as_slice() else { panic!("one database") };
        assert_eq!(database.path, Path::new("/data/app.db"));
        assert_eq!(database.puts, defaults::PUTS);
        assert_eq!(config.shutdown_timeout, defaults::SHUTDOWN_TIMEOUT);
    }

    #[test]
    fn a_misspelt_key_is_an_error_that_suggests_the_right_one() {
        let text = "[[database]]\npath = \"a\"\nreplcia = \"b\"\n";
        assert!(error(text).contains("did you mean `replica`?"), "{}", error(text));
        let text = "[[database]]\npath = \"a\"\nreplica = \"b\"\nsnapshot_interval = \"1h\"\n";
        assert!(error(text).contains("did you mean `snapshot-interval`?"), "{}", error(text));
        assert!(error("databse = 1").contains("did you mean `database`?"));
    }

    #[test]
    fn values_out_of_range_are_errors_that_name_the_key() {
        let with =
            |line: &str| error(&format!("[[database]]\npath=\"a\"\nreplica=\"b\"\n{line}\n"));
        assert!(with("puts-per-second = 0").contains("puts-per-second"));
        assert!(with("snapshot-interval = \"0s\"").contains("at least a minute"));
        assert!(with("snapshot-interval = \"soon\"").contains("\"24h\""));
        assert!(with("log-max = \"1 MiB\"").contains("at least 16 MiB"));
        assert!(with("checkpoint-frames = 1").contains("between 10 and"));
        assert!(with("spool-max = \"lots\"").contains("no size"));
        assert!(error("").contains("names no database"));
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("k", "256 MiB", 0), Ok(256 << 20));
        assert_eq!(bytes("k", "2GB", 0), Ok(2_000_000_000));
        assert_eq!(bytes("k", "17", 0), Ok(17));
        assert!(bytes("k", "99999999999 TiB", 0).is_err());
        assert!(bytes("k", "-1", 0).is_err());
    }

    #[test]
    fn two_databases_never_share_a_replica() {
        let one =
            "[[database]]\npath=\"a\"\nreplica=\"r\"\n[[database]]\npath=\"b\"\nreplica=\"r\"\n";
        assert!(error(one).contains("the same replica"), "{}", error(one));
        let twice =
            "[[database]]\npath=\"a\"\nreplica=\"r\"\n[[database]]\npath=\"a\"\nreplica=\"s\"\n";
        assert!(error(twice).contains("twice"));
    }
}
