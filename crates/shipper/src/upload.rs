//! A multipart upload, from its first part until the object is visible.
//!
//! Its states in order: *open* while parts come, *sent* once the last part is in the store, *ordered* once the object
//! before it is visible, *visible*. An upload that ends before it is ordered is aborted. From then on the store alone
//! decides whether the object becomes visible, so after an error the object is looked up.

use bytes::Bytes;
use ebbtide_fault::point;
use ebbtide_replica::Key;
use ebbtide_replica::container::Header;
use ebbtide_store::{ErrorKind, StoreError, Upload};
use tokio::sync::mpsc;

use crate::destination::Destination;
use crate::error::Error;
use crate::key_put::put_key_of;
use crate::put::{Tail, check_owner};
use crate::retry::{AttemptError, retry};
use crate::visible::Visible;

/// A message to the task that uploads an object.
#[derive(Debug)]
pub(crate) enum Message {
    Part(Bytes),
    /// The last part, and the total size of the object.
    Last(Bytes, u64),
}

/// Uploads the object that `parts` has, of about `expected` bytes. It becomes visible after the object that `before`
/// waits for. If `parts` ends without a last part, nothing becomes visible.
///
/// # Errors
/// [`Error::Lost`] when the parts must be made again; [`Error::Fenced`] when the name is taken by another process.
pub(crate) async fn upload(
    to: &Destination,
    key: &Key,
    expected: u64,
    before: Option<Visible>,
    mut parts: mpsc::Receiver<Message>,
) -> Result<(), Error> {
    let mut upload = retry(to, || async {
        to.store.upload(key, expected).await.map_err(AttemptError::Retryable)
    })
    .await?;
    let sent = send(to, key, &mut *upload, &mut parts).await;
    let ordered = match sent {
        Ok(tail) => order(key, before).await.map(|()| tail).map_err(Error::Lost),
        Err(error) => Err(error),
    };
    match ordered {
        Ok(tail) => finish(to, key, upload, &tail).await,
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

/// From open to sent.
async fn send(
    to: &Destination,
    key: &Key,
    upload: &mut dyn Upload,
    parts: &mut mpsc::Receiver<Message>,
) -> Result<Tail, Error> {
    let mut head = Bytes::new();
    loop {
        let (part, length) = match parts.recv().await {
            Some(Message::Part(part)) => (part, None),
            Some(Message::Last(part, length)) => (part, Some(length)),
            None => {
                return Err(Error::Lost(given_up("upload an object", "it was abandoned")));
            }
        };
        match length {
            None => point("shipper.part.begin"),
            Some(_) => point("shipper.part.last"),
        }
        if head.is_empty() {
            head = part.slice(..part.len().min(Header::SIZE));
        }
        let tail = length.map(|length| Tail::new(&part, length));
        let written = upload.write(part).await.inspect_err(|error| to.note_failure(error));
        written.map_err(Error::Lost)?;
        if let Some(tail) = tail {
            put_key_of(to, key, &head, tail.length()).await?;
            return Ok(tail);
        }
    }
}

/// From sent to ordered.
async fn order(key: &Key, before: Option<Visible>) -> Result<(), StoreError> {
    let Some(before) = before else { return Ok(()) };
    match before.wait().await {
        true => Ok(()),
        false => Err(given_up(format!("put {key}"), "the object before it was not put")),
    }
}

/// From ordered to visible.
async fn finish(
    to: &Destination,
    key: &Key,
    upload: Box<dyn Upload>,
    tail: &Tail,
) -> Result<(), Error> {
    point("shipper.part.sent");
    if let Err(error) = upload.finish().await {
        // The object may be visible nevertheless. Without an answer from the store that is unknown, and the next
        // attempt finds out.
        let is_taken = error.kind() == ErrorKind::Exists
            || matches!(to.store.size(key).await, Ok(Some(size)) if size == tail.length());
        if !is_taken {
            return Err(Error::Lost(error));
        }
        check_owner(&*to.store, key, tail, error).await.map_err(|error| match error {
            AttemptError::Retryable(error) => Error::Lost(error),
            AttemptError::Final(error) => error,
        })?;
    }
    to.note_success();
    Ok(())
}

fn given_up(doing: impl Into<String>, why: &str) -> StoreError {
    StoreError::new(ErrorKind::Unavailable, doing, why)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ebbtide_replica::Txid;
    use ebbtide_store::{MemoryStore, Store as _};
    use ebbtide_testkit::faulty::{Call, Faulty, Outcome};

    use super::*;
    use crate::visible::visible;

    const KEY: Key = Key::Log(Txid::FIRST);
    const BODY: &[u8] = &[7; 300];

    /// A store that fails as `script` says, and the result of an upload of [`BODY`] in two parts.
    async fn uploaded(
        before: Option<Visible>,
        script: impl FnMut(&Call) -> Option<Outcome> + Send + 'static,
    ) -> (Faulty, Result<(), Error>) {
        let faulty = Faulty::new(Arc::new(MemoryStore::new()));
        faulty.script(script);
        let to = Destination::new(Arc::new(faulty.clone()), Arc::default());
        let (sender, parts) = mpsc::channel(2);
        sender.send(Message::Part(Bytes::from_static(&BODY[..100]))).await.unwrap();
        let last = Bytes::from_static(&BODY[100..]);
        sender.send(Message::Last(last, BODY.len() as u64)).await.unwrap();
        let result = upload(&to, &KEY, 300, before, parts).await;
        faulty.heal();
        (faulty, result)
    }

    /// Would catch a passing fault of the store that ends the process: everything but [`Error::Lost`] is final with
    /// `--once`.
    #[tokio::test]
    async fn an_upload_whose_end_is_unknown_is_made_again() {
        let (store, result) = uploaded(None, |call| match call {
            Call::Finish(_) => Some(Outcome::Lose),
            Call::Size(_) => Some(Outcome::Fail(ErrorKind::Unavailable)),
            _ => None,
        })
        .await;
        assert!(matches!(result, Err(Error::Lost(_))), "{result:?}");
        assert_eq!(store.size(&KEY).await.unwrap(), Some(BODY.len() as u64));
    }

    #[tokio::test]
    async fn an_upload_whose_answer_was_lost_is_found() {
        let lose = |call: &Call| matches!(call, Call::Finish(_)).then_some(Outcome::Lose);
        let (_, result) = uploaded(None, lose).await;
        assert!(result.is_ok(), "{result:?}");
    }

    #[tokio::test]
    async fn an_upload_is_visible_only_after_the_one_before() {
        let (announcement, before) = visible();
        drop(announcement);
        let (store, result) = uploaded(Some(before), |_| None).await;
        assert!(matches!(result, Err(Error::Lost(_))), "{result:?}");
        assert_eq!(store.size(&KEY).await.unwrap(), None);
        let (announcement, before) = visible();
        announcement.announce();
        let (store, result) = uploaded(Some(before), |_| None).await;
        assert!(result.is_ok(), "{result:?}");
        assert_eq!(store.get(&KEY, 1000).await.unwrap(), BODY);
    }

    #[tokio::test]
    async fn an_upload_that_fails_is_aborted() {
        let fail = |call: &Call| {
            matches!(call, Call::Write(_)).then_some(Outcome::Fail(ErrorKind::Denied))
        };
        let (store, result) = uploaded(None, fail).await;
        assert!(matches!(result, Err(Error::Lost(_))), "{result:?}");
        assert!(!store.calls().contains(&Call::Finish(KEY)));
        assert_eq!(store.size(&KEY).await.unwrap(), None);
    }
}
