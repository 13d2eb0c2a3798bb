//! What is known of the files that the patterns name, and what has changed: everything that blocks, and every decision.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ebbtide_config::Pattern;
use ebbtide_directory::read_start;
use ebbtide_wal::companion;

use super::content::{Content, START_BYTES, content};
use super::events::{DirectoryEvents, is_exhausted};
use super::known::{FileKey, FileLook, KnownFile, Standing, key_of};
use super::walk::{FoundFile, Walked, may_be_database, walk};

/// A file that nobody has written for so long is whole, if it says so itself: a copy is under way until then.
const SETTLE: Duration = Duration::from_millis(150);

/// The same for one that does not need to be looked at again, by its time of modification.
const OLD: Duration = Duration::from_secs(1);

/// A database in rollback-journal mode is told of after this: many an application switches right after it has made one.
const JOURNAL_SETTLE: Duration = Duration::from_secs(2);

/// A file that is missing for less than this may be about to be replaced.
const MISSING: Duration = Duration::from_millis(300);

/// Files that were written no longer ago than this are looked at often.
const YOUNG: Duration = Duration::from_secs(10);

/// How often those are looked at, and others that may become databases.
pub(super) const SOON: Duration = Duration::from_millis(100);
const LATER: Duration = Duration::from_secs(1);

/// So many older ones that may become databases are looked at each time.
const PENDING_AT_ONCE: usize = 200;

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// There is a database.
    Appeared { path: PathBuf, key: FileKey },
    /// Another file has the name of one.
    Replaced { path: PathBuf, key: FileKey },
    /// There is one that has no write-ahead log.
    Journal { path: PathBuf },
    /// One is gone.
    Vanished { path: PathBuf },
}

/// Where to look.
#[derive(Debug)]
pub(super) enum Where {
    Everywhere,
    At(BTreeSet<PathBuf>),
    /// Only at what may become a database, or is missing.
    Pending,
}

/// All that is known.
#[derive(Debug)]
pub(super) struct Book {
    patterns: Arc<Vec<Pattern>>,
    events: Option<DirectoryEvents>,
    /// There are no watches left, so that only walks find what is new.
    pub(super) is_blind: bool,
    files: BTreeMap<PathBuf, KnownFile>,
    walks: u64,
    /// Roots that are not there, or not on the device on which they were.
    lost: BTreeSet<PathBuf>,
    roots: HashMap<PathBuf, u64>,
    /// What was told once.
    told: BTreeSet<PathBuf>,
    told_others: u64,
}

impl Book {
    pub(super) fn new(events: Option<DirectoryEvents>) -> Book {
        Book {
            patterns: Arc::default(),
            is_blind: events.is_none(),
            events,
            files: BTreeMap::new(),
            walks: 0,
            lost: BTreeSet::new(),
            roots: HashMap::new(),
            told: BTreeSet::new(),
            told_others: 0,
        }
    }

    /// Other patterns count from now on. What only the former ones named is forgotten, and everything else is told again.
    pub(super) fn set_patterns(&mut self, patterns: Arc<Vec<Pattern>>) {
        self.files.retain(|path, known| {
            known.standing = Standing::Pending;
            patterns.iter().any(|pattern| pattern.names(path))
        });
        self.patterns = patterns;
        self.told.clear();
        self.told_others = 0;
    }

    /// Calls back with each file's standing, and the pattern that names it.
    pub(super) fn count(&self, mut is_counted: impl FnMut(&Pattern, Standing)) {
        for (path, known) in &self.files {
            if let Some(pattern) = self.pattern(path) {
                is_counted(pattern, known.standing);
            }
        }
    }

    /// Whether a directory of a pattern is not there.
    pub(super) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Whether something has to be looked at again soon, and how soon.
    pub(super) fn again_in(&self, now: Instant) -> Option<Duration> {
        let waiting = self.files.values().filter_map(|known| {
            let is_young = now.saturating_duration_since(known.since) < YOUNG;
            match known.standing {
                _ if known.missing.is_some_and(|since| now - since < YOUNG) => Some(SOON),
                _ if known.missing.is_some() => Some(LATER),
                Standing::Pending if is_young => Some(SOON),
                Standing::Pending | Standing::Journal => Some(LATER),
                _ => None,
            }
        });
        waiting.min()
    }

