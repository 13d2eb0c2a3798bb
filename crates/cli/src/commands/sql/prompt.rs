//! Statements as somebody types them.

mod complete;
mod history;

use ebbtide_sql::Past;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};
use tokio::signal::unix::{SignalKind, signal};

use super::answer::{AnswerForm, Answers};
use super::script;
use crate::exit::{Code, Failure};
use crate::{logging, output};
use complete::Names;

const HELP: &str = "\
.tables         tables and views of all schemas
.schema [TABLE] how they were created
.mode MODE      print rows as table, csv or json
.quit           end, as Ctrl-D does
A statement ends with a semicolon; Ctrl-C ends one that runs.
";

/// How many lines of the history are kept.
const HISTORY_MAX: usize = 10_000;

/// What becomes of the prompt after a line.
enum Next {
    GoOn,
    End,
}

/// Asks for statements until the end.
pub(super) fn run(past: &mut Past, answers: &mut Answers) -> Result<(), Failure> {
    let failed =
        |error: ReadlineError| Failure::new(Code::Failed, format!("the terminal: {error}"));
    let config = Config::builder().max_history_size(HISTORY_MAX).map_err(failed)?.build();
    let mut editor: Editor<Names, FileHistory> = Editor::with_config(config).map_err(failed)?;
    let history = history::path();
    if let Some(path) = &history
        && let Err(error) = editor.load_history(path)
    {
        tracing::debug!(%error, "no history of the prompt");
    }
    listen(past)?;
    loop {
        editor.set_helper(Some(Names::of(past)));
        let line = match editor.readline("ebbtide> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        };
        let added = editor.add_history_entry(line.trim());
        if let Some(path) = &history
            && let Err(error) = added.and_then(|_| editor.save_history(path))
        {
            tracing::debug!(%error, "the history of the prompt cannot be kept");
        }
        // An interrupt that came before the statement is not meant for it.
        past.cancel().reset();
        match one(past, line.trim(), answers) {
            Ok(Next::GoOn) => {}
            Ok(Next::End) => break,
            Err(failure) => logging::fail(failure),
        }
        output::flush();
        if output::is_gone() {
            break;
        }
    }
    Ok(())
}

/// Has Ctrl-C end a statement instead of the process, from its return on. While a line is edited, the terminal has it as
/// a key.
fn listen(past: &Past) -> Result<(), Failure> {
    let runtime = past.main().moment().replica().runtime();
    let mut interrupts = {
        let _within = runtime.enter();
        signal(SignalKind::interrupt()).map_err(|error| Failure::new(Code::Failed, error))?
    };
    let canceller = past.canceller();
    runtime.spawn(async move {
        while interrupts.recv().await.is_some() {
            canceller.cancel();
        }
    });
    Ok(())
}

fn one(past: &Past, line: &str, answers: &mut Answers) -> Result<Next, Failure> {
    let mut words = line.split_whitespace();
    let command = words.next().unwrap_or_default();
    let argument = words.next().map(|word| word.trim_end_matches(';'));
    match (command, argument) {
        (".quit" | ".exit", _) => return Ok(Next::End),
        (".tables", _) => script::run(past, &tables(past), answers)?,
        (".schema", table) => script::run(past, &schema(past, table), answers)?,
        (".mode", Some(mode)) => {
            answers.form = match mode {
                "table" => AnswerForm::Table,
                "csv" => AnswerForm::Csv,
                "json" => AnswerForm::Json,
                _ => return Err(Failure::new(Code::Usage, format!("no mode is {mode}\n{HELP}"))),
            };
        }
        (command, _) if command.starts_with('.') => output::lines(HELP),
        _ => script::run(past, line, answers)?,
    }
    Ok(Next::GoOn)
}

/// A query over the schemas of all states, whose names are quoted.
fn tables(past: &Past) -> String {
    let one = |schema: &str| {
        let (name, quoted) = (literal(schema), identifier(schema));
        format!(
            "SELECT {name} AS schema, name, type FROM {quoted}.sqlite_schema
             WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
    };
    schemas(past).iter().map(|schema| one(schema)).collect::<Vec<_>>().join(" UNION ALL ")
        + " ORDER BY 1, 2"
}

fn schema(past: &Past, table: Option<&str>) -> String {
    let only = table.map_or(String::new(), |table| format!(" AND tbl_name = {}", literal(table)));
    let one = |schema: &String| {
        format!(
            "SELECT sql || ';' AS sql FROM {}.sqlite_schema WHERE sql IS NOT NULL{only}",
            identifier(schema)
        )
    };
    schemas(past).iter().map(one).collect::<Vec<_>>().join(" UNION ALL ")
}

/// The schemas of the connection, `main` first.
fn schemas(past: &Past) -> Vec<String> {
    let mut schemas = vec!["main".to_owned()];
    schemas.extend(past.moments().map(|(name, _)| name.to_owned()).filter(|name| name != "main"));
    schemas
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
