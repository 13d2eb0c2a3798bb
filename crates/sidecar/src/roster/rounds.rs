//! When it is looked: at events, at what may become a database soon, and everywhere now and then.

use std::collections::{BTreeSet, HashSet};
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ebbtide_config::Pattern;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::book::{Book, Change, SOON, Where};
use super::events::{DirectoryEvents, Seen};
use super::known::{FileKey, Standing};
use crate::clock;

/// How often everything is looked at, which finds what no event has told of.
const WALK: Duration = Duration::from_secs(30);

/// The same where there are no events, or a directory is not there.
const BLIND_WALK: Duration = Duration::from_secs(1);

/// Events that follow each other within this are looked after together.
const GATHER: Duration = Duration::from_millis(20);

/// Looking takes at most one part of the time in so many.
const SHARE: u32 = 50;
const EVENT_SHARE: u32 = 4;

/// With more events than this everything is looked at.
const EVENTS_MAX: usize = 10_000;

/// What a pattern names, besides the databases that are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PatternCounts {
    /// The pattern as it is written.
    pub(crate) pattern: String,
    /// Files that are no databases.
    pub(crate) others: u64,
    /// Databases that need to be switched to a write-ahead log.
    pub(crate) journals: u64,
    /// Files that may become databases: empty ones, and copies that are under way.
    pub(crate) unfinished: u64,
    /// Files that cannot be read.
    pub(crate) unreadable: u64,
}

/// The files that patterns name.
#[derive(Debug)]
pub(crate) struct Roster {
    patterns: Arc<Vec<Pattern>>,
    events: Option<DirectoryEvents>,
    queue: Option<mpsc::Receiver<Seen>>,
    /// Nothing while it is looked.
    book: Option<Book>,
    looking: Option<JoinHandle<(Book, Vec<Change>)>>,
    dirty: BTreeSet<PathBuf>,
    /// The first of the events that were not looked after.
    dirty_since: Option<Instant>,
    next_walk: Instant,
    /// Until then nothing is looked at, because the last look took long.
    rests_until: Instant,
    /// When the look that is under way began, and whether it is a walk.
    began: (Instant, bool),
    looked_at: Instant,
    again_in: Option<Duration>,
    /// Whether everything was looked at once.
    has_walked: bool,
}

impl Roster {
    /// Without patterns.
    pub(crate) fn new() -> Roster {
        let now = Instant::now();
        Roster {
            patterns: Arc::default(),
            events: None,
            queue: None,
            book: Some(Book::new(None)),
            looking: None,
            dirty: BTreeSet::new(),
            dirty_since: None,
            next_walk: now,
            rests_until: now,
            began: (now, false),
            looked_at: now,
            again_in: None,
            has_walked: false,
        }
    }

    /// Other patterns count from now on. Call [`Roster::settle`] before.
    pub(crate) fn set_patterns(&mut self, patterns: Vec<Pattern>) {
        self.patterns = Arc::new(patterns);
        if self.events.is_none() && !self.patterns.is_empty() {
            match DirectoryEvents::new() {
                Ok((events, queue)) => {
                    (self.events, self.queue) = (Some(events.clone()), Some(queue));
                    self.book = Some(Book::new(Some(events)));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot watch directories; looking every second instead");
                }
            }
        }
        if let Some(book) = &mut self.book {
            book.set_patterns(Arc::clone(&self.patterns));
        }
        self.next_walk = Instant::now();
    }

    /// The patterns.
    pub(crate) fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Whether everything was looked at once, so that what was found by then is all there was.
    pub(crate) fn has_walked(&self) -> bool {
        self.has_walked
    }

    /// Looks everywhere, and again at what may become a database soon, until all that is decided or so much time has passed:
    /// nobody will look later.
    pub(crate) async fn look_through(
        &mut self,
        followed: &Arc<HashSet<FileKey>>,
        patience: Duration,
    ) -> Vec<Change> {
        let mut changes = self.settle().await;
        if self.patterns.is_empty() {
            return changes;
        }
        let begun = Instant::now();
        self.next_walk = begun;
        loop {
            self.begin(followed, Instant::now());
            changes.extend(self.settle().await);
            match self.again_in {
                Some(pause) if pause <= SOON && begun.elapsed() + pause < patience => {
                    tokio::time::sleep(pause).await;
                }
                _ => return changes,
            }
        }
    }

    /// Waits until nothing is looked at, so that a file may be followed. What was found by then comes with the next changes.
    pub(crate) async fn settle(&mut self) -> Vec<Change> {
        match &mut self.looking {
            Some(looking) => {
                let looked = looking.await;
                self.looked(looked)
            }
            None => Vec::new(),
        }
    }

