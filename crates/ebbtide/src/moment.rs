//! The database as it was after one transaction.

use ebbtide_moment::{Moment as Inner, Proof};
use ebbtide_replica::{Timestamp, Txid};
use ebbtide_sql::Past;
use ebbtide_wal::PageNumber;
use rusqlite::Connection;

use crate::error::{Error, Result};

/// The database as it was after one transaction. It never changes; clones are the same.
#[derive(Debug, Clone)]
pub struct Moment {
    inner: Inner,
}

impl Moment {
    pub(crate) fn new(inner: Inner) -> Moment {
        Moment { inner }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The transaction.
    #[must_use]
    pub fn txid(&self) -> Txid {
        self.inner.txid()
    }

    /// When it was committed.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.inner.time()
    }

    /// How many pages the database has.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.inner.pages()
    }

    /// How many bytes a page has.
    #[must_use]
    pub fn page_bytes(&self) -> usize {
        self.inner.page_size().bytes()
    }

    /// Whether each page is proved against the digest that the history has of this state.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.inner.proof() == Proof::Page
    }

    /// One page, counted from 1.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub async fn page(&self, number: u32) -> Result<Vec<u8>> {
        let txid = self.inner.txid();
        let none = ebbtide_moment::Error::NoPage { page: number, txid, pages: self.inner.pages() };
        let number = PageNumber::new(number).ok_or(none)?;
        Ok(self.inner.page(number).await?.to_vec())
    }

    /// Asks SQL of it, on a thread that may wait for the store.
    ///
    /// # Errors
    /// When SQLite fails, or a page cannot be read: then the error is about that.
    pub async fn query<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let moment = self.inner.clone();
        let ask = move || {
            let past = Past::connect(&moment)?;
            ask(&past).map_err(|error| Error::from(past.explain(error)))
        };
        tokio::task::spawn_blocking(ask).await?
    }

    /// A read-only connection to it, which is a [`Connection`] and can tell why a read failed
    /// ([`Past::explain`](ebbtide_sql::Past::explain)). To be used on a thread that may wait for the store:
    /// `spawn_blocking`, or one of its own.
    ///
    /// # Errors
    /// When SQLite refuses.
    pub fn connect(&self) -> Result<Past> {
        Ok(Past::connect(&self.inner)?)
    }
}
