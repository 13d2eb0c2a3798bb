//! `ebbtide diff`.

mod rows;
mod summary;

pub(super) use summary::Quiet;

use std::io::{self, IsTerminal as _};

use ebbtide_rows::{Changeset, JsonLines, Options, RowsError, Script, Side, Sink, Summary, diff};

use super::past;
use super::states::{About, compare};
use super::unrowed::still_read;
use crate::args::{Diff, DiffFormat, PairBy};
use crate::exit::{Code, Failure, Outcome};
use crate::{logging, output};

/// Runs the command.
///
/// # Errors
/// When a database cannot be read, and with exit code 6 when what was found is not what was asked for.
pub(crate) fn run(args: Diff) -> Result<Outcome, Failure> {
    let format = if args.json { DiffFormat::Json } else { args.format };
    if format == DiffFormat::Changeset && io::stdout().is_terminal() {
        let why = "a changeset is no text: write it into a file, with >FILE";
        return Err(Failure::new(Code::Usage, why));
    }
    let options = Options {
        tables: args.tables.clone(),
        by_declared_key: args.key == PairBy::Pk || format == DiffFormat::Changeset,
        ..Options::default()
    };
    let proof = past::proof(args.prove);
    let begin = |about: &About| {
        begin(format, about);
        Ok(())
    };
    let found = compare(&args.between, proof, begin, |old, new, extents| {
        print(format, (old, new), &Options { extents: extents.clone(), ..options })
    })?;
    let Some((summary, left_out)) = found else { return Ok(Outcome::Done) };
    for left_out in &left_out {
        logging::note(left_out);
    }
    let missing = left_out.len().max(summary.not_compared.len());
    if args.strict && missing > 0 {
        let why =
            format!("not all of it was compared, or is in the result: {missing} are left out");
        return Err(Failure::new(Code::NotAllowed, why));
    }
    if args.exit_code && !summary.is_equal() {
        return Err(Failure::new(Code::NotAllowed, "they differ").told());
    }
    Ok(Outcome::Done)
}

/// Says which states are compared, where that was not said by their names.
fn begin(format: DiffFormat, about: &About) {
    match format {
        _ if about.json.is_null() => {}
        DiffFormat::Json => output::json(&about.json),
        _ => logging::note(format_args!("from {}", about.text)),
    }
    if let Some(reading) = about.reading.filter(|_| format != DiffFormat::Json) {
        logging::note(reading);
    }
    if let Some(gap) = about.gap.as_ref().filter(|_| format != DiffFormat::Json) {
        logging::note(format_args!("these are differences, and not single transactions: {gap}"));
    }
}

/// What was found, and what is not in what was printed; `None` if nobody reads it any more.
type Printed = Option<(Summary, Vec<String>)>;

fn print(
    format: DiffFormat,
    (old, new): (Side<'_>, Side<'_>),
    options: &Options,
) -> Result<Printed, RowsError> {
    let find = |sink: &mut dyn Sink| diff(old, new, options, sink);
    let mut left_out = Vec::new();
    let summary = match format {
        DiffFormat::Summary => find(&mut summary::Quiet),
        DiffFormat::Rows => find(&mut rows::Rows::new()),
        DiffFormat::Sql => find(&mut Script::new(output::Stream::text())),
        DiffFormat::Json => find(&mut JsonLines::new(|line| {
            output::json(line);
            still_read()
        })),
        DiffFormat::Changeset => {
            let mut changeset = Changeset::new(output::Stream::bytes());
            let summary = find(&mut changeset);
            left_out.extend(
                changeset
                    .left_out()
                    .iter()
                    .map(|(what, why)| format!("not in the changeset: {what}: {why}")),
            );
            summary
        }
    };
    let summary = match summary {
        Ok(summary) => summary,
        Err(RowsError::Write(_)) if output::is_gone() => return Ok(None),
        Err(error) => return Err(error),
    };
    match format {
        DiffFormat::Summary => summary::print(&summary),
        DiffFormat::Rows => summary::print_left_out(&summary),
        DiffFormat::Json => output::json(summary::as_json(&summary)),
        DiffFormat::Sql => {
            let left = summary.not_compared.iter();
            left_out.extend(left.map(|left| format!("not compared: {}: {}", left.table, left.why)));
        }
        DiffFormat::Changeset => {}
    }
    Ok(Some((summary, left_out)))
}
