//! What the set has, for whoever asks.

use serde::{Deserialize, Serialize};

use super::database_set::DatabaseSet;
use super::member::NamedBy;
use crate::follow::Phase;

/// All databases, and what the patterns name besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetList {
    /// Each database, by its path.
    pub databases: Vec<ListedDatabase>,
    /// Each pattern.
    pub patterns: Vec<ListedPattern>,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedDatabase {
    /// Its absolute path.
    pub database: String,
    /// The address of its replica.
    pub replica: String,
    /// The pattern that names it, if one does.
    pub pattern: Option<String>,
    /// Whether it was added while the process ran.
    pub added: bool,
    /// What is being done.
    pub phase: Phase,
}

/// A pattern of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedPattern {
    /// As it is written.
    pub pattern: String,
    /// Its databases that are followed.
    pub databases: u64,
    /// Databases that need to be switched to a write-ahead log.
    pub need_wal: u64,
    /// Files that are empty, or copies that are under way.
    pub unfinished: u64,
    /// Files that are no databases.
    pub other_files: u64,
    /// Files that cannot be read.
    pub unreadable: u64,
}

impl DatabaseSet {
    /// What the set has now.
    #[must_use]
    pub fn list(&self) -> SetList {
        let databases = self.members.values().map(|member| {
            let (database, phase) =
                member.status.noted(|noted| (noted.database.clone(), noted.phase));
            ListedDatabase {
                database: database.to_string_lossy().into_owned(),
                replica: member.database.location.to_string(),
                pattern: match &member.named_by {
                    NamedBy::Pattern(text) => Some(text.clone()),
                    _ => None,
                },
                added: member.named_by == NamedBy::Command,
                phase,
            }
        });
        let databases: Vec<ListedDatabase> = databases.collect();
        let patterns = self.roster.counts().into_iter().map(|counts| {
            let is_its = |database: &&ListedDatabase| {
                database.pattern.as_deref() == Some(counts.pattern.as_str())
            };
            ListedPattern {
                databases: databases.iter().filter(is_its).count() as u64,
                need_wal: counts.journals,
                unfinished: counts.unfinished,
                other_files: counts.others,
                unreadable: counts.unreadable,
                pattern: counts.pattern,
            }
        });
        let patterns = patterns.collect();
        SetList { databases, patterns }
    }
}
