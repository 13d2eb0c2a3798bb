//! A configuration that is read again: what it changes is changed, and what it does not is not touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ebbtide_config::{Config, Database};
use serde::{Deserialize, Serialize};

use super::database_set::DatabaseSet;
use super::member::{Doing, NamedBy};
use crate::roster::key_of;
use crate::sidecar::{absolute, check};

/// How many databases a configuration that was read again has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// So many go on as they were.
    pub unchanged: u64,
    /// So many are new, and followed from now on.
    pub added: u64,
    /// So many end, and begin again with what is configured now.
    pub restarted: u64,
    /// So many end.
    pub removed: u64,
}

/// What is to be followed, by path, and why.
type WantedSet = BTreeMap<PathBuf, (Database, NamedBy)>;

impl DatabaseSet {
    /// Goes by another configuration from now on. Databases that a command has added stay. Those that patterns name, and that
    /// are not followed yet, come once they are found.
    ///
    /// # Errors
    /// With the reason, and then nothing has changed.
    pub async fn reload(&mut self, config: &Config) -> Result<Reloaded, String> {
        self.settle().await;
        let mut wanted = self.wanted(config)?;
        check_apart(&wanted)?;
        self.is_kept = true;
        self.removed.clear();
        self.roster.set_patterns(config.patterns.clone());
        let mut reloaded = Reloaded::default();
        let paths: Vec<PathBuf> = self.members.keys().cloned().collect();
        for path in paths {
            let next = wanted.remove(&path);
            self.change(&path, next, &mut reloaded);
        }
        for (path, (database, named_by)) in wanted {
            reloaded.added += 1;
            self.follow_or_say(&path, database, named_by);
        }
        Ok(reloaded)
    }

    /// What a configuration wants of what is known by now.
    fn wanted(&self, config: &Config) -> Result<WantedSet, String> {
        let mut wanted = WantedSet::new();
        for database in &config.databases {
            let named = (database.clone(), NamedBy::Configuration);
            wanted.insert(absolute(&database.path), named);
        }
        for (path, member) in &self.members {
            let is_leaving = matches!(&member.doing, Doing::Ending { next: None });
            if wanted.contains_key(path) || (is_leaving && !self.removed.contains(path)) {
                continue;
            }
            let pattern = config.patterns.iter().find(|pattern| pattern.names(path));
            let named = match (&member.named_by, pattern) {
                (NamedBy::Command, _) if is_leaving => continue,
                (NamedBy::Command, _) => (member.database.clone(), NamedBy::Command),
                (_, Some(pattern)) => {
                    (pattern.database(path)?, NamedBy::Pattern(pattern.text().to_owned()))
                }
                (_, None) => continue,
            };
            wanted.insert(path.clone(), named);
        }
        Ok(wanted)
    }

    /// Changes one that is a member by now.
    fn change(&mut self, path: &Path, next: Option<(Database, NamedBy)>, reloaded: &mut Reloaded) {
        let Some(member) = self.members.get_mut(path) else { return };
        match (&mut member.doing, next) {
            (Doing::Followed, Some((database, named_by))) if database == member.database => {
                member.named_by = named_by;
                reloaded.unchanged += 1;
            }
            (Doing::Followed, Some(next)) => {
                member.doing = Doing::Ending { next: Some(Box::new(next)) };
                self.sidecar.remove(path);
                reloaded.restarted += 1;
            }
            (Doing::Followed, None) => {
                member.doing = Doing::Ending { next: None };
                self.sidecar.remove(path);
                reloaded.removed += 1;
            }
            (Doing::Ending { next: slot }, next) => {
                reloaded.restarted += u64::from(next.is_some());
                *slot = next.map(Box::new);
            }
            (Doing::Stopped, next) => {
                self.forget(path);
                self.sidecar.hide(path);
                if let Some((database, named_by)) = next {
                    reloaded.restarted += 1;
                    self.follow_or_say(path, database, named_by);
                }
            }
        }
    }
}

/// That no two of them share a file, also under two names that are no links, or a place, and each may have its place.
fn check_apart(wanted: &WantedSet) -> Result<(), String> {
    ebbtide_config::check_apart(wanted.values().map(|(database, _)| database))?;
    let mut files = BTreeMap::new();
    for (path, (database, _)) in wanted {
        check(database).map_err(|error| error.to_string())?;
        let key = fs::metadata(path).ok().map(|metadata| key_of(&metadata));
        if let Some(other) = key.and_then(|key| files.insert(key, path)) {
            return Err(format!("{} and {} are the same file", other.display(), path.display()));
        }
    }
    Ok(())
}
