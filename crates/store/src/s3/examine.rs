//! What a bucket allows, tried one by one.

use aws_sdk_s3::types::{BucketVersioningStatus, ObjectLockEnabled};
use bytes::Bytes;

use super::bucket::Bucket;
use super::limits::REQUEST_TIMEOUT;
use super::list::time;
use crate::error::{ErrorKind, StoreError};
use crate::examine::{Examined, Seen, Trial};
use crate::probe;

/// What is put.
const BODY: &[u8] = b"ebbtide tries what it may do here\n";

impl Bucket {
    /// Puts an object, reads it and deletes it, and asks what the bucket is like. Nothing is tried twice: whoever asks wants
    /// to know how it is now.
    pub(super) async fn examine_all(&self) -> Vec<Examined> {
        let name = match probe::name() {
            Ok(name) => self.full(name),
            Err(error) => {
                return vec![Examined::wait(Trial::Put, async { Err(error) }).await];
            }
        };
        let put = Examined::wait(Trial::Put, self.try_put(&name)).await;
        let (is_answered, is_put) = (put.is_answered(), put.result.is_ok());
        let mut all = vec![put];
        if !is_answered {
            return all;
        }
        all.push(Examined::wait(Trial::Get, self.try_get(&name, is_put)).await);
        all.push(Examined::wait(Trial::List, self.try_list()).await);
        if is_put {
            let probed = async { self.probe_bucket().await.map(Seen::Conditional) };
            all.push(Examined::wait(Trial::Conditional, probed).await);
            all.push(Examined::wait(Trial::Clock, self.try_clock(&name)).await);
            let removed =
                async { self.remove("delete a probe", name).await.map(|()| Seen::Allowed) };
            all.push(Examined::wait(Trial::Delete, removed).await);
        }
        all.push(Examined::wait(Trial::Region, self.try_region()).await);
        all.push(Examined::wait(Trial::Versioning, self.try_versioning()).await);
        all.push(Examined::wait(Trial::ObjectLock, self.try_lock()).await);
        all
    }

    async fn try_put(&self, name: &str) -> Result<Seen, StoreError> {
        let body = Bytes::from_static(BODY);
        self.create("put a probe", name.to_owned(), body).await.map(|()| Seen::Allowed)
    }

    async fn try_get(&self, name: &str, is_there: bool) -> Result<Seen, StoreError> {
        let what = "get a probe";
        let request =
            |sdk: &aws_sdk_s3::Client| sdk.get_object().bucket(&*self.bucket).key(name).send();
        let answer = self.client.ask(what, &self.bucket, REQUEST_TIMEOUT, request);
        match self.client.turn(answer).await {
            Err(error) if error.kind() == ErrorKind::NotFound && !is_there => Ok(Seen::Allowed),
            Err(error) => Err(error),
            Ok(answer) if answer.content_length() == i64::try_from(BODY.len()).ok() => {
                Ok(Seen::Allowed)
            }
            Ok(_) => Err(StoreError::new(
                ErrorKind::Damaged,
                what,
                "what was put has another length when it is read",
            )),
        }
    }

    async fn try_list(&self) -> Result<Seen, StoreError> {
        let request = |sdk: &aws_sdk_s3::Client| {
            let request = sdk.list_objects_v2().bucket(&*self.bucket);
            request.prefix(self.full("log/")).max_keys(1).send()
        };
        let answer = self.client.ask("list log/", &self.bucket, REQUEST_TIMEOUT, request);
        self.client.turn(answer).await.map(|_| Seen::Allowed)
    }

    async fn try_clock(&self, name: &str) -> Result<Seen, StoreError> {
        let what = probe::ASKING_TIME;
        let request =
            |sdk: &aws_sdk_s3::Client| sdk.head_object().bucket(&*self.bucket).key(name).send();
        let answer = self.client.ask(what, &self.bucket, REQUEST_TIMEOUT, request);
        let head = self.client.turn(answer).await?;
        let at = head.last_modified().and_then(time).map(Seen::Clock);
        at.ok_or_else(|| StoreError::new(ErrorKind::Damaged, what, probe::NO_TIME))
    }

    async fn try_region(&self) -> Result<Seen, StoreError> {
        let request = |sdk: &aws_sdk_s3::Client| sdk.head_bucket().bucket(&*self.bucket).send();
        let answer = self.client.ask("ask for the region", &self.bucket, REQUEST_TIMEOUT, request);
        let head = self.client.turn(answer).await?;
        Ok(Seen::Region(head.bucket_region().map(str::to_owned)))
    }

    async fn try_versioning(&self) -> Result<Seen, StoreError> {
        let request =
            |sdk: &aws_sdk_s3::Client| sdk.get_bucket_versioning().bucket(&*self.bucket).send();
        let answer =
            self.client.ask("ask for the versioning", &self.bucket, REQUEST_TIMEOUT, request);
        let status = self.client.turn(answer).await?;
        Ok(Seen::Enabled(status.status() == Some(&BucketVersioningStatus::Enabled)))
    }

    /// A bucket without one answers that there is no such configuration.
    async fn try_lock(&self) -> Result<Seen, StoreError> {
        let request = |sdk: &aws_sdk_s3::Client| {
            sdk.get_object_lock_configuration().bucket(&*self.bucket).send()
        };
        let answer =
            self.client.ask("ask for the object lock", &self.bucket, REQUEST_TIMEOUT, request);
        match self.client.turn(answer).await {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Seen::Enabled(false)),
            Err(error) => Err(error),
            Ok(answer) => {
                let lock = answer.object_lock_configuration();
                let enabled = lock.and_then(|lock| lock.object_lock_enabled());
                Ok(Seen::Enabled(enabled == Some(&ObjectLockEnabled::Enabled)))
            }
        }
    }
}
