//! The one interface to all stores.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::ready;
use futures::stream::{self, BoxStream, StreamExt as _};

use super::error::StoreError;
use super::examine::{Examined, Seen, Trial};
use super::keyring::Keyring;
use super::probe::Conditional;
use ebbtide_replica::{Key, KeyPrefix, Timestamp};

/// The largest number of names in a listing, including names that are no keys. A larger listing is an error, because it is
/// held in memory. A replica whose segments are merged has fewer than ten thousand objects.
pub const LIST_MAX: usize = 1_000_000;

/// The number of concurrent requests of [`Store::delete_many`] where each object is deleted by itself.
const DELETES_AT_ONCE: usize = 16;

/// An object in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// The name.
    pub key: Key,
    /// The size in bytes.
    pub size: u64,
    /// When it was put, by the store's clock, to the second or finer; [`Timestamp::MAX`] if the store does not say, so
    /// that it never counts as old.
    pub modified: Timestamp,
}

impl Object {
    /// An object of unknown age.
    #[must_use]
    pub fn new(key: Key, size: u64) -> Object {
        Object { key, size, modified: Timestamp::MAX }
    }
}

/// An object that could not be deleted, and why.
pub type NotDeleted = (Key, StoreError);

/// The bytes of an object in pieces. It ends after an error.
pub type ByteStream = BoxStream<'static, Result<Bytes, StoreError>>;

/// A store for the objects of one replica. The [module](super) states the guarantees of all stores.
#[async_trait]
pub trait Store: Send + Sync + Debug {
    /// Prepares the location for a new replica, before the first put. No other call creates the directory: if it is
    /// missing later, because its disk is not mounted, it must not be created on another disk.
    async fn begin(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Puts an object if its name is free; otherwise [`ErrorKind::Exists`](super::ErrorKind::Exists). After a transient
    /// error the object may exist nevertheless.
    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError>;

    /// Begins a multipart upload. `expected` is the expected size of the object in bytes. It determines the size of the
    /// parts, and so the memory use. If it is wrong, the upload costs more memory or more requests, but does not fail.
    async fn upload(&self, key: &Key, expected: u64) -> Result<Box<dyn Upload>, StoreError>;

    /// The whole object. If it is larger than `limit` bytes, that is an error before memory is allocated for it.
    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError>;

    /// Exactly these bytes of the object, or an error if it does not have all of them. An empty range is empty, without a
    /// request.
    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// [`get_range`](Store::get_range) as a stream with backpressure: memory is used for little more than one piece.
    async fn get_stream(&self, key: &Key, range: Range<u64>) -> Result<ByteStream, StoreError> {
        let bytes = self.get_range(key, range).await?;
        Ok(stream::once(ready(Ok(bytes))).boxed())
    }

    /// The size of the object in bytes, or nothing if there is no such object. A missing bucket gives nothing, too: the
    /// response to a HEAD request does not distinguish them.
    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError>;

    /// The objects in a directory whose names come after `after`, in the order of their names. Names that are no keys are
    /// skipped with a warning. More than [`LIST_MAX`] names are an error.
    async fn list(&self, under: KeyPrefix, after: Option<&Key>) -> Result<Vec<Object>, StoreError>;

    /// The first `most` objects of [`list`](Store::list). Memory and requests do not grow with the rest of the listing.
    async fn list_some(
        &self,
        under: KeyPrefix,
        after: Option<&Key>,
        most: usize,
    ) -> Result<Vec<Object>, StoreError> {
        let mut objects = self.list(under, after).await?;
        objects.truncate(most);
        Ok(objects)
    }

    /// Deletes the object. Succeeds if there is none.
    async fn delete(&self, key: &Key) -> Result<(), StoreError>;

    /// Deletes these objects, many with one request where the store can do that. Objects that do not exist count as
    /// deleted. What could not be deleted is returned, each with the reason; the others are gone.
    ///
    /// # Errors
    /// If it is not known which of them are gone.
    async fn delete_many(&self, keys: &[Key]) -> Result<Vec<NotDeleted>, StoreError> {
        let deleted = stream::iter(keys.iter().copied())
            .map(|key| async move { self.delete(&key).await.err().map(|error| (key, error)) })
            .buffered(DELETES_AT_ONCE);
        Ok(deleted.filter_map(ready).collect().await)
    }

    /// The time by the store's clock, the one that gives [`Object::modified`]: puts an object whose name is no key, reads
    /// its time, and deletes it. Where deleting is not allowed, an empty object stays.
    async fn now(&self) -> Result<Timestamp, StoreError>;

    /// Tests whether the store supports conditional puts: creates and deletes an object whose name is no key.
    async fn probe(&self) -> Result<Conditional, StoreError>;

    /// What the store allows, each tried for itself by an object whose name is no key, which is deleted where that is
    /// allowed. It ends with the first trial that says that nothing can be learned.
    async fn examine(&self) -> Vec<Examined> {
        // Puts an object, looks at it, and deletes it.
        let now = async { self.now().await.map(Seen::Clock) };
        let clock = Examined::wait(Trial::Clock, now).await;
        let result = clock.result.as_ref().map(|_| Seen::Allowed).map_err(Clone::clone);
        let put = Examined { trial: Trial::Put, took: clock.took, result };
        if put.result.is_err() {
            return vec![put];
        }
        let listed = async { self.list_some(KeyPrefix::Log, None, 1).await.map(|_| Seen::Allowed) };
        let listed = Examined::wait(Trial::List, listed).await;
        let probed = async { self.probe().await.map(Seen::Conditional) };
        let probed = Examined::wait(Trial::Conditional, probed).await;
        vec![put, clock, listed, probed]
    }

    /// Aborts unfinished uploads, and returns their number. Only the owner of a replica may call it, before its first
    /// upload: it aborts the uploads of other processes.
    async fn sweep(&self) -> Result<u64, StoreError>;

    /// The object was found to be damaged. Where a store has it more than once, it is read from the next place from now on;
    /// its size there, or nothing if there is no other place.
    async fn elsewhere(&self, _key: &Key) -> Option<u64> {
        None
    }

    /// The keys of the replica, if somebody has any: see [`KeyedStore`](super::KeyedStore).
    fn keyring(&self) -> Option<&Arc<Keyring>> {
        None
    }

    /// The location for messages, without secrets: "s3://bucket/prefix".
    fn describe(&self) -> String;

    /// The address with which it can be opened again, as a [`Location`](super::Location) is written: with its endpoint and
    /// region, and without secrets.
    fn address(&self) -> String;
}

/// A multipart upload in progress. Nothing of the object is visible before [`finish`](Upload::finish). A dropped upload
/// leaves nothing behind.
#[async_trait]
pub trait Upload: Send {
    /// Appends bytes. Returns once there is room for more (backpressure), so that memory use is bounded by a few parts.
    async fn write(&mut self, part: Bytes) -> Result<(), StoreError>;

    /// Makes the object visible if its name is free; otherwise [`ErrorKind::Exists`](super::ErrorKind::Exists), and the
    /// upload is gone. After a transient error the object may exist nevertheless.
    async fn finish(self: Box<Self>) -> Result<(), StoreError>;

    /// Aborts the upload and deletes its parts. [`Store::sweep`] deletes those that could not be deleted here.
    async fn abort(self: Box<Self>);
}
