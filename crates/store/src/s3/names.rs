//! Names of servers, looked up.
//!
//! `localhost` and every name below it are this machine (RFC 6761), and no name server is asked: whoever answers for it
//! could otherwise turn what is meant for this machine, and therefore goes unencrypted, to another one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use tokio::net::lookup_host;

const THIS_MACHINE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Asks the system, except for this machine's own names.
#[derive(Debug, Clone)]
pub(super) struct Names;

impl ResolveDns for Names {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        if is_this_machine(name) {
            return DnsFuture::ready(Ok(THIS_MACHINE.to_vec()));
        }
        DnsFuture::new(async move {
            let found = lookup_host((name, 0)).await.map_err(ResolveDnsError::new)?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

fn is_this_machine(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Z14: no name server has a say about this machine, whatever stands before `localhost`.
    #[tokio::test]
    async fn z14_names_of_this_machine_are_not_looked_up() {
        for name in ["localhost", "LocalHost.", "backups.localhost", "a.b.localhost"] {
            let found = Names.resolve_dns(name).await.unwrap();
            assert_eq!(found, THIS_MACHINE, "{name}");
        }
        for name in ["localhost.example.org", "notlocalhost", "localhost4", ""] {
            assert!(!is_this_machine(name), "{name}");
        }
    }
}
