//! s3s-fs with the gaps closed that our tests would fall into.
//!
//! s3s-fs looks whether a name is taken and then writes, so that two conditional puts at once both succeed; here they
//! take turns. It takes an upload that is finished for one of somebody else's (`AccessDenied`); here it is gone
//! (`NoSuchUpload`), as with S3. It cannot list uploads; here it can.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::PoisonError;

use s3s::dto::*;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use s3s_fs::FileSystem;
use tokio::sync::{Mutex, MutexGuard};

/// Conditional puts of names with the same hash wait for each other.
const STRIPES: usize = 64;

pub(super) struct Backend {
    files: FileSystem,
    stripes: [Mutex<()>; STRIPES],
    /// Names by the identities of their uploads, as long as those are neither finished nor aborted.
    uploads: std::sync::Mutex<BTreeMap<String, String>>,
}

/// On a request that is to be served as if it had no condition.
#[derive(Clone, Copy)]
pub(super) struct Unconditional;

impl Backend {
    pub(super) fn new(files: FileSystem) -> Backend {
        let stripes = [const { Mutex::const_new(()) }; STRIPES];
        Backend { files, stripes, uploads: std::sync::Mutex::default() }
    }

    async fn turn(&self, name: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let stripe = hasher.finish() % STRIPES as u64;
        self.stripes[usize::try_from(stripe).expect("less than the number of stripes")].lock().await
    }

    fn uploads(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, id: &str) -> S3Result<()> {
        let gone = || S3Error::new(S3ErrorCode::NoSuchUpload);
        self.uploads().contains_key(id).then_some(()).ok_or_else(gone)
    }
}

#[async_trait::async_trait]
impl S3 for Backend {
    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        if request.extensions.get::<Unconditional>().is_some() {
            request.input.if_none_match = None;
        }
        let _turn = self.turn(&request.input.key).await;
        self.files.put_object(request).await
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        self.files.get_object(request).await
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        self.files.head_object(request).await
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.files.delete_object(request).await
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.files.delete_objects(request).await
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.files.list_objects_v2(request).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let name = request.input.key.clone();
        let response = self.files.create_multipart_upload(request).await?;
        if let Some(id) = &response.output.upload_id {
            self.uploads().insert(id.clone(), name);
        }
        Ok(response)
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        self.find(&request.input.upload_id)?;
        self.files.upload_part(request).await
    }

    async fn complete_multipart_upload(
        &self,
        mut request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        if request.extensions.get::<Unconditional>().is_some() {
            request.input.if_none_match = None;
        }
        let _turn = self.turn(&request.input.key).await;
        let id = request.input.upload_id.clone();
        self.find(&id)?;
        let response = self.files.complete_multipart_upload(request).await?;
        self.uploads().remove(&id);
        Ok(response)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let id = request.input.upload_id.clone();
        self.find(&id)?;
        let response = self.files.abort_multipart_upload(request).await?;
        self.uploads().remove(&id);
        Ok(response)
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let prefix = request.input.prefix.unwrap_or_default();
        let mut uploads = Vec::new();
        for (id, name) in self.uploads().iter().filter(|(_, name)| name.starts_with(&prefix)) {
            uploads.push(MultipartUpload {
                key: Some(name.clone()),
                upload_id: Some(id.clone()),
                ..MultipartUpload::default()
            });
        }
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(request.input.bucket),
            uploads: Some(uploads),
            ..ListMultipartUploadsOutput::default()
        }))
    }
}
