//! The address of a replica, as people write it.
//!
//! `s3://BUCKET/PREFIX?key=value&…`, `file:///PATH` or a plain path. Bucket and prefix are taken as they stand, without
//! any decoding; the values of the keys are decoded as in every URL. Credentials have no place in an address: addresses
//! stand in logs, process lists and configuration files.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use url::{Host, Url, form_urlencoded};

use super::api::Store;
use super::error::StoreError;
use super::folder::FolderStore;
use super::place::real_path;
#[cfg(feature = "s3")]
use super::s3::S3Store;

/// Where a replica is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// In a bucket.
    S3(S3Location),
    /// In a folder of this machine.
    Folder(PathBuf),
}

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

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LocationError(String);

/// The keys that an address of a bucket can have.
const KEYS: [&str; 5] = ["endpoint", "region", "path-style", "profile", "insecure-http"];
const FORMS: &str = "s3://BUCKET/PREFIX, file:///PATH or a path";
/// S3 allows 1024 bytes for a whole name; ours need fewer than 64.
const PREFIX_BYTES_MAX: usize = 900;

impl Location {
    /// The place without the way to it: equal for the same folder, however it is written, and for the same prefix of a
    /// bucket on the same server.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        match self {
            Location::Folder(path) => real_path(path),
            Location::S3(S3Location { bucket, prefix, endpoint, .. }) => {
                let endpoint = endpoint.as_deref().unwrap_or_default();
                PathBuf::from(format!("s3://{bucket}/{prefix}?{endpoint}"))
            }
        }
    }

    /// Opens the store at this place. For a bucket this looks for credentials, which takes at most a few seconds, and
    /// does not ask the bucket anything; for a folder nothing is created.
    pub async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            #[cfg(feature = "s3")]
            Location::S3(location) => Ok(Arc::new(S3Store::open(location).await?)),
            #[cfg(not(feature = "s3"))]
            Location::S3(_) => {
                let why = "this ebbtide was built without S3";
                Err(StoreError::new(super::ErrorKind::Invalid, format!("open {self}"), why))
            }
            Location::Folder(path) => Ok(Arc::new(FolderStore::new(path)?)),
        }
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(address: &str) -> Result<Location, LocationError> {
        if address.is_empty() {
            return fail(format!("the address is empty: give {FORMS}"));
        }
        refuse_control(address)?;
        match address.split_once("://") {
            Some(("s3", rest)) => rest.parse().map(Location::S3),
            Some(("file", _)) => parse_file(address),
            Some((scheme, _)) if is_scheme(scheme) => {
                fail(format!("there are no addresses that begin with {scheme}://: give {FORMS}"))
            }
            None if address.starts_with("s3:") || address.starts_with("file:") => {
                let scheme = address.split(':').next().unwrap_or_default();
                fail(format!("after {scheme}: come two slashes: give {FORMS}"))
            }
            _ => Ok(Location::Folder(PathBuf::from(address))),
        }
    }
}

/// Neither as it stands nor once it is decoded: an address is shown to people, on terminals and in logs.
fn refuse_control(text: &str) -> Result<(), LocationError> {
    if text.contains(char::is_control) {
        return fail("the address has a control character in it");
    }
    Ok(())
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-'))
}

