//! What becomes of a database in PostgreSQL, decided before the first byte is written: types, names, keys, and all that
//! is to be said about them.

use ebbtide_rows::{Column, ColumnKind, Schema, Table};
use rusqlite::{Connection, OptionalExtension as _};

use super::cast::Cast;
use super::columns::{Looked, agree, check_casts, choose, said};
use super::defaults::default_of;
use super::foreign_keys::{Planned, foreign_key};
use super::keys::{BrokenKeys, Keys, keys};
use super::links::{key_columns, link, links};
use super::names::{NAME_BYTES_MAX, PgName, Taken, agreeing, column_trouble, cut};
use super::scan::{columns_read, scan};
use super::target::Target;
use crate::error::{ExportError, Result};
use crate::nul::NulPolicy;
use crate::report::{ColumnReport, Counts, Finding, Report, TableReport};
use crate::select::select;
use crate::words::{count, parenthesised};

/// What is wanted.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// The tables; all, if none is named.
    pub tables: Vec<String>,
    /// Words about columns.
    pub casts: Vec<Cast>,
    /// What becomes of text with NUL.
    pub nul: NulPolicy,
    /// What becomes of keys that cannot be.
    pub broken_keys: BrokenKeys,
}

/// All that is written, but for the rows.
#[derive(Debug)]
pub struct PostgresPlan {
    /// What is to be said. If it refuses, nothing must be written.
    pub report: Report,
    pub(crate) tables: Vec<TablePlan>,
    pub(crate) foreign_keys: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct TablePlan {
    /// Its name in SQLite.
    pub(crate) table: String,
    pub(crate) rows: u64,
    pub(crate) create: String,
    /// Of each column that is read.
    pub(crate) targets: Vec<Target>,
    /// Once the rows are there.
    pub(crate) after: Vec<String>,
}

/// A row of COPY's is read into memory by PostgreSQL, which takes a gigabyte for one thing.
const ROW_BYTES_MAX: u64 = 900_000_000;
/// PostgreSQL's own bound.
const COLUMNS_MAX: usize = 1600;

/// Looks at every value, and decides. The database must not change until the script is written: give a connection within
/// a read transaction.
///
/// # Errors
/// When the database cannot be read, or an option names what is not there.
pub fn plan(
    connection: &Connection,
    schema: &Schema,
    options: &PostgresOptions,
) -> Result<PostgresPlan> {
    let selection = select(schema, &options.tables, false)?;
    let tables = selection.tables;
    check_casts(&tables, &options.casts)?;
    let mut report = Report { tables: Vec::new(), findings: selection.findings };
    report.findings.extend(names_that_agree(&tables));
    if report.is_refused() {
        return Ok(PostgresPlan { report, tables: Vec::new(), foreign_keys: Vec::new() });
    }
    let links = links(&tables);
    let mut looked = Vec::new();
    for (table, keys) in tables.iter().zip(key_columns(&tables, &links)) {
        let targets = said(table, &options.casts, options.nul);
        let scanned = scan(connection, &schema.name, table, &targets)?;
        let choices = choose(table, &scanned, &keys, options.nul);
        looked.push(Looked { table, scanned, choices });
    }
    agree(&mut looked, &links, options.nul);
    assemble(connection, schema, options, report, &looked)
}

/// Tables, indexes and columns that would be one.
fn names_that_agree(tables: &[&Table]) -> Vec<Finding> {
    let indexes = tables.iter().flat_map(|table| &table.indexes);
    let created = indexes.filter(|index| index.origin == ebbtide_rows::IndexOrigin::Created);
    let names = tables.iter().map(|table| table.name.as_str());
    let names = names.chain(created.map(|index| index.name.as_str()));
    let mut findings: Vec<Finding> =
        agreeing(names).iter().map(|names| agreed("", names)).collect();
    for table in tables {
        let columns = table.columns.iter().map(|column| column.name.as_str());
        let of_table = format!("{}: ", table.name);
        findings.extend(agreeing(columns).iter().map(|names| agreed(&of_table, names)));
        if table.name.is_empty() {
            findings.push(Finding::refused("a table whose name has no letter"));
        }
        for column in &table.columns {
            if let Some(why) = column_trouble(&column.name) {
                findings
                    .push(Finding::refused(format!("{of_table}column \"{}\": {why}", column.name)));
            }
        }
        if table.columns.len() > COLUMNS_MAX {
            let what = format!("{of_table}more columns than the {COLUMNS_MAX} that PostgreSQL has");
            findings.push(Finding::refused(what));
        }
    }
    findings
}

fn agreed(of_table: &str, names: &[&str]) -> Finding {
    let what =
        format!("{of_table}names that agree in {NAME_BYTES_MAX} bytes: {}", names.join(", "));
    Finding::refused(what).word("rename one, or leave its table out by --table")
}

fn assemble(
    connection: &Connection,
    schema: &Schema,
    options: &PostgresOptions,
    mut report: Report,
    looked: &[Looked<'_>],
) -> Result<PostgresPlan> {
    let mut taken = Taken::default();
    for one in looked {
        taken.insert(&one.table.name);
        one.table.indexes.iter().for_each(|index| taken.insert(&index.name));
    }
    let sql = |name: &str| {
        let object = schema.objects.iter().find(|object| object.name == name);
        object.map(|object| object.sql.clone())
    };
    let all: Vec<Keys> =
        looked.iter().map(|one| keys(one, &mut taken, options.broken_keys, sql)).collect();
    let mut plans = Vec::new();
    let mut foreign_keys = Vec::new();
    let exported: Vec<&Table> = looked.iter().map(|one| one.table).collect();
    for (index, one) in looked.iter().enumerate() {
        let mut findings = of_table(one);
        let table = table_plan(connection, schema, one, &all[index], options, &mut taken)?;
        plans.push(table.0);
        findings.extend(all[index].findings.iter().cloned());
        for key in 0..one.table.foreign_keys.len() {
            let is_there = |name: &str| schema.table(name).is_some();
            let link = link(&exported, index, key, is_there);
            let planned = Planned {
                connection,
                schema: &schema.name,
                tables: looked,
                keys: &all,
                policy: options.broken_keys,
            };
            match foreign_key(&planned, index, key, link, &mut taken)? {
                Ok(statements) => foreign_keys.extend(statements),
                Err(finding) => findings.push(finding),
            }
        }
        report.tables.push(TableReport {
            table: one.table.name.clone(),
            rows: one.scanned.rows,
            columns: table.1,
            findings,
        });
    }
    Ok(PostgresPlan { report, tables: plans, foreign_keys })
}

/// What is to be said of a table as a whole.
fn of_table(looked: &Looked<'_>) -> Vec<Finding> {
    let table = looked.table;
    let mut findings = Vec::new();
    if cut(&table.name) != table.name {
        findings.push(Finding::coerced(format!("its name is cut to {}", cut(&table.name))));
    }
    for check in parenthesised(&table.sql, &["CHECK"]) {
        findings.push(Finding::left_out(format!("CHECK ({check})")));
    }
    let deferred = count(&table.sql, &["INITIALLY", "DEFERRED"]);
    if deferred > 0 && deferred != table.foreign_keys.len() {
        findings.push(Finding::left_out("that some foreign keys are deferred"));
    }
    if looked.scanned.row_bytes_max > ROW_BYTES_MAX {
        let what = format!(
            "a row of {} bytes, which PostgreSQL cannot read",
            looked.scanned.row_bytes_max
        );
        findings.push(Finding::refused(what));
    }
    findings
}

/// What is to be said of the name of a column.
fn of_name(table: &Table, index: usize) -> Option<Finding> {
    let name = &table.columns[index].name;
    let short = cut(name);
    if short == *name {
        return None;
    }
    let mut others = columns_read(table).filter(|(other, _)| *other != index);
    Some(match others.any(|(_, other)| cut(&other.name) == short) {
        true => {
            Finding::refused(format!("its name is cut to {short}, as that of another column is"))
        }
        false => Finding::coerced(format!("its name is cut to {short}")),
    })
}

fn table_plan(
    connection: &Connection,
    schema: &Schema,
    looked: &Looked<'_>,
    keys: &Keys,
    options: &PostgresOptions,
    taken: &mut Taken,
) -> Result<(TablePlan, Vec<ColumnReport>)> {
    let table = looked.table;
    let (mut columns, mut reports, mut after) = (Vec::new(), Vec::new(), keys.statements.clone());
    let expressions = parenthesised(&table.sql, &["AS"]);
    let mut expressions = expressions.into_iter();
    for (place, (index, column)) in columns_read(table).enumerate() {
        let choice = &looked.choices[place];
        let mut said = choice.findings.clone();
        said.extend(of_name(table, index));
        if column.kind == ColumnKind::Generated {
            let expression = expressions.next().unwrap_or("…");
            said.push(Finding::coerced(format!("a plain column with the values of: {expression}")));
        }
        let mut line = format!("{} {}", PgName(&column.name), choice.target.pg_type);
        if table.integer_primary_key == Some(index) && choice.target.pg_type.is_integer() {
            match next_number(connection, schema, looked, place)? {
                Some(next) => {
                    let sequence = taken.free(&[&table.name, &column.name], "seq");
                    line.push_str(&format!(
                        " GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME {})",
                        PgName(&sequence)
                    ));
                    after.push(format!(
                        "ALTER TABLE {} ALTER COLUMN {} RESTART WITH {next};",
                        PgName(&table.name),
                        PgName(&column.name)
                    ));
                }
                None => said.push(Finding::left_out("that it numbers new rows: no number is left")),
            }
        }
        line.push_str(&constraints(looked, place, column, options.broken_keys, &mut said));
        columns.push(line);
        reports.push(column_report(looked, place, column, said));
    }
    let create =
        format!("CREATE TABLE {} (\n    {}\n);", PgName(&table.name), columns.join(",\n    "));
    let targets = looked.choices.iter().map(|choice| choice.target).collect();
    let (name, rows) = (table.name.clone(), looked.scanned.rows);
    Ok((TablePlan { table: name, rows, create, targets, after }, reports))
}

/// NOT NULL and the default of a column.
fn constraints(
    looked: &Looked<'_>,
    place: usize,
    column: &Column,
    policy: BrokenKeys,
    said: &mut Vec<Finding>,
) -> String {
    let mut text = String::new();
    let nulls = looked.scanned.facts[place].nulls;
    if column.not_null && nulls > 0 {
        said.push(policy.finding("NOT NULL with NULL in it").of(nulls));
    } else if column.not_null {
        text.push_str(" NOT NULL");
    }
    let Some(expression) = &column.default else { return text };
    match default_of(expression, column.affinity, looked.choices[place].target) {
        Some(default) if default == "NULL" => {}
        Some(default) => text.push_str(&format!(" DEFAULT {default}")),
        None => said.push(Finding::left_out(format!("DEFAULT {expression}"))),
    }
    text
}

fn column_report(
    looked: &Looked<'_>,
    place: usize,
    column: &Column,
    findings: Vec<Finding>,
) -> ColumnReport {
    let facts = &looked.scanned.facts[place];
    ColumnReport {
        column: column.name.clone(),
        declared: column.declared.clone(),
        becomes: looked.choices[place].target.pg_type.to_string(),
        values: Counts {
            null: facts.nulls,
            integer: facts.integers,
            real: facts.reals,
            text: facts.texts,
            blob: facts.blobs,
        },
        findings,
    }
}

/// The number that the next row gets: one above all that there are, and that there were if SQLite knows.
fn next_number(
    connection: &Connection,
    schema: &Schema,
    looked: &Looked<'_>,
    place: usize,
) -> Result<Option<i64>> {
    let facts = &looked.scanned.facts[place];
    let mut greatest = facts.integer_max.max(0);
    if schema.table("sqlite_sequence").is_some() {
        let sql = format!(
            "SELECT max(seq) FROM {}.sqlite_sequence WHERE name = ?1 AND typeof(seq) = 'integer'",
            ebbtide_rows::Ident(&schema.name)
        );
        let known = connection
            .query_row(&sql, [&looked.table.name], |row| row.get::<_, Option<i64>>(0))
            .optional()
            .map_err(ExportError::doing("read sqlite_sequence"))?;
        greatest = greatest.max(known.flatten().unwrap_or(0));
    }
    Ok(greatest.checked_add(1))
}
