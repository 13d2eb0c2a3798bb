//! The end of the control socket that asks.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(target_os = "linux")]
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Uid;

use super::folder;
use super::message::{ANSWER_BYTES_MAX, Answer, Request};

/// How long a process may take to answer what it need not wait for. One that was frozen does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running `ebbtide replicate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its process id.
    pub process: u32,
    path: PathBuf,
    /// Whose folder it listens in.
    owner: Uid,
}

/// All that listen, in every folder in which they may. A folder that is not its user's alone is not looked into.
pub fn peers() -> Vec<Peer> {
    let mut peers = Vec::new();
    for place in folder::places_to_ask() {
        let found = folder::check_to_ask(&place)
            .and_then(|owner| folder::sockets(&place).map(|sockets| (owner, sockets)));
        match found {
            Ok((owner, found)) => {
                let peer = |(process, path)| Peer { process, path, owner };
                peers.extend(found.into_iter().map(peer));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, folder = %place.display(), "not looked into"),
        }
    }
    peers
}

/// Asks a process, which may take `patience` longer than usual; nothing if it is not there any more.
pub fn ask(peer: &Peer, request: &Request, patience: Duration) -> io::Result<Option<Answer>> {
    Ok(exchange(peer, request, patience)?.map(|(_, answer)| answer))
}

/// A database that a process does not follow until this is dropped.
#[derive(Debug)]
pub struct ReleasedDatabase {
    /// The process.
    pub process: u32,
    /// The process follows the database again when this connection closes.
    _connection: UnixStream,
}

/// Asks a process to release a database, which may take `patience` longer than an answer. Returns why if it refuses.
pub fn release(
    peer: &Peer,
    database: &str,
    patience: Duration,
) -> io::Result<Result<ReleasedDatabase, String>> {
    let request = Request::Release { database: database.to_owned() };
    Ok(match exchange(peer, &request, patience)? {
        Some((connection, Answer::Released)) => {
            Ok(ReleasedDatabase { process: peer.process, _connection: connection })
        }
        Some((_, Answer::Refused(why))) => Err(why),
        Some(_) => Err("it answers another question".to_owned()),
        None => Err("it has just ended: try again".to_owned()),
    })
}

fn exchange(
    peer: &Peer,
    request: &Request,
    patience: Duration,
) -> io::Result<Option<(UnixStream, Answer)>> {
    let stream = match UnixStream::connect(&peer.path) {
        Ok(stream) => stream,
        // What a killed process has left behind.
        Err(error)
            if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    check_owner(&stream, peer.owner)?;
    stream.set_read_timeout(Some(PATIENCE + patience))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    (&stream).write_all(&text)?;
    let mut line = String::new();
    BufReader::new((&stream).take(ANSWER_BYTES_MAX)).read_line(&mut line).map_err(|error| {
        match error.kind() {
            ErrorKind::WouldBlock => io::Error::new(ErrorKind::TimedOut, "it does not answer"),
            _ => error,
        }
    })?;
    if line.is_empty() {
        // It ended, or turned us away, between our question and its answer.
        return Err(io::Error::new(ErrorKind::ConnectionReset, "it hung up"));
    }
    let answer = serde_json::from_str(&line)?;
    Ok(Some((stream, answer)))
}

/// That the folder's owner listens. By a link in a folder of his, somebody could have root talk to another process.
fn check_owner(stream: &UnixStream, owner: Uid) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if getsockopt(stream, PeerCredentials)?.uid() != owner.as_raw() {
        let why = "a process of another user listens there";
        return Err(io::Error::new(ErrorKind::PermissionDenied, why));
    }
    Ok(())
}
