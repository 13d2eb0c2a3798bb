//! What is asked of a bucket, counted: requests are what it costs.

use bytes::Bytes;
use ebbtide_replica::{Key, KeyPrefix, Txid};
use ebbtide_store::Store;
use ebbtide_testkit::s3_server::{Asked, Fault, S3Server};

use crate::kinds::s3_store;

const KEY: Key = Key::Log(Txid::FIRST);

#[tokio::test]
async fn each_call_is_one_request() {
    let server = S3Server::start();
    let store = s3_store(&server, "deep/er/app").await;
    assert_eq!(server.asked().len(), 0, "opening asks nothing");
    store.put(&KEY, Bytes::from_static(b"body")).await.unwrap();
    store.get(&KEY, 100).await.unwrap();
    store.get_range(&KEY, 1..3).await.unwrap();
    store.get_range(&KEY, 3..3).await.unwrap();
    store.size(&KEY).await.unwrap();
    store.list(KeyPrefix::Log, Some(&KEY)).await.unwrap();
    let mut upload = store.upload(&KEY, 0).await.unwrap();
    upload.write(Bytes::from_static(b"body")).await.unwrap();
    upload.finish().await.unwrap_err();
    store.upload(&KEY, 0).await.unwrap().abort().await;
    store.delete(&KEY).await.unwrap();

    let asked = server.asked();
    let operations: Vec<&str> = asked.iter().map(|asked| asked.operation()).collect();
    assert_eq!(
        operations,
        [
            "PutObject",
            "GetObject",
            "GetObject",
            "HeadObject",
            "ListObjectsV2",
            "PutObject",
            "DeleteObject"
        ]
    );
    for asked in &asked {
        assert_eq!(asked.conditional, asked.operation() == "PutObject", "{asked:?}");
        let path = match asked.operation() {
            "ListObjectsV2" => "/backups/",
            _ => "/backups/deep/er/app/log/0000000000000001.seg",
        };
        assert_eq!(asked.path, path);
    }
}

#[tokio::test]
async fn a_large_upload_is_its_parts_and_three_requests() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    let mut upload = store.upload(&KEY, 24 << 20).await.unwrap();
    upload.write(Bytes::from(vec![1; 24 << 20])).await.unwrap();
    upload.finish().await.unwrap();
    for (operation, count) in [
        ("CreateMultipartUpload", 1),
        ("UploadPart", 5),
        ("HeadObject", 1),
        ("CompleteMultipartUpload", 1),
        ("AbortMultipartUpload", 0),
    ] {
        assert_eq!(server.count(operation), count, "{operation}");
    }
    let complete = server.asked().into_iter().find(|asked| asked.operation().starts_with("Comp"));
    assert!(complete.unwrap().conditional);
}

/// A bucket with an object lock takes no body without a checksum.
#[tokio::test]
async fn h16_a_bucket_that_wants_checksums_gets_them() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    server.script(|asked: &Asked| {
        let has_body = ["PutObject", "UploadPart"].contains(&asked.operation());
        (has_body && !asked.checked).then_some(Fault::Unchecked)
    });
    store.put(&KEY, Bytes::from_static(b"body")).await.unwrap();
    let second = Key::Log(Txid::FIRST.next());
    store.put(&second, Bytes::from_static(b"body")).await.unwrap();
    let puts = server.asked().into_iter().filter(|asked| asked.operation() == "PutObject");
    assert_eq!(puts.map(|put| put.checked).collect::<Vec<_>>(), [false, true, true]);
    let third = Key::Log(Txid::FIRST.next().next());
    let mut upload = store.upload(&third, 24 << 20).await.unwrap();
    upload.write(Bytes::from(vec![1; 24 << 20])).await.unwrap();
    upload.finish().await.unwrap();
    assert_eq!(store.get(&KEY, 100).await.unwrap(), "body");
    assert_eq!(store.size(&third).await.unwrap(), Some(24 << 20));
}
