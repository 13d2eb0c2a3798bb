//! The keys of a database, once: what `[[database]]` and `[defaults]` may say.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::defaults;
use crate::key::{Key, KeyTable};
use crate::lines::Lines;
use crate::origin::{Origin, Origins};
use crate::shown::{number, quoted, size};
use crate::variables::{Lookup, expand};

/// The structs with these keys, of which each may be left out, and what is done with all of them alike.
macro_rules! settings {
    ($($(#[doc = $line:literal])+ $key:ident: $type:ty = $example:literal, $without:expr;)*) => {
        /// What the file says of a database, or of all that do not say otherwise, as it is written.
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(crate) struct Settings {
            $($(#[doc = $line])+ pub(crate) $key: Option<Spanned<$type>>,)*
        }

        /// What holds for a database, its variables replaced.
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct Values {
            $(pub(crate) $key: Option<$type>,)*
        }

        /// The keys of a database.
        pub(crate) fn keys() -> Vec<Key> {
            vec![$(Key::new(stringify!($key), table(stringify!($key)), $example, &$without, &[$($line),+]),)*]
        }

        impl Settings {
            /// What holds with what `defaults` says, where it says nothing itself, and where each of it is written.
            pub(crate) fn resolve(
                self,
                defaults: &Settings,
                lines: &Lines,
                variable: Lookup<'_>,
            ) -> Result<(Values, Origins), String> {
                let mut origins = Origins::new();
                let values = Values {
                    $($key: {
                        let own = self.$key.is_some();
                        match self.$key.or_else(|| defaults.$key.clone()) {
                            None => None,
                            Some(said) => {
                                let line = lines.of(said.span().start);
                                let key = stringify!($key).replace('_', "-");
                                let value = said.into_inner().expand(variable);
                                let value =
                                    value.map_err(|why| format!("line {line}: {key} = {why}"))?;
                                let origin = if own { Origin::Database } else { Origin::Defaults };
                                origins.insert(key, origin(line));
                                Some(value)
                            }
                        }
                    },)*
                };
                Ok((values, origins))
            }
        }
    };
}

settings! {
    /// The database file; or a directory, or a path with `*`, `?`, `[…]` or `**`, for all that it names; see
    /// [databases that come and go](../operations.md#databases-that-come-and-go).
    path: String = "\"/data/app.db\"", "needed";
    /// Where its replica lies: `s3://BUCKET/PREFIX?endpoint=URL`, or a directory; further ones are `mirror`; see [replicas](../operations.md#replicas).
    /// `{name}` in it is the name of the database's file, `{stem}` that without its extension, `{relative}` its path below
    /// the directory of the pattern.
    replica: String = "\"s3://backups/{name}\"", "needed, here or in `[defaults]`";
    /// Puts a second in the long run.
    puts_per_second: f64 = "0.2", number(defaults::PUTS.per_second);
    /// Puts saved up while there were fewer.
    puts_burst: f64 = "60.0", number(defaults::PUTS.burst);
    /// What the puts of commits may cost, in place of `puts-per-second`; see [what it costs](../operations.md#what-it-costs).
    budget: String = "\"5 USD/month\"", "none";
    /// A snapshot is made at least so often; at least a minute.
    snapshot_interval: String = "\"24h\"", "[when it pays](../operations.md#configuration)";
    /// How long the log may get while it waits for the store; at least 16 MiB. Then the spool takes what comes.
    log_max: String = "\"256 MiB\"", quoted(size(defaults::LOG_BYTES_MAX));
    /// How much is spooled, compressed, on the local disk after that; then the log is let go, and history gets a gap.
    spool_max: String = "\"1 GiB\"", quoted(size(defaults::SPOOL_BYTES_MAX));
    /// From how many frames on the log is checkpointed; writers are made to wait for it at two and a half times as many.
    checkpoint_frames: u32 = "1000", format!("`{}`", defaults::CHECKPOINT_FRAMES);
    /// Switch a database in rollback-journal mode to a write-ahead log.
    enable_wal: bool = "true", "`false`";
    /// Restore the database at the start if it is not there and its replica is; see
    /// [beside an application](../operations.md#beside-an-application---exec). Those of a pattern are restored if none of
    /// them is there.
    restore_if_missing: bool = "true", "`false`";
    /// Which history is kept, in words; see [what is kept](../operations.md#history-that-is-kept).
    keep: Words = "{ every-commit = \"7d\", hourly = \"30d\", daily = \"1y\", last = 3 }", "all of it";
    /// Who deletes what is not kept: `"here"`, this process does; `"elsewhere"`, `ebbtide prune` does, on a machine that may
    /// delete.
    prune: String = "\"elsewhere\"", "`\"here\"`";
    /// Further replicas that are kept up to date from the first, with `{name}` and the like as in `replica`; no two databases
    /// share a place. See [mirrors](../operations.md#mirrors).
    mirror: Vec<String> = "[\"/mnt/backup/{name}\"]", "none";
    /// How often a restore is tried; see [drills](../operations.md#drills).
    drill: String = "\"1d\"", "never";
    /// Whether a drill restores into a file, which SQLite checks; otherwise every page is fetched and hashed.
    drill_file: bool = "false", "`true`";
    /// The directory of that file.
    drill_directory: String = "\"/var/tmp\"", "that for temporary files";
    /// Where the local state is kept.
    state: String = "\"/var/lib/ebbtide/app\"", "`.NAME-ebbtide` beside the database";
    /// Recipients (`age1…`) for whom the replica is encrypted; see [encryption](../guides/encryption.md).
    encrypt_to: Vec<String> = "[\"age1…\"]", "nobody: it is not encrypted";
    /// A file with more of them, one a line.
    encrypt_to_file: String = "\"/etc/ebbtide/recipients.txt\"", "none";
}

/// Each database has a path and a state of its own.
fn table(field: &str) -> KeyTable {
    match field {
        "path" | "state" => KeyTable::Database,
        _ => KeyTable::Defaults,
    }
}

/// A policy as it is written: each word with its value.
pub(crate) type Words = BTreeMap<String, Word>;

/// A period, or a number.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Word {
    Text(String),
    Number(i64),
}

/// What may have variables in it.
trait Expand: Sized {
    fn expand(self, variable: Lookup<'_>) -> Result<Self, String>;
}

impl Expand for String {
    fn expand(self, variable: Lookup<'_>) -> Result<String, String> {
        expand(&self, variable)
    }
}

impl Expand for Vec<String> {
    fn expand(self, variable: Lookup<'_>) -> Result<Vec<String>, String> {
        self.into_iter().map(|text| text.expand(variable)).collect()
    }
}

impl Expand for Words {
    fn expand(self, variable: Lookup<'_>) -> Result<Words, String> {
        let expanded = self.into_iter().map(|(word, value)| {
            let value = match value {
                Word::Text(text) => Word::Text(text.expand(variable)?),
                Word::Number(number) => Word::Number(number),
            };
            Ok((word, value))
        });
        expanded.collect()
    }
}

impl Expand for f64 {
    fn expand(self, _: Lookup<'_>) -> Result<f64, String> {
        Ok(self)
    }
}

impl Expand for u32 {
    fn expand(self, _: Lookup<'_>) -> Result<u32, String> {
        Ok(self)
    }
}

impl Expand for bool {
    fn expand(self, _: Lookup<'_>) -> Result<bool, String> {
        Ok(self)
    }
}
