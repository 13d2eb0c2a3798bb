//! A real browser, where there is one: Chromium, told what to do by its driver as WebDriver has it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::PATIENCE;

/// A browser with one window.
pub(super) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _home: tempfile::TempDir,
}

/// Whether there is one. With `EBBTIDE_TEST_BROWSER` set there has to be.
pub(super) fn is_there(test: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |name: &str| std::env::split_paths(&path).any(|place| place.join(name).is_file());
    let found = has("chromium") && has("chromedriver");
    assert!(
        found || std::env::var_os("EBBTIDE_TEST_BROWSER").is_none(),
        "{test} needs chromium and chromedriver, and EBBTIDE_TEST_BROWSER is set"
    );
    if !found {
        eprintln!("NOT RUN: {test}: there is no chromium with its driver here");
    }
    found
}

impl Browser {
    /// Starts it with a window of this width.
    pub(super) fn start(width: u32) -> Browser {
        let home = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next().expect("the driver says its port").unwrap();
            if let Some((_, port)) = line.split_once("successfully on port ") {
                break port.trim_end_matches('.').parse().unwrap();
            }
        };
        // What it says later is of no interest, but it must be able to say it.
        std::thread::spawn(move || lines.for_each(drop));
        let mut browser = Browser { driver, port, session: String::new(), _home: home };
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            &format!("--window-size={width},1400"),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": {"args": arguments}}}});
        let begun = browser.ask("POST", "/session", &wanted);
        browser.session =
            begun["sessionId"].as_str().unwrap_or_else(|| panic!("{begun}")).to_owned();
        browser
    }

    /// Asks the driver.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let body =
            if method == "GET" || method == "DELETE" { String::new() } else { body.to_string() };
        let path = match self.session.is_empty() {
            true => path.to_owned(),
            false => format!("/session/{}{path}", self.session),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let value = &answer["value"];
        assert!(value["error"].is_null(), "{method} {path}: {value}");
        value.clone()
    }

    /// Goes to an address.
    pub(super) fn open(&self, address: &str) {
        self.ask("POST", "/url", &json!({"url": address}));
    }

    /// What a script gives, as the body of a function.
    pub(super) fn run(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    /// What a script gives that calls its last argument with it.
    pub(super) fn run_until_done(&self, script: &str) -> Value {
        self.ask("POST", "/timeouts", &json!({"script": 60_000}));
        self.ask("POST", "/execute/async", &json!({"script": script, "args": []}))
    }

    /// The text of the first element, nothing if there is none.
    pub(super) fn text(&self, selector: &str) -> Option<String> {
        let found =
            self.run(&format!("return document.querySelector({selector:?})?.textContent ?? null"));
        found.as_str().map(str::to_owned)
    }

    /// Presses a key, named as in WebDriver.
    pub(super) fn press(&self, key: &str) {
        let actions = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        self.ask(
            "POST",
            "/actions",
            &json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}),
        );
    }

    /// Clicks on an element.
    pub(super) fn click(&self, selector: &str) {
        let found =
            self.ask("POST", "/element", &json!({"using": "css selector", "value": selector}));
        let id = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.ask("POST", &format!("/element/{id}/click"), &json!({}));
    }

    /// Sends a command of Chromium's own protocol.
    fn command(&self, name: &str, parameters: &Value) -> Value {
        self.ask("POST", "/goog/cdp/execute", &json!({"cmd": name, "params": parameters}))
    }

    /// Prefers dark colours from now on, or light ones.
    pub(super) fn prefer(&self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.command("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// A window as wide as that of a telephone, or of a desk.
    pub(super) fn resize(&self, width: u32, height: u32) {
        let is_mobile = width < 600;
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_mobile});
        self.command("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Takes a picture of what is in the window.
    pub(super) fn picture(&self, into: &Path) {
        let taken = self.ask("GET", "/screenshot", &Value::Null);
        std::fs::write(into, base64(taken.as_str().unwrap())).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session; the driver by itself.
        if !std::thread::panicking() && !self.session.is_empty() {
            self.ask("DELETE", "", &Value::Null);
        }
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}

/// Where pictures go that a test takes.
pub(super) fn pictures() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

fn base64(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(u32::from(byte - b'A')),
        b'a'..=b'z' => Some(u32::from(byte - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(byte - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bits, mut count, mut bytes) = (0u32, 0, Vec::new());
    for value in text.bytes().filter_map(value) {
        (bits, count) = (bits << 6 | value, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    bytes
}
