//! What a check has found, as a line for people or for programs.

use ebbtide_store::Trial;
use serde_json::json;

use crate::escape::OneLine;
use crate::output;

/// What is looked at. The names stand in the output for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Pattern,
    File,
    Journal,
    FileSystem,
    Rights,
    Lock,
    Names,
    Application,
    Sqlite,
    Replicator,
    State,
    Disk,
    Recipient,
    Open,
    Store(Trial),
    Replica,
    Descriptors,
    Listener,
    Notices,
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Check::Pattern => "pattern",
            Check::File => "file",
            Check::Journal => "journal",
            Check::FileSystem => "file-system",
            Check::Rights => "rights",
            Check::Lock => "lock",
            Check::Names => "names",
            Check::Application => "application",
            Check::Sqlite => "sqlite",
            Check::Replicator => "replicator",
            Check::State => "local-state",
            Check::Disk => "disk",
            Check::Recipient => "recipient",
            Check::Open => "open",
            Check::Store(Trial::Put) => "put",
            Check::Store(Trial::Get) => "get",
            Check::Store(Trial::List) => "list",
            Check::Store(Trial::Conditional) => "conditional",
            Check::Store(Trial::Clock) => "clock",
            Check::Store(Trial::Delete) => "delete",
            Check::Store(Trial::Region) => "region",
            Check::Store(Trial::Versioning) => "versioning",
            Check::Store(Trial::ObjectLock) => "object-lock",
            Check::Replica => "replica",
            Check::Descriptors => "descriptors",
            Check::Listener => "listener",
            Check::Notices => "notices",
        }
    }
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    Note,
    Warn,
    Fail,
    Unknown,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warn => "warn",
            Level::Fail => "fail",
            Level::Unknown => "unknown",
        }
    }
}

/// What a check has found.
#[derive(Debug)]
pub(super) struct Finding {
    check: Check,
    level: Level,
    /// What was seen.
    seen: String,
    /// What to do; empty where nothing has to be done.
    advice: String,
}

impl Finding {
    /// It is as it should be.
    pub(super) fn ok(check: Check, seen: impl Into<String>) -> Finding {
        Finding::new(check, Level::Ok, seen, "")
    }

    /// It is good to know.
    pub(super) fn note(
        check: Check,
        seen: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding::new(check, Level::Note, seen, advice)
    }

    /// Somebody should look.
    pub(super) fn warn(
        check: Check,
        seen: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding::new(check, Level::Warn, seen, advice)
    }

    /// A start, or what is configured for later, does not succeed.
    pub(super) fn fail(
        check: Check,
        seen: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding::new(check, Level::Fail, seen, advice)
    }

    /// It could not be seen.
    pub(super) fn unknown(
        check: Check,
        seen: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding::new(check, Level::Unknown, seen, advice)
    }

    fn new(
        check: Check,
        level: Level,
        seen: impl Into<String>,
        advice: impl Into<String>,
    ) -> Finding {
        Finding { check, level, seen: seen.into(), advice: advice.into() }
    }
}

/// What was looked at, and everything that was found of it.
#[derive(Debug)]
pub(super) struct Subject {
    name: String,
    findings: Vec<Finding>,
}

impl Subject {
    pub(super) fn new(name: String, findings: Vec<Finding>) -> Subject {
        Subject { name, findings }
    }

    /// Prints it; how many checks failed.
    pub(super) fn print(&self, json: bool) -> u64 {
        if !json {
            output::line(&self.name);
        }
        for Finding { check, level, seen, advice } in &self.findings {
            if json {
                let advice = (!advice.is_empty()).then_some(advice);
                output::json(json!({
                    "subject": self.name,
                    "check": check.name(),
                    "level": level.name(),
                    "seen": seen,
                    "advice": advice,
                }));
                continue;
            }
            let to_do = if advice.is_empty() { String::new() } else { format!(" -> {advice}") };
            let line = format!("  {:<7}  {:<11}  {seen}{to_do}", level.name(), check.name());
            output::line(OneLine(line));
        }
        let failed = self.findings.iter().filter(|finding| finding.level == Level::Fail);
        failed.count() as u64
    }
}
