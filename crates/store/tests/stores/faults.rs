//! What a bucket does to a request, and what becomes of it. The numbers are those of the list of storage faults.

use bytes::Bytes;
use ebbtide_replica::{Key, KeyPrefix, Txid};
use ebbtide_store::{Conditional, Credentials, ErrorKind, Location, S3Store, Store, StoreError};
use ebbtide_testkit::s3_server::{ACCESS_KEY, Asked, Fault, S3Server, SECRET_KEY};

use futures::TryStreamExt as _;

use crate::kinds::{s3_store, s3_store_at};

const KEY: Key = Key::Log(Txid::FIRST);

/// The same fault for every request of an operation.
fn always(server: &S3Server, operation: &'static str, fault: Fault) {
    server.script(move |asked| (asked.operation() == operation).then(|| fault.clone()));
}

/// The fault for the first requests of an operation, and then no more.
fn at_first(server: &S3Server, operation: &'static str, mut times: usize, fault: Fault) {
    server.script(move |asked: &Asked| {
        let hit = asked.operation() == operation && times > 0;
        times -= usize::from(hit);
        hit.then(|| fault.clone())
    });
}

async fn put(store: &S3Store) -> Result<(), StoreError> {
    store.put(&KEY, Bytes::from_static(b"body")).await
}

/// S1: a put is tried once, since only the caller can tell a lost answer from a lost race; a read is tried again.
#[tokio::test]
async fn s01_a_busy_store_throttles_puts_and_delays_reads() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    always(&server, "PutObject", Fault::Refused(503, "SlowDown"));
    let error = put(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled);
    assert_eq!(error.to_string(), "put log/0000000000000001.seg: the store is too busy");
    assert_eq!(server.count("PutObject"), 1);

    server.heal();
    put(&store).await.unwrap();
    for fault in [Fault::Refused(500, "InternalError"), Fault::Dropped, Fault::CutOff(2)] {
        at_first(&server, "GetObject", 2, fault);
        assert_eq!(store.get(&KEY, 100).await.unwrap(), "body");
    }
    at_first(&server, "ListObjectsV2", 2, Fault::Refused(503, "SlowDown"));
    assert_eq!(store.list(KeyPrefix::Log, None).await.unwrap().len(), 1);
    at_first(&server, "HeadObject", 2, Fault::Refused(503, "SlowDown"));
    assert_eq!(store.size(&KEY).await.unwrap(), Some(4));
}

/// S2: a store that says nothing.
#[tokio::test(start_paused = true)]
async fn s02_silence_ends_with_a_time_out() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    always(&server, "PutObject", Fault::Silence);
    let error = put(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&server.endpoint()), "{error}");
}

/// S3: an answer that stops at any byte is never taken for the object.
#[tokio::test]
async fn s03_an_answer_that_is_cut_off_is_no_object() {
    let server = S3Server::start();
    put(&s3_store(&server, "app").await).await.unwrap();
    // One that was never served: it takes the store for away after four attempts.
    let store = s3_store(&server, "app").await;
    for bytes in 0..4 {
        always(&server, "GetObject", Fault::CutOff(bytes));
        let error = store.get(&KEY, 100).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "whole, {bytes}");
        let error = store.get_range(&KEY, 0..3).await.map(|bytes| assert_eq!(bytes.len(), 3));
        assert!(error.is_ok() == (bytes >= 3), "a part, {bytes}");
    }
    let attempts = server.count("GetObject");
    assert_eq!(attempts, 4 * 4 + 3 * 4 + 1, "reads are tried four times");
}

/// S1: a store that fails every other time loses nobody who reads much of it: one unlucky object is asked for more often.
#[tokio::test]
async fn s01_an_unlucky_object_is_read_as_long_as_others_are_served() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    put(&store).await.unwrap();
    at_first(&server, "GetObject", 6, Fault::Refused(500, "InternalError"));
    assert_eq!(store.get(&KEY, 100).await.unwrap().len(), 4);
    assert_eq!(server.count("GetObject"), 7);
}

/// S3: a stream that breaks goes on with what is left of it, however often, as long as something comes.
#[tokio::test]
async fn s03_a_stream_that_breaks_goes_on_where_it_ended() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    let body: Bytes = (0..=250).cycle().take(3_000_000).collect::<Vec<u8>>().into();
    store.put(&KEY, body.clone()).await.unwrap();
    always(&server, "GetObject", Fault::CutOff(700_000));
    let stream = store.get_stream(&KEY, 100..2_999_999).await.unwrap();
    let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
    assert!(pieces.concat() == body[100..2_999_999]);
    assert_eq!(server.count("GetObject"), 5);
}

