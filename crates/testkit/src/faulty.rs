//! A store that fails as a script says, around one that does not.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ebbtide_replica::{Key, KeyPrefix, Timestamp};
use ebbtide_store::{Conditional, ErrorKind, Keyring, Object, Store, StoreError, Upload};

/// What is asked of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A put.
    Put(Key),
    /// The beginning of an upload.
    Upload(Key),
    /// A piece of an upload.
    Write(Key),
    /// The end of an upload.
    Finish(Key),
    /// A whole object.
    Get(Key),
    /// A part of an object.
    GetRange(Key, Range<u64>),
    /// The length of an object.
    Size(Key),
    /// A listing.
    List(KeyPrefix),
    /// A removal.
    Delete(Key),
}

/// What happens to a call.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It fails, and nothing was done.
    Fail(ErrorKind),
    /// It is done, and fails all the same: the answer was lost.
    Lose,
    /// It is done after a while.
    Delay(Duration),
    /// It is never answered, and never done.
    Hang,
    /// Of what was read, one bit is the other way round: the byte with this number, counted round the end.
    Flip(usize),
    /// Of what was read, only so many bytes come.
    Truncate(usize),
    /// Of what was listed, so many of the last names are not there yet.
    Lag(usize),
}

type Script = Box<dyn FnMut(&Call) -> Option<Outcome> + Send>;

/// A store that fails as a script says. Clones share script and log.
#[derive(Clone)]
pub struct Faulty {
    inner: Arc<dyn Store>,
    script: Arc<Mutex<Script>>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Faulty {
    /// A store that does what `inner` does, until it gets a script.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Faulty {
        let script: Script = Box::new(|_| None);
        Faulty { inner, script: Arc::new(Mutex::new(script)), calls: Arc::default() }
    }

    /// From now on `script` says what becomes of each call.
    pub fn script(&self, script: impl FnMut(&Call) -> Option<Outcome> + Send + 'static) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(script);
    }

    /// From now on nothing fails.
    pub fn heal(&self) {
        self.script(|_| None);
    }

    /// All calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes the call and does what the script says must happen before it. What is left to happen is returned.
    async fn before(&self, call: Call) -> Result<Option<Outcome>, StoreError> {
        let what = format!("{call:?}");
        let outcome = (self.script.lock().unwrap_or_else(PoisonError::into_inner))(&call);
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        match outcome {
            Some(Outcome::Fail(kind)) => Err(StoreError::new(kind, what, "as the script says")),
            Some(Outcome::Hang) => std::future::pending().await,
            Some(Outcome::Delay(wait)) => {
                tokio::time::sleep(wait).await;
                Ok(None)
            }
            outcome => Ok(outcome),
        }
    }
}

/// What the script says must happen after a call.
fn after<T>(outcome: Option<Outcome>, result: Result<T, StoreError>) -> Result<T, StoreError> {
    match (outcome, result) {
        (Some(Outcome::Lose), Ok(_)) => {
            Err(StoreError::new(ErrorKind::Unavailable, "wait for the answer", "it is lost"))
        }
        (_, result) => result,
    }
}

fn spoil(outcome: Option<Outcome>, bytes: Bytes) -> Bytes {
    match outcome {
        Some(Outcome::Flip(at)) if !bytes.is_empty() => {
            let mut bytes = bytes.to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1;
            bytes.into()
        }
        Some(Outcome::Truncate(length)) => bytes.slice(..length.min(bytes.len())),
        _ => bytes,
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {:?}", self.inner)
    }
}

#[async_trait]
impl Store for Faulty {
    async fn begin(&self) -> Result<(), StoreError> {
        self.inner.begin().await
    }

    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        let outcome = self.before(Call::Put(*key)).await?;
        after(outcome, self.inner.put(key, body).await)
    }

    async fn upload(&self, key: &Key, expected: u64) -> Result<Box<dyn Upload>, StoreError> {
        let outcome = self.before(Call::Upload(*key)).await?;
        let inner = after(outcome, self.inner.upload(key, expected).await)?;
        Ok(Box::new(FaultyUpload { store: self.clone(), key: *key, inner }))
    }

    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError> {
        let outcome = self.before(Call::Get(*key)).await?;
        let bytes = after(outcome.clone(), self.inner.get(key, limit).await)?;
        Ok(spoil(outcome, bytes))
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        let outcome = self.before(Call::GetRange(*key, range.clone())).await?;
        let bytes = after(outcome.clone(), self.inner.get_range(key, range).await)?;
        Ok(spoil(outcome, bytes))
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        let outcome = self.before(Call::Size(*key)).await?;
        after(outcome, self.inner.size(key).await)
    }

    async fn list(
        &self,
        under: KeyPrefix,
        after_key: Option<&Key>,
    ) -> Result<Vec<Object>, StoreError> {
        let outcome = self.before(Call::List(under)).await?;
        let mut objects = after(outcome.clone(), self.inner.list(under, after_key).await)?;
        if let Some(Outcome::Lag(missing)) = outcome {
            objects.truncate(objects.len().saturating_sub(missing));
        }
        Ok(objects)
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let outcome = self.before(Call::Delete(*key)).await?;
        after(outcome, self.inner.delete(key).await)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now().await
    }

    async fn probe(&self) -> Result<Conditional, StoreError> {
        self.inner.probe().await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.inner.sweep().await
    }

    fn keyring(&self) -> Option<&Arc<Keyring>> {
        self.inner.keyring()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn address(&self) -> String {
        self.inner.address()
    }
}

struct FaultyUpload {
    store: Faulty,
    key: Key,
    inner: Box<dyn Upload>,
}

#[async_trait]
impl Upload for FaultyUpload {
    async fn write(&mut self, part: Bytes) -> Result<(), StoreError> {
        let outcome = self.store.before(Call::Write(self.key)).await?;
        after(outcome, self.inner.write(part).await)
    }

    async fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let outcome = self.store.before(Call::Finish(self.key)).await?;
        after(outcome, self.inner.finish().await)
    }

    async fn abort(self: Box<Self>) {
        self.inner.abort().await;
    }
}