    /// Waits for the next changes; of the first walk for its end, whatever it finds. Files with these keys are followed, and
    /// not opened. May be dropped and called again.
    pub(crate) async fn changes(&mut self, followed: &Arc<HashSet<FileKey>>) -> Vec<Change> {
        loop {
            let had_walked = self.has_walked;
            let changes = self.settle().await;
            if !changes.is_empty() || self.has_walked != had_walked {
                return changes;
            }
            if self.patterns.is_empty() {
                return std::future::pending().await;
            }
            let now = Instant::now();
            let due = self.due();
            if due <= now {
                self.begin(followed, now);
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                seen = next(self.queue.as_mut()) => self.note(seen),
            }
        }
    }

    /// When the next look is due.
    fn due(&self) -> Instant {
        let dirty = self.dirty_since.map(|since| since + GATHER);
        let again = self.again_in.map(|pause| self.looked_at + pause);
        let due = [dirty, again].into_iter().flatten().fold(self.next_walk, Instant::min);
        due.max(self.rests_until)
    }

    fn begin(&mut self, followed: &Arc<HashSet<FileKey>>, now: Instant) {
        let Some(mut book) = self.book.take() else { return };
        let is_walk = now >= self.next_walk || self.dirty.len() > EVENTS_MAX;
        let dirty = mem::take(&mut self.dirty);
        self.dirty_since = None;
        let at = match (is_walk, dirty.is_empty()) {
            (true, _) => Where::Everywhere,
            (false, false) => Where::At(dirty),
            (false, true) => Where::Pending,
        };
        let followed = Arc::clone(followed);
        self.began = (now, is_walk);
        self.looking = Some(spawn_blocking(move || {
            let changes = book.look(at, &followed, Instant::now(), time_of_day());
            (book, changes)
        }));
    }

    fn looked(
        &mut self,
        looked: Result<(Book, Vec<Change>), tokio::task::JoinError>,
    ) -> Vec<Change> {
        self.looking = None;
        let (mut book, changes) = match looked {
            Ok(looked) => looked,
            Err(error) => {
                tracing::error!(%error, "looking for databases failed; beginning from nothing");
                let mut book = Book::new(self.events.clone());
                book.set_patterns(Arc::clone(&self.patterns));
                (book, Vec::new())
            }
        };
        book.is_blind |= self.events.is_none();
        let (began, is_walk) = self.began;
        let (now, took) = (Instant::now(), began.elapsed());
        if is_walk {
            self.has_walked = true;
            let pause = if book.is_blind || book.has_lost() { BLIND_WALK } else { WALK };
            self.next_walk = now + pause.max(took * SHARE);
        }
        self.rests_until = now + took * EVENT_SHARE;
        (self.looked_at, self.again_in) = (now, book.again_in(now));
        self.book = Some(book);
        changes
    }

    fn note(&mut self, seen: Option<Seen>) {
        match seen {
            Some(Seen::At(paths)) => {
                self.dirty_since.get_or_insert_with(Instant::now);
                if self.dirty.len() <= EVENTS_MAX {
                    self.dirty.extend(paths);
                }
            }
            Some(Seen::Overflow) => self.next_walk = Instant::now(),
            None => {
                (self.events, self.queue) = (None, None);
                self.next_walk = Instant::now();
            }
        }
    }

    /// What each pattern names, besides what is followed; nothing while it is looked.
    pub(crate) fn counts(&self) -> Vec<PatternCounts> {
        let none = |pattern: &Pattern| PatternCounts {
            pattern: pattern.text().to_owned(),
            others: 0,
            journals: 0,
            unfinished: 0,
            unreadable: 0,
        };
        let mut counts: Vec<PatternCounts> = self.patterns.iter().map(none).collect();
        if let Some(book) = &self.book {
            book.count(|pattern, standing| {
                let at = self.patterns.iter().position(|other| other == pattern);
                let Some(count) = at.and_then(|at| counts.get_mut(at)) else { return };
                match standing {
                    Standing::Other => count.others += 1,
                    Standing::Journal => count.journals += 1,
                    Standing::Pending => count.unfinished += 1,
                    Standing::Unreadable => count.unreadable += 1,
                    Standing::Told => {}
                }
            });
        }
        counts
    }
}

async fn next(queue: Option<&mut mpsc::Receiver<Seen>>) -> Option<Seen> {
    match queue {
        Some(queue) => queue.recv().await,
        None => std::future::pending().await,
    }
}

/// By the clock that the times of files are of.
fn time_of_day() -> SystemTime {
    let micros = u64::try_from(clock::now().as_micros()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}