    /// Looks, and says what has changed. Files with these keys are followed, and not opened.
    pub(super) fn look(
        &mut self,
        at: Where,
        followed: &HashSet<FileKey>,
        now: Instant,
        time: SystemTime,
    ) -> Vec<Change> {
        let eyes = Eyes { followed, now, time };
        let mut changes = Vec::new();
        match at {
            Where::Everywhere => self.look_everywhere(&eyes, &mut changes),
            Where::At(paths) => {
                for path in &paths {
                    self.look_at(path, &eyes, &mut changes);
                }
            }
            Where::Pending => {}
        }
        self.look_again(&eyes, &mut changes);
        self.tell_others();
        changes
    }

    fn look_everywhere(&mut self, eyes: &Eyes<'_>, changes: &mut Vec<Change>) {
        self.walks += 1;
        let patterns = Arc::clone(&self.patterns);
        for pattern in patterns.iter() {
            if self.find_root(pattern) {
                self.walk_from(pattern, pattern.root(), eyes, changes);
            }
        }
        let walks = self.walks;
        let unseen = self.files.iter().filter(|(_, known)| known.walk < walks);
        let unseen: Vec<PathBuf> = unseen.map(|(path, _)| path.clone()).collect();
        for path in unseen {
            self.miss(&path, eyes.now);
        }
    }

    /// Whether the root of a pattern is there, on the device on which it was. A disk that is not mounted has not lost its
    /// databases.
    fn find_root(&mut self, pattern: &Pattern) -> bool {
        let root = pattern.root();
        let why = match fs::metadata(root) {
            Ok(metadata) if !metadata.is_dir() => "it is no directory".to_owned(),
            Ok(metadata) => match self.roots.get(root) {
                Some(&device) if device != metadata.dev() => {
                    "it is on another file system than it was: is its disk mounted?".to_owned()
                }
                _ => {
                    self.roots.insert(root.to_owned(), metadata.dev());
                    if self.lost.remove(root) {
                        tracing::info!(directory = %root.display(), "the directory is there again");
                    }
                    return true;
                }
            },
            Err(error) => error.to_string(),
        };
        if self.lost.insert(root.to_owned()) {
            tracing::error!(directory = %root.display(), pattern = pattern.text(), error = why,
                "the directory of a pattern is not there; its databases are followed again once it is");
        }
        false
    }

    fn walk_from(
        &mut self,
        pattern: &Pattern,
        from: &Path,
        eyes: &Eyes<'_>,
        changes: &mut Vec<Change>,
    ) {
        let mut walked = Walked::default();
        let (events, failed) = (self.events.clone(), std::cell::Cell::new(false));
        let entered = |directory: &Path| {
            if let Some(Err(error)) = events.as_ref().map(|events| events.watch(directory)) {
                failed.set(failed.get() || is_exhausted(&error));
            }
        };
        walk(pattern, from, &mut walked, &entered);
        if failed.get() && !self.is_blind {
            self.is_blind = true;
            tracing::warn!(
                "the kernel has no watches left for directories (fs.inotify.max_user_watches); looking for new databases every few seconds instead"
            );
        }
        for (directory, error) in walked.unreadable {
            if self.told.insert(directory.clone()) {
                tracing::error!(directory = %directory.display(), %error, "cannot look for databases there");
            }
        }
        for file in walked.files {
            self.look_at_file(pattern, file, eyes, changes);
        }
    }

