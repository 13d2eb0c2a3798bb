//! `ebbtide config`: what a configuration says, without doing any of it.

use ebbtide_config::{Config, Database, Explained, Origin, Shown};
use serde_json::{Map, Value, json};

use crate::args::{ConfigCheck, ConfigShow, ConfigVerb};
use crate::escape::OneLine;
use crate::exit::{Code, Failure, Outcome};
use crate::{output, sidecar_hooks, terminal};

/// Runs the command.
///
/// # Errors
/// When the configuration cannot be read, or says what it may not.
pub(crate) fn run(verb: ConfigVerb) -> Result<Outcome, Failure> {
    match verb {
        ConfigVerb::Check(args) => check(&args),
        ConfigVerb::Show(args) => show(&args),
    }
}

fn check(args: &ConfigCheck) -> Result<Outcome, Failure> {
    let config = Config::read(&args.file)?;
    for database in &config.databases {
        let fail = |why| {
            let (file, path) = (args.file.display(), database.path.display());
            Failure::new(Code::Usage, format!("{file}: [[database]] {path}: {why}"))
        };
        // A file may be there only on the host that it is for.
        let written = Database { encrypt_to_file: None, ..database.clone() };
        sidecar_hooks::recipients(&written).map_err(fail)?;
    }
    let databases = terminal::number_of(config.databases.len() as u64, "database");
    let patterns = match config.patterns.len() as u64 {
        0 => String::new(),
        some => format!(" and {}", terminal::number_of(some, "pattern")),
    };
    output::line(format_args!("{}: in order, {databases}{patterns}", args.file.display()));
    Ok(Outcome::Done)
}

fn show(args: &ConfigShow) -> Result<Outcome, Failure> {
    for database in Config::explain(&args.file)? {
        if args.json {
            output::json(as_json(&database));
        } else {
            output::lines(&as_text(&database));
        }
    }
    Ok(Outcome::Done)
}

fn as_json(database: &Explained) -> Value {
    let value = |shown: &Shown| {
        let (from, line) = match shown.origin {
            Origin::Database(line) => ("database", Some(line)),
            Origin::Defaults(line) => ("defaults", Some(line)),
            Origin::BuiltIn => ("built-in", None),
        };
        let Shown { key, value, .. } = shown;
        ((*key).to_owned(), json!({ "value": value, "from": from, "line": line }))
    };
    let values: Map<String, Value> = database.values.iter().map(value).collect();
    json!({ "database": database.path.to_string_lossy(), "values": values })
}

fn as_text(database: &Explained) -> String {
    let mut text = format!("{}\n", OneLine(database.path.display()));
    let value = |shown: &Shown| shown.value.clone().unwrap_or_else(|| "-".to_owned());
    let wide = database.values.iter().map(|shown| value(shown).chars().count()).max().unwrap_or(0);
    let names = database.values.iter().map(|shown| shown.key.len()).max().unwrap_or(0);
    for shown in &database.values {
        let origin = match shown.origin {
            Origin::Database(line) => format!("line {line}"),
            Origin::Defaults(line) => format!("[defaults], line {line}"),
            Origin::BuiltIn => "built in".to_owned(),
        };
        let row = format!("  {:<names$}  {:<wide$}  {origin}", shown.key, value(shown));
        text += &format!("{}\n", OneLine(row));
    }
    text
}
