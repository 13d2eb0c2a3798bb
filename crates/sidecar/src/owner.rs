//! Who we are, as others will read it in our claims.

use ebbtide_shipper::Owner;

/// This process.
#[must_use]
pub fn this_process() -> Owner {
    // Two processes of the same host and id differ in it even then; without random numbers the id must do.
    let session = ebbtide_replica::ReplicaId::random().map(|id| id.to_string());
    Owner {
        host: host(),
        pid: std::process::id(),
        session: session.unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The name of this machine.
#[must_use]
pub fn host() -> String {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    host.unwrap_or_else(|| "unknown".to_owned())
}
