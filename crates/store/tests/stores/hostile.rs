//! A server that answers anything: every operation ends with an error, after a bounded number of requests, and having
//! taken in a bounded number of bytes.

use std::time::Duration;

use bytes::Bytes;
use ebbtide_replica::{Key, KeyPrefix, Txid};
use ebbtide_store::{ErrorKind, S3Store, Store, StoreError};
use ebbtide_testkit::raw_server::{RawServer, Script};
use futures::TryStreamExt as _;

use crate::kinds::s3_store_at;

const KEY: Key = Key::Log(Txid::FIRST);

/// What a client may take of one answer: the longest that there is, and what the system keeps for a socket on both
/// sides. Without a limit a connection takes gigabytes within the time-out.
const TAKEN_MAX: u64 = 32 << 20;

/// What one operation may ask for: eight racers of a probe, sixteen attempts of a read, and what belongs to them.
const REQUESTS_MAX: usize = 64;

const WHOLE_LIMIT: u64 = 1000;

async fn store_on(server: &RawServer) -> S3Store {
    s3_store_at(&format!("s3://backups/app?endpoint={}", server.endpoint())).await
}

/// Everything that a store is ever asked for.
const OPERATIONS: [&str; 10] =
    ["put", "get", "get_range", "get_stream", "size", "list", "delete", "upload", "sweep", "probe"];

async fn perform(store: &S3Store, operation: &str) -> Result<(), StoreError> {
    match operation {
        "put" => store.put(&KEY, Bytes::from_static(b"body")).await,
        "get" => store.get(&KEY, WHOLE_LIMIT).await.map(|_| ()),
        "get_range" => store.get_range(&KEY, 0..100).await.map(|_| ()),
        "get_stream" => {
            let pieces: Vec<Bytes> = store.get_stream(&KEY, 0..100).await?.try_collect().await?;
            assert_eq!(pieces.concat().len(), 100);
            Ok(())
        }
        "size" => store.size(&KEY).await.map(|_| ()),
        "list" => store.list(KeyPrefix::Log, None).await.map(|_| ()),
        "delete" => store.delete(&KEY).await,
        "sweep" => store.sweep().await.map(|_| ()),
        "probe" => store.probe().await.map(|_| ()),
        _ => {
            let mut upload = store.upload(&KEY, 0).await?;
            upload.write(Bytes::from(vec![7; 6 << 20])).await?;
            upload.finish().await
        }
    }
}

/// Each operation beside the others, on a server of its own; what came of each.
async fn all(script: &Script) -> Vec<(&'static str, Result<(), StoreError>)> {
    let each = OPERATIONS.map(|operation| async move {
        let server = RawServer::always(script.clone());
        let store = store_on(&server).await;
        let outcome = perform(&store, operation).await;
        let shown = shown(script);
        assert!(server.requests() <= REQUESTS_MAX, "{operation}, {shown}: {}", server.requests());
        assert!(server.sent_max() <= TAKEN_MAX, "{operation}, {shown}: {}", server.sent_max());
        if let Err(error) = &outcome {
            let text = format!("{error:?}");
            assert!(text.len() < 1000, "{operation}, {shown}: {} bytes", text.len());
            assert!(!text.contains(char::is_control), "{operation}, {shown}: {text:?}");
        }
        (operation, outcome)
    });
    futures::future::join_all(each).await
}

/// All of them at once: most of the time goes into waiting before another attempt.
async fn all_fail(scripts: Vec<Script>) {
    let each = scripts.iter().map(async |script| {
        for (operation, outcome) in all(script).await {
            assert!(outcome.is_err(), "{operation} is served by {:?}", shown(script));
        }
    });
    futures::future::join_all(each).await;
}

fn shown(script: &Script) -> String {
    String::from_utf8_lossy(&script.head[..script.head.len().min(80)]).into_owned()
}

fn chunked(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n")
}

