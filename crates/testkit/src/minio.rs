//! A MinIO that somebody started for us.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::contract::Subject;
use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use ebbtide_store::{Conditional, Credentials, Location, S3Store, Store};

/// A bucket of our own on the server, and a client that can do what a store cannot.
pub struct MinIO {
    /// Its address.
    pub endpoint: String,
    /// What opens it.
    pub credentials: Credentials,
    /// The same, as the variables that a process needs.
    pub environment: [(&'static str, String); 2],
    /// The bucket.
    pub bucket: String,
    client: Client,
    count: AtomicU64,
}

impl MinIO {
    /// The server that the variables name; if they name none, says how to.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub async fn find() -> Option<MinIO> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(endpoint) = variable("EBBTIDE_TEST_MINIO") else {
            let said = "skipped: set EBBTIDE_TEST_MINIO=http://127.0.0.1:PORT, EBBTIDE_TEST_MINIO_USER and \
                        EBBTIDE_TEST_MINIO_PASSWORD to test against MinIO";
            // Straight to the terminal: the harness keeps what tests print that pass.
            writeln!(std::io::stderr(), "{said}").expect("a terminal, or nothing");
            return None;
        };
        let user = variable("EBBTIDE_TEST_MINIO_USER").unwrap_or_else(|| "minioadmin".to_owned());
        let password =
            variable("EBBTIDE_TEST_MINIO_PASSWORD").unwrap_or_else(|| "minioadmin".to_owned());
        let keys = aws_sdk_s3::config::Credentials::new(&user, &password, None, None, "test");
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .endpoint_url(&endpoint)
            .force_path_style(true)
            .credentials_provider(keys)
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        let client = Client::from_conf(config);
        let bucket = format!("ebbtide-test-{:016x}", getrandom::u64().expect("random numbers"));
        client.create_bucket().bucket(&bucket).send().await.expect("MinIO answers");
        let credentials = Credentials::new(user.clone(), password.clone());
        let environment = [("AWS_ACCESS_KEY_ID", user), ("AWS_SECRET_ACCESS_KEY", password)];
        Some(MinIO { endpoint, credentials, environment, bucket, client, count: AtomicU64::new(0) })
    }

    /// A replica in the bucket.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub async fn store(&self, prefix: &str) -> S3Store {
        let address = self.address(prefix);
        let Ok(Location::S3(location)) = address.parse() else { panic!("no bucket: {address}") };
        S3Store::open_as(&location, &self.credentials).await.expect("MinIO answers")
    }

    /// The address of a replica in the bucket.
    #[must_use]
    pub fn address(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}?endpoint={}", self.bucket, self.endpoint)
    }

    /// Removes the bucket and all that is in it.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub async fn remove(&self) {
        loop {
            let page = self
                .client
                .list_objects_v2()
                .bucket(&self.bucket)
                .send()
                .await
                .expect("MinIO answers");
            if page.contents().is_empty() {
                break;
            }
            for object in page.contents() {
                let delete = self.client.delete_object().bucket(&self.bucket);
                delete
                    .key(object.key().expect("an object has a key"))
                    .send()
                    .await
                    .expect("MinIO answers");
            }
        }
        self.client.delete_bucket().bucket(&self.bucket).send().await.expect("MinIO answers");
    }
}

#[async_trait]
impl Subject for MinIO {
    async fn fresh(&self) -> Arc<dyn Store> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        Arc::new(self.store(&format!("replica+{number} %é")).await)
    }

    async fn plant(&self, store: &dyn Store, name: &str, body: Bytes) -> bool {
        let place = store.describe();
        let prefix = place.rsplit('/').next().expect("a last part");
        let put = self.client.put_object().bucket(&self.bucket).key(format!("{prefix}/{name}"));
        put.body(ByteStream::from(body)).send().await.expect("MinIO answers");
        true
    }

    fn conditional(&self) -> Conditional {
        Conditional::Enforced
    }
}