    /// Looks at one path, of which an event has told.
    fn look_at(&mut self, path: &Path, eyes: &Eyes<'_>, changes: &mut Vec<Change>) {
        let Ok(metadata) = fs::symlink_metadata(path) else {
            let below: Vec<PathBuf> = self.below(path).map(|(path, _)| path.clone()).collect();
            below.iter().for_each(|path| self.miss(path, eyes.now));
            return;
        };
        let patterns = Arc::clone(&self.patterns);
        for pattern in patterns.iter() {
            if !self.roots.contains_key(pattern.root()) {
                continue;
            }
            if metadata.is_dir() {
                let is_root = path == pattern.root();
                let way = path.strip_prefix(pattern.root()).ok().into_iter();
                let way =
                    way.flat_map(|below| below.ancestors()).filter(|it| !it.as_os_str().is_empty());
                let is_entered =
                    way.map(|below| pattern.root().join(below)).all(|it| pattern.enters(&it));
                if path.starts_with(pattern.root()) && !is_root && is_entered {
                    self.walk_from(pattern, path, eyes, changes);
                }
            } else if pattern.names(path) && may_be_database(path) {
                let directory = path.parent().unwrap_or(path);
                let Ok(directory) = fs::metadata(directory) else { continue };
                let file = FoundFile { path: path.to_owned(), directory_device: directory.dev() };
                self.look_at_file(pattern, file, eyes, changes);
                break;
            }
        }
    }

    /// Everything that is known at or below a path.
    fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = (&'a PathBuf, &'a KnownFile)> {
        self.files.range(path.to_owned()..).take_while(move |(known, _)| known.starts_with(path))
    }

