//! Listings: page after page, with every name checked.

use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{EncodingType, Object as Listed};

use super::bucket::Bucket;
use super::limits::{LIST_PAGES_MAX, LIST_TIMEOUT, REQUEST_TIMEOUT, WORD_BYTES_MAX};
use crate::api::Object;
use crate::error::{ErrorKind, StoreError};
use crate::listing::Listing;
use crate::retry::{READS, retry};
use ebbtide_replica::{Key, KeyPrefix, Timestamp};

/// Where a page of a listing begins.
#[derive(Clone, PartialEq, Eq)]
enum Start {
    Beginning,
    After(String),
    Token(String),
}

/// A page of a listing, with full names, and where the next one begins.
pub(super) struct Page {
    pub(super) objects: Vec<(String, u64, Timestamp)>,
    /// With the slash at their end, if names are listed up to a slash.
    pub(super) directories: Vec<String>,
    next: Option<String>,
}

impl Bucket {
    pub(super) async fn list_directory(
        &self,
        under: KeyPrefix,
        after: Option<&Key>,
        most: usize,
    ) -> Result<Vec<Object>, StoreError> {
        let what = format!("list {under}/");
        let mut listing = Listing::new(under, after).first(most);
        let (place, prefix) = (self.full(""), self.full(format_args!("{under}/")));
        let after = after.map(|after| self.full(after));
        self.each_page(&what, &prefix, after, None, |page| {
            for (name, size, modified) in page.objects {
                if let Some(name) = name.strip_prefix(&place) {
                    listing.add(name, size, modified)?;
                }
            }
            Ok(listing.is_full())
        })
        .await?;
        Ok(listing.finish())
    }

    /// Hands out the pages of the listing of all names that begin with `prefix`, those after `after`, until `take` has
    /// enough. With a delimiter names that have it go on as directories, each once.
    pub(super) async fn each_page(
        &self,
        what: &str,
        prefix: &str,
        after: Option<String>,
        delimiter: Option<&str>,
        take: impl FnMut(Page) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let pages = self.list_pages(what, prefix, after, delimiter, take);
        let listed = tokio::time::timeout(LIST_TIMEOUT, pages);
        listed.await.unwrap_or_else(|_| {
            let why = format!("the listing did not end within {} s", LIST_TIMEOUT.as_secs());
            Err(StoreError::new(ErrorKind::Unavailable, what, why))
        })
    }

    async fn list_pages(
        &self,
        what: &str,
        prefix: &str,
        after: Option<String>,
        delimiter: Option<&str>,
        mut take: impl FnMut(Page) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let mut start = after.map_or(Start::Beginning, Start::After);
        for _ in 0..LIST_PAGES_MAX {
            let page = || self.list_page(what, prefix, &start, delimiter);
            let mut page = retry(&READS, &self.client.served, page).await?;
            let next = page.next.take();
            let has_enough = take(page)?;
            let Some(token) = next.filter(|_| !has_enough) else { return Ok(()) };
            let next = Start::Token(token);
            if next == start {
                break;
            }
            start = next;
        }
        Err(StoreError::new(ErrorKind::Damaged, what, "the listing goes round in circles"))
    }

    async fn list_page(
        &self,
        what: &str,
        prefix: &str,
        start: &Start,
        delimiter: Option<&str>,
    ) -> Result<Page, StoreError> {
        let request = |sdk: &aws_sdk_s3::Client| {
            let request = sdk.list_objects_v2().bucket(&*self.bucket).prefix(prefix);
            // XML cannot represent a name with a control character, and anybody may have put one there.
            let request = request.encoding_type(EncodingType::Url);
            let request = request.set_delimiter(delimiter.map(str::to_owned));
            match start {
                Start::Beginning => request,
                Start::After(name) => request.start_after(name),
                Start::Token(token) => request.continuation_token(token),
            }
            .send()
        };
        let answer = self.client.ask(what, &self.bucket, REQUEST_TIMEOUT, request);
        let answer = self.client.turn(answer).await?;
        let encoded = answer.encoding_type() == Some(&EncodingType::Url);
        let next = match (answer.is_truncated(), answer.next_continuation_token()) {
            (Some(true), None) => {
                let why = "the store gave a part of the listing and no way to go on";
                return Err(StoreError::new(ErrorKind::Damaged, what, why));
            }
            (Some(true), Some(token)) if token.len() > WORD_BYTES_MAX => {
                let why =
                    "the store gave a part of the listing and no way to go on that can be told";
                return Err(StoreError::new(ErrorKind::Damaged, what, why));
            }
            (Some(true), Some(token)) => Some(token.to_owned()),
            _ => None,
        };
        let place = self.full("");
        let entry = |object| entry(object, encoded, &place);
        let objects = answer.contents().iter().filter_map(entry).collect();
        let directories = answer.common_prefixes().iter().filter_map(|one| one.prefix());
        let directories = directories.map(|name| plain(name, encoded, &place)).collect();
        Ok(Page { objects, directories, next })
    }
}

