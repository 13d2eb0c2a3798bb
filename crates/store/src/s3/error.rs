//! From what the SDK reports to what a caller can do about it.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::causes::{root_cause, shorten, source};
use super::credentials;
use crate::error::{ErrorKind, StoreError};

/// Why a request failed, without the SDK's inner workings and without anything secret.
pub(super) fn explain<E>(
    what: &str,
    server: &str,
    bucket: &str,
    error: SdkError<E, HttpResponse>,
) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(error) => {
            let (raw, meta) = (error.raw(), error.err().meta());
            let region = raw.headers().get("x-amz-bucket-region");
            let answer = Answer {
                status: raw.status().as_u16(),
                code: meta.code(),
                message: meta.message(),
                region,
                bucket,
            };
            let (kind, why) = answer.classify();
            StoreError::new(kind, what, why)
        }
        SdkError::TimeoutError(_) => {
            StoreError::new(ErrorKind::Unavailable, what, format!("no answer from {server}"))
        }
        SdkError::ResponseError(_) => {
            let why = format!("{server} gave an answer that S3 does not give");
            StoreError::new(ErrorKind::Unavailable, what, why).caused_by(root_cause(&error))
        }
        _ => match source::<CredentialsError>(&error).map(credentials::classify) {
            Some((kind, why)) => StoreError::new(kind, what, why).caused_by(root_cause(&error)),
            None => {
                let why = format!("cannot reach {server}");
                StoreError::new(ErrorKind::Unavailable, what, why).caused_by(root_cause(&error))
            }
        },
    }
}

/// Whether a bucket refuses a body because there is no checksum with it, as one with an object lock does.
pub(super) fn demands_checksum(error: &StoreError) -> bool {
    error.kind() == ErrorKind::Invalid && error.to_string().contains("x-amz-checksum")
}

/// What one error among many in an answer of 200 means.
pub(super) fn classify(
    code: Option<&str>,
    message: Option<&str>,
    bucket: &str,
) -> (ErrorKind, String) {
    Answer { status: 200, code, message, region: None, bucket }.classify()
}

/// Whether the store does not accept who we are, or does not let us: other credentials may do.
pub(super) fn refuses_us<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let SdkError::ServiceError(error) = error else { return false };
    match error.err().code() {
        Some("RequestTimeTooSkewed") => false,
        Some(
            "ExpiredToken"
            | "TokenRefreshRequired"
            | "InvalidToken"
            | "InvalidAccessKeyId"
            | "XAdminUserNotFound"
            | "SignatureDoesNotMatch",
        ) => true,
        _ => matches!(error.raw().status().as_u16(), 401 | 403),
    }
}

/// An answer that is an error. Requests of the kind HEAD have a status alone.
struct Answer<'a> {
    status: u16,
    code: Option<&'a str>,
    message: Option<&'a str>,
    region: Option<&'a str>,
    bucket: &'a str,
}

