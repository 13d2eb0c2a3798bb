//! One level of a listing: names up to the next slash.

use futures::future::{BoxFuture, FutureExt as _};

use super::bucket::Bucket;
use super::store::S3Store;
use crate::api::LIST_MAX;
use crate::branch::{Branch, is_manifest};
use crate::error::{ErrorKind, StoreError};

impl S3Store {
    /// What lies directly below the prefix.
    pub(crate) fn branch(&self) -> BoxFuture<'_, Result<Branch, StoreError>> {
        // The SDK's futures are nested so deeply that no other one can have them within it as they are.
        self.0.branch().boxed()
    }
}

impl Bucket {
    async fn branch(&self) -> Result<Branch, StoreError> {
        let place = self.full("");
        let what = format!("list what is below {}", self.describe());
        let (mut branch, mut names) = (Branch::default(), 0);
        self.each_page(&what, &place, None, Some("/"), |page| {
            names += page.objects.len() + page.directories.len();
            if names > LIST_MAX {
                let why = format!("more than {LIST_MAX} names");
                return Err(StoreError::new(ErrorKind::Invalid, what.as_str(), why));
            }
            let objects = page.objects.iter().filter_map(|(name, ..)| name.strip_prefix(&place));
            branch.has_manifest |= objects.into_iter().any(is_manifest);
            let directories = page.directories.iter().filter_map(|name| name.strip_prefix(&place));
            directories.for_each(|name| {
                branch.add(name.strip_suffix('/').unwrap_or(name), &['/', '?', '#'])
            });
            Ok(false)
        })
        .await?;
        Ok(branch.in_order())
    }
}
