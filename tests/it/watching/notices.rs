//! What a process tells by itself: heartbeats, webhooks, systemd. Would catch a heartbeat that comes although a commit is
//! not durable, a change of attention that nobody hears of, and a process that nobody restarts.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};

use ebbtide_testkit::s3_server::{Asked, Fault, S3Server};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{PATIENCE, Setup, Sidecar, wait_until};

/// A request that came.
#[derive(Debug)]
pub(super) struct Heard {
    line: String,
    headers: BTreeMap<String, String>,
    body: String,
}

/// Answers each request by what the test says, 200 unless it says otherwise.
pub(super) struct Hook {
    pub(super) address: String,
    pub(super) heard: Receiver<Heard>,
    answers: Sender<u16>,
}

impl Hook {
    pub(super) fn start() -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (told, heard) = channel();
        let (answers, next) = channel::<u16>();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = read(&mut stream) else { continue };
                let code = next.try_recv().unwrap_or(200);
                let answer =
                    format!("HTTP/1.1 {code} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                // Whoever asked may be gone, and so may the test.
                if stream.write_all(answer.as_bytes()).is_err() || told.send(request).is_err() {
                    return;
                }
            }
        });
        Hook { address, heard, answers }
    }

    #[track_caller]
    pub(super) fn next(&self) -> Heard {
        self.heard.recv_timeout(PATIENCE).unwrap()
    }
}

fn read(stream: &mut TcpStream) -> Option<Heard> {
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece).ok().filter(|&count| count > 0)?;
        text.extend_from_slice(&piece[..count]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else { continue };
        let mut lines = head.lines();
        let line = lines.next()?.to_owned();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length").map_or(0, |it| it.parse().unwrap());
        if body.len() >= length {
            return Some(Heard { line, headers, body: body.to_owned() });
        }
    }
}

pub(super) fn configured(setup: &Setup, global: &str) -> Sidecar {
    let config = setup.configure(global, "");
    let args = ["replicate", "--log-format", "json", "--config", &config];
    Sidecar::start_command(&mut setup.command(&args))
}

fn store_goes_away(server: &S3Server) {
    server.script(|_: &Asked| Some(Fault::Refused(503, "ServiceUnavailable")));
}

#[test]
fn a_heartbeat_comes_only_while_everything_is_durable() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let app = setup.app();
    let receiver = Hook::start();
    let url = format!("http://{}/ping/secret", receiver.address);
    let global = format!("heartbeat-url = {url:?}\nheartbeat-interval = \"1s\"");
    let sidecar = configured(&setup, &global);
    app.insert(1, 100);
    setup.sync();
    let heard = receiver.next();
    assert_eq!(heard.line, "GET /ping/secret HTTP/1.1");
    assert!(heard.headers["user-agent"].starts_with("ebbtide/"), "{heard:?}");
    store_goes_away(&server);
    app.insert(1, 100);
    wait_until("a lag of more than the interval", || {
        setup.report()["lag_seconds"].as_f64().is_some_and(|lag| lag > 2.0)
    });
    while receiver.heard.try_recv().is_ok() {}
    // From here on none comes, however long it takes until the store is back.
    wait_until("the outage to go on", || {
        setup.report()["lag_seconds"].as_f64().is_some_and(|lag| lag > 5.0)
    });
    assert!(receiver.heard.try_recv().is_err(), "a heartbeat came during the outage");
    server.script(|_| None);
    setup.sync();
    receiver.next();
    let (code, said) = sidecar.stop_and_tell();
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("/ping/secret"), "the address is a secret: {said}");
}

#[test]
fn each_change_of_attention_is_sent_until_it_is_taken_and_signed() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let app = setup.app();
    let receiver = Hook::start();
    let secret = setup.text("secret");
    fs::write(&secret, "0123456789abcdef0123456789abcdef\n").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let global = format!(
        "webhook-url = \"http://{}/hook/hidden\"\nwebhook-secret-file = {secret:?}",
        receiver.address
    );
    let sidecar = configured(&setup, &global);
    app.insert(1, 100);
    setup.sync();
    // Nothing is taken at first.
    receiver.answers.send(500).unwrap();
    receiver.answers.send(429).unwrap();
    server.script(|_: &Asked| Some(Fault::Refused(403, "AccessDenied")));
    app.insert(1, 100);
    let attempts = [receiver.next(), receiver.next(), receiver.next()];
    let id = |heard: &Heard| heard.headers["x-ebbtide-delivery"].clone();
    assert!(attempts.iter().all(|it| it.body == attempts[0].body && id(it) == id(&attempts[0])));
    let began: Value = serde_json::from_str(&attempts[2].body).unwrap();
    assert_eq!(attempts[2].line, "POST /hook/hidden HTTP/1.1");
    assert_eq!(attempts[2].headers["content-type"], "application/json");
    assert_eq!(began["event"], "attention");
    assert_eq!(began["id"], id(&attempts[2]));
    assert_eq!(began["database"], setup.text("app.db"));
    assert_eq!(
        (&began["attention"], &began["began"]),
        (&began["began"], &serde_json::json!(["store"]))
    );
    assert_eq!((&began["healthy"], &began["ended"]), (&false.into(), &serde_json::json!([])));
    assert!(began["status"]["store_trouble"]["error"].is_string(), "{began}");
    let shown = &attempts[2].headers["x-ebbtide-signature-256"];
    assert_eq!(*shown, signature(&attempts[2].body).unwrap_or_else(|| shown.clone()));
    server.script(|_| None);
    let ended: Value = serde_json::from_str(&receiver.next().body).unwrap();
    assert_eq!(
        (&ended["attention"], &ended["ended"]),
        (&serde_json::json!([]), &serde_json::json!(["store"]))
    );
    let (code, said) = sidecar.stop_and_tell();
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("/hook/hidden") && !said.contains("0123456789abcdef"), "{said}");
}