fn chunk(byte: u8) -> Vec<u8> {
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend_from_slice(&vec![byte; 0x10000]);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

/// Z3: a listing, an error or an object without an end.
#[tokio::test]
async fn z03_answers_without_an_end_are_given_up() {
    let status = ["200 OK", "206 Partial Content", "403 Forbidden", "500 Internal Server Error"];
    let mut scripts = status.map(|status| Script::endless(chunked(status), chunk(b' '))).to_vec();
    let range = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-99/100\r\n\
                 Transfer-Encoding: chunked\r\n\r\n";
    scripts.push(Script::endless(range, chunk(b'x')));
    let xml = "<ListBucketResult><IsTruncated>false</IsTruncated>";
    let head = format!("{}{:x}\r\n{xml}\r\n", chunked("200 OK"), xml.len());
    scripts.push(Script::endless(head, chunk(b'<')));
    futures::future::join_all(scripts.iter().map(all)).await;
}

/// Z3: what is not the body has no end.
#[tokio::test]
async fn z03_heads_and_trailers_without_an_end_are_given_up() {
    let header = format!("x-amz-meta-a: {}\r\n", "v".repeat(1000));
    all_fail(vec![
        Script::endless("HTTP/1.1 200 OK\r\n", header.clone()),
        Script::endless("HTTP/1.1 ", "2".repeat(1000)),
        Script::endless("HTTP/1.1 200 OK\r\nETag: ", "e".repeat(1000)),
    ])
    .await;
    // Nobody reads the trailers of an answer that nobody reads.
    let trailers = Script::endless(format!("{}0\r\n", chunked("200 OK")), header);
    let extension = Script::endless(format!("{}1;", chunked("200 OK")), "e".repeat(1000));
    futures::future::join_all([&trailers, &extension].map(all)).await;
}

/// A flood of interim answers, or nothing but a few bytes now and then, ends with the time-out, which a clock that only
/// stands while there is work reaches at once.
#[tokio::test(start_paused = true)]
async fn z03_answers_that_never_begin_end_with_the_time_out() {
    let pause = Duration::from_millis(1);
    let forever = ["HTTP/1.1 103 Early Hints\r\n\r\n", " "];
    all_fail(forever.map(|bytes| Script { pause, ..Script::endless("", bytes) }).to_vec()).await;
}

/// What S3 does not say.
#[tokio::test]
async fn z03_answers_that_make_no_sense_are_errors() {
    let senseless = [
        "",
        "\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 20\r\n\r\n0123456789",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 301 Moved\r\nx-amz-bucket-region: \u{1b}[31m\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 400 Bad\r\nContent-Length: 60\r\n\r\n\
         <Error><Code>\u{202e}\u{7f}</Code><Message>&#27;[2J&#x9b;</Message>",
        "HTTP/1.1 503 No\r\nContent-Length: 8\r\n\r\n<Error><",
    ];
    all_fail(senseless.map(Script::once).to_vec()).await;
    // Whether a body that ends too early matters depends on whether there is one.
    let cut = [
        "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n<ListBucketResult>",
        "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n<ListBucketResult",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\u{1f}\u{8}\0",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-99/100\r\nContent-Length: 5\r\n\r\nabcde",
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 7-3/*\r\nContent-Length: 5\r\n\r\nabcde",
    ];
    let each = cut.map(Script::once).map(async |script| {
        let outcomes = all(&script).await;
        for (operation, outcome) in outcomes {
            let reads = ["get_range", "get_stream", "list"].contains(&operation);
            assert!(!reads || outcome.is_err(), "{operation} is served by {:?}", shown(&script));
        }
    });
    futures::future::join_all(each).await;
}

fn listing(entries: &str, next: Option<&str>) -> Script {
    let next = next.map_or(String::new(), |token| {
        format!("<NextContinuationToken>{token}</NextContinuationToken>")
    });
    let truncated = !next.is_empty();
    let body = format!(
        "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>{truncated}</IsTruncated>{next}\
         {entries}</ListBucketResult>"
    );
    Script::answer("200 OK", &body)
}

async fn listed(script: Script) -> Result<usize, StoreError> {
    let server = RawServer::always(script);
    let objects = store_on(&server).await.list(KeyPrefix::Log, None).await?;
    assert!(server.sent_max() <= TAKEN_MAX);
    Ok(objects.len())
}

/// Names and numbers that no object has are passed over, and what S3 would never tell is an error.
#[tokio::test]
async fn z03_listings_of_absurd_things_list_nothing() {
    let entry = |name: &str, size: &str| {
        format!("<Contents><Key>{name}</Key><Size>{size}</Size></Contents>")
    };
    let good = "app/log/0000000000000001.seg";
    assert_eq!(listed(listing(&entry(good, "5"), None)).await.unwrap(), 1);
    for (name, size) in [
        (good, "-1"),
        ("app/log/0000000000000001.seg&#10;", "5"),
        ("app/log/../../etc/passwd", "5"),
        ("app/log/%00", "5"),
        ("app/log/\u{202e}gse.1", "5"),
        ("other/log/0000000000000001.seg", "5"),
        ("", "5"),
    ] {
        assert_eq!(listed(listing(&entry(name, size), None)).await.unwrap(), 0, "{name:?} {size}");
    }
    for size in ["99999999999999999999", "1e9", "0x10", "five", "∞"] {
        listed(listing(&entry(good, size), None)).await.unwrap_err();
    }
    // Within the limit of bytes, and ten times as much once it is taken apart.
    listed(listing(&"<Contents/>".repeat(300_000), None)).await.unwrap_err();
    listed(listing(&"<a>".repeat(300_000), None)).await.unwrap_err();
    // Deep, but within all limits.
    assert_eq!(
        listed(listing(&("<a>".repeat(40_000) + &"</a>".repeat(40_000)), None)).await.unwrap(),
        0
    );
    let entities = "<!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;\">]>&c;&c;&c;";
    listed(Script::answer("200 OK", &format!("{entities}<ListBucketResult/>"))).await.unwrap_err();
}

/// Z3: what the server says and is said to it again: one that is longer than an address can be makes the SDK panic.
#[tokio::test]
async fn z03_a_token_that_fits_into_no_request_is_an_error() {
    let token = "t".repeat(1 << 20);
    let error = listed(listing("", Some(&token))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    let upload = |id: &str, marker: &str| {
        format!(
            "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>\
             <NextUploadIdMarker>{marker}</NextUploadIdMarker><Upload>\
             <Key>app/log/0000000000000001.seg</Key><UploadId>{id}</UploadId></Upload>\
             </ListMultipartUploadsResult>"
        )
    };
    for body in [upload(&token, "m"), upload("u", &token)] {
        let server = RawServer::always(Script::answer("200 OK", &body));
        store_on(&server).await.sweep().await.unwrap_err();
    }
}

/// Z15: a listing whose every page names another one.
#[tokio::test]
async fn z15_a_listing_that_never_ends_is_given_up() {
    let server = RawServer::start(|_, request| listing("", Some(&format!("token-{request}"))));
    let error = store_on(&server).await.list(KeyPrefix::Log, None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert_eq!(error.to_string(), "list log/: the listing goes round in circles");
    assert!(server.requests() <= 2001, "{} requests", server.requests());
}

/// Abandoned uploads without an end cost as many requests as are allowed, and no more.
#[tokio::test]
async fn z15_a_sweep_of_uploads_that_never_end_is_given_up() {
    let server = RawServer::start(|head, request| {
        if head.starts_with("DELETE") {
            return Script::answer("204 No Content", "");
        }
        let upload =
            "<Upload><Key>app/log/0000000000000001.seg</Key><UploadId>u</UploadId></Upload>";
        let body = format!(
            "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated>\
             <NextKeyMarker>{request}</NextKeyMarker>{}</ListMultipartUploadsResult>",
            upload.repeat(100)
        );
        Script::answer("200 OK", &body)
    });
    assert_eq!(store_on(&server).await.sweep().await.unwrap(), 1000);
    assert!(server.requests() <= 1010, "{} requests", server.requests());
}

/// A server that gives each part of an upload a name of 100 KiB, ten thousand of which would be a gigabyte.
#[tokio::test]
async fn z03_words_of_the_server_that_are_kept_are_short() {
    let long = "e".repeat(100 << 10);
    let server = RawServer::start(move |head, _| {
        if head.starts_with("POST") && head.contains("?uploads") {
            let body = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>";
            return Script::answer("200 OK", body);
        }
        let head = format!("HTTP/1.1 200 OK\r\nETag: \"{long}\"\r\nContent-Length: 0\r\n\r\n");
        Script { keeps: true, ..Script::once(head) }
    });
    let store = store_on(&server).await;
    let error = perform(&store, "upload").await.unwrap_err();
    assert!(error.to_string().contains("name"), "{error}");
}
