//! A command of the tool, its answer, and what that took.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::Result;
use crate::process::run;
use crate::rig::Case;
use crate::tool::Tool;

/// A command that was answered.
#[derive(Debug)]
pub(super) struct Asked {
    /// Both of its outputs.
    pub(super) output: String,
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    /// The most that was resident, in MB.
    pub(super) memory: f64,
}

/// Where the indexes are kept that a command has read.
fn cache(case: &Case) -> PathBuf {
    case.directory.join("cache")
}

/// Has the next command know nothing of those before it.
pub(super) fn forget(case: &Case) -> Result<()> {
    match fs::remove_dir_all(cache(case)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Asks, and expects success and a line that begins so.
pub(super) fn ask(
    tool: &Tool,
    what: &str,
    args: &[&str],
    case: &Case,
    expected: Option<&str>,
) -> Result<Asked> {
    let mut command = tool.command(what);
    done(command.args(args).env("XDG_CACHE_HOME", cache(case)), case, expected)
}

/// The same of any command.
pub(super) fn done(command: &mut Command, case: &Case, expected: Option<&str>) -> Result<Asked> {
    let log = case.directory.join("asked.log");
    fs::remove_file(&log).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    let done = run(command, &log)?;
    let output = fs::read_to_string(&log)?;
    let is_answered =
        expected.is_none_or(|expected| output.lines().any(|line| line.starts_with(expected)));
    if !done.status.success() || !is_answered {
        return Err(format!("{command:?}: {}, {output}", done.status).into());
    }
    Ok(Asked {
        output,
        seconds: done.time.as_secs_f64(),
        cpu_seconds: done.cpu_time.as_secs_f64(),
        memory: done.resident_max as f64 / 1e6,
    })
}
