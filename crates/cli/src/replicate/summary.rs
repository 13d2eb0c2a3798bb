//! What whoever reads the log in passing wants to know: at the start what is kept and where to look, once an hour how all is,
//! and at the end what was done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
use std::time::Duration;

use ebbtide_config::{Config, Database};
use ebbtide_sidecar::control::health_issues;
use ebbtide_sidecar::follow::{Phase, Status};
use ebbtide_sidecar::{View, clock};
use tokio::task::JoinHandle;

use crate::commands::quote;
use crate::terminal;

/// How often it is said how all is.
const HOUR: Duration = Duration::from_secs(3600);

/// How often it is looked whether a database is followed, until one is.
const LOOK: Duration = Duration::from_millis(100);

/// What is kept of what is configured, whether it is encrypted, which it is by the arguments if `is_wrapped`, and where to
/// look.
pub(super) fn of_start(config: &Config, is_wrapped: bool) -> String {
    let databases = &config.databases;
    match (databases.as_slice(), config.patterns.is_empty()) {
        ([one], true) => of_one(one, is_wrapped),
        _ => of_many(databases, config.patterns.len(), is_wrapped),
    }
}

fn of_one(database: &Database, is_wrapped: bool) -> String {
    let kept = match &database.keep {
        None => "every commit is kept".to_owned(),
        Some(keep) => format!("kept is {keep}"),
    };
    let not = if is_encrypted(database, is_wrapped) { "" } else { "not " };
    let replica = quote::word(&database.location.to_string());
    format!(
        "{kept}, and the replica is {not}encrypted; `ebbtide status` shows how it is, `ebbtide log {replica}` what can be \
         restored"
    )
}

fn of_many(databases: &[Database], patterns: usize, is_wrapped: bool) -> String {
    let patterns = (patterns > 0).then(|| terminal::number_of(patterns as u64, "pattern"));
    if let (Some(patterns), []) = (&patterns, databases) {
        return format!(
            "{patterns}: `ebbtide list` shows what is found, `ebbtide status` shows how it is, `ebbtide config show` what is kept"
        );
    }
    let named = terminal::number_of(databases.len() as u64, "database");
    let named = patterns.map_or(named.clone(), |patterns| format!("{named}, besides {patterns}"));
    let everything = databases.iter().filter(|it| it.keep.is_none()).count();
    let encrypted = databases.iter().filter(|it| is_encrypted(it, is_wrapped)).count();
    format!(
        "{named}: {everything} keep every commit, {encrypted} are encrypted; `ebbtide status` shows how they are, \
         `ebbtide config show` what is kept of each"
    )
}

fn is_encrypted(database: &Database, is_wrapped: bool) -> bool {
    is_wrapped || !database.encrypt_to.is_empty() || database.encrypt_to_file.is_some()
}

/// Says it all, from when on a database is followed: what is wrong before that is said by itself.
pub(super) struct Summary {
    task: JoinHandle<()>,
    view: View,
    is_begun: Arc<AtomicBool>,
}

impl Summary {
    /// Begins with what is to be said at the start.
    pub(super) fn start(text: String, view: View) -> Summary {
        let (is_begun, seen) = (Arc::new(AtomicBool::new(false)), view.clone());
        let begun = Arc::clone(&is_begun);
        let task = tokio::spawn(async move {
            while !view.statuses.now().iter().any(Status::was_followed) {
                tokio::time::sleep(LOOK).await;
            }
            tracing::info!("{text}");
            begun.store(true, Release);
            let mut before = Shipped::of(&view.statuses.now());
            loop {
                tokio::time::sleep(HOUR).await;
                let now = Shipped::of(&view.statuses.now());
                let how = tokio::task::block_in_place(|| how_all_is(&view));
                tracing::info!("{how}; in the last hour {}", now.since(before).text());
                before = now;
            }
        });
        Summary { task, view: seen, is_begun }
    }

