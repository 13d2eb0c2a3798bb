//! The one interface to all stores.

use std::fmt::Debug;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::ready;
use futures::stream::{self, BoxStream, StreamExt as _};

use super::error::StoreError;
use super::probe::Conditional;
use ebbtide_replica::{Folder, Key};

/// A listing with more names than this, ours and others together, is refused instead of held in memory. A replica has
/// fewer than ten thousand objects when its segments are merged as they should be.
pub const LIST_MAX: usize = 1_000_000;

/// An object in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// Its name.
    pub key: Key,
    /// Its length in bytes.
    pub size: u64,
}

/// Bytes of an object, piece by piece. Nothing comes after an error.
pub type ByteStream = BoxStream<'static, Result<Bytes, StoreError>>;

/// A place for the objects of one replica. What all of them promise stands in the [module's](super) description.
#[async_trait]
pub trait Store: Send + Sync + Debug {
    /// Makes the place ready for a new replica, before anything is put there. Nothing else makes a directory: one that
    /// vanishes later, because its disk is not mounted, is not made again.
    async fn begin(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Puts an object under a name that is not taken; [`ErrorKind::Exists`](super::ErrorKind::Exists) when it is.
    /// After an error that is not permanent the object may be there nevertheless.
    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError>;

    /// Begins to put an object piece by piece. `expected` is the most that is likely to come, in bytes: it sets the
    /// size of the pieces that a store sends, and thereby the memory that is used. A wrong guess costs memory or
    /// requests, never the upload.
    async fn upload(&self, key: &Key, expected: u64) -> Result<Box<dyn Upload>, StoreError>;

    /// The whole object; an error when it is longer than `limit`, before anything is allocated for it.
    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError>;

    /// Exactly these bytes of the object, or an error when it does not have them all. An empty range is empty, and
    /// nothing is asked of the store.
    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// As [`get_range`](Store::get_range), handed on as the bytes come in: who reads more slowly than the store sends
    /// makes it wait, and memory is taken for little more than the piece that is handed over.
    async fn get_stream(&self, key: &Key, range: Range<u64>) -> Result<ByteStream, StoreError> {
        let bytes = self.get_range(key, range).await?;
        Ok(stream::once(ready(Ok(bytes))).boxed())
    }

    /// The length of the object in bytes, or nothing when there is none. For a bucket that does not exist there is
    /// nothing either: a request without a body cannot tell the two apart.
    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError>;

    /// The objects in a folder whose names come after `after`, in the order of their names. Names that are no keys are
    /// counted in a warning and passed over. More than [`LIST_MAX`] names are an error.
    async fn list(&self, under: Folder, after: Option<&Key>) -> Result<Vec<Object>, StoreError>;

    /// The first of what [`list`](Store::list) gives, `most` of them at most: in memory and requests for little more than
    /// these, however many there are.
    async fn list_some(
        &self,
        under: Folder,
        after: Option<&Key>,
        most: usize,
    ) -> Result<Vec<Object>, StoreError> {
        let mut objects = self.list(under, after).await?;
        objects.truncate(most);
        Ok(objects)
    }

    /// Removes the object; it is well if there is none.
    async fn delete(&self, key: &Key) -> Result<(), StoreError>;

    /// Whether create-only puts are what they promise, found out by trying. Writes and removes an object whose name
    /// is no key.
    async fn probe(&self) -> Result<Conditional, StoreError>;

    /// Removes what uploads left behind that were never finished, and says how many. Only the owner of a replica may
    /// call it, before its first upload: it ends the uploads of others.
    async fn sweep(&self) -> Result<u64, StoreError>;

    /// Where this is, for people: "s3://bucket/prefix". Never with a secret in it.
    fn describe(&self) -> String;
}

/// An object on its way. Nothing of it is visible before [`finish`](Upload::finish); when it is dropped, nothing stays.
#[async_trait]
pub trait Upload: Send {
    /// Adds bytes at the end. Returns when there is room for more, which bounds memory to a few pieces.
    async fn write(&mut self, part: Bytes) -> Result<(), StoreError>;

    /// Makes the object visible, unless its name is taken: [`ErrorKind::Exists`](super::ErrorKind::Exists), and the
    /// upload is gone. After an error that is not permanent the object may be there nevertheless.
    async fn finish(self: Box<Self>) -> Result<(), StoreError>;

    /// Gives up. What was sent is removed; what could not be removed is left to [`Store::sweep`].
    async fn abort(self: Box<Self>);
}
