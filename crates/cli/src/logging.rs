//! Logs: to standard error, at the level that was asked for.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::args::{LogFormat, Logging};
use crate::escape::{Form, LogLine};

/// Begins to log. A filter that cannot be read is reported and replaced by the default.
pub fn init(logging: &Logging) {
    // The SDK's own lines are of interest only to whoever asks for them.
    let quiet = "aws_config=error,aws_smithy_runtime=error,aws_sdk_s3=error,aws_runtime=error,hyper=warn,notify=warn";
    let filter = EnvFilter::try_new(format!("{quiet},{}", logging.log));
    let (filter, bad) = match filter {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(format!("{quiet},info")), Some(error)),
    };
    let coloured = io::stderr().is_terminal();
    let form = match logging.log_format {
        LogFormat::Text if coloured => Form::Coloured,
        LogFormat::Text => Form::Text,
        LogFormat::Json => Form::Json,
    };
    // An event is written by one call.
    let writer = move || LogLine::new(io::stderr(), form);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match logging.log_format {
        LogFormat::Text => builder.with_target(false).with_ansi(coloured).init(),
        LogFormat::Json => builder.json().init(),
    }
    if let Some(error) = bad {
        tracing::warn!(%error, filter = logging.log, "cannot read the log filter; using info");
    }
}
