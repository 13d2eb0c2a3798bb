//! Deletes of many objects with one request.

use std::collections::BTreeMap;

use aws_sdk_s3::operation::delete_objects::DeleteObjectsOutput;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};

use super::bucket::Bucket;
use super::error::classify;
use super::limits::REQUEST_TIMEOUT;
use crate::api::NotDeleted;
use crate::error::{ErrorKind, StoreError};
use crate::retry::{READS, retry};
use ebbtide_replica::Key;

/// S3 takes no more in one request.
const KEYS_MAX: usize = 1000;

impl Bucket {
    /// Deletes these objects, and says which could not be deleted. A delete is idempotent, so it is retried.
    pub(super) async fn remove_many(&self, keys: &[Key]) -> Result<Vec<NotDeleted>, StoreError> {
        let mut left = Vec::new();
        let mut batches = keys.chunks(KEYS_MAX);
        for batch in batches.by_ref() {
            match retry(&READS, &self.client.served, || self.remove_batch(batch)).await {
                Ok(more) => left.extend(more),
                // Some servers know single deletes alone.
                Err(error) if error.kind() == ErrorKind::Invalid => {
                    tracing::debug!(%error, "deleting one by one");
                    left.extend(self.remove_each(batch).await);
                    break;
                }
                // Nobody may delete here, or not by many at a time.
                Err(error) if error.kind() == ErrorKind::Denied => {
                    left.extend(batch.iter().map(|key| (*key, error.clone())));
                }
                Err(error) => return Err(error),
            }
        }
        for batch in batches {
            left.extend(self.remove_each(batch).await);
        }
        Ok(left)
    }

    async fn remove_each(&self, keys: &[Key]) -> Vec<NotDeleted> {
        let mut left = Vec::new();
        for key in keys {
            let what = format!("delete {key}");
            let remove = || self.remove(&what, self.full(key));
            if let Err(error) = retry(&READS, &self.client.served, remove).await {
                left.push((*key, error));
            }
        }
        left
    }

    async fn remove_batch(&self, keys: &[Key]) -> Result<Vec<NotDeleted>, StoreError> {
        let what = format!("delete {} objects", keys.len());
        let invalid = |error: aws_sdk_s3::error::BuildError| {
            StoreError::new(ErrorKind::Invalid, &what, "no request can be made of it")
                .caused_by(error)
        };
        let names: BTreeMap<String, Key> = keys.iter().map(|key| (self.full(key), *key)).collect();
        let identifiers = names.keys().map(|name| ObjectIdentifier::builder().key(name).build());
        let identifiers = identifiers.collect::<Result<Vec<_>, _>>().map_err(invalid)?;
        let delete = Delete::builder().set_objects(Some(identifiers)).quiet(true).build();
        let delete = delete.map_err(invalid)?;
        let request = |sdk: &aws_sdk_s3::Client| {
            sdk.delete_objects().bucket(&*self.bucket).delete(delete.clone()).send()
        };
        let answer = self.client.ask(&what, &self.bucket, REQUEST_TIMEOUT, request);
        let answer = self.client.turn(answer).await?;
        Ok(not_deleted(&answer, &names, &self.bucket))
    }
}

/// What the answer says of objects that are not deleted. An answer of 200 may consist of nothing else.
fn not_deleted(
    answer: &DeleteObjectsOutput,
    names: &BTreeMap<String, Key>,
    bucket: &str,
) -> Vec<NotDeleted> {
    let errors = answer.errors().iter().filter_map(|error| {
        let key = names.get(error.key()?)?;
        let (kind, why) = classify(error.code(), error.message(), bucket);
        let gone = error.code() == Some("NoSuchKey");
        (!gone).then(|| (*key, StoreError::new(kind, format!("delete {key}"), why)))
    });
    errors.collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::Error;
    use ebbtide_replica::Txid;

    use super::*;

    #[test]
    fn h15_errors_inside_an_answer_of_200_are_told_apart() {
        let key = Key::Log(Txid::FIRST);
        let names = BTreeMap::from([(format!("app/{key}"), key)]);
        let answer = |name: &str, code: &str| {
            let error = Error::builder().key(name).code(code).message("In its own words.").build();
            DeleteObjectsOutput::builder().errors(error).build()
        };
        let name = format!("app/{key}");
        for (code, kind) in [
            ("AccessDenied", ErrorKind::Denied),
            ("InternalError", ErrorKind::Unavailable),
            ("SlowDown", ErrorKind::Throttled),
        ] {
            let left = not_deleted(&answer(&name, code), &names, "backups");
            assert_eq!(left.len(), 1, "{code}");
            assert_eq!((left[0].0, left[0].1.kind()), (key, kind), "{code}");
        }
        assert!(not_deleted(&answer(&name, "NoSuchKey"), &names, "backups").is_empty());
        assert!(not_deleted(&answer("app/another", "AccessDenied"), &names, "backups").is_empty());
    }
}
