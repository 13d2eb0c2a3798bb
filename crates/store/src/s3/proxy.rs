//! The proxy between this machine and the store, as curl and the AWS tools find it.
//!
//! `https_proxy` or `http_proxy`, by how the server is spoken to, then `all_proxy`; each also in capitals, where the
//! small ones come first. `no_proxy` names the servers that are reached directly: names with all below them, addresses,
//! networks such as 10.0.0.0/8, each also with a port, or `*` for all. This machine is always reached directly, because
//! what is meant for it may go unencrypted.

use aws_smithy_http_client::proxy::ProxyConfig;

use crate::error::{ErrorKind, StoreError};

const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1";

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Http,
    Https,
}

/// The proxy on the way to servers that are spoken to like this, on this port; nothing when there is none.
/// `variable` gives the variables.
pub(super) fn find(
    scheme: Scheme,
    port: u16,
    what: &str,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<ProxyConfig>, StoreError> {
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let either = |small: &str| {
        let capitals = small.to_ascii_uppercase();
        // A server that runs programs for its clients lets them set this one.
        let is_clients = capitals == "HTTP_PROXY" && set("REQUEST_METHOD").is_some();
        let small = set(small).map(|value| (small.to_owned(), value));
        small.or_else(|| set(&capitals).filter(|_| !is_clients).map(|value| (capitals, value)))
    };
    let own = match scheme {
        Scheme::Http => "http_proxy",
        Scheme::Https => "https_proxy",
    };
    let Some((name, value)) = either(own).or_else(|| either("all_proxy")) else { return Ok(None) };
    let address = address(value.trim()).ok_or_else(|| {
        let why = format!("{name} names no proxy: give http://HOST:PORT or https://HOST:PORT");
        StoreError::new(ErrorKind::Invalid, what, why)
    })?;
    let proxy = match scheme {
        Scheme::Http => ProxyConfig::http(address.as_str()),
        Scheme::Https => ProxyConfig::https(address.as_str()),
    };
    let wrong = |_| {
        // Its own words may have a password in them.
        StoreError::new(ErrorKind::Invalid, what, format!("{name} is no address of a proxy"))
    };
    let exempt = either("no_proxy").map(|(_, value)| value).unwrap_or_default();
    Ok(Some(proxy.map_err(wrong)?.no_proxy(direct(&exempt, port))))
}

/// The address as it is written, or with the `http://` that curl allows to leave out.
fn address(value: &str) -> Option<String> {
    match value.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() => Some(value.to_owned()),
        Some(_) => None,
        None => Some(format!("http://{value}")),
    }
}

/// What `no_proxy` says, in the form of the library that decides by it: names, addresses and networks.
fn direct(no_proxy: &str, port: u16) -> String {
    let entries = no_proxy.split(|c: char| c == ',' || c.is_whitespace());
    let entries = entries.filter(|entry| !entry.is_empty());
    let named = entries.filter_map(|entry| {
        let (host, of) = host_and_port(entry);
        let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        of.is_none_or(|of| of == port).then_some(host)
    });
    named.chain([THIS_MACHINE]).collect::<Vec<_>>().join(",")
}

/// `host:9000`, `[::1]:9000` or a host alone, which may be an IPv6 address or network.
fn host_and_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((host, after)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, after.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(scheme: Scheme, variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned())
        };
        let found = find(scheme, 443, "open the store", variable);
        found.map(|proxy| proxy.map(|proxy| format!("{proxy:?}"))).map_err(|e| e.to_string())
    }

    #[test]
    fn o13_the_variable_for_the_scheme_comes_first_and_the_small_one_before_the_capitals() {
        let all = [
            ("HTTPS_PROXY", "http://capitals:1"),
            ("https_proxy", "small:2"),
            ("http_proxy", "http://plain:3"),
            ("ALL_PROXY", "http://all:4"),
        ];
        let host = |scheme, variables: &[(&str, &str)], host: &str| {
            let proxy = found(scheme, variables).unwrap().unwrap();
            assert!(proxy.contains(host), "{proxy}");
        };
        host(Scheme::Https, &all, "http://small:2/");
        host(Scheme::Https, &all[..1], "http://capitals:1/");
        host(Scheme::Http, &all, "http://plain:3/");
        host(Scheme::Http, &all[3..], "http://all:4/");
        assert_eq!(found(Scheme::Https, &all[2..3]), Ok(None));
        assert_eq!(found(Scheme::Https, &[("https_proxy", " ")]), Ok(None));
        let cgi = [("HTTP_PROXY", "http://clients:1"), ("REQUEST_METHOD", "GET")];
        assert_eq!(found(Scheme::Http, &cgi), Ok(None));
    }

    #[test]
    fn o13_a_proxy_that_cannot_be_used_is_an_error_that_names_the_variable_and_no_password() {
        for value in ["socks5://u:secret@host:1", "http://", "http://u:secret@", "http://a b"] {
            let error = found(Scheme::Https, &[("ALL_PROXY", value)]).unwrap_err();
            assert!(error.contains("ALL_PROXY") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn o13_what_needs_no_proxy_is_read_as_curl_and_the_aws_tools_read_it() {
        for (said, read) in [
            ("", ""),
            ("a.example, .b.example c.example", "a.example,.b.example,c.example,"),
            ("*.internal,*", ".internal,*,"),
            ("10.0.0.0/8,fd00::/8,[::2],::3", "10.0.0.0/8,fd00::/8,::2,::3,"),
            ("store:443,other:9000,[::4]:443,[::5]:1", "store,::4,"),
        ] {
            assert_eq!(direct(said, 443), format!("{read}{THIS_MACHINE}"), "{said}");
        }
    }
}
