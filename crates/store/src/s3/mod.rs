//! A store in a bucket of Amazon S3 or of anything that speaks its protocol.
//!
//! Create-only is `If-None-Match: *` on puts and on the completion of uploads. Servers exist that ignore the one or the
//! other: [`probe`](super::Store::probe) finds out, and an upload looks for its name before it completes, which leaves
//! a window of one request's time on those servers.
//!
//! What the SDK does by default and is switched off here: its retries, because a put that was answered with silence
//! must not be repeated unseen; and its checksums of its own choosing, because many servers refuse them (our objects
//! carry their own), but where a bucket asks for them. Redirects are never followed: they would carry a signed request to whoever is named.

mod body;
mod bounded;
mod branch;
mod bucket;
mod causes;
mod client;
mod config;
mod credentials;
mod delete;
mod error;
mod examine;
mod http;
mod limits;
mod list;
mod multipart;
mod names;
mod probe;
mod proxy;
mod renewal;
mod store;
mod stream;
mod trust;
mod upload;

pub use credentials::Credentials;
pub use store::S3Store;
