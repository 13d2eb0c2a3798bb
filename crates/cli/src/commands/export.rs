//! `ebbtide export`.

use std::io::{BufWriter, Write as _};

use ebbtide_export::{
    BrokenKeys, CsvOptions, DumpOptions, ExportError, NulPolicy, PostgresOptions, Report, dump,
    look_at_texts, plan, plan_flat, write_csv, write_json, write_script,
};
use ebbtide_rows::Schema;
use serde_json::json;

use super::taken::{refusals, refuse, still_one_state, tell, write_to};
use crate::args::{Broken, Export, ExportFormat, Nul};
use crate::exit::{Code, Failure, Outcome};
use crate::new_directory::NewDirectory;
use crate::new_file::NewFile;
use crate::reading::{self, OneState};
use crate::{logging, output};

/// Runs the command.
///
/// # Errors
/// When the database cannot be read or the result not be written, and with exit code 6 when something needs a word.
pub(crate) async fn run(args: Export) -> Result<Outcome, Failure> {
    check(&args)?;
    let read = args.read.clone();
    reading::with(&read, move |reading| write(&args, reading)).await
}

fn write(args: &Export, reading: &OneState) -> Result<Outcome, Failure> {
    let schema = reading.schema_of_all()?;
    match args.format {
        ExportFormat::Postgres => postgres(args, reading, &schema),
        ExportFormat::Sql => sql(args, reading, &schema),
        ExportFormat::Csv | ExportFormat::Json => flat(args, reading, &schema),
    }?;
    Ok(Outcome::Done)
}

/// Words that belong to another format are a mistake.
fn check(args: &Export) -> Result<(), Failure> {
    let format = args.format;
    let is_postgres = format == ExportFormat::Postgres;
    let strays = [
        ("--cast", !args.casts.is_empty() && !is_postgres),
        ("--broken-keys", args.broken_keys != Broken::Refuse && !is_postgres),
        ("--nul", args.nul != Nul::Refuse && !is_postgres && format != ExportFormat::Csv),
        ("--null", !args.null.is_empty() && format != ExportFormat::Csv),
    ];
    match strays.iter().find(|(_, is_stray)| *is_stray) {
        Some((name, _)) => {
            Err(Failure::new(Code::Usage, format!("{name} means nothing for this --format")))
        }
        None => Ok(()),
    }
}

fn policy(nul: Nul) -> NulPolicy {
    match nul {
        Nul::Refuse => NulPolicy::Refuse,
        Nul::Bytea => NulPolicy::Bytea,
        Nul::Strip => NulPolicy::Strip,
    }
}

fn postgres(args: &Export, reading: &OneState, schema: &Schema) -> Result<(), Failure> {
    let options = PostgresOptions {
        tables: args.tables.clone(),
        casts: args.casts.clone(),
        nul: policy(args.nul),
        broken_keys: match args.broken_keys {
            Broken::Refuse => BrokenKeys::Refuse,
            Broken::LeaveOut => BrokenKeys::LeaveOut,
        },
    };
    let plan =
        plan(reading.connection(), schema, &options).map_err(|error| reading.failure(error))?;
    for line in plan.report.lines() {
        logging::note(line);
    }
    write_report(args, &plan.report)?;
    refuse(plan.report.refusals())?;
    let about =
        format!("{} for PostgreSQL, by ebbtide: psql -1 -v ON_ERROR_STOP=1", reading.describe());
    let check = still_one_state(reading);
    write_to(reading, args.output.as_deref(), args.force, |out| {
        write_script(reading.connection(), schema, &plan, &about, &check, out)
    })?;
    let tables =
        plan.report.tables.iter().map(|table| json!({ "table": table.table, "rows": table.rows }));
    said(args, reading, tables.collect());
    Ok(())
}

fn sql(args: &Export, reading: &OneState, schema: &Schema) -> Result<(), Failure> {
    let options = DumpOptions { tables: &args.tables, keeps_rowids: false };
    let check = still_one_state(reading);
    let findings = write_to(reading, args.output.as_deref(), args.force, |out| {
        dump(reading.connection(), schema, options, &check, out)
    })?;
    let report = Report { tables: Vec::new(), findings: findings.unwrap_or_default() };
    tell(report.findings.iter());
    write_report(args, &report)?;
    if refusals(report.findings.iter()) > 0 {
        return Err(Failure::new(Code::NotAllowed, "not everything is in the script"));
    }
    said(args, reading, Vec::new());
    Ok(())
}

fn flat(args: &Export, reading: &OneState, schema: &Schema) -> Result<(), Failure> {
    let mut plan = plan_flat(schema, &args.tables).map_err(|error| reading.failure(error))?;
    if args.format == ExportFormat::Csv {
        look_at_texts(reading.connection(), schema, &mut plan, policy(args.nul))
            .map_err(|error| reading.failure(error))?;
    }
    tell(plan.report.findings.iter());
    write_report(args, &plan.report)?;
    refuse(plan.report.refusals())?;
    let mut written = Vec::new();
    match (&plan.tables[..], &args.output) {
        ([], _) => return Err(Failure::new(Code::Nothing, "there are no tables")),
        ([table], output) if !args.tables.is_empty() || output.is_none() => {
            let rows = write_to(reading, output.as_deref(), args.force, |out| {
                table_to(args, reading, schema, table, out)
            })?;
            written.push(json!({ "table": table, "rows": rows }));
        }
        (tables, None) => {
            let why = format!(
                "{} tables do not go into one {} file: name a directory (--output DIR), or one of {}",
                tables.len(),
                args.format.suffix(),
                tables.join(", ")
            );
            return Err(Failure::new(Code::Usage, why));
        }
        (tables, Some(target)) => {
            let directory = NewDirectory::create(target)?;
            for table in tables {
                let file = directory.file(&format!("{table}.{}", args.format.suffix()))?;
                let mut out = BufWriter::with_capacity(1 << 18, &file);
                let rows = table_to(args, reading, schema, table, &mut out)
                    .map_err(|error| reading.failure(error))?;
                out.flush().map_err(|error| reading.failure(error.into()))?;
                drop(out);
                file.sync_all().map_err(|error| reading.failure(error.into()))?;
                written.push(json!({ "table": table, "rows": rows }));
            }
            reading.check()?;
            directory.publish()?;
        }
    }
    said(args, reading, written);
    Ok(())
}

fn table_to(
    args: &Export,
    reading: &OneState,
    schema: &Schema,
    table: &str,
    out: &mut dyn std::io::Write,
) -> Result<u64, ExportError> {
    let rows = match args.format {
        ExportFormat::Csv => {
            let options = CsvOptions { null: args.null.clone(), nul: policy(args.nul) };
            write_csv(reading.connection(), &schema.name, table, &options, out)
        }
        _ => write_json(reading.connection(), &schema.name, table, out),
    }?;
    still_one_state(reading)()?;
    Ok(rows)
}

fn write_report(args: &Export, report: &Report) -> Result<(), Failure> {
    let Some(target) = &args.report else { return Ok(()) };
    let text =
        serde_json::to_string_pretty(report).map_err(|error| Failure::new(Code::Failed, error))?;
    let file = NewFile::create(target, true)?;
    writeln!(file.file(), "{text}").map_err(|error| Failure::new(Code::Failed, error))?;
    file.publish()
}

fn said(args: &Export, reading: &OneState, tables: Vec<serde_json::Value>) {
    if args.json {
        output::json(
            json!({ "source": reading.as_json(), "output": args.output, "tables": tables }),
        );
    }
}
