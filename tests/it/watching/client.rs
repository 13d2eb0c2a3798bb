//! A client of a few lines, which sends what it is told to.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::support::PATIENCE;

/// Who is asked.
#[derive(Debug, Clone)]
pub(crate) enum Client {
    /// At an address such as 127.0.0.1:9094.
    Tcp(String),
    /// At a socket.
    Unix(PathBuf),
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

impl Client {
    /// By what the process says of its address.
    pub(crate) fn new(address: &str) -> Client {
        match address.strip_prefix("http://") {
            Some(address) => Client::Tcp(address.to_owned()),
            None => Client::Unix(address.strip_prefix("unix:").unwrap().into()),
        }
    }

    /// The address without a scheme.
    pub(crate) fn address(&self) -> &str {
        match self {
            Client::Tcp(address) => address,
            Client::Unix(path) => path.to_str().unwrap(),
        }
    }

    /// A connection, to which nothing was said.
    fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Client::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
            Client::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
        })
    }

    /// Sends a request as it is, and reads until the end of the answer.
    pub(crate) fn send(&self, request: &str) -> std::io::Result<String> {
        let mut stream = self.connect()?;
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Asks for a path, by another name and with more headers.
    pub(crate) fn ask(&self, method: &str, path: &str, host: &str, more: &str) -> Answer {
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n");
        let answer = self.send(&request).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{head}"));
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// Whether anybody answers.
    pub(crate) fn is_up(&self) -> bool {
        self.connect().is_ok()
    }

    /// What an older client is answered, whose answers end with the connection and come in one piece.
    pub(crate) fn plain(&self, path: &str) -> String {
        let answer = self.send(&format!("GET {path} HTTP/1.0\r\n\r\n")).unwrap();
        answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
    }

    /// Asks for a path as anybody would.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "localhost", "")
    }
}

impl Answer {
    /// The body of an answer that is as it should be.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.status, 200, "{}: {}", self.head, self.body);
        self.body
    }
}
