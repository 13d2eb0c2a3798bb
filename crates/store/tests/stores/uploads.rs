//! Uploads in parts that go wrong.

use std::time::Duration;

use bytes::Bytes;
use ebbtide_replica::{Key, Txid};
use ebbtide_store::{ErrorKind, S3Store, Store, StoreError, Upload};
use ebbtide_testkit::s3_server::{Fault, S3Server};

use crate::kinds::s3_store;

const KEY: Key = Key::Snapshot(Txid::FIRST);
const SIZE: usize = 20 << 20;

/// An upload whose parts have been handed over.
async fn begin(store: &S3Store, byte: u8) -> Result<Box<dyn Upload>, StoreError> {
    let mut upload = store.upload(&KEY, 0).await?;
    for _ in 0..20 {
        upload.write(Bytes::from(vec![byte; SIZE / 20])).await?;
    }
    Ok(upload)
}

/// Until nothing is left of uploads on the server, or it is plain that something will be.
async fn nothing_is_left(server: &S3Server) {
    for _ in 0..500 {
        if server.unfinished_uploads() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("parts of an upload are left behind");
}

#[tokio::test]
async fn a_part_is_sent_again_and_again() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    let mut asked = 0;
    server.script(move |request| {
        asked += usize::from(request.operation() == "UploadPart");
        match (request.operation(), asked) {
            ("UploadPart", 1 | 4) => Some(Fault::Refused(503, "SlowDown")),
            ("UploadPart", 2) => Some(Fault::AnswerLost),
            ("UploadPart", 3) => Some(Fault::Refused(500, "InternalError")),
            _ => None,
        }
    });
    begin(&store, 1).await.unwrap().finish().await.unwrap();
    assert!(store.get(&KEY, u64::MAX).await.unwrap() == vec![1; SIZE]);
    assert_eq!(server.count("UploadPart"), 4 + 4);
}

#[tokio::test]
async fn a_part_that_is_refused_ends_the_upload() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    server.script(|asked| {
        (asked.operation() == "UploadPart").then_some(Fault::Refused(403, "AccessDenied"))
    });
    let result = match begin(&store, 1).await {
        Ok(upload) => upload.finish().await,
        Err(error) => Err(error),
    };
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(store.size(&KEY).await.unwrap(), None);
    nothing_is_left(&server).await;
}

/// An upload that lost a part must never be put together without it.
#[tokio::test]
async fn an_upload_is_not_finished_without_one_of_its_parts() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    let mut upload = store.upload(&KEY, 0).await.unwrap();
    let mut refused = false;
    server.script(move |asked| {
        let first = asked.operation() == "UploadPart" && !refused;
        refused |= first;
        first.then_some(Fault::Refused(403, "AccessDenied"))
    });
    let mut errors = 0;
    for _ in 0..6 {
        let written = upload.write(Bytes::from(vec![1; 8 << 20])).await;
        errors += usize::from(written.is_err());
    }
    assert_eq!(errors, 1);
    assert_eq!(upload.finish().await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(store.size(&KEY).await.unwrap(), None);
    nothing_is_left(&server).await;
}

/// S6: the completion arrived and its answer was lost. The mark on the object tells that it is ours.
#[tokio::test]
async fn s06_a_completion_whose_answer_was_lost_is_done() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    let mut lost = false;
    server.script(move |asked| {
        let first = asked.operation() == "CompleteMultipartUpload" && !lost;
        lost |= first;
        first.then_some(Fault::AnswerLost)
    });
    begin(&store, 1).await.unwrap().finish().await.unwrap();
    assert_eq!(server.count("CompleteMultipartUpload"), 2);
    assert!(store.get(&KEY, u64::MAX).await.unwrap() == vec![1; SIZE]);
}

/// The completion did not arrive, and another writer took the name before it was repeated.
#[tokio::test]
async fn s06_a_completion_that_another_writer_overtook_finds_the_name_taken() {
    let server = S3Server::start();
    let (store, other) = (s3_store(&server, "app").await, s3_store(&server, "app").await);
    let upload = begin(&store, 1).await.unwrap();
    let (asked, mut was_asked) = tokio::sync::mpsc::unbounded_channel();
    server.script(move |request| {
        let hit = request.operation() == "CompleteMultipartUpload" && asked.send(()).is_ok();
        hit.then_some(Fault::Dropped)
    });
    let overtake = async {
        was_asked.recv().await.unwrap();
        other.put(&KEY, Bytes::from_static(b"theirs")).await.unwrap();
        server.heal();
    };
    let (result, ()) = tokio::join!(upload.finish(), overtake);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(store.get(&KEY, 100).await.unwrap(), "theirs");
    nothing_is_left(&server).await;
}

/// S5: whatever becomes of an upload, its parts do not stay to be paid for.
#[tokio::test]
async fn s05_what_is_given_up_is_removed() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    begin(&store, 1).await.unwrap().abort().await;
    assert_eq!(server.unfinished_uploads(), 0, "an abort waits for it");
    drop(begin(&store, 1).await.unwrap());
    nothing_is_left(&server).await;
    assert_eq!(server.count("AbortMultipartUpload"), 2);
}

/// S5: a process that is killed leaves parts behind; the next owner removes them, and nobody else's.
#[tokio::test]
async fn s05_abandoned_uploads_are_swept() {
    let server = S3Server::start();
    let (store, neighbour) = (s3_store(&server, "app").await, s3_store(&server, "app2").await);
    let theirs = begin(&neighbour, 2).await.unwrap();
    let killed = begin(&store, 1).await.unwrap();
    assert_eq!(server.unfinished_uploads(), 2);
    assert_eq!(store.sweep().await.unwrap(), 1);
    assert_eq!(store.sweep().await.unwrap(), 0);
    assert_eq!(killed.finish().await.unwrap_err().kind(), ErrorKind::Unavailable);
    theirs.finish().await.unwrap();
}
