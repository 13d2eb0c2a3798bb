//! The address of a prefix of a bucket.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url, form_urlencoded};

use super::location_error::{LocationError, fail, refuse_control};

/// A place in a bucket, and how to get there. What is not said here comes from the usual AWS variables and files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct S3Location {
    /// 3 to 63 letters, digits, dots, hyphens and underscores.
    pub(super) bucket: String,
    /// Without a slash at either end; empty for the bucket itself.
    pub(super) prefix: String,
    /// `http://…` or `https://…`, without user, query or a slash at the end; http only to this machine or if
    /// `insecure_http`.
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    /// Whether the bucket is named in the path instead of the host's name. If nothing is said: where there is an
    /// endpoint.
    pub(super) path_style: Option<bool>,
    /// The profile of the AWS files to take credentials and settings from.
    pub(super) profile: Option<String>,
    pub(super) insecure_http: bool,
}

/// The keys that an address of a bucket can have.
const KEYS: [&str; 5] = ["endpoint", "region", "path-style", "profile", "insecure-http"];
/// S3 allows 1024 bytes for a whole name; ours need fewer than 64.
const PREFIX_BYTES_MAX: usize = 900;

impl S3Location {
    /// The place of this name below it.
    pub(super) fn child(&self, name: &str) -> S3Location {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        S3Location { prefix: format!("{}{slash}{name}", self.prefix), ..self.clone() }
    }
}

/// What comes after `s3://`.
impl FromStr for S3Location {
    type Err = LocationError;

    fn from_str(rest: &str) -> Result<S3Location, LocationError> {
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let mut location = S3Location {
            bucket: parse_bucket(bucket)?,
            prefix: parse_prefix(prefix)?,
            endpoint: None,
            region: None,
            path_style: None,
            profile: None,
            insecure_http: false,
        };
        let mut seen = Vec::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            refuse_control(&key)?;
            refuse_control(&value)?;
            if seen.contains(&key) {
                return fail(format!("{key} is given twice"));
            }
            location.set(&key, &value)?;
            seen.push(key);
        }
        match &location.endpoint {
            Some(endpoint) if !location.insecure_http => refuse_insecure(endpoint)?,
            _ => {}
        }
        Ok(location)
    }
}

impl S3Location {
    fn set(&mut self, key: &str, value: &str) -> Result<(), LocationError> {
        if value.is_empty() && KEYS.contains(&key) {
            return fail(format!("{key} has no value"));
        }
        match key {
            "endpoint" => self.endpoint = Some(parse_endpoint(value)?),
            "region" => self.region = Some(value.to_owned()),
            "path-style" => self.path_style = Some(parse_bool(key, value)?),
            "profile" => self.profile = Some(value.to_owned()),
            "insecure-http" => self.insecure_http = parse_bool(key, value)?,
            _ => return fail(unknown_key(key)),
        }
        Ok(())
    }
}

fn parse_bucket(bucket: &str) -> Result<String, LocationError> {
    if bucket.is_empty() {
        return fail("the bucket is missing: s3://BUCKET/PREFIX");
    }
    if bucket.contains('@') {
        return fail(
            "credentials do not belong in an address: set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY instead",
        );
    }
    if let Some((host, _)) = bucket.split_once(':') {
        return fail(format!(
            "{bucket} is no bucket: a server is given as s3://BUCKET/PREFIX?endpoint=http://{host}:PORT"
        ));
    }
    let inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
    let ends = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = bucket.as_bytes();
    let good = (3..=63).contains(&bytes.len())
        && bytes.iter().copied().all(inner)
        && ends(bytes.first())
        && ends(bytes.last());
    if good {
        Ok(bucket.to_owned())
    } else {
        fail(format!("{bucket} is no name for a bucket: 3 to 63 letters, digits, dots and hyphens"))
    }
}

fn parse_prefix(prefix: &str) -> Result<String, LocationError> {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    if prefix.is_empty() {
        return Ok(String::new());
    }
    if prefix.len() > PREFIX_BYTES_MAX {
        return fail(format!("the prefix is longer than {PREFIX_BYTES_MAX} bytes"));
    }
    match prefix.split('/').find(|part| matches!(*part, "" | "." | "..")) {
        Some("") => fail(format!("the prefix {prefix} has an empty part: two slashes in a row")),
        Some(part) => {
            fail(format!("the prefix {prefix} has {part} in it, which names no directory here"))
        }
        None => Ok(prefix.to_owned()),
    }
}

/// Nothing of the value is repeated in errors when it may have a password in it.
pub(super) fn parse_endpoint(value: &str) -> Result<String, LocationError> {
    if value.contains('@') {
        return fail(
            "credentials do not belong in the endpoint: set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY instead",
        );
    }
    if !value.starts_with("http://") && !value.starts_with("https://") {
        return fail(format!("the endpoint {value} does not begin with https:// or http://"));
    }
    match Url::parse(value) {
        Err(error) => fail(format!("the endpoint {value} is no address of a server: {error}")),
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            fail(format!("the endpoint {value} has more than a server and a path"))
        }
        Ok(url) => Ok(url.as_str().trim_end_matches('/').to_owned()),
    }
}

/// Over plain http everybody on the way reads the database; only this machine is no way.
pub(super) fn refuse_insecure(endpoint: &str) -> Result<(), LocationError> {
    match Url::parse(endpoint) {
        Ok(url) if url.scheme() == "https" || url.host().is_some_and(is_loopback) => Ok(()),
        _ => fail(format!(
            "{endpoint} would carry the database unencrypted over the network: use https, or allow it with \
             insecure-http=true"
        )),
    }
}

fn is_loopback(host: Host<&str>) -> bool {
    match host {
        // No name server is asked for it.
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn parse_bool(key: &str, value: &str) -> Result<bool, LocationError> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => fail(format!("{key} is true or false, not {value}")),
    }
}

/// Names the key that was probably meant. A secret that was given as a key's value is not repeated, since only the key is.
fn unknown_key(key: &str) -> String {
    let plain: String =
        key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let distance = |known: &&str| edits(&plain, &known.replace('-', ""));
    let contained = KEYS.into_iter().find(|known| plain.contains(&known.replace('-', "")));
    let nearest = KEYS.into_iter().min_by_key(distance).filter(|known| distance(known) <= 3);
    match contained.or(nearest) {
        Some(known) => format!("the address has no key {key}: did you mean {known}?"),
        None => format!("the address has no key {key}: there are {}", KEYS.join(", ")),
    }
}

/// How many characters must be added, removed or replaced to make one text the other (Levenshtein's distance).
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

/// Reads back as the same location.
impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        let style = self.path_style.map(|style| style.to_string());
        let keys = [
            ("endpoint", self.endpoint.as_deref()),
            ("region", self.region.as_deref()),
            ("path-style", style.as_deref()),
            ("profile", self.profile.as_deref()),
            ("insecure-http", self.insecure_http.then_some("true")),
        ];
        let given = keys.into_iter().filter_map(|(key, value)| value.map(|value| (key, value)));
        for (index, (key, value)) in given.enumerate() {
            write!(f, "{}{key}=", if index == 0 { '?' } else { '&' })?;
            for c in value.chars() {
                match c {
                    '%' | '&' | '+' | '#' | ' ' => write!(f, "%{:02X}", u32::from(c))?,
                    _ => write!(f, "{c}")?,
                }
            }
        }
        Ok(())
    }
}
