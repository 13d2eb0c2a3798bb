//! An object on its way from the encoder to the store: in memory if it stays small, otherwise streamed.

use bytes::Bytes;
use ebbtide_replica::Key;
use ebbtide_replica::container::Writer;
use tokio::task::JoinHandle;

use crate::destination::Destination;
use crate::error::Error;
use crate::parts::Parts;
use crate::put::put;

/// The encoded size from which on an object is streamed: below it one put is cheaper than a multipart upload.
pub(crate) const STREAM_BYTES: usize = 8 << 20;

/// Begins the upload of an object that turns out to be large.
pub(crate) type BeginUpload<'a> = dyn Fn(Key) -> Parts + 'a;

/// An object that is being encoded: in memory if it stays small, otherwise streamed.
#[derive(Debug)]
pub(crate) struct Outgoing {
    key: Key,
    parts: Option<Parts>,
}

/// A complete object.
pub(crate) enum Sealed {
    /// In memory, not put yet.
    Whole(Bytes),
    /// Streamed: the task that makes it visible, and its length.
    Streamed(JoinHandle<Result<(), Error>>, u64),
}

impl Outgoing {
    pub(crate) fn new(key: Key) -> Outgoing {
        Outgoing { key, parts: None }
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    pub(crate) fn is_streaming(&self) -> bool {
        self.parts.is_some()
    }

    /// Sends the encoded bytes once they fill a part. Blocks while the store is slower than the encoder. Without
    /// `begin_upload` an object that is not streamed yet stays in memory, whatever its size.
    pub(crate) fn drain(&mut self, writer: &mut Writer, begin_upload: Option<&BeginUpload<'_>>) {
        match (&mut self.parts, begin_upload) {
            (Some(parts), _) => parts.drain(writer),
            (None, Some(begin)) if writer.buffered() >= STREAM_BYTES => {
                self.parts.insert(begin(self.key)).drain(writer);
            }
            (None, _) => {}
        }
    }

    /// Completes the object with the last bytes.
    pub(crate) fn seal(self, rest: Vec<u8>) -> Sealed {
        match self.parts {
            None => Sealed::Whole(rest.into()),
            Some(parts) => {
                let bytes = parts.length_with(&rest);
                Sealed::Streamed(parts.finish(rest), bytes)
            }
        }
    }

    /// Aborts the upload: the object does not become visible.
    pub(crate) fn abandon(self) {
        if let Some(parts) = self.parts {
            parts.abandon();
        }
    }
}

impl Sealed {
    /// Puts the object, or waits for its upload. Returns once the object is visible.
    pub(crate) async fn land(self, to: &Destination, key: &Key) -> Result<(), Error> {
        match self {
            Sealed::Whole(body) => put(to, key, body).await,
            Sealed::Streamed(task, _) => task.await?,
        }
    }

    /// Its length.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Sealed::Whole(body) => body.len() as u64,
            Sealed::Streamed(_, bytes) => *bytes,
        }
    }
}
