//! Mutexes whose values stay valid when a thread panics: each change of them is complete before anything can panic.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks `mutex`, also after another thread has panicked with it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
