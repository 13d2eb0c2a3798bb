//! Listings: page after page, with every name checked.

use aws_sdk_s3::types::{EncodingType, Object as Listed};
use futures::TryFutureExt;

use super::bucket::S3Store;
use super::error::explain;
use super::limits::{LIST_PAGES_MAX, REQUEST_TIMEOUT};
use crate::store::api::Object;
use crate::store::error::{ErrorKind, StoreError};
use crate::store::listing::Listing;
use crate::store::retry::{READS, retry};
use crate::{Folder, Key};

/// Where a page of a listing begins.
#[derive(Clone, PartialEq, Eq)]
enum Start {
    Beginning,
    After(String),
    Token(String),
}

/// The objects of a page, and where the next one begins.
struct Page {
    objects: Vec<(String, u64)>,
    next: Option<String>,
}

impl S3Store {
    pub(super) async fn list_folder(
        &self,
        under: Folder,
        after: Option<&Key>,
    ) -> Result<Vec<Object>, StoreError> {
        let what = format!("list {under}/");
        let prefix = self.full(format_args!("{under}/"));
        let mut listing = Listing::new(under, after);
        let mut start = match after {
            Some(after) => Start::After(self.full(after)),
            None => Start::Beginning,
        };
        for _ in 0..LIST_PAGES_MAX {
            let page =
                retry(&READS, &self.client.served, || self.list_page(&what, &prefix, &start))
                    .await?;
            for (name, size) in page.objects {
                if let Some(name) = name.strip_prefix(self.full("").as_str()) {
                    listing.add(name, size)?;
                }
            }
            let Some(token) = page.next else { return Ok(listing.finish()) };
            let next = Start::Token(token);
            if next == start {
                break;
            }
            start = next;
        }
        Err(StoreError::new(ErrorKind::Damaged, what, "the listing goes round in circles"))
    }

    async fn list_page(&self, what: &str, prefix: &str, start: &Start) -> Result<Page, StoreError> {
        let request = self.client.sdk.list_objects_v2().bucket(&*self.bucket).prefix(prefix);
        // A name with a control character in it, which anybody may have put there, cannot be told in XML as it is.
        let request = request.encoding_type(EncodingType::Url);
        let request = match start {
            Start::Beginning => request,
            Start::After(name) => request.start_after(name),
            Start::Token(token) => request.continuation_token(token),
        };
        let answer =
            request.send().map_err(|error| explain(what, &self.client, &self.bucket, error));
        let answer = self.client.turn(self.client.within(what, REQUEST_TIMEOUT, answer)).await?;
        let encoded = answer.encoding_type() == Some(&EncodingType::Url);
        let next = match (answer.is_truncated(), answer.next_continuation_token()) {
            (Some(true), None) => {
                let why = "the store gave a part of the listing and no way to go on";
                return Err(StoreError::new(ErrorKind::Damaged, what, why));
            }
            (Some(true), Some(token)) => Some(token.to_owned()),
            _ => None,
        };
        let objects =
            answer.contents().iter().filter_map(|object| entry(object, encoded)).collect();
        Ok(Page { objects, next })
    }
}

fn entry(object: &Listed, encoded: bool) -> Option<(String, u64)> {
    let size = u64::try_from(object.size()?).ok()?;
    let name = object.key()?;
    Some((if encoded { decode(name) } else { name.to_owned() }, size))
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
    use super::*;

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
}