impl Answer<'_> {
    fn classify(&self) -> (ErrorKind, String) {
        if let Some((kind, why)) = self.by_code() {
            return (kind, why);
        }
        let fixed = |kind, why: &str| (kind, why.to_owned());
        match self.status {
            301 | 307 | 308 => (ErrorKind::Invalid, self.elsewhere()),
            401 | 403 => fixed(ErrorKind::Denied, DENIED),
            404 => fixed(ErrorKind::NotFound, "no such object"),
            409 => fixed(ErrorKind::Unavailable, CONFLICT),
            412 => fixed(ErrorKind::Exists, "the name is taken"),
            416 => fixed(ErrorKind::Damaged, "it ends before what is asked for"),
            429 | 503 => (ErrorKind::Throttled, format!("the store is too busy: {}", self.words())),
            501 => (ErrorKind::Invalid, format!("the store cannot do this: {}", self.words())),
            507 => (ErrorKind::Unavailable, format!("the store has no room: {}", self.words())),
            // An error in the body of an answer that begins with 200 says that the store failed halfway.
            200..=299 | 408 | 500..=599 => {
                (ErrorKind::Unavailable, format!("the store failed: {}", self.words()))
            }
            _ => (ErrorKind::Invalid, format!("the store refuses: {}", self.words())),
        }
    }

    fn by_code(&self) -> Option<(ErrorKind, String)> {
        let (kind, why) = match self.code? {
            "NoSuchBucket" => {
                return Some((
                    ErrorKind::Invalid,
                    format!("bucket {} does not exist", self.bucket),
                ));
            }
            // The second is versitygw's, with 404: it must not look like an object that is not there.
            "InvalidAccessKeyId" | "XAdminUserNotFound" => (
                ErrorKind::Denied,
                "the store does not know the access key (check AWS_ACCESS_KEY_ID)",
            ),
            "SignatureDoesNotMatch" => (
                ErrorKind::Denied,
                "the signature is wrong (check AWS_SECRET_ACCESS_KEY and the region)",
            ),
            "AccessDenied" | "AllAccessDisabled" => (ErrorKind::Denied, DENIED),
            "ExpiredToken" | "TokenRefreshRequired" => {
                (ErrorKind::Unavailable, "the credentials have expired")
            }
            // The SDK learns the difference from the answer, and the next request allows for it.
            "RequestTimeTooSkewed" => (
                ErrorKind::Unavailable,
                "the clock of this machine differs too much from the store's",
            ),
            "NoSuchUpload" => (ErrorKind::NotFound, "the upload is gone"),
            "RequestTimeout" | "IncompleteBody" | "BadDigest" | "XAmzContentSHA256Mismatch" => {
                (ErrorKind::Unavailable, "the bytes did not all arrive")
            }
            "QuotaExceeded" | "XMinioStorageFull" | "XMinioAdminBucketQuotaExceeded" => {
                (ErrorKind::Unavailable, "the store has no room")
            }
            "SlowDown" | "Throttling" | "ThrottlingException" | "TooManyRequests" => {
                (ErrorKind::Throttled, "the store is too busy")
            }
            "PermanentRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException" => {
                return Some((ErrorKind::Invalid, self.elsewhere()));
            }
            _ => return None,
        };
        Some((kind, why.to_owned()))
    }

    fn elsewhere(&self) -> String {
        match self.region {
            Some(region) => {
                format!("bucket {} is in region {region}: add region={region}", self.bucket)
            }
            None => format!("bucket {} is in another region: add region=…", self.bucket),
        }
    }

    fn words(&self) -> String {
        let parts =
            [Some(self.status.to_string()), self.code.map(shorten), self.message.map(shorten)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

const DENIED: &str = "access denied (check the credentials and the bucket policy)";
const CONFLICT: &str = "another put of the same name is under way";

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(status: u16, code: Option<&str>) -> (ErrorKind, String) {
        let message = code.map(|_| "In its own words.");
        Answer { status, code, message, region: None, bucket: "backups" }.classify()
    }

    #[test]
    fn answers_are_sorted_by_what_can_be_done() {
        for (status, code, kind, why) in [
            (403, Some("AccessDenied"), ErrorKind::Denied, DENIED),
            (
                404,
                Some("XAdminUserNotFound"),
                ErrorKind::Denied,
                "the store does not know the access key (check AWS_ACCESS_KEY_ID)",
            ),
            (403, None, ErrorKind::Denied, DENIED),
            (404, Some("NoSuchBucket"), ErrorKind::Invalid, "bucket backups does not exist"),
            (404, Some("NoSuchKey"), ErrorKind::NotFound, "no such object"),
            (404, None, ErrorKind::NotFound, "no such object"),
            (412, Some("PreconditionFailed"), ErrorKind::Exists, "the name is taken"),
            (409, Some("ConditionalRequestConflict"), ErrorKind::Unavailable, CONFLICT),
            (416, Some("InvalidRange"), ErrorKind::Damaged, "it ends before what is asked for"),
            (503, Some("SlowDown"), ErrorKind::Throttled, "the store is too busy"),
            (200, Some("SlowDown"), ErrorKind::Throttled, "the store is too busy"),
            (429, None, ErrorKind::Throttled, "the store is too busy: 429"),
            (
                503,
                Some("ServiceUnavailable"),
                ErrorKind::Throttled,
                "the store is too busy: 503 ServiceUnavailable In its own words.",
            ),
            (
                500,
                Some("InternalError"),
                ErrorKind::Unavailable,
                "the store failed: 500 InternalError In its own words.",
            ),
            (
                200,
                Some("InternalError"),
                ErrorKind::Unavailable,
                "the store failed: 200 InternalError In its own words.",
            ),
            (400, Some("RequestTimeout"), ErrorKind::Unavailable, "the bytes did not all arrive"),
            (
                501,
                Some("NotImplemented"),
                ErrorKind::Invalid,
                "the store cannot do this: 501 NotImplemented In its own words.",
            ),
            (
                400,
                Some("InvalidArgument"),
                ErrorKind::Invalid,
                "the store refuses: 400 InvalidArgument In its own words.",
            ),
        ] {
            assert_eq!(classify(status, code), (kind, why.to_owned()), "{status} {code:?}");
        }
    }

    /// S18: a redirect is never followed; what it says about the region helps a person.
    #[test]
    fn redirects_name_the_region() {
        let answer = |region| {
            Answer { status: 301, code: None, message: None, region, bucket: "backups" }.classify()
        };
        let (kind, why) = answer(Some("eu-west-1"));
        assert_eq!(kind, ErrorKind::Invalid);
        assert_eq!(why, "bucket backups is in region eu-west-1: add region=eu-west-1");
        assert_eq!(answer(None).1, "bucket backups is in another region: add region=…");
    }

    #[test]
    fn a_servers_words_are_bounded_and_printable() {
        let message = "\x1b[31m".repeat(1000);
        let answer =
            Answer { status: 400, code: None, message: Some(&message), region: None, bucket: "b" };
        let (_, why) = answer.classify();
        assert!(why.len() < 300 && !why.contains('\x1b'));
    }
}
