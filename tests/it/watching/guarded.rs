//! Who is answered, and what a client can take.

use std::fs::{self, Permissions};
use std::io::Read as _;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use crate::support::{PATIENCE, Setup};

use super::{Client, Shown};

const TOKEN: &str = "a-token-of-this-test";

/// A page of another site, whose name leads to this machine, must read nothing (DNS rebinding), and nothing may be changed.
#[test]
fn z20_nobody_is_answered_who_calls_this_machine_by_another_name() {
    let setup = Setup::new();
    let _app = setup.app();
    let shown = Shown::follow(&setup);
    for path in ["/metrics", "/healthz", "/readyz", "/nothing"] {
        for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "0.0.0.0", ""] {
            let answer = shown.client.ask("GET", path, host, "");
            assert!(matches!(answer.status, 421 | 400), "{host}: {}", answer.head);
            assert!(!answer.body.contains("ebbtide_"), "{}", answer.body);
        }
        let twice = shown.client.ask("GET", path, "localhost", "Host: evil.example\r\n");
        assert!(matches!(twice.status, 421 | 400), "{}", twice.head);
    }
    for host in ["localhost", "127.0.0.1", "[::1]:9094"] {
        let answer = shown.client.ask("GET", "/healthz", host, "");
        assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
        assert!(answer.head.contains("content-security-policy: default-src 'none'"));
        answer.ok();
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = shown.client.ask(method, "/metrics", "localhost", "Content-Length: 0\r\n");
        assert_eq!(answer.status, 405, "{method}: {}", answer.head);
    }
    assert_eq!(shown.client.get("/nothing").status, 404);
    let long = "x".repeat(40_000);
    let long = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n");
    // It may have been hung up on before it has said all of it.
    let refused = shown.client.send(&long);
    assert!(refused.as_ref().map_or(true, |answer| answer.contains(" 431 ")), "{refused:?}");
    assert_eq!(shown.sidecar.stop(), 0);
}

#[test]
fn other_machines_have_to_show_the_token() {
    let setup = Setup::new();
    let _app = setup.app();
    let token = setup.text("token");
    fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let listen = |address: &str, more: &[&str]| {
        let mut command = setup.replicate();
        command.args(["--listen", address]).args(more);
        command
    };
    let refused = |address: &str, more: &[&str], said: &str| {
        let ended = crate::support::Ended::of(&mut listen(address, more));
        ended.exits(2).says(said);
    };
    refused("0.0.0.0:0", &[], "is reached by other machines");
    refused("9094", &[], "is no address");
    fs::set_permissions(&token, Permissions::from_mode(0o644)).unwrap();
    refused("0.0.0.0:0", &["--listen-token-file", &token], "chmod 600");
    fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    // Also where it is not needed.
    let shown = Shown::spawn(&mut listen("127.0.0.1:0", &["--listen-token-file", &token]));
    let ask = |header: &str| shown.client.ask("GET", "/metrics", "localhost", header);
    for header in [
        "",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer a-token-of-this-tesT\r\n",
        "Authorization: Bearer a-token-of-this-test2\r\n",
        "Authorization: Basic a-token-of-this-test\r\n",
    ] {
        let answer = ask(header);
        assert_eq!(answer.status, 401, "{header}: {}", answer.head);
        assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
    }
    ask(&format!("Authorization: Bearer {TOKEN}\r\n")).ok();
    assert_eq!(shown.sidecar.stop(), 0);
}

/// Clients that say nothing, say it slowly, or do not take their answers.
#[test]
fn z16_silent_clients_keep_nobody_out() {
    let setup = Setup::new();
    let app = setup.app();
    let shown = Shown::follow(&setup);
    let silent: Vec<TcpStream> =
        (0..200).map(|_| TcpStream::connect(shown.client.address()).unwrap()).collect();
    shown.client.get("/metrics").ok();
    app.insert(3, 100);
    setup.sync();
    shown.client.get("/healthz").ok();
    // Those that were there first have been hung up on.
    let mut first = &silent[0];
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(first.read(&mut [0]).unwrap_or(0), 0);
    drop(silent);
    assert_eq!(shown.sidecar.stop(), 0);
}

#[test]
fn a_socket_is_its_owners_and_goes_with_its_process() {
    let setup = Setup::new();
    let _app = setup.app();
    let path = setup.path("ebbtide.sock");
    // One that a killed process has left behind.
    drop(UnixListener::bind(&path).unwrap());
    let address = format!("unix:{}", path.display());
    let start = || {
        let mut command = setup.replicate();
        command.args(["--listen", &address]);
        command
    };
    let shown = Shown::spawn(&mut start());
    shown.sidecar.wait_until_it_follows();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    Client::Unix(path.clone()).ask("GET", "/readyz", "any", "").ok();
    // One that is listened to is not replaced.
    let second = setup.run(&["replicate", "--listen", &address, &setup.text("b.db"), "b"]);
    second.exits(1).says("listen at");
    Client::Unix(path.clone()).ask("GET", "/readyz", "any", "").ok();
    assert_eq!(shown.sidecar.stop(), 0);
    assert!(!path.exists());
    fs::write(&path, "something else").unwrap();
    crate::support::Ended::of(&mut start()).exits(1).says("listen at");
    assert_eq!(fs::read_to_string(&path).unwrap(), "something else");
}