    /// Says no more until the end; what is followed now, if anything was. What has ended is not listed any more.
    pub(super) fn ending(self) -> Option<Vec<Status>> {
        self.task.abort();
        self.is_begun.load(Acquire).then(|| self.view.statuses.now())
    }
}

/// Says what was done for these databases.
pub(super) fn ended(statuses: &[Status]) {
    tracing::info!("since the start: {}", Shipped::of(statuses).text());
}

/// What was done since the process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Shipped {
    commits: u64,
    segments: u64,
    bytes: u64,
}

impl Shipped {
    fn of(statuses: &[Status]) -> Shipped {
        let mut sum = Shipped::default();
        for status in statuses {
            let counts = status.counts();
            sum.commits += counts.commits.get();
            sum.bytes += counts.traffic.sent.get();
            sum.segments += status.get().segments;
        }
        sum
    }

    /// What came since then; of a database that is gone, nothing.
    fn since(self, before: Shipped) -> Shipped {
        Shipped {
            commits: self.commits.saturating_sub(before.commits),
            segments: self.segments.saturating_sub(before.segments),
            bytes: self.bytes.saturating_sub(before.bytes),
        }
    }

    fn text(self) -> String {
        let (commits, segments) = (
            terminal::number_of(self.commits, "commit"),
            terminal::number_of(self.segments, "segment"),
        );
        format!("{commits} in {segments}, {} sent", terminal::bytes(self.bytes))
    }
}

/// How all is, in a line.
pub(super) fn how_all_is(view: &View) -> String {
    let (statuses, now) = (view.statuses.present(), clock::now());
    let (mut followed, mut needing, mut lag) = (0, 0, Duration::ZERO);
    for status in &statuses {
        let known = status.get();
        followed += usize::from(known.phase == Phase::Following);
        needing += usize::from(!health_issues(&known, now).is_empty());
        lag = lag.max(known.lag(now));
    }
    let databases = terminal::number_of(statuses.len() as u64, "database");
    let mut text = format!("{followed} of {databases} followed");
    match lag.as_secs() {
        0 => text += ", all durable",
        seconds => text += &format!(", oldest commit that is not durable {seconds} s old"),
    }
    if needing > 0 {
        text += &format!("; {needing} need attention, see `ebbtide status`");
    }
    let stopped = view.stopped.get();
    if stopped > 0 {
        text += &format!("; {stopped} given up because of an error");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_what_came_in_it() {
        let before = Shipped { commits: 5, segments: 5, bytes: 2048 };
        let now = Shipped { commits: 6, segments: 6, bytes: 4096 };
        assert_eq!(now.since(before).text(), "1 commit in 1 segment, 2.00 KiB sent");
        // One of the databases has gone, and its counts with it.
        assert_eq!(before.since(now), Shipped::default());
    }

    #[test]
    fn the_start_says_what_is_kept_and_where_to_look() {
        let database = |name: &str| {
            let location = format!("s3://bucket/{name}?region=x").parse().unwrap();
            Database::new(name.into(), location)
        };
        let mut one = database("a.db");
        let said = of_one(&one, false);
        assert!(
            said.starts_with("every commit is kept, and the replica is not encrypted; "),
            "{said}"
        );
        assert!(said.contains("`ebbtide log 's3://bucket/a.db?region=x'`"), "{said}");
        assert!(of_one(&one, true).contains("the replica is encrypted"));
        one.keep = Some("every-commit=7d,daily=1y".parse().unwrap());
        one.encrypt_to = vec!["age1…".to_owned()];
        let said = of_one(&one, false);
        assert!(
            said.starts_with("kept is every-commit=7d,daily=1y, and the replica is encrypted; "),
            "{said}"
        );
        let said = of_many(&[one, database("b.db")], 1, false);
        assert!(
            said.starts_with(
                "2 databases, besides 1 pattern: 1 keep every commit, 1 are encrypted; "
            ),
            "{said}"
        );
    }
}
