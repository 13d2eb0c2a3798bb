//! `ebbtide dump`.

use ebbtide_export::{DumpOptions, dump};
use serde_json::json;

use super::taken::{refusals, still_one_state, tell, write_to};
use crate::args::Dump;
use crate::exit::{Code, Failure, Outcome};
use crate::output;
use crate::reading::{self, OneState};

/// Runs the command.
///
/// # Errors
/// When the database cannot be read, and with exit code 6 when a table cannot.
pub(crate) async fn run(args: Dump) -> Result<Outcome, Failure> {
    let read = args.read.clone();
    reading::with(&read, move |reading| write(&args, reading)).await
}

fn write(args: &Dump, reading: &OneState) -> Result<Outcome, Failure> {
    let schema = reading.schema_of_all()?;
    let options = DumpOptions { tables: &args.tables, keeps_rowids: args.preserve_rowids };
    let check = still_one_state(reading);
    let findings = write_to(reading, args.output.as_deref(), args.force, |out| {
        dump(reading.connection(), &schema, options, &check, out)
    })?;
    let Some(findings) = findings else { return Ok(Outcome::Done) };
    tell(findings.iter());
    if args.json {
        output::json(
            json!({ "source": reading.as_json(), "output": args.output, "findings": findings }),
        );
    }
    if refusals(findings.iter()) > 0 {
        return Err(Failure::new(Code::NotAllowed, "not everything is in the dump"));
    }
    Ok(Outcome::Done)
}
