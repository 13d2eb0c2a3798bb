//! A request, as a script sees it.

use hyper::Method;
use hyper::http::request::Parts;

/// A request, as a script sees it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// The bucket and the object's name, as they stand in the path.
    pub path: String,
    /// What follows the question mark.
    pub query: String,
    /// Whether it says `If-None-Match`.
    pub conditional: bool,
    /// Whether it carries a checksum of its body.
    pub checked: bool,
    /// The access key that it is signed with; empty if it is not signed.
    pub key: String,
}

/// The body of a put, or of a part of an upload.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The bucket and the object's name, as they stand in the path.
    pub path: String,
    /// What follows the question mark: of a part its number and its upload.
    pub query: String,
    /// What came of it.
    pub body: Vec<u8>,
}

impl Asked {
    pub(super) fn new(parts: &Parts) -> Asked {
        Asked {
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            key: key(parts).unwrap_or_default().to_owned(),
            checked: parts.headers.keys().any(|name| {
                let name = name.as_str();
                name == "content-md5" || name.starts_with("x-amz-checksum-")
            }),
            conditional: parts.headers.contains_key(hyper::header::IF_NONE_MATCH),
        }
    }

    /// The name of what is asked for, as S3's reference has it.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        let has = |key: &str| self.query.split('&').any(|pair| pair.split('=').next() == Some(key));
        match self.method {
            Method::PUT if has("partNumber") => "UploadPart",
            Method::PUT => "PutObject",
            Method::POST if has("uploads") => "CreateMultipartUpload",
            Method::POST if has("delete") => "DeleteObjects",
            Method::POST => "CompleteMultipartUpload",
            Method::DELETE if has("uploadId") => "AbortMultipartUpload",
            Method::DELETE => "DeleteObject",
            Method::HEAD => "HeadObject",
            Method::GET if has("uploads") => "ListMultipartUploads",
            Method::GET if has("list-type") => "ListObjectsV2",
            Method::GET => "GetObject",
            _ => "other",
        }
    }
}

fn key(parts: &Parts) -> Option<&str> {
    let signed = parts.headers.get(hyper::header::AUTHORIZATION)?.to_str().ok()?;
    signed.split_once("Credential=")?.1.split('/').next()
}