/// The signature of a body, by another hand than ours, if there is one.
fn signature(body: &str) -> Option<String> {
    let compute = "import hmac,sys; print(hmac.new(b'0123456789abcdef0123456789abcdef', \
                   sys.argv[1].encode(), 'sha256').hexdigest())";
    let Ok(ended) = Command::new("python3").args(["-c", compute, body]).output() else {
        eprintln!("NOT RUN: the signature of a webhook is not compared: there is no python3 here");
        return None;
    };
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{said}");
    Some(format!("sha256={}", String::from_utf8_lossy(&ended.stdout).trim()))
}

#[test]
fn what_is_wrong_with_an_address_is_said_at_the_start_and_not_the_address() {
    let setup = Setup::new();
    let _app = setup.app();
    let secret = setup.text("secret");
    fs::write(&secret, "0123456789abcdef").unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
    let hook = "webhook-url = \"http://127.0.0.1:9/hidden\"\n";
    for (global, said) in [
        ("heartbeat-url = \"example.com/hidden\"", "heartbeat-url begins with https://"),
        ("heartbeat-url = \"https:///hidden\"", "heartbeat-url: "),
        ("heartbeat-interval = \"1m\"", "says how often"),
        (&format!("{hook}webhook-secret-file = {secret:?}"), "chmod 600"),
        ("webhook-secret-file = \"x\"", "signs what goes to"),
    ] {
        let config = setup.configure(global, "");
        let ended = setup.run(&["replicate", "--config", &config]).exits(2);
        ended.says(said);
        assert!(!ended.said.contains("hidden"), "{}", ended.said);
    }
}

/// What a supervisor is told until it hears this.
pub(super) fn hear_until(socket: &UnixDatagram, wanted: &str) -> Vec<String> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut all = Vec::new();
    loop {
        let mut message = [0; 4096];
        let count = socket.recv(&mut message).unwrap();
        let heard = String::from_utf8_lossy(&message[..count]).into_owned();
        let is_it = heard.contains(wanted);
        all.push(heard);
        if is_it {
            return all;
        }
    }
}

/// A supervisor as systemd is one, with a socket in a directory or one that is in no file system.
fn supervised(setup: &Setup, socket: &UnixDatagram, name: &str) {
    let until = |wanted: &str| hear_until(socket, wanted);
    let mut command = setup.replicate();
    command.env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", "400000").env_remove("WATCHDOG_PID");
    let sidecar = Sidecar::spawn_command(&mut command);
    until("READY=1");
    until("STATUS=1 of 1 database followed, all durable");
    until("WATCHDOG=1");
    // A process that stands still says nothing.
    sidecar.process().signal(Signal::SIGSTOP).unwrap();
    wait_until("it to stand still", || sidecar.process().is_stopped());
    socket.set_nonblocking(true).unwrap();
    let mut message = [0; 4096];
    while socket.recv(&mut message).is_ok() {}
    socket.set_nonblocking(false).unwrap();
    sidecar.process().signal(Signal::SIGCONT).unwrap();
    until("WATCHDOG=1");
    assert_eq!(sidecar.stop(), 0);
    let last = until("STOPPING=1");
    assert!(last.iter().all(|heard| !heard.contains("READY")), "{last:?}");
}

#[test]
fn systemd_hears_that_it_is_ready_lives_and_ends() {
    let setup = Setup::new();
    let _app = setup.app();
    let path = setup.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    supervised(&setup, &socket, path.to_str().unwrap());
    let name = format!("ebbtide-test-{}-{}", std::process::id(), setup.text("x").len());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    supervised(&setup, &socket, &format!("@{name}"));
}

/// What is for ebbtide would have the application taken for it.
#[test]
fn an_application_does_not_get_the_socket_of_systemd() {
    let setup = Setup::new();
    let _app = setup.app();
    let out = setup.text("environment");
    let mut command = setup.replicate();
    command.args(["--exec", &format!("env > '{out}'")]);
    command.env("NOTIFY_SOCKET", "/nonexistent/notify").env("WATCHDOG_USEC", "1000000");
    let (code, said) = Sidecar::spawn_command(&mut command).end();
    assert_eq!(code, 0, "{said}");
    let environment = fs::read_to_string(&out).unwrap();
    assert!(
        environment.contains("PATH=") && !environment.contains("NOTIFY_SOCKET"),
        "{environment}"
    );
    assert!(!environment.contains("WATCHDOG"), "{environment}");
}