fn parse_file(address: &str) -> Result<Location, LocationError> {
    let url = Url::parse(address)
        .map_err(|error| LocationError(format!("{address} is not a file's address: {error}")))?;
    if url.host().is_some() {
        return fail(format!("{address} names a host: a path has three slashes, file:///PATH"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return fail(format!("{address}: a file's address has no keys"));
    }
    match url.to_file_path() {
        Ok(path) if path.parent().is_some() => {
            refuse_control(&path.to_string_lossy())?;
            Ok(Location::Folder(path))
        }
        _ => fail(format!("{address} names no folder: give file:///PATH")),
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
            fail(format!("the prefix {prefix} has {part} in it, which names no folder here"))
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

fn fail<T>(message: impl Into<String>) -> Result<T, LocationError> {
    Err(LocationError(message.into()))
}

/// Reads back as the same location.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::S3(location) => location.fmt(f),
            // A path need not be text, and then only the address of a file can say it.
            Location::Folder(path) if path.to_str().is_none() => match Url::from_file_path(path) {
                Ok(url) => url.fmt(f),
                Err(()) => path.display().fmt(f),
            },
            Location::Folder(path) => path.display().fmt(f),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(address: &str) -> S3Location {
        match address.parse() {
            Ok(Location::S3(location)) => location,
            other => panic!("{address}: {other:?}"),
        }
    }

    #[test]
    fn addresses_of_buckets() {
        let location = s3("s3://backups/app?endpoint=http://127.0.0.1:9000");
        assert_eq!((location.bucket.as_str(), location.prefix.as_str()), ("backups", "app"));
        assert_eq!(location.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!((location.region, location.path_style), (None, None));

        assert_eq!(s3("s3://backups").prefix, "");
        assert_eq!(s3("s3://backups/").prefix, "");
        assert_eq!(s3("s3://backups/a/b%20c d/").prefix, "a/b%20c d");

        let all = s3("s3://my.bucket/x?region=eu-west-1&path-style=false&profile=night%20job\
                      &insecure-http=true&endpoint=http%3A%2F%2Fnas%3A9000%2Fs3%2F");
        assert_eq!(all.endpoint.as_deref(), Some("http://nas:9000/s3"));
        assert_eq!(all.region.as_deref(), Some("eu-west-1"));
        assert_eq!(all.path_style, Some(false));
        assert_eq!(all.profile.as_deref(), Some("night job"));
        assert!(all.insecure_http);
    }

    #[test]
    fn addresses_of_folders() {
        for (address, path) in [
            ("file:///var/backups/app", "/var/backups/app"),
            ("file:///var/my%20backups/", "/var/my backups/"),
            ("/var/backups/app", "/var/backups/app"),
            ("backups", "backups"),
            ("./s3/backups?x", "./s3/backups?x"),
            ("a b/c://d", "a b/c://d"),
        ] {
            assert_eq!(address.parse(), Ok(Location::Folder(PathBuf::from(path))), "{address}");
        }
    }

    #[test]
    fn an_address_reads_back_what_it_displays() {
        for address in [
            "s3://backups",
            "s3://backups/a/b",
            "s3://backups/a?endpoint=http://127.0.0.1:9000",
            "s3://backups/a?endpoint=https://h/p%26q%2Br%2525&region=x&path-style=true&profile=a%20b",
            "s3://backups/a?endpoint=http://nas:9000&insecure-http=true",
            "s3://backups/a?endpoint=http://[::1]:9000&path-style=false",
            "/var/backups",
            "file:///var/not%FFtext",
        ] {
            let location: Location = address.parse().unwrap();
            assert_eq!(location.to_string(), address);
            assert_eq!(location.to_string().parse(), Ok(location));
        }
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (address, message) in [
            ("", "the address is empty: give s3://BUCKET/PREFIX, file:///PATH or a path"),
            ("s3://b\0ucket", "the address has a control character in it"),
            ("s3://bucket/a?profile=x%1B", "the address has a control character in it"),
            ("s3://bucket/a?x%1B=y", "the address has a control character in it"),
            ("file:///var/x%0A", "the address has a control character in it"),
            (
                "gs://bucket/x",
                "there are no addresses that begin with gs://: give s3://BUCKET/PREFIX, file:///PATH or a path",
            ),
            (
                "s3:bucket/x",
                "after s3: come two slashes: give s3://BUCKET/PREFIX, file:///PATH or a path",
            ),
            ("file://data/x", "file://data/x names a host: a path has three slashes, file:///PATH"),
            ("file:///", "file:/// names no folder: give file:///PATH"),
            ("file:///x?y=z", "file:///x?y=z: a file's address has no keys"),
            ("s3://", "the bucket is missing: s3://BUCKET/PREFIX"),
            ("s3:///prefix", "the bucket is missing: s3://BUCKET/PREFIX"),
            (
                "s3://localhost:9000/bucket",
                "localhost:9000 is no bucket: a server is given as \
                 s3://BUCKET/PREFIX?endpoint=http://localhost:PORT",
            ),
            (
                "s3://-bucket",
                "-bucket is no name for a bucket: 3 to 63 letters, digits, dots and hyphens",
            ),
            ("s3://bucket/a//b", "the prefix a//b has an empty part: two slashes in a row"),
            ("s3://bucket//a", "the prefix /a has an empty part: two slashes in a row"),
            ("s3://bucket/../a", "the prefix ../a has .. in it, which names no folder here"),
            ("s3://bucket/a?regoin=x", "the address has no key regoin: did you mean region?"),
            (
                "s3://bucket/a?path_style=true",
                "the address has no key path_style: did you mean path-style?",
            ),
            (
                "s3://bucket/a?force-path-style=true",
                "the address has no key force-path-style: did you mean path-style?",
            ),
            (
                "s3://bucket/a?endpoint_url=http://x",
                "the address has no key endpoint_url: did you mean endpoint?",
            ),
            (
                "s3://bucket/a?compression=lz4",
                "the address has no key compression: there are endpoint, region, path-style, profile, insecure-http",
            ),
            ("s3://bucket/a?region=x&region=y", "region is given twice"),
            ("s3://bucket/a?region=", "region has no value"),
            ("s3://bucket/a?path-style=yes", "path-style is true or false, not yes"),
            (
                "s3://bucket/a?endpoint=localhost:9000",
                "the endpoint localhost:9000 does not begin with https:// or http://",
            ),
            (
                "s3://bucket/a?endpoint=https://",
                "the endpoint https:// is no address of a server: empty host",
            ),
            (
                "s3://bucket/a?endpoint=https://host/%3Fx",
                "the endpoint https://host/?x has more than a server and a path",
            ),
            (
                "s3://bucket/a?endpoint=http://10.0.0.5:9000",
                "http://10.0.0.5:9000 would carry the database unencrypted over the network: use https, or allow it \
                 with insecure-http=true",
            ),
        ] {
            let error = address.parse::<Location>().unwrap_err();
            assert_eq!(error.to_string(), message, "{address}");
        }
    }

    #[test]
    fn plain_http_goes_to_this_machine_only() {
        for host in ["127.0.0.1", "127.9.9.9:80", "localhost:9000", "[::1]:9000"] {
            assert_eq!(refuse_insecure(&format!("http://{host}")), Ok(()), "{host}");
        }
        for host in [
            "10.0.0.1",
            "minio:9000",
            "minio.localhost",
            "localhost.",
            "localhost.example.com",
            "127.0.0.1.nip.io",
            "[::]",
        ] {
            assert!(refuse_insecure(&format!("http://{host}")).is_err(), "{host}");
            assert_eq!(refuse_insecure(&format!("https://{host}")), Ok(()), "{host}");
        }
    }

    /// An address stands in logs; what people put into it by mistake must not.
    #[test]
    fn credentials_in_an_address_are_refused_and_not_repeated() {
        for address in [
            "s3://AKIAKEY:hunter2@bucket/prefix",
            "s3://bucket/prefix?endpoint=https://AKIAKEY:hunter2@host",
            "s3://bucket/prefix?secret_access_key=hunter2",
        ] {
            let message = address.parse::<Location>().unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
