//! Every kind of store keeps the contract.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use ebbtide_store::{
    Conditional, Credentials, DirectoryStore, Location, MemoryStore, S3Store, Store,
};
use ebbtide_testkit::contract::{self, Subject};
use ebbtide_testkit::s3_server::{ACCESS_KEY, Fault, S3Server, SECRET_KEY};
use tempfile::TempDir;

/// A store on the server, under this prefix.
pub(crate) async fn s3_store(server: &S3Server, prefix: &str) -> S3Store {
    s3_store_at(&server.address(prefix)).await
}

/// A store at this address, with the test server's credentials.
pub(crate) async fn s3_store_at(address: &str) -> S3Store {
    let Ok(Location::S3(location)) = address.parse() else { panic!("no bucket: {address}") };
    S3Store::open_as(&location, &Credentials::new(ACCESS_KEY, SECRET_KEY)).await.unwrap()
}

/// Numbers that tell the stores of a kind apart.
#[derive(Default)]
struct Count(AtomicU64);

impl Count {
    fn next(&self) -> String {
        format!("replica-{}", self.0.fetch_add(1, Ordering::Relaxed))
    }
}

fn plant(path: &Path, body: &[u8]) -> bool {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, body).unwrap();
    true
}

struct Memory;

#[async_trait]
impl Subject for Memory {
    async fn fresh(&self) -> Arc<dyn Store> {
        Arc::new(MemoryStore::new())
    }

    async fn plant(&self, _store: &dyn Store, _name: &str, _body: Bytes) -> bool {
        false
    }
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    contract::check(&Memory).await;
}

#[tokio::test]
async fn memory_passes_over_strange_names() {
    let names = ["log/1.seg", "log/0000000000000001.seg", "log/x/y", "other"];
    let store = MemoryStore::with(names.map(|name| (name.to_owned(), Bytes::new())));
    let objects = store.list(ebbtide_replica::KeyPrefix::Log, None).await.unwrap();
    assert_eq!(objects.len(), 1);
}

struct Directories(TempDir, Count);

#[async_trait]
impl Subject for Directories {
    async fn fresh(&self) -> Arc<dyn Store> {
        let store = DirectoryStore::new(self.0.path().join(self.1.next())).unwrap();
        store.begin().await.unwrap();
        Arc::new(store)
    }

    async fn plant(&self, store: &dyn Store, name: &str, body: Bytes) -> bool {
        plant(&Path::new(&store.describe()).join(name), &body)
    }
}

#[tokio::test]
async fn a_directory_keeps_the_contract() {
    contract::check(&Directories(tempfile::tempdir().unwrap(), Count::default())).await;
}

struct S3 {
    server: S3Server,
    conditional: Conditional,
    count: Count,
}

#[async_trait]
impl Subject for S3 {
    async fn fresh(&self) -> Arc<dyn Store> {
        Arc::new(s3_store(&self.server, &self.count.next()).await)
    }

    async fn plant(&self, store: &dyn Store, name: &str, body: Bytes) -> bool {
        // The server tells names in plain XML, which cannot have this one.
        if name.contains(char::is_control) {
            return true;
        }
        let place = store.describe();
        let prefix = place.rsplit('/').next().unwrap();
        plant(&self.server.file(&format!("{prefix}/{name}")), &body)
    }

    fn conditional(&self) -> Conditional {
        self.conditional
    }
}

#[tokio::test]
async fn a_bucket_keeps_the_contract() {
    let server = S3Server::start();
    contract::check(&S3 { server, conditional: Conditional::Enforced, count: Count::default() })
        .await;
}

/// S14: a server that takes no notice of the condition on the completion of an upload, but of that on a put.
#[tokio::test]
async fn s14_a_bucket_keeps_the_contract_without_conditional_completion() {
    let server = S3Server::start();
    server.script(|asked| {
        (asked.operation() == "CompleteMultipartUpload").then_some(Fault::Unconditional)
    });
    let conditional = Conditional::Ignored;
    let subject = S3 { server, conditional, count: Count::default() };
    contract::check(&subject).await;
}
