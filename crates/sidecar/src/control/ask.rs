//! The end of the control socket that asks.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
#[cfg(target_os = "linux")]
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Uid;

use super::directory;
use super::message::{ANSWER_BYTES_MAX, Answer, FOREIGN_ANSWER_BYTES_MAX, Request};

/// How long a process may take, from the connection to the end of its answer, for what it need not wait for. One that was
/// frozen does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often a connection is tried again that the other end has no room for.
const CONNECT_PAUSE: Duration = Duration::from_millis(20);

/// So many processes are asked at once.
const SIDE_BY_SIDE: usize = 64;

/// So many sockets in the directory of another user are asked. A user with more of them has something else in mind.
const FOREIGN_PEERS_MAX: usize = 64;

/// A running `ebbtide replicate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its process id.
    pub process: u32,
    path: PathBuf,
    /// Whose directory it listens in.
    owner: Uid,
    /// Whether root has made that directory for a service.
    is_service: bool,
}

/// All that listen, in every directory in which they may. A directory that is not its user's alone is not looked into.
pub fn peers() -> Vec<Peer> {
    let mut peers = Vec::new();
    for place in directory::places_to_ask() {
        let found = directory::check_to_ask(&place)
            .and_then(|owner| directory::sockets(&place).map(|sockets| (owner, sockets)));
        match found {
            Ok((owner, found)) => {
                let most = if is_trusted(owner) { usize::MAX } else { FOREIGN_PEERS_MAX };
                let is_service = directory::is_of_service(&place);
                let peer = |(process, path)| Peer { process, path, owner, is_service };
                peers.extend(found.into_iter().map(peer).take(most));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, directory = %place.display(), "not looked into"),
        }
    }
    peers
}

impl Peer {
    /// Whether its answer about a database is believed: our own processes' and root's, those of services, and those of the
    /// user whom the database belongs to. Whoever else says that a database is durable, or was let go, may have it from nowhere.
    #[must_use]
    pub fn may_tell_of(&self, database: &Path) -> bool {
        let owner = |path: &Path| path.metadata().ok().map(|found| Uid::from_raw(found.uid()));
        // One that was deleted belongs to whoever may make it again.
        let its = || owner(database).or_else(|| owner(database.parent()?));
        is_trusted(self.owner) || self.is_service || its() == Some(self.owner)
    }
}

/// Whether a user is one whose processes have no reason to lie to us.
fn is_trusted(user: Uid) -> bool {
    user == Uid::effective() || user.is_root()
}

/// Asks processes side by side, each of which may take `patience` longer than usual; what each answers, or nothing if it is
/// not there any more.
#[must_use]
pub fn ask_all(
    peers: Vec<Peer>,
    request: &Request,
    patience: Duration,
) -> Vec<(Peer, io::Result<Option<Answer>>)> {
    let mut answers = Vec::new();
    for some in peers.chunks(SIDE_BY_SIDE) {
        answers.extend(std::thread::scope(|scope| {
            let ask = |peer| {
                let exchanged = exchange(peer, request, patience)?;
                Ok(exchanged.map(|(_, answer)| answer))
            };
            let threads: Vec<_> = some.iter().map(|peer| scope.spawn(move || ask(peer))).collect();
            let failed = |_| Err(io::Error::other("asking failed"));
            let answers = threads.into_iter().map(|thread| thread.join().unwrap_or_else(failed));
            answers.collect::<Vec<_>>()
        }));
    }
    peers.into_iter().zip(answers).collect()
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
    let deadline = Instant::now() + PATIENCE + patience;
    let Some(stream) = connect_until(&peer.path, deadline)? else { return Ok(None) };
    check_owner(&stream, peer.owner)?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.set_write_timeout(Some(left(deadline)?))?;
    (&stream).write_all(&text).map_err(late)?;
    let most = if is_trusted(peer.owner) { ANSWER_BYTES_MAX } else { FOREIGN_ANSWER_BYTES_MAX };
    let line = read_line_until(&stream, most, deadline)?;
    if line.is_empty() {
        // It ended, or turned us away, between our question and its answer.
        return Err(io::Error::new(ErrorKind::ConnectionReset, "it hung up"));
    }
    let answer = serde_json::from_slice(&line)?;
    Ok(Some((stream, answer)))
}

