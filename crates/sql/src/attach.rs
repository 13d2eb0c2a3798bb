//! Names by which SQLite opens moments.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::opened::Opened;

/// What the name of a moment begins with; no path does, as a path of ours begins with `/` or `./` or has no colon so early
/// that is not the user's own wish.
pub(crate) const PREFIX: &str = "ebbtide-moment:";

static NEXT: AtomicU64 = AtomicU64::new(1);
static NAMED: Mutex<BTreeMap<u64, Arc<Opened>>> = Mutex::new(BTreeMap::new());

/// A moment that has a name for as long as this lives.
#[derive(Debug)]
pub(crate) struct Named {
    number: u64,
    pub(crate) opened: Arc<Opened>,
}

impl Named {
    pub(crate) fn new(opened: Opened) -> Named {
        let (number, opened) = (NEXT.fetch_add(1, Ordering::Relaxed), Arc::new(opened));
        lock().insert(number, Arc::clone(&opened));
        Named { number, opened }
    }

    /// The name for `ATTACH`.
    pub(crate) fn name(&self) -> String {
        format!("{PREFIX}{}", self.number)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        lock().remove(&self.number);
    }
}

/// The moment with this name.
pub(crate) fn find(name: &str) -> Option<Arc<Opened>> {
    let number = name.strip_prefix(PREFIX)?.parse().ok()?;
    lock().get(&number).cloned()
}

fn lock() -> MutexGuard<'static, BTreeMap<u64, Arc<Opened>>> {
    NAMED.lock().unwrap_or_else(PoisonError::into_inner)
}
