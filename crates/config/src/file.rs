//! The file as it is written, before anything in it is checked.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use crate::key::{Key, KeyTable};
use crate::lines::Lines;
use crate::origin::{Origin, Origins};
use crate::pattern::Pattern;
use crate::prices::{Prices, PricesTable};
use crate::range::in_range;
use crate::settings::Settings;
use crate::shown::{quoted, span};
use crate::variables::Lookup;
use crate::{Database, defaults, notices};

/// The keys of the process, once: the file with them, and what each means.
macro_rules! file {
    ($($(#[doc = $line:literal])+ $key:ident = $example:literal, $without:expr;)*) => {
        /// What the file says.
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case")]
        pub(crate) struct File {
            #[serde(default)]
            defaults: Settings,
            #[serde(default)]
            database: Vec<Spanned<Settings>>,
            #[serde(default)]
            pub(crate) prices: PricesTable,
            $($(#[doc = $line])+ pub(crate) $key: Option<Spanned<String>>,)*
        }

        /// The keys above all tables.
        pub(crate) fn keys() -> Vec<Key> {
            vec![$(Key::new(stringify!($key), KeyTable::Process, $example, &$without, &[$($line),+]),)*]
        }
    };
}

file! {
    /// How long the last sync of a stopping process may take.
    shutdown_timeout = "\"10s\"", quoted(span(defaults::SHUTDOWN_TIMEOUT));
    /// How much is sent in a second at most, by all databases together; a change takes a restart.
    bandwidth_max = "\"5 MiB\"", "no limit";
    /// Where metrics, health and the page are shown over HTTP: an address of this machine, or `unix:/PATH`; see
    /// [metrics and health](../operations.md#metrics-and-health).
    listen = "\"127.0.0.1:9094\"", "nowhere";
    /// The file with the token that whoever asks there must show; needed unless it is an address of this machine alone.
    listen_token_file = "\"/etc/ebbtide/token\"", "no token";
    /// An address that is asked for (GET) as long as everything is durable; see [being told](../operations.md#being-told).
    heartbeat_url = "\"https://example.com/ping\"", "none";
    /// How often that is, and within what time everything has to be durable.
    heartbeat_interval = "\"1m\"", quoted(span(notices::INTERVAL));
    /// An address to which each change of what needs attention is sent (POST).
    webhook_url = "\"https://example.com/hook\"", "none";
    /// The file, which only its owner may read, with the secret by which that is signed.
    webhook_secret_file = "\"/etc/ebbtide/secret\"", "it is not signed";
}

impl File {
    /// # Errors
    /// When `[defaults]` has what each database has for itself.
    pub(crate) fn check_defaults(&self) -> Result<(), String> {
        let Settings { path, state, .. } = &self.defaults;
        for (key, value) in [("path", path), ("state", state)] {
            if value.is_some() {
                return Err(format!(
                    "[defaults] {key}: each database has one of its own, so it goes into its [[database]]"
                ));
            }
        }
        Ok(())
    }

    /// What each table names, with everything in its range. `text` is the file's.
    pub(crate) fn tables(
        &mut self,
        text: &str,
        prices: &Prices,
        variable: Lookup<'_>,
    ) -> Result<Vec<Table>, String> {
        let lines = Lines::new(text);
        let context = Context { defaults: &self.defaults, lines: &lines, prices, variable };
        let tables = self.database.drain(..).map(|table| {
            let line = lines.of(table.span().start);
            check(table.into_inner(), line, &context)
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

/// What holds for all tables of a file.
struct Context<'a> {
    defaults: &'a Settings,
    lines: &'a Lines,
    prices: &'a Prices,
    variable: Lookup<'a>,
}

/// What a table, which begins in this line, says, with everything in its range.
fn check(settings: Settings, line: usize, context: &Context<'_>) -> Result<Table, String> {
    let Context { defaults, lines, prices, variable } = *context;
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
    if path.is_empty() {
        return Err(format!("the [[database]] of line {line} has an empty path"));
    }
    let written = origins.clone();
    let table = if Pattern::is_one(&path) {
        Pattern::new(values, origins, *prices).map(Table::Many)
    } else {
        in_range(values, Path::new(&path), None, prices)
            .map(|database| Table::One(database, origins))
    };
    table.map_err(|why| match origin_of(&why, &written) {
        Some(Origin::Database(line)) => fail(&path, format!("line {line}: {why}")),
        Some(Origin::Defaults(line)) => format!("[defaults] line {line}: {why}"),
        Some(Origin::BuiltIn) | None => fail(&path, why),
    })
}

/// Where the key is written that what is wrong begins with.
fn origin_of(why: &str, written: &Origins) -> Option<Origin> {
    let key = why.split([' ', ':']).next()?;
    written.get(key).copied()
}
