//! The set itself: what is followed, what ends, and what waits for that.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ebbtide_config::{Config, Database};
use ebbtide_store::error_chain;

use super::descriptors::DescriptorCheck;
use super::member::{Doing, NamedBy, SetMember};
use crate::follow::{Phase, Status};
use crate::hooks::Hooks;
use crate::roster::{Change, FileKey, Roster, key_of};
use crate::sidecar::{AddError, Ended, Followed, How, Sidecar, absolute};

/// The statuses of so many databases are shown that have ended: the oldest of more are not shown any more.
const ENDED_SHOWN_MAX: usize = 1000;

/// What the configuration does not say of a database in rollback-journal mode.
const NEEDS_WAL: &str = "the database is in rollback-journal mode, and is followed with a write-ahead log only: set enable-wal = true for it";

/// So long it is looked for databases that are about to be whole, where it is looked once: a file without a log is one once
/// nobody has written it for a moment, and one in rollback-journal mode may be about to be switched.
const LOOK_ONCE: Duration = Duration::from_millis(2500);

/// The same at the end: an application that has ended may have made one just before.
const LOOK_AT_END: Duration = Duration::from_millis(400);

/// Databases that are followed side by side, and those that will be.
#[derive(Debug)]
pub struct DatabaseSet {
    pub(super) sidecar: Sidecar,
    pub(super) roster: Roster,
    pub(super) how: How,
    pub(super) members: BTreeMap<PathBuf, SetMember>,
    /// Those of the members, which are not opened to be looked at.
    keys: Arc<HashSet<FileKey>>,
    /// Files that a pattern names and that are members under another name, which ends.
    waiting: BTreeSet<PathBuf>,
    /// Those that need what a member has which ends.
    queued: Vec<(Database, NamedBy)>,
    /// Removed by a command, until the configuration is read again.
    pub(super) removed: BTreeSet<PathBuf>,
    /// Those that are shown although they have ended, the oldest first.
    ended: VecDeque<PathBuf>,
    /// Whether it goes on without databases.
    pub(super) is_kept: bool,
    is_finishing: bool,
    descriptors: DescriptorCheck,
    /// How many databases that patterns name were refused.
    refused: usize,
}

impl DatabaseSet {
    /// Without databases.
    #[must_use]
    pub fn new(hooks: Hooks, how: How) -> DatabaseSet {
        DatabaseSet {
            sidecar: Sidecar::new(hooks),
            roster: Roster::new(),
            how,
            members: BTreeMap::new(),
            keys: Arc::default(),
            waiting: BTreeSet::new(),
            queued: Vec::new(),
            removed: BTreeSet::new(),
            ended: VecDeque::new(),
            is_kept: false,
            is_finishing: false,
            descriptors: DescriptorCheck::default(),
            refused: 0,
        }
    }

    /// The databases that are followed.
    #[must_use]
    pub fn sidecar(&self) -> &Sidecar {
        &self.sidecar
    }

