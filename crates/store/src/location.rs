//! The address of a replica, as people write it.
//!
//! `s3://BUCKET/PREFIX?key=value&…`, `file:///PATH` or a plain path. Bucket and prefix are taken as they stand, without
//! any decoding; the values of the keys are decoded as in every URL. Credentials have no place in an address: addresses
//! stand in logs, process lists and configuration files.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use url::Url;

use super::api::Store;
use super::branch::Branch;
use super::directory::{DirectoryStore, branch};
use super::error::StoreError;
use super::location_error::{LocationError, fail, refuse_control};
use super::place::real_path;
#[cfg(feature = "s3")]
use super::s3::S3Store;
use super::s3_location::S3Location;

/// Where a replica is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// In a bucket.
    S3(S3Location),
    /// In a directory of this machine.
    Directory(PathBuf),
}

const FORMS: &str = "s3://BUCKET/PREFIX, file:///PATH or a path";
impl Location {
    /// The place without the way to it: equal for the same directory, however it is written, and for the same prefix of a
    /// bucket on the same server.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        match self {
            Location::Directory(path) => real_path(path),
            Location::S3(S3Location { bucket, prefix, endpoint, .. }) => {
                let endpoint = endpoint.as_deref().unwrap_or_default();
                PathBuf::from(format!("s3://{bucket}/{prefix}?{endpoint}"))
            }
        }
    }

    /// Opens the store at this place. For a bucket this looks for credentials, which takes at most a few seconds, and
    /// does not ask the bucket anything; for a directory nothing is created.
    pub async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            #[cfg(feature = "s3")]
            Location::S3(location) => Ok(Arc::new(S3Store::open(location).await?)),
            #[cfg(not(feature = "s3"))]
            Location::S3(_) => {
                let why = "this ebbtide was built without S3";
                Err(StoreError::new(super::ErrorKind::Invalid, format!("open {self}"), why))
            }
            Location::Directory(path) => Ok(Arc::new(DirectoryStore::new(path)?)),
        }
    }

    /// What lies directly below it, by one listing that is as long as it has directories. A place that is not there has
    /// nothing below it.
    ///
    /// # Errors
    /// When the store cannot be listed, or has more than [`LIST_MAX`](crate::LIST_MAX) names there.
    pub async fn branch(&self) -> Result<Branch, StoreError> {
        match self {
            #[cfg(feature = "s3")]
            Location::S3(location) => S3Store::open(location).await?.branch().await,
            #[cfg(not(feature = "s3"))]
            Location::S3(_) => self.open().await.map(|_| Branch::default()),
            Location::Directory(path) => branch(path.clone()).await,
        }
    }

    /// The names that lead from `above` to this place, with slashes between them; nothing if it does not lie below it.
    #[must_use]
    pub fn below(&self, above: &Location) -> Option<String> {
        match (self, above) {
            (Location::Directory(path), Location::Directory(above)) => {
                path.strip_prefix(above).ok()?.to_str().map(str::to_owned)
            }
            (Location::S3(place), Location::S3(above)) => {
                let at = |of: &S3Location| S3Location { prefix: String::new(), ..of.clone() };
                let rest = place.prefix.strip_prefix(&above.prefix)?;
                let rest = if above.prefix.is_empty() { rest } else { rest.strip_prefix('/')? };
                (at(place) == at(above)).then(|| rest.to_owned())
            }
            _ => None,
        }
    }

    /// The place of this name below it.
    #[must_use]
    pub fn child(&self, name: &str) -> Location {
        match self {
            Location::S3(location) => Location::S3(location.child(name)),
            Location::Directory(path) => Location::Directory(path.join(name)),
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
            _ => Ok(Location::Directory(PathBuf::from(address))),
        }
    }
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
            Ok(Location::Directory(path))
        }
        _ => fail(format!("{address} names no directory: give file:///PATH")),
    }
}

/// Reads back as the same location.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::S3(location) => location.fmt(f),
            // A path need not be text, and then only the address of a file can say it.
            Location::Directory(path) if path.to_str().is_none() => match Url::from_file_path(path)
            {
                Ok(url) => url.fmt(f),
                Err(()) => path.display().fmt(f),
            },
            Location::Directory(path) => path.display().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3_location::refuse_insecure;

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
    fn addresses_of_directories() {
        for (address, path) in [
            ("file:///var/backups/app", "/var/backups/app"),
            ("file:///var/my%20backups/", "/var/my backups/"),
            ("/var/backups/app", "/var/backups/app"),
            ("backups", "backups"),
            ("./s3/backups?x", "./s3/backups?x"),
            ("a b/c://d", "a b/c://d"),
        ] {
            assert_eq!(address.parse(), Ok(Location::Directory(PathBuf::from(path))), "{address}");
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
    fn the_names_below_a_place_are_those_that_lead_to_its_children() {
        for above in
            ["s3://backups", "s3://backups/a?endpoint=http://127.0.0.1:9000", "/var/b", "."]
        {
            let above: Location = above.parse().unwrap();
            let child = above.child("eu").child("app.db");
            assert_eq!(child.below(&above).as_deref(), Some("eu/app.db"), "{above}");
            assert_eq!(above.below(&child), None);
        }
        let below = |place: &str, above: &str| {
            place.parse::<Location>().unwrap().below(&above.parse().unwrap())
        };
        assert_eq!(below("s3://backups/app2", "s3://backups/app"), None);
        assert_eq!(below("s3://others/app/x", "s3://backups/app"), None);
        assert_eq!(below("/var/backups/x", "s3://backups"), None);
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
            ("file:///", "file:/// names no directory: give file:///PATH"),
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
            ("s3://bucket/../a", "the prefix ../a has .. in it, which names no directory here"),
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

    #[test]
    fn a_child_is_an_address() {
        for (address, child) in [
            ("s3://backups?region=eu", "s3://backups/a?region=eu"),
            ("s3://backups/x?region=eu", "s3://backups/x/a?region=eu"),
            ("/var/backups", "/var/backups/a"),
        ] {
            let location: Location = address.parse().unwrap();
            assert_eq!(location.child("a").to_string(), child);
        }
    }
}
