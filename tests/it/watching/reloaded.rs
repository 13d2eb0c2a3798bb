//! What is shown and told after the configuration was read again.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;

use nix::sys::signal::Signal;

use crate::support::{Setup, Sidecar};

use super::notices::{Hook, configured, hear_until};
use super::{Client, Shown};

/// Would catch an address that is not taken up, or not given up, and a heartbeat that somebody is sent who is not named any
/// more.
#[test]
fn a_reload_moves_what_is_shown_and_who_is_told() {
    let setup = Setup::new();
    let _app = setup.app();
    let [first, second] = ["first.sock", "second.sock"].map(|name| setup.path(name));
    let (before, after) = (Hook::start(), Hook::start());
    let at = |socket: &str, hook: &Hook| {
        let url = format!("http://{}/ping", hook.address);
        format!("listen = \"unix:{socket}\"\nheartbeat-url = {url:?}\nheartbeat-interval = \"1s\"")
    };
    let sidecar = configured(&setup, &at(first.to_str().unwrap(), &before));
    let is_shown = |socket: &std::path::Path| {
        Client::Unix(socket.to_owned()).ask("GET", "/healthz", "any", "").ok()
    };
    is_shown(&first);
    before.next();
    // What cannot be had changes nothing.
    let nowhere = setup.text("nowhere/ebbtide.sock");
    setup.configure(&at(&nowhere, &after), "");
    setup.run(&["reload"]).exits(1).says("nowhere/ebbtide.sock");
    is_shown(&first);
    while before.heard.try_recv().is_ok() {}
    before.next();
    setup.configure(&at(second.to_str().unwrap(), &after), "");
    setup.run(&["reload"]).exits(0).prints("1 unchanged");
    is_shown(&second);
    assert!(!first.exists());
    while before.heard.try_recv().is_ok() {}
    for _ in 0..3 {
        after.next();
    }
    assert!(before.heard.try_recv().is_err(), "who is not named any more was told");
    setup.configure("", "");
    setup.run(&["reload"]).exits(0);
    assert!(!second.exists());
    assert_eq!(sidecar.stop(), 0);
}

/// Would catch a token that stays good after it was changed, and a moment in which nobody answers.
#[test]
fn a_reload_reads_the_token_again() {
    let setup = Setup::new();
    let _app = setup.app();
    let token = setup.text("token");
    let write = |text: &str| {
        fs::write(&token, text).unwrap();
        fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    };
    write("the-first-token-of-all");
    let config =
        setup.configure(&format!("listen = \"127.0.0.1:0\"\nlisten-token-file = {token:?}"), "");
    let args = ["replicate", "--log-format", "json", "--config", &config];
    let shown = Shown::spawn(&mut setup.command(&args));
    shown.sidecar.wait_until_it_follows();
    let ask = |token: &str| {
        let header = format!("Authorization: Bearer {token}\r\n");
        shown.client.ask("GET", "/metrics", "localhost", &header).status
    };
    assert_eq!((ask("the-first-token-of-all"), ask("the-second-token-of-all")), (200, 401));
    write("short");
    setup.run(&["reload"]).exits(1).says("16 characters");
    assert_eq!((ask("the-first-token-of-all"), ask("the-second-token-of-all")), (200, 401));
    write("the-second-token-of-all");
    setup.run(&["reload"]).exits(0);
    assert_eq!((ask("the-first-token-of-all"), ask("the-second-token-of-all")), (401, 200));
    assert_eq!(shown.sidecar.stop(), 0);
}

/// What the command line says stays.
#[test]
fn a_reload_leaves_the_address_of_the_command_line() {
    let setup = Setup::new();
    let _app = setup.app();
    let config = setup.configure(&format!("listen = \"unix:{}\"", setup.text("other.sock")), "");
    let args =
        ["replicate", "--log-format", "json", "--config", &config, "--listen", "127.0.0.1:0"];
    let shown = Shown::spawn(&mut setup.command(&args));
    shown.sidecar.wait_until_it_follows();
    setup.run(&["reload"]).exits(0);
    shown.client.get("/healthz").ok();
    assert!(!setup.path("other.sock").exists());
    assert_eq!(shown.sidecar.stop(), 0);
}

/// Would catch a reload that a service manager takes for one that has not ended, or not begun.
#[test]
fn systemd_hears_that_the_configuration_is_read_again() {
    let setup = Setup::new();
    let _app = setup.app();
    let path = setup.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let until = |wanted: &str| hear_until(&socket, wanted);
    let config = setup.configure("", "");
    let mut command = setup.command(&["replicate", "--log-format", "json", "--config", &config]);
    command.env("NOTIFY_SOCKET", &path).env_remove("WATCHDOG_USEC");
    let sidecar = Sidecar::start_command(&mut command);
    until("READY=1");
    let mut last = 0;
    for broken in [false, true] {
        if broken {
            fs::write(&config, "nonsense").unwrap();
        }
        sidecar.process().signal(Signal::SIGHUP).unwrap();
        let heard = until("RELOADING=1").pop().unwrap();
        let (_, micros) = heard.split_once("\nMONOTONIC_USEC=").unwrap();
        let micros: u64 = micros.parse().unwrap();
        assert!(micros > last, "{micros} after {last}");
        last = micros;
        until("READY=1");
    }
    assert_eq!(sidecar.stop(), 0);
}
