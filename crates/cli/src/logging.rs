//! Logs: to standard error, at the level that was asked for.

use std::fmt::Display;
use std::io;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use crate::args::{LogFormat, Logging};
use crate::escape::{self, Form, LogLine};
use crate::log_writer::LogWriter;
use crate::terminal;

/// How this process logs, once that is known.
static HOW: OnceLock<(LogFormat, LogWriter)> = OnceLock::new();

/// Begins to log. A filter that cannot be read is reported and replaced by the default. `is_patient` says whether a
/// reader of the log that does not read is waited for.
pub fn init(logging: &Logging, is_patient: bool) {
    let writer = LogWriter { is_patient };
    HOW.get_or_init(|| (logging.log_format, writer));
    // The SDK's own lines are of interest only to whoever asks for them.
    let quiet = "aws_config=error,aws_smithy_runtime=error,aws_sdk_s3=error,aws_runtime=error,hyper=warn,notify=warn";
    let filter = EnvFilter::try_new(format!("{quiet},{}", logging.log));
    let (filter, bad) = match filter {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(format!("{quiet},info")), Some(error)),
    };
    let form = match logging.log_format {
        LogFormat::Text if terminal::has_colours(&io::stderr()) => Form::Coloured,
        LogFormat::Text => Form::Text,
        LogFormat::Json => Form::Json,
    };
    // An event is written by one call.
    let writer = move || LogLine::new(writer, form);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match logging.log_format {
        LogFormat::Text => {
            builder.with_target(false).with_ansi(form == Form::Coloured).init();
        }
        LogFormat::Json => builder.json().init(),
    }
    if let Some(error) = bad {
        tracing::warn!(%error, filter = logging.log, "cannot read the log filter; using info");
    }
}

/// Says why the command failed, in the form of the logs, whatever their level.
pub(crate) fn fail(failure: impl Display) {
    let why = failure.to_string();
    say(&format!("ebbtide: {why}"), "ERROR", &json!({"message": "failed", "error": why}));
}

/// Says what belongs to a result and is no part of it, in the same form.
pub(crate) fn note(note: impl Display) {
    let note = note.to_string();
    say(&format!("note: {note}"), "INFO", &json!({"message": note}));
}

/// Says what a person would do next.
pub(crate) fn next(next: impl Display) {
    let next = next.to_string();
    say(&format!("next: {next}"), "INFO", &json!({"message": "next", "command": next}));
}

fn say(text: &str, level: &str, fields: &Value) {
    let early = (LogFormat::Text, LogWriter { is_patient: true });
    let (format, writer) = HOW.get().copied().unwrap_or(early);
    let line = match format {
        LogFormat::Text => format!("{}\n", escape::message(text)),
        LogFormat::Json => {
            let time = ebbtide_sidecar::clock::now().to_string();
            let line = json!({
                "timestamp": time, "level": level, "fields": fields, "target": "ebbtide",
            });
            format!("{}\n", escape::json(&line.to_string()))
        }
    };
    writer.line(line.as_bytes());
}
