//! The file as it is written, before anything in it is checked.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::Database;
use crate::lines::Lines;
use crate::origin::Origins;
use crate::pattern::Pattern;
use crate::range::in_range;
use crate::settings::Settings;
use crate::variables::Lookup;

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct File {
    #[serde(default)]
    defaults: Settings,
    #[serde(default)]
    database: Vec<Spanned<Settings>>,
    pub(crate) shutdown_timeout: Option<Spanned<String>>,
    pub(crate) listen: Option<Spanned<String>>,
    pub(crate) listen_token_file: Option<Spanned<String>>,
    pub(crate) heartbeat_url: Option<Spanned<String>>,
    pub(crate) heartbeat_interval: Option<Spanned<String>>,
    pub(crate) webhook_url: Option<Spanned<String>>,
    pub(crate) webhook_secret_file: Option<Spanned<String>>,
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
        Ok(file)
    }

    /// What each table names, with everything in its range. `text` is the file's.
    pub(crate) fn tables(
        &mut self,
        text: &str,
        variable: Lookup<'_>,
    ) -> Result<Vec<Table>, String> {
        let lines = Lines::new(text);
        let defaults = &self.defaults;
        let tables = self.database.drain(..).map(|table| {
            let line = lines.of(table.span().start);
            check(table.into_inner(), line, defaults, &lines, variable)
        });
        tables.collect()
    }
}

/// What a `[[database]]` names.
#[derive(Debug)]
pub(crate) enum Table {
    One(Database, Origins),
    Many(Pattern),
}

/// What a table, which begins in this line, says, with everything in its range.
fn check(
    settings: Settings,
    line: usize,
    defaults: &Settings,
    lines: &Lines,
    variable: Lookup<'_>,
) -> Result<Table, String> {
    let lacks = match &settings {
        Settings { path: None, .. } => Some("path"),
        Settings { replica: None, .. } if defaults.replica.is_none() => Some("replica"),
        _ => None,
    };
    if let Some(lacks) = lacks {
        return Err(format!("the [[database]] of line {line} has no {lacks}"));
    }
    let fail = |what: &str, why: String| format!("[[database]] {what}: {why}");
    let before = settings.path.as_ref().map(|path| path.get_ref().clone()).unwrap_or_default();
    let (values, origins) =
        settings.resolve(defaults, lines, variable).map_err(|why| fail(&before, why))?;
    let path = values.path.clone().unwrap_or_default();
    let table = if Pattern::is_one(&path) {
        Pattern::new(values, origins).map(Table::Many)
    } else {
        in_range(values, Path::new(&path), None).map(|database| Table::One(database, origins))
    };
    table.map_err(|why| fail(&path, why))
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
