//! The contract, and what MinIO says when something is wrong.

use bytes::Bytes;
use ebbtide_replica::{Key, KeyPrefix, Txid};
use ebbtide_store::{Credentials, ErrorKind, Location, S3Store, Store};
use ebbtide_testkit::contract;
use ebbtide_testkit::minio::MinIO;

const KEY: Key = Key::Log(Txid::FIRST);

#[tokio::test]
async fn minio_keeps_the_contract() {
    let Some(minio) = MinIO::find().await else { return };
    contract::check(&minio).await;
    abandoned_uploads_are_swept(&minio).await;
    what_a_person_must_put_right_is_said(&minio).await;
    minio.remove().await;
}

/// S5, as far as MinIO goes: it lists the uploads of one object, not of a prefix.
async fn abandoned_uploads_are_swept(minio: &MinIO) {
    let store = minio.store("swept").await;
    let mut upload = store.upload(&KEY, 0).await.unwrap();
    upload.write(Bytes::from(vec![1; 9 << 20])).await.unwrap();
    assert!(store.sweep().await.unwrap() <= 1);
    upload.abort().await;
}

async fn what_a_person_must_put_right_is_said(minio: &MinIO) {
    let address = format!("s3://{}x/app?endpoint={}", minio.bucket, minio.endpoint);
    let Ok(Location::S3(location)) = address.parse() else { panic!("no bucket: {address}") };
    let store = S3Store::open_as(&location, &minio.credentials).await.unwrap();
    for error in [
        store.list(KeyPrefix::Log, None).await.unwrap_err(),
        store.put(&KEY, Bytes::new()).await.unwrap_err(),
        store.get(&KEY, 100).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
        assert!(error.to_string().contains("x does not exist"), "{error}");
    }
    for (key, secret) in [("wrong", "wrong-secret"), ("wrong", "wrong")] {
        let wrong = S3Store::open_as(&location, &Credentials::new(key, secret)).await.unwrap();
        let error = wrong.put(&KEY, Bytes::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    }
}