/// Connects; nothing if nobody listens. A blocking connect(2) waits for ever for a process that accepts none.
fn connect_until(path: &Path, deadline: Instant) -> io::Result<Option<UnixStream>> {
    let address = UnixAddr::new(path)?;
    loop {
        let end = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
        let stream = UnixStream::from(end);
        stream.set_nonblocking(true)?;
        match connect(stream.as_raw_fd(), &address) {
            Ok(()) => {
                stream.set_nonblocking(false)?;
                return Ok(Some(stream));
            }
            // What a killed process has left behind.
            Err(Errno::ECONNREFUSED | Errno::ENOENT) => return Ok(None),
            Err(Errno::EAGAIN | Errno::EINTR) => {
                std::thread::sleep(CONNECT_PAUSE.min(left(deadline)?));
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A line of at most so many bytes, all of which has to come in time, however small its pieces are.
fn read_line_until(stream: &UnixStream, most: u64, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut piece = [0; 64 << 10];
    let mut stream = stream.take(most);
    loop {
        stream.get_ref().set_read_timeout(Some(left(deadline)?))?;
        let count = stream.read(&mut piece).map_err(late)?;
        line.extend_from_slice(&piece[..count]);
        if count == 0 || line.ends_with(b"\n") {
            return Ok(line);
        }
    }
}

/// How much time is left.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(late(ErrorKind::WouldBlock.into())) } else { Ok(left) }
}

fn late(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => io::Error::new(ErrorKind::TimedOut, "it does not answer"),
        _ => error,
    }
}

/// That the directory's owner listens. By a link in a directory of his, somebody could have root talk to another process.
fn check_owner(stream: &UnixStream, owner: Uid) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if getsockopt(stream, PeerCredentials)?.uid() != owner.as_raw() {
        let why = "a process of another user listens there";
        return Err(io::Error::new(ErrorKind::PermissionDenied, why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use nix::sys::socket::{Backlog, bind, listen};

    use super::*;

    const SHORT: Duration = Duration::from_millis(300);

    #[test]
    fn a_process_that_accepts_no_connection_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("1.sock");
        let end = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).unwrap();
        bind(end.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        listen(&end, Backlog::new(0).unwrap()).unwrap();
        let mut waiting = Vec::new();
        loop {
            match connect_until(&path, Instant::now() + SHORT) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break assert_eq!(error.kind(), ErrorKind::TimedOut),
            }
            assert!(waiting.len() < 10, "the queue has no room for so many");
        }
    }

    #[test]
    fn an_answer_that_comes_in_drips_is_given_up_as_well() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let dripping = std::thread::spawn(move || {
            while (&theirs).write_all(b" ").is_ok() {
                std::thread::sleep(SHORT / 10);
            }
        });
        let error = read_line_until(&ours, 1 << 20, Instant::now() + SHORT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(ours);
        dripping.join().unwrap();
    }

    #[test]
    fn another_users_process_is_believed_about_that_users_databases_alone() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("app.db");
        let path = directory.path().join("1.sock");
        let peer = |owner| Peer { process: 1, path: path.clone(), owner, is_service: false };
        let stranger = peer(Uid::from_raw(54_321));
        for ours in [peer(Uid::effective()), peer(Uid::from_raw(0))] {
            assert!(ours.may_tell_of(&database));
        }
        assert!(!stranger.may_tell_of(&database), "the directory is ours");
        std::fs::write(&database, "").unwrap();
        assert!(!stranger.may_tell_of(&database));
    }

    #[test]
    fn a_process_that_is_gone_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("1.sock");
        assert!(connect_until(&path, Instant::now() + SHORT).unwrap().is_none());
        drop(UnixListener::bind(&path).unwrap());
        assert!(connect_until(&path, Instant::now() + SHORT).unwrap().is_none());
    }
}