    /// How many databases that patterns name were refused, each with a word.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.refused
    }

    /// Begins to follow what a configuration names. If it is looked once, what patterns name is found by then.
    ///
    /// # Errors
    /// As [`Sidecar::add`].
    pub async fn begin(&mut self, config: &Config) -> Result<(), AddError> {
        for database in &config.databases {
            self.follow(database.clone(), NamedBy::Configuration)?;
        }
        self.roster.set_patterns(config.patterns.clone());
        if self.how.is_once {
            let changes = self.roster.look_through(&self.keys, LOOK_ONCE).await;
            self.apply(changes);
            let counts = self.roster.counts();
            let unfinished: u64 = counts.iter().map(|count| count.unfinished).sum();
            if unfinished > 0 {
                tracing::warn!(
                    files = unfinished,
                    "left out, because they are no whole databases yet"
                );
            }
            self.roster.set_patterns(Vec::new());
        }
        self.note_begun();
        Ok(())
    }

    /// Takes note that all databases that there were at the beginning are followed, if they are.
    fn note_begun(&self) {
        if self.roster.has_walked() || self.roster.patterns().is_empty() {
            self.sidecar.begun().store(true, Ordering::Release);
        }
    }

    /// Begins to follow a database because a command says so.
    ///
    /// # Errors
    /// As [`Sidecar::add`].
    pub async fn add(&mut self, database: Database) -> Result<Followed, AddError> {
        self.settle().await;
        let path = absolute(&database.path);
        let followed = self.follow(database, NamedBy::Command)?;
        self.is_kept = true;
        self.removed.remove(&path);
        Ok(followed)
    }

    /// Ends the following of a database because a command says so, with a last sync; its status, if it is followed.
    pub fn remove(&mut self, path: &Path) -> Option<Status> {
        let path = absolute(path);
        let member = self.members.get_mut(&path)?;
        let status = member.status.clone();
        self.is_kept = true;
        self.removed.insert(path.clone());
        match &mut member.doing {
            Doing::Followed => {
                member.doing = Doing::Ending { next: None };
                self.sidecar.remove(&path);
            }
            Doing::Ending { next } => *next = None,
            Doing::Stopped => {
                self.forget(&path);
                self.sidecar.hide(&path);
            }
        }
        Some(status)
    }

    /// Waits for the next database whose following ends. What comes and goes meanwhile is followed and let go. May be dropped
    /// and called again. Nothing once nothing is followed, and nothing will be.
    pub async fn next_ended(&mut self) -> Option<Ended> {
        loop {
            if self.is_over() {
                return None;
            }
            tokio::select! {
                Some(ended) = self.sidecar.next_ended(), if !self.sidecar.is_empty() => {
                    if let Some(ended) = self.take(ended) {
                        return Some(ended);
                    }
                }
                changes = self.roster.changes(&self.keys) => {
                    self.apply(changes);
                    self.note_begun();
                }
            }
        }
    }

    /// Whether nothing is followed, and nothing will be.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.sidecar.is_empty() && self.roster.patterns().is_empty() && !self.is_kept
    }

    /// Looks for databases a last time, before [`DatabaseSet::finish`]: what an application made just before its end is part of
    /// the last sync.
    pub async fn look_once_more(&mut self) {
        let changes = self.roster.look_through(&self.keys, LOOK_AT_END).await;
        self.apply(changes);
    }

    /// Ends everything with a last sync, and looks for nothing any more.
    pub fn finish(&mut self) {
        (self.is_kept, self.is_finishing) = (false, true);
        self.roster.set_patterns(Vec::new());
        self.waiting.clear();
        self.queued.clear();
        for member in self.members.values_mut() {
            member.doing.ends();
        }
        self.sidecar.finish();
    }

    /// Ends everything where it is.
    pub async fn abort(&mut self) {
        self.sidecar.abort().await;
    }

    /// Waits until no file is looked at, so that one may be followed.
    pub(super) async fn settle(&mut self) {
        let changes = self.roster.settle().await;
        self.apply(changes);
        self.note_begun();
    }

    fn follow(&mut self, database: Database, named_by: NamedBy) -> Result<Followed, AddError> {
        let path = absolute(&database.path);
        let key = fs::metadata(&path).ok().map(|metadata| key_of(&metadata));
        if let Some(other) = self.other_name(&path, key) {
            return Err(AddError::SameFile { database: path, other: other.to_owned() });
        }
        let followed = self.sidecar.add(database.clone(), self.how.clone())?;
        let status = followed.status().clone();
        let member = SetMember { database, named_by, key, doing: Doing::Followed, status };
        self.members.insert(path.clone(), member);
        self.descriptors.look(self.members.len());
        self.sidecar.hide(&path);
        self.note_key(None, key);
        Ok(followed)
    }

    /// Another member that is the same file, if its name still leads there.
    fn other_name(&self, path: &Path, key: Option<FileKey>) -> Option<&Path> {
        let key = key.filter(|key| self.keys.contains(key))?;
        let same = |(other, member): &(&PathBuf, &SetMember)| {
            other.as_path() != path && member.key == Some(key) && member.doing.is_open()
        };
        self.members.iter().find(same).map(|(other, _)| other.as_path())
    }

    fn note_key(&mut self, before: Option<FileKey>, now: Option<FileKey>) {
        let keys = Arc::make_mut(&mut self.keys);
        if let Some(before) = before {
            keys.remove(&before);
        }
        keys.extend(now);
    }

    pub(super) fn forget(&mut self, path: &Path) -> Option<SetMember> {
        let member = self.members.remove(path)?;
        self.note_key(member.key, None);
        Some(member)
    }

    fn apply(&mut self, changes: Vec<Change>) {
        if self.is_finishing {
            return;
        }
        let mut vanished = Vec::new();
        for change in changes {
            match change {
                Change::Appeared { path, key } => self.appeared(path, key),
                Change::Replaced { path, key } => {
                    if let Some(member) = self.members.get_mut(&path) {
                        let before = member.key.replace(key);
                        self.note_key(before, Some(key));
                    }
                }
                Change::Journal { path } => self.needs_wal(&path),
                Change::Vanished { path } => vanished.push(path),
            }
        }
        self.let_go(&vanished);
    }

    /// A pattern names a database that was not there before.
    fn appeared(&mut self, path: PathBuf, key: FileKey) {
        let is_removed = self.removed.contains(&path);
        if let Some(member) = self.members.get_mut(&path) {
            let before = member.key.replace(key);
            if let Doing::Ending { next } = &mut member.doing
                && !is_removed
            {
                let again = || Box::new((member.database.clone(), member.named_by.clone()));
                next.get_or_insert_with(again);
            }
            return self.note_key(before, Some(key));
        }
        if is_removed {
            return;
        }
        if let Some(other) = self.other_name(&path, Some(key)) {
            if self.members.get(other).is_some_and(|member| member.is_leaving(key)) {
                self.waiting.insert(path);
            } else {
                let why = format!("it is the same file as {}, which is followed", other.display());
                self.refuse(&path, String::new(), Phase::Stopped, why);
            }
            return;
        }
        let patterns = self.roster.patterns();
        let Some(pattern) = patterns.iter().find(|pattern| pattern.names(&path)) else { return };
        let named_by = NamedBy::Pattern(pattern.text().to_owned());
        match pattern.database(&path) {
            Ok(database) => self.follow_or_say(&path, database, named_by),
            Err(why) => self.refuse(&path, String::new(), Phase::Stopped, why),
        }
    }

    fn needs_wal(&mut self, path: &Path) {
        if !self.members.contains_key(path) {
            self.refuse(path, String::new(), Phase::Failing, NEEDS_WAL.to_owned());
        }
    }

    /// Says why a database is not followed, and shows it.
    fn refuse(&mut self, path: &Path, replica: String, phase: Phase, why: String) {
        self.refused += 1;
        tracing::error!(database = %path.display(), error = why, "not followed");
        let (durations, pace) = (self.sidecar.durations(), self.sidecar.pace());
        let status = Status::new(path.to_owned(), replica, durations, pace);
        status.refuse(phase, why);
        self.sidecar.show(&status);
    }

    /// Files that patterns named are gone.
    fn let_go(&mut self, gone: &[PathBuf]) {
        let mut count = 0;
        for path in gone {
            self.waiting.remove(path);
            let Some(member) = self.members.get_mut(path) else {
                self.sidecar.hide(path);
                continue;
            };
            if !matches!(member.named_by, NamedBy::Pattern(_)) {
                continue;
            }
            match member.doing {
                Doing::Followed | Doing::Ending { .. } => {
                    count += 1;
                    tracing::info!(database = %path.display(), "its file is gone; letting it go after a last sync");
                    member.doing = Doing::Ending { next: None };
                    self.sidecar.let_go(path);
                }
                Doing::Stopped => {
                    self.forget(path);
                    self.sidecar.hide(path);
                }
            }
        }
        let is_all = || self.members.values().all(|member| !member.doing.is_followed());
        if count > 1 && is_all() {
            tracing::warn!(databases = count, "all databases that patterns name are gone at once");
        }
    }

    /// A task has ended; what is to be told of that.
    fn take(&mut self, ended: Ended) -> Option<Ended> {
        let path = ended.status.noted(|noted| noted.database.clone());
        let Some(member) = self.members.get_mut(&path) else { return Some(ended) };
        let told = match &mut member.doing {
            Doing::Ending { next } => {
                let next = next.take();
                self.forget(&path);
                match next {
                    Some(next) => {
                        self.restart(&path, *next, &ended);
                        None
                    }
                    None => {
                        self.show_ended(path, &ended.status);
                        Some(ended)
                    }
                }
            }
            Doing::Followed | Doing::Stopped if ended.result.is_err() => {
                member.doing = Doing::Stopped;
                self.sidecar.show(&ended.status);
                Some(ended)
            }
            Doing::Followed | Doing::Stopped => {
                self.forget(&path);
                Some(ended)
            }
        };
        self.follow_waiting();
        told
    }

    fn restart(&mut self, path: &Path, next: (Database, NamedBy), ended: &Ended) {
        if let Err(error) = &ended.result {
            tracing::error!(database = %path.display(), error = error_chain(error), "its last sync before a change failed");
        }
        self.follow_or_say(path, next.0, next.1);
    }

    /// Follows a database, now or once the one has ended that has what it needs; otherwise why not is shown.
    pub(super) fn follow_or_say(&mut self, path: &Path, database: Database, named_by: NamedBy) {
        let again = (database.clone(), named_by.clone());
        let replica = database.location.to_string();
        let Err(error) = self.follow(database, named_by) else { return };
        let ends = |other: &PathBuf| {
            self.members.get(other).is_some_and(|member| member.doing.is_ending())
        };
        match &error {
            AddError::SharedReplica { other, .. } | AddError::SameFile { other, .. }
                if ends(other) =>
            {
                self.queued.push(again);
            }
            _ => self.refuse(path, replica, Phase::Stopped, error.to_string()),
        }
    }

    fn show_ended(&mut self, path: PathBuf, status: &Status) {
        self.sidecar.show(status);
        self.ended.retain(|ended| *ended != path);
        self.ended.push_back(path);
        if self.ended.len() > ENDED_SHOWN_MAX
            && let Some(oldest) = self.ended.pop_front()
            && !self.members.contains_key(&oldest)
        {
            self.sidecar.hide(&oldest);
        }
    }

    /// Follows what waited for another name of its file.
    fn follow_waiting(&mut self) {
        for path in std::mem::take(&mut self.waiting) {
            if let Ok(metadata) = fs::metadata(&path) {
                self.appeared(path, key_of(&metadata));
            }
        }
        for (database, named_by) in std::mem::take(&mut self.queued) {
            let path = absolute(&database.path);
            self.follow_or_say(&path, database, named_by);
        }
    }
}