fn entry(object: &Listed, encoded: bool, place: &str) -> Option<(String, u64, Timestamp)> {
    let size = u64::try_from(object.size()?).ok()?;
    let modified = object.last_modified().and_then(time).unwrap_or(Timestamp::MAX);
    Some((plain(object.key()?, encoded, place), size, modified))
}

/// A time as the SDK has it.
pub(super) fn time(time: &DateTime) -> Option<Timestamp> {
    let micros = i64::try_from(time.as_nanos().div_euclid(1000)).ok()?;
    Timestamp::from_micros(micros)
}

/// A name in a listing as it was put. Some stores say that names are encoded and leave them as they are. Our own names
/// are the same in both forms, so where the place in front of them stands in one of the two, that is the right one.
fn plain(name: &str, encoded: bool, place: &str) -> String {
    let decoded = if encoded { decode(name) } else { name.to_owned() };
    if name.starts_with(place) && !decoded.starts_with(place) { name.to_owned() } else { decoded }
}

/// Undoes the encoding of names in listings: `%2B` is a plus, a plus is a space.
fn decode(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (byte, left) = match (first, escaped) {
            (b'%', Some(byte)) => (byte, &after[2..]),
            (b'+', _) => (b' ', after),
            _ => (first, after),
        };
        bytes.push(byte);
        rest = left;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use aws_sdk_s3::config::SharedHttpClient;
    use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
    use aws_sdk_s3::primitives::SdkBody;
    use aws_smithy_runtime_api::client::http::{
        HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
    };
    use tokio::time::{Instant, sleep};

    use super::super::client::Client;
    use super::super::credentials::Credentials;
    use super::*;
    use crate::Location;

    /// A server that is just quick enough each time, and never done.
    #[derive(Debug, Clone, Default)]
    struct Slow(Arc<AtomicUsize>);

    impl HttpConnector for Slow {
        fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            HttpConnectorFuture::new(async move {
                sleep(REQUEST_TIMEOUT - Duration::from_secs(1)).await;
                let body = format!(
                    "<ListBucketResult><IsTruncated>true</IsTruncated>\
                     <NextContinuationToken>{number}</NextContinuationToken></ListBucketResult>"
                );
                let status = 200.try_into().expect("a status");
                Ok(HttpResponse::new(status, SdkBody::from(body)))
            })
        }
    }

    /// Z15: ten thousand pages of almost fifteen seconds each took almost two days.
    #[tokio::test(start_paused = true)]
    async fn z15_a_listing_has_a_time_by_which_it_is_done() {
        let address = "s3://backups/app?endpoint=http://127.0.0.1:1";
        let Ok(Location::S3(location)) = address.parse() else { panic!("{address}") };
        let client = Client::new(&location, Some(&Credentials::new("key", "secret"))).await;
        let slow = Slow::default();
        let http: SharedHttpClient =
            http_client_fn(move |_, _| SharedHttpConnector::new(slow.clone()));
        let store = Bucket::with(&location, Arc::new(client.unwrap().speaking_through(http)));
        let begun = Instant::now();
        let error = store.list_directory(KeyPrefix::Log, None, usize::MAX).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.to_string(), "list log/: the listing did not end within 600 s");
        assert!(begun.elapsed() <= LIST_TIMEOUT + Duration::from_secs(1));
    }

    #[test]
    fn encoded_names_are_decoded() {
        for (encoded, name) in [
            ("app/log/1.seg", "app/log/1.seg"),
            ("my+app%2Flog/%01", "my app/log/\u{1}"),
            ("a%2Bb%25", "a+b%"),
            ("%zz%2", "%zz%2"),
            ("%C3%A9%FF", "é\u{fffd}"),
            ("%", "%"),
            ("", ""),
        ] {
            assert_eq!(decode(encoded), name, "{encoded}");
        }
    }

    #[test]
    fn a_name_is_found_in_either_form() {
        for (name, encoded, place, expected) in [
            ("team%2Beu/log/1", true, "team+eu/", "team+eu/log/1"),
            ("team+eu/log/1", true, "team+eu/", "team+eu/log/1"),
            ("team+eu/log/1", true, "team eu/", "team eu/log/1"),
            ("team+eu/log/1", false, "team+eu/", "team+eu/log/1"),
            ("100%25/log/1", true, "100%/", "100%/log/1"),
            ("100%25/log/1", true, "100%25/", "100%25/log/1"),
            ("100%2525/log/1", true, "100%25/", "100%25/log/1"),
            ("app/log/%01", true, "app/", "app/log/\u{1}"),
        ] {
            assert_eq!(plain(name, encoded, place), expected, "{name} under {place}");
        }
    }
}
