//! `ebbtide fixture`.

use ebbtide_export::{FixtureOptions, write_fixture};
use ebbtide_wal::companion;
use serde_json::json;

use super::taken::tell;
use crate::args::Fixture;
use crate::exit::{Code, Failure, Outcome};
use crate::new_file::NewFile;
use crate::output;
use crate::reading::{self, OneState};

/// Runs the command.
///
/// # Errors
/// When the database cannot be read, or the other one not be made.
pub(crate) async fn run(args: Fixture) -> Result<Outcome, Failure> {
    for suffix in companion::SUFFIXES {
        let beside = companion::path(&args.output, suffix);
        if beside.symlink_metadata().is_ok() {
            let why = format!(
                "{} is there, and SQLite would take it for a part of the fixture: close or remove that database first",
                beside.display()
            );
            return Err(Failure::new(Code::Usage, why));
        }
    }
    let read = args.read.clone();
    reading::with(&read, move |reading| make(&args, reading)).await
}

fn make(args: &Fixture, reading: &OneState) -> Result<Outcome, Failure> {
    let schema = reading.schema()?;
    let conditions = args.conditions.iter().map(|text| condition(args, text));
    let options = FixtureOptions {
        tables: args.tables.clone(),
        conditions: conditions.collect::<Result<_, _>>()?,
    };
    let new = NewFile::create(&args.output, args.force)?;
    let made = write_fixture(reading.connection(), &schema, &options, new.file(), &new.path());
    let made = made.map_err(|error| reading.failure(error))?;
    reading.check()?;
    new.publish()?;
    tell(made.findings.iter());
    let rows: u64 = made.tables.iter().map(|(_, rows)| rows).sum();
    if args.json {
        let tables =
            made.tables.iter().map(|(table, rows)| json!({ "table": table, "rows": rows }));
        output::json(json!({
            "source": reading.as_json(),
            "output": args.output,
            "tables": tables.collect::<Vec<_>>(),
            "findings": made.findings,
        }));
    } else {
        output::line(format_args!(
            "made {} of {}: {} tables, {rows} rows",
            args.output.display(),
            reading.describe(),
            made.tables.len()
        ));
    }
    Ok(Outcome::Done)
}

/// `TABLE: EXPRESSION`, or the expression of the one table that is named.
fn condition(args: &Fixture, text: &str) -> Result<(String, String), Failure> {
    let named = text.split_once(':').map(|(table, condition)| (table.trim(), condition.trim()));
    match (named, &args.tables[..]) {
        (Some((table, condition)), tables)
            if tables.iter().any(|name| name.eq_ignore_ascii_case(table)) || tables.is_empty() =>
        {
            Ok((table.to_owned(), condition.to_owned()))
        }
        (_, [table]) => Ok((table.clone(), text.to_owned())),
        _ => {
            let why = format!(
                "--where '{text}': write 'TABLE: EXPRESSION', with one of the tables that are named"
            );
            Err(Failure::new(Code::Usage, why))
        }
    }
}
