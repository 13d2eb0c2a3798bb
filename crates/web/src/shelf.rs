//! The histories of replicas that somebody looks at, each read once, and again for what is new.
//!
//! They are read on threads that may compute for long, one at a time, so that nothing that follows a database waits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ebbtide_fleet::Open;
use ebbtide_replica::Txid;
use ebbtide_sidecar::with_index_keys;
use ebbtide_store::{Location, Store, error_chain};
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio::task::spawn_blocking;

use crate::timeline::{History, TimelineError};

/// So many histories are kept; the one that was looked at longest ago is forgotten first.
const BOOKS_MAX: usize = 32;

/// For so long a client waits for a history that was not read yet, or not for long. It asks again later.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is new is looked for so often, if it is known that there is something…
const FRESH: Duration = Duration::from_secs(5);
/// …and so often if not.
const STALE: Duration = Duration::from_secs(60);

/// All histories.
#[derive(Clone)]
pub(crate) struct Shelf {
    books: Arc<Mutex<BTreeMap<String, Arc<Book>>>>,
    turn: Arc<Semaphore>,
    /// What opens a replica that nobody follows here.
    open: Option<Arc<Open>>,
}

/// One of them.
struct Book {
    location: Location,
    /// The directory of local state that has its index keys, if it is encrypted.
    keys: Option<PathBuf>,
    /// What opens it where there is no such directory.
    open: Option<Arc<Open>>,
    state: Mutex<BookState>,
    read: Notify,
}

#[derive(Debug)]
struct BookState {
    history: Option<Arc<History>>,
    store: Option<Arc<dyn Store>>,
    error: Option<String>,
    is_reading: bool,
    /// When it was read last, and what was durable then.
    when: Option<(Instant, Option<Txid>)>,
    used: Instant,
}

/// What there is to be shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Opened {
    /// The history, and the store to look closer.
    pub(crate) history: Option<(Arc<History>, Arc<dyn Store>)>,
    /// Why it could not be read.
    pub(crate) error: Option<String>,
}

impl Shelf {
    /// An empty one. What is shown without local state is opened by `open`.
    pub(crate) fn new(open: Option<Arc<Open>>) -> Shelf {
        Shelf { books: Arc::default(), turn: Arc::new(Semaphore::new(1)), open }
    }

    /// The history of the replica at this address, of which so much is known to be durable, with the index keys in `state`.
    pub(crate) async fn open(
        &self,
        address: &str,
        state: Option<PathBuf>,
        durable: Option<Txid>,
    ) -> Opened {
        let book = match self.book(address, state) {
            Ok(book) => book,
            Err(error) => return Opened { history: None, error: Some(error) },
        };
        if book.begin_to_read(durable) {
            let (reading, turn) = (Arc::clone(&book), Arc::clone(&self.turn));
            let runtime = Handle::current();
            tokio::spawn(async move {
                let Ok(_turn) = turn.acquire_owned().await else { return };
                let read = Arc::clone(&reading);
                let done = spawn_blocking(move || runtime.block_on(read.read_on())).await;
                reading.end(done.unwrap_or_else(|error| Err(error.to_string())), durable);
            });
        }
        book.until_read().await;
        book.opened()
    }

    fn book(&self, address: &str, keys: Option<PathBuf>) -> Result<Arc<Book>, String> {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(book) = books.get(address) {
            book.state().used = Instant::now();
            return Ok(Arc::clone(book));
        }
        let location = address.parse::<Location>().map_err(|error| error.to_string())?;
        if books.len() >= BOOKS_MAX {
            let oldest = books.iter().min_by_key(|(_, book)| book.state().used);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                books.remove(&oldest);
            }
        }
        let state = BookState {
            history: None,
            store: None,
            error: None,
            is_reading: false,
            when: None,
            used: Instant::now(),
        };
        let (state, open) = (Mutex::new(state), self.open.clone());
        let book = Arc::new(Book { location, keys, open, state, read: Notify::new() });
        books.insert(address.to_owned(), Arc::clone(&book));
        Ok(book)
    }
}

impl Book {
    fn state(&self) -> MutexGuard<'_, BookState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is due to be read; then it counts as being read.
    fn begin_to_read(&self, durable: Option<Txid>) -> bool {
        let mut state = self.state();
        let is_due = state.when.is_none_or(|(when, then)| {
            let age = when.elapsed();
            age >= STALE || age >= FRESH && (then != durable || durable.is_none())
        });
        let begins = is_due && !state.is_reading;
        state.is_reading |= begins;
        begins
    }

    async fn read_on(&self) -> Result<(Option<History>, Arc<dyn Store>), String> {
        let (before, known) = {
            let state = self.state();
            (state.history.clone(), state.store.clone())
        };
        let read = async {
            let store = match known {
                Some(store) => store,
                None => match (&self.keys, &self.open) {
                    (Some(state), _) => with_index_keys(state, self.location.open().await?),
                    (None, Some(open)) => open(self.location.clone()).await?,
                    (None, None) => self.location.open().await?,
                },
            };
            let history = History::read(&*store, before.as_deref()).await?;
            Ok::<_, TimelineError>((history, store))
        };
        read.await.map_err(|error| error_chain(&error))
    }

    fn end(&self, read: Result<(Option<History>, Arc<dyn Store>), String>, durable: Option<Txid>) {
        let mut state = self.state();
        state.is_reading = false;
        state.when = Some((Instant::now(), durable));
        match read {
            Ok((history, store)) => {
                state.error = history.is_none().then(|| "there is no replica yet".to_owned());
                state.history = history.map(Arc::new);
                state.store = Some(store);
            }
            // What was known before is still shown.
            Err(error) => {
                state.error = Some(error);
                state.store = None;
            }
        }
        drop(state);
        self.read.notify_waiters();
    }

    /// Waits for a history that is read for the first time, or once more after a long time, for a while.
    async fn until_read(&self) {
        let read = self.read.notified();
        tokio::pin!(read);
        // An end from here on wakes us.
        read.as_mut().enable();
        let is_awaited = {
            let state = self.state();
            state.is_reading && state.when.is_none_or(|(when, _)| when.elapsed() >= STALE)
        };
        if is_awaited && tokio::time::timeout(PATIENCE, read).await.is_err() {
            tracing::debug!(place = %self.location, "a history takes long to be read");
        }
    }

    fn opened(&self) -> Opened {
        let state = self.state();
        let history = state.history.clone().zip(state.store.clone());
        Opened { history, error: state.error.clone() }
    }
}
