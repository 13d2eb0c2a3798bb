//! The keys of a database, once: what `[[database]]` and `[defaults]` may say.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::lines::Lines;
use crate::origin::{Origin, Origins};
use crate::variables::{Lookup, expand};

/// The structs with these keys, of which each may be left out, and what is done with all of them alike.
macro_rules! settings {
    ($($key:ident: $type:ty,)*) => {
        /// What the file says of a database, or of all that do not say otherwise, as it is written.
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(crate) struct Settings {
            $(pub(crate) $key: Option<Spanned<$type>>,)*
        }

        /// What holds for a database, its variables replaced.
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct Values {
            $(pub(crate) $key: Option<$type>,)*
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
    path: String,
    replica: String,
    puts_per_second: f64,
    puts_burst: f64,
    snapshot_interval: String,
    log_max: String,
    spool_max: String,
    checkpoint_frames: u32,
    enable_wal: bool,
    restore_if_missing: bool,
    keep: Words,
    prune: String,
    mirror: Vec<String>,
    drill: String,
    drill_file: bool,
    drill_directory: String,
    state: String,
    encrypt_to: Vec<String>,
    encrypt_to_file: String,
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