    fn look_at_file(
        &mut self,
        pattern: &Pattern,
        file: FoundFile,
        eyes: &Eyes<'_>,
        changes: &mut Vec<Change>,
    ) {
        let FoundFile { path, directory_device } = file;
        // A link that leads nowhere is nothing yet.
        let metadata = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata,
            _ => return,
        };
        let look = FileLook::of(&metadata);
        let before = self.files.get(&path).copied();
        let mut known = before.filter(|before| before.look == look).unwrap_or(KnownFile {
            look,
            directory_device,
            standing: Standing::Pending,
            since: eyes.now,
            missing: None,
            walk: self.walks,
        });
        (known.missing, known.walk) = (None, self.walks);
        match before.map(|before| (before.standing, before.look)) {
            Some((Standing::Told, was)) => {
                known.standing = Standing::Told;
                if was.key != look.key {
                    changes.push(Change::Replaced { path: path.clone(), key: look.key });
                }
            }
            _ if eyes.followed.contains(&look.key) => {
                // Another name of a file that is followed, or its new one: whoever has the followed ones decides.
                known.standing = Standing::Told;
                changes.push(Change::Appeared { path: path.clone(), key: look.key });
            }
            Some((Standing::Other | Standing::Journal, was)) if was == look => {}
            Some((Standing::Unreadable, was)) if was == look && self.told.contains(&path) => {}
            _ => known.standing = self.judge(pattern, &path, &known, eyes, changes),
        }
        self.files.insert(path, known);
    }

    /// What becomes of a file that is no known database.
    fn judge(
        &mut self,
        pattern: &Pattern,
        path: &Path,
        known: &KnownFile,
        eyes: &Eyes<'_>,
        changes: &mut Vec<Change>,
    ) -> Standing {
        let is_wanted = |metadata: &fs::Metadata| !eyes.followed.contains(&key_of(metadata));
        let start = match read_start(path, START_BYTES, is_wanted) {
            Ok(Some((start, _))) => start,
            // It has changed since it was looked at.
            Ok(None) => return Standing::Pending,
            Err(error) if error.kind() == ErrorKind::NotFound => return Standing::Pending,
            Err(error) => {
                if self.told.insert(path.to_owned()) {
                    tracing::error!(file = %path.display(), %error, "cannot see whether that is a database");
                }
                return Standing::Unreadable;
            }
        };
        let has_log = has_log(path);
        let age = eyes.now.saturating_duration_since(known.since);
        let is_settled = has_log || age >= SETTLE || eyes.is_old(known.look.modified, OLD);
        let appeared = || Change::Appeared { path: path.to_owned(), key: known.look.key };
        match content(&start, known.look.bytes, has_log) {
            Content::Other => Standing::Other,
            Content::Wal if is_settled => {
                changes.push(appeared());
                Standing::Told
            }
            Content::Journal if is_settled && pattern.enables_wal() => {
                changes.push(appeared());
                Standing::Told
            }
            Content::Journal
                if age >= JOURNAL_SETTLE || eyes.is_old(known.look.modified, JOURNAL_SETTLE) =>
            {
                changes.push(Change::Journal { path: path.to_owned() });
                Standing::Journal
            }
            Content::Wal | Content::Journal | Content::Unfinished => Standing::Pending,
        }
    }

    /// A file is not where it was.
    fn miss(&mut self, path: &Path, now: Instant) {
        if let Some(known) = self.files.get_mut(path) {
            known.missing.get_or_insert(now);
        }
    }

    /// Looks again at what may become a database by now, and at what is missing.
    fn look_again(&mut self, eyes: &Eyes<'_>, changes: &mut Vec<Change>) {
        let is_young = |known: &KnownFile| eyes.now.saturating_duration_since(known.since) < YOUNG;
        let mut room = PENDING_AT_ONCE;
        let mut again = Vec::new();
        for (path, known) in &self.files {
            let waits = matches!(known.standing, Standing::Pending | Standing::Journal);
            if known.missing.is_some() || (waits && is_young(known)) {
                again.push((path.clone(), *known));
            } else if waits && room > 0 {
                room -= 1;
                again.push((path.clone(), *known));
            }
        }
        for (path, known) in again {
            if let Some(pattern) = self.pattern(&path).cloned()
                && fs::metadata(&path).is_ok_and(|metadata| metadata.is_file())
            {
                let file = FoundFile { path, directory_device: known.directory_device };
                self.look_at_file(&pattern, file, eyes, changes);
            } else if let Some(since) = known.missing {
                let is_gone = eyes.now.saturating_duration_since(since) >= MISSING;
                if is_gone && !self.is_unmounted(&path, &known) {
                    self.files.remove(&path);
                    changes.push(Change::Vanished { path });
                }
            } else {
                self.miss(&path, eyes.now);
            }
        }
    }

    /// Whether the directory that a file was in is not there because its disk is not.
    fn is_unmounted(&mut self, path: &Path, known: &KnownFile) -> bool {
        let Some(pattern) = self.pattern(path).cloned() else { return false };
        if !self.find_root(&pattern) {
            return true;
        }
        let above = path.ancestors().skip(1).find_map(|above| fs::metadata(above).ok());
        let is_elsewhere = above.is_some_and(|above| above.dev() != known.directory_device);
        if is_elsewhere && self.told.insert(path.to_owned()) {
            tracing::error!(database = %path.display(), "it is not there, and its disk is not mounted; followed again once it is");
        }
        is_elsewhere
    }

    fn pattern(&self, path: &Path) -> Option<&Pattern> {
        self.patterns.iter().find(|pattern| pattern.names(path))
    }

    /// Says how many files are no databases, when there are more than before.
    fn tell_others(&mut self) {
        let others = self.files.iter().filter(|(_, known)| known.standing == Standing::Other);
        let mut count = 0;
        let mut first = None;
        for (path, _) in others {
            count += 1;
            first = first.or(Some(path));
        }
        if count > self.told_others
            && let Some(first) = first
        {
            tracing::info!(files = count, first = %first.display(), "files that a pattern names are no SQLite databases");
            self.told_others = count;
        }
    }
}

/// What is needed to see.
struct Eyes<'a> {
    followed: &'a HashSet<FileKey>,
    now: Instant,
    time: SystemTime,
}

impl Eyes<'_> {
    /// Whether a file was written so long ago.
    fn is_old(&self, modified: Option<SystemTime>, age: Duration) -> bool {
        let since = modified.and_then(|modified| self.time.duration_since(modified).ok());
        since.is_some_and(|since| since >= age)
    }
}

/// Whether there is something in a log beside a database.
fn has_log(path: &Path) -> bool {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let log = companion::path(&real, companion::WAL);
    fs::metadata(log).is_ok_and(|metadata| metadata.len() > 0)
}

#[cfg(test)]
mod tests;
