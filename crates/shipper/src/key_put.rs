//! The wrapped form of a page key is durable in a store before the first object that names the key: an object whose key
//! nobody has is lost. So whatever puts an object calls this first.

use ebbtide_fault::point;
use ebbtide_replica::Key;
use ebbtide_replica::container::{Envelope, Header};

use crate::destination::Destination;
use crate::error::Error;
use crate::retry::{AttemptError, retry};

/// Puts the key that the object `key` of `length` bytes names, which begins with `head`, unless it is there. Retries
/// without limit. Does nothing for a plain replica.
///
/// # Errors
/// [`Error::PlainText`] if the replica is encrypted and the object is not.
pub(crate) async fn put_key_of(
    to: &Destination,
    key: &Key,
    head: &[u8],
    length: u64,
) -> Result<(), Error> {
    retry(to, || try_put_key_of(to, key, head)).await?;
    if let Some(encryption) = &to.encryption
        && let Ok((_, Some(Envelope { pages: Some(id), .. }))) = Header::parse_any(head)
    {
        encryption.count(id, length);
    }
    Ok(())
}

/// The same with a single attempt.
pub(crate) async fn try_put_key_of(
    to: &Destination,
    key: &Key,
    head: &[u8],
) -> Result<(), AttemptError> {
    let Some(encryption) = &to.encryption else { return Ok(()) };
    let parsed = Header::parse_any(head);
    let (_, envelope) = parsed.map_err(|error| AttemptError::Final(error.into()))?;
    let envelope = envelope.ok_or(AttemptError::Final(Error::PlainText { key: *key }))?;
    let Some(id) = envelope.pages.filter(|&id| !to.keys.has(id)) else { return Ok(()) };
    let unknown = Error::Changed("an object names a page key that is not at hand");
    let wrapped = encryption.wrapped(id).ok_or(AttemptError::Final(unknown))?;
    point("shipper.key.begin");
    wrapped.put(&*to.store).await.map_err(AttemptError::Retryable)?;
    point("shipper.key.done");
    to.keys.add(id);
    Ok(())
}
