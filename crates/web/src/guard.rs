//! Who is answered: those who show the token, if there is one; and on an address of this machine alone, those who name it
//! as such. A page of another site in a browser here can lead its own name to 127.0.0.1 (DNS rebinding), and would read
//! all answers as its own; its requests carry its name as `Host`.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, HOST, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

use crate::token::Token;

/// What is asked of whoever asks.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Whether `Host` must be a name of this machine.
    pub(crate) is_local: bool,
    /// The token that has to be shown.
    pub(crate) token: Option<Token>,
}

impl Guard {
    /// The answer to a request that may not pass.
    pub(crate) fn refusal(&self, request: &Request) -> Option<Response> {
        let headers = request.headers();
        if self.is_local && !names_this_machine(headers) {
            let why = "this address answers to localhost, 127.0.0.1 and [::1] alone\n";
            return Some((StatusCode::MISDIRECTED_REQUEST, why).into_response());
        }
        let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        if self.token.as_ref().is_some_and(|token| !token.is_shown_by(shown)) {
            let challenge = [(WWW_AUTHENTICATE, "Bearer realm=\"ebbtide\"")];
            let refusal = (StatusCode::UNAUTHORIZED, challenge, "show the token\n");
            return Some(refusal.into_response());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let why = "nothing can be changed here\n";
            return Some((StatusCode::METHOD_NOT_ALLOWED, why).into_response());
        }
        None
    }
}

/// Whether the one `Host` is a name of this machine that no other site can have.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    host.to_str().is_ok_and(is_local)
}

fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let is_loopback = bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_loopback || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_names_of_this_machine_are_refused() {
        for host in [
            "localhost",
            "LOCALHOST:9094",
            "127.0.0.1",
            "127.0.0.1:9094",
            "127.8.8.8:1",
            "[::1]",
            "[::1]:9",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:9094",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0:9094",
            "192.0.2.1",
            "[::]",
            "localhost:evil",
            "2130706433",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
