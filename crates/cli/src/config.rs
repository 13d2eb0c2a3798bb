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
    /// How long the last sync of a stopping process may take.
    pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
    /// The log is kept at about 4 MB while a database is written at leisure, as SQLite keeps it by itself, and below
    /// 16 MB beside a writer that never pauses.
    pub const LIMITS: Limits = Limits {
        checkpoint_frames: 1000,
        checkpoint_interval: Duration::from_secs(60),
        barrier_frames: 4000,
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
            enable_wal: false,
            state: None,
        }
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
    #[serde(default)]
    enable_wal: bool,
    state: Option<PathBuf>,
}

const KEYS: [&str; 9] = [
    "database",
    "shutdown-timeout",
    "path",
    "replica",
    "puts-per-second",
    "puts-burst",
    "snapshot-interval",
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
        Ok(Database {
            path: self.path,
            location,
            puts,
            snapshot_interval,
            enable_wal: self.enable_wal,
            state: self.state,
        })
    }
}

fn duration(key: &str, text: &str) -> Result<Duration, String> {
    crate::when::duration(text).map_err(|why| format!("{key} = {why}"))
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
        assert!(error("").contains("names no database"));
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