/// S3: a stream that never gets anywhere ends with an error.
#[tokio::test]
async fn s03_a_stream_without_a_byte_is_given_up() {
    let server = S3Server::start();
    put(&s3_store(&server, "app").await).await.unwrap();
    let store = s3_store(&server, "app").await;
    always(&server, "GetObject", Fault::CutOff(0));
    // Whether the head of the answer gets through is up to the system.
    let error = match store.get_stream(&KEY, 0..4).await {
        Ok(stream) => stream.try_collect::<Vec<Bytes>>().await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!((4..=16).contains(&server.count("GetObject")));
}

/// S4: an error in the body of an answer that begins with 200.
#[tokio::test]
async fn s04_an_error_in_the_body_is_an_error() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    let upload = async || {
        let mut upload = store.upload(&KEY, 0).await.unwrap();
        upload.write(Bytes::from(vec![7; 9 << 20])).await.unwrap();
        upload.finish().await
    };
    always(&server, "CompleteMultipartUpload", Fault::RefusedInBody("AccessDenied"));
    assert_eq!(upload().await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(store.size(&KEY).await.unwrap(), None);
    at_first(&server, "CompleteMultipartUpload", 2, Fault::RefusedInBody("InternalError"));
    upload().await.unwrap();
    assert_eq!(store.size(&KEY).await.unwrap(), Some(9 << 20));
}

/// S6: a put that arrived and was not answered. The next one finds the name taken; what is there tells by whom.
#[tokio::test]
async fn s06_a_lost_answer_is_told_by_reading_back() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    always(&server, "PutObject", Fault::AnswerLost);
    let error = put(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    server.heal();
    assert_eq!(put(&store).await.unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(store.get(&KEY, 100).await.unwrap(), "body");
}

/// S10: whatever only a person can put right is said in words that help.
#[tokio::test]
async fn s10_what_a_person_must_put_right_is_said() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    always(&server, "PutObject", Fault::Refused(403, "AccessDenied"));
    let error = put(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(
        error.to_string(),
        "put log/0000000000000001.seg: access denied (check the credentials and the bucket policy)"
    );
    server.heal();

    let elsewhere = format!("s3://nowhere/app?endpoint={}", server.endpoint());
    let error = s3_store_at(&elsewhere).await.list(KeyPrefix::Log, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.to_string(), "list log/: bucket nowhere does not exist");

    let Ok(Location::S3(location)) = server.address("app").parse() else { panic!("no bucket") };
    for (key, secret, hint) in [
        (ACCESS_KEY, "wrong", "check AWS_SECRET_ACCESS_KEY"),
        ("wrong", SECRET_KEY, "check the credentials"),
    ] {
        let wrong = S3Store::open_as(&location, &Credentials::new(key, secret)).await.unwrap();
        let error = put(&wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        assert!(error.to_string().contains(hint), "{error}");
    }
}

/// S9: the machine's clock is wrong. That may be put right while it goes on, so it is tried again, and said.
#[tokio::test]
async fn s09_a_clock_that_the_store_does_not_accept_is_said() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    always(&server, "PutObject", Fault::Refused(403, "RequestTimeTooSkewed"));
    let error = put(&store).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(
        error.to_string(),
        "put log/0000000000000001.seg: the clock of this machine differs too much from the store's"
    );
    server.heal();
    put(&store).await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_not_there_is_named() {
    let server = S3Server::start();
    let (address, endpoint) = (server.address("app"), server.endpoint());
    drop(server);
    let error = put(&s3_store_at(&address).await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = format!("{error:?}");
    let expected = format!("put log/0000000000000001.seg: cannot reach {endpoint}");
    assert!(text.contains(&expected) && text.contains("refused"), "{text}");
}

/// S14: only a race tells whether conditional puts are what they promise.
#[tokio::test]
async fn s14_a_server_without_conditional_puts_is_found_out() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    assert_eq!(store.probe().await.unwrap(), Conditional::Enforced);
    always(&server, "PutObject", Fault::Unconditional);
    assert_eq!(store.probe().await.unwrap(), Conditional::Ignored);
    // A server that looks first and then writes does not hold the name while it looks.
    let mut puts = 0;
    server.script(move |asked| {
        puts += usize::from(asked.operation() == "PutObject");
        (puts == 2).then_some(Fault::Unconditional)
    });
    assert_eq!(store.probe().await.unwrap(), Conditional::Ignored);
    always(&server, "PutObject", Fault::Refused(503, "SlowDown"));
    assert_eq!(store.probe().await.unwrap_err().kind(), ErrorKind::Throttled);
    assert_eq!(server.unfinished_uploads(), 0);
}

/// S18: a redirect would carry a signed request to whoever is named.
#[tokio::test]
async fn s18_redirects_are_not_followed() {
    let (server, other) = (S3Server::start(), S3Server::start());
    let store = s3_store(&server, "app").await;
    let target = format!("{}/backups/app/log/0000000000000001.seg", other.endpoint());
    server.script(move |_| Some(Fault::Redirected(target.clone())));
    assert_eq!(put(&store).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(store.get(&KEY, 100).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn secrets_are_not_displayed() {
    let server = S3Server::start();
    let store = s3_store(&server, "app").await;
    always(&server, "PutObject", Fault::Refused(403, "SignatureDoesNotMatch"));
    let error = put(&store).await.unwrap_err();
    let shown = format!("{store:?} {} {error:?} {error}", store.describe());
    assert!(!shown.contains(SECRET_KEY), "{shown}");
    assert_eq!(store.describe(), "s3://backups/app");
}
