//! `ebbtide sql`.

mod answer;
mod prompt;
mod script;
mod shown;
mod table;

use std::io::{self, IsTerminal as _};

use ebbtide_moment::Moment;
use ebbtide_sql::Past;
use serde_json::json;

use super::past::{self, sql_failure};
use crate::args::Sql;
use crate::exit::{Code, Failure, Outcome};
use crate::source::Source;
use crate::{logging, output};
use answer::{AnswerForm, Answers};

/// Whether it asks for statements at a terminal.
pub(crate) fn has_prompt(args: &Sql) -> bool {
    args.sql.is_none() && io::stdin().is_terminal()
}

/// Runs the command.
///
/// # Errors
/// When a state cannot be read, or a statement fails.
pub(crate) async fn run(args: Sql) -> Result<Outcome, Failure> {
    let source = Source::find(&args.source, &args.access)?;
    let replica = past::open(&source).await?;
    let proof = past::proof(args.prove);
    let own = if args.with.is_some() { "then" } else { "main" };
    let mut states = Vec::new();
    let named = args.attach.iter().map(|state| (state.name.as_str(), &state.when));
    for (name, when) in std::iter::once((own, &args.at)).chain(named) {
        let (moment, read_as) = past::moment(&replica, when, proof).await?;
        states.push(AskedState { name: name.to_owned(), moment, read_as });
    }
    let traffic = replica.traffic();
    tracing::debug!(requests = traffic.requests, bytes = traffic.bytes, "opened");
    // SQLite waits for pages, on a thread that may.
    let asked = tokio::task::spawn_blocking(move || ask(&args, &states));
    asked.await.map_err(|error| Failure::new(Code::Failed, error))?
}

/// A state and the name of its schema.
struct AskedState {
    name: String,
    moment: Moment,
    read_as: Option<String>,
}

fn ask(args: &Sql, states: &[AskedState]) -> Result<Outcome, Failure> {
    let form = match (args.csv, args.json) {
        (true, _) => AnswerForm::Csv,
        (_, true) => AnswerForm::Json,
        _ => AnswerForm::Table,
    };
    tell(states, form);
    let mut past = connect(args, states).map_err(sql_failure)?;
    let mut answers = Answers::new(form, args.write);
    match &args.sql {
        Some(sql) => script::run(&past, sql, &mut answers)?,
        None if has_prompt(args) => prompt::run(&mut past, &mut answers)?,
        None => script::run_all(&past, io::stdin().lock(), &mut answers)?,
    }
    answers.finish();
    Ok(Outcome::Done)
}

fn connect(args: &Sql, states: &[AskedState]) -> Result<Past, ebbtide_sql::Error> {
    let (first, others) = states.split_first().expect("there is the state of --at");
    let mut past = match &args.with {
        None => Past::connect(&first.moment)?,
        Some(database) => {
            let mut past = Past::beside(database, args.write)?;
            past.attach(&first.name, &first.moment)?;
            past
        }
    };
    for AskedState { name, moment, .. } in others {
        past.attach(name, moment)?;
    }
    Ok(past)
}

/// Which states these are, and how far they are proved.
fn tell(states: &[AskedState], form: AnswerForm) {
    if form == AnswerForm::Json {
        let states = states.iter().map(|AskedState { name, moment, read_as }| {
            json!({
                "schema": name,
                "txid": moment.txid().to_string(),
                "time": moment.time().to_string(),
                "proof": moment.proof().name(),
                "read_as": read_as,
                "notices": moment.outline().notices.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        });
        return output::json(json!({ "states": states.collect::<Vec<_>>() }));
    }
    for AskedState { name, moment, .. } in states {
        let (txid, time, proof) = (moment.txid(), moment.time(), moment.proof());
        logging::note(format_args!("{name} is txid {txid} of {time}, {proof}"));
    }
}
