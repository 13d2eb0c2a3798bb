//! The end of the control socket that listens.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ebbtide_config::Database;
use nix::unistd::Uid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::directory;
use super::message::{Answer, NOT_FOLLOWED, REQUEST_BYTES_MAX, Request, Synced};
use super::order_answers::{ask, ended, followed};
use super::orders::{SetOrder, SetOrderSender, SetOrders, channel};
use super::report::Report;
use super::silent::Silent;
use crate::clock;
use crate::follow::{Status, Wanted};
use crate::hooks::LostLines;
use crate::sidecar::{Sidecar, Statuses};

/// How long a peer may take to say what it wants, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// No sync is waited for longer than this.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// So many peers are told how all is at once; the others wait until one is done, which takes a moment.
const LOOKS_MAX: usize = 8;

/// So many peers wait for a sync at once; whoever comes besides is refused.
const SYNCS_MAX: usize = 256;

/// When no connection can be accepted: until the next attempt.
const PAUSE: Duration = Duration::from_secs(1);

/// How often to look whether the socket still has its name. Directories for temporary files are swept, and a session's
/// directory goes with its user's last login.
const NAME_CHECK: Duration = Duration::from_secs(2);

/// What all peers share.
#[derive(Debug)]
struct Desk {
    statuses: Statuses,
    /// To whoever has the set of databases.
    orders: SetOrderSender,
    unlogged: Option<fn() -> Option<LostLines>>,
    silent: Silent,
    looks: Semaphore,
    syncs: Semaphore,
}

/// Listens until it is dropped, and removes its socket then.
#[derive(Debug)]
pub struct Control {
    name: Arc<Mutex<Name>>,
    task: JoinHandle<()>,
}

/// The socket's name in the file system, and which file it leads to as long as nobody removes it.
#[derive(Debug)]
struct Name {
    path: PathBuf,
    file: (u64, u64),
}

impl Control {
    /// Begins to listen for questions about the databases of a [`Sidecar`](crate::Sidecar), and for orders, which come out at
    /// the other end: who drops that takes none. Without a socket everything else goes on.
    pub fn start(sidecar: &Sidecar) -> (Option<Control>, SetOrders) {
        let (sender, orders) = channel();
        (Control::listen(sidecar, sender), orders)
    }

    fn listen(sidecar: &Sidecar, orders: SetOrderSender) -> Option<Control> {
        match listen() {
            Ok((name, listener)) => {
                tracing::debug!(socket = %name.path.display(), "listening for status and sync");
                let name = Arc::new(Mutex::new(name));
                let task = accept(listener, Arc::clone(&name), Desk::new(sidecar, orders));
                Some(Control { name, task: tokio::spawn(task) })
            }
            Err(error) => {
                tracing::warn!(%error, "no socket for `ebbtide status` and `ebbtide sync`; going on without");
                None
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        let name = self.name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = fs::remove_file(&name.path) {
            tracing::debug!(%error, socket = %name.path.display(), "cannot remove the socket");
        }
    }
}

impl Name {
    /// Whether it still leads to the socket.
    fn is_there(&self) -> bool {
        identity(&self.path).is_ok_and(|file| file == self.file)
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn listen() -> io::Result<(Name, UnixListener)> {
    let place = directory::make()?;
    let within =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", place.display()));
    directory::tidy(&place).map_err(within)?;
    let path = directory::socket(&place, std::process::id());
    let listener = bind(&path).map_err(within)?;
    let file = identity(&path).map_err(within)?;
    Ok((Name { path, file }, listener))
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    // Nobody else can enter the directory; this is for those who change that.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

impl Desk {
    fn new(sidecar: &Sidecar, orders: SetOrderSender) -> Arc<Desk> {
        let (statuses, unlogged) = (sidecar.statuses(), sidecar.hooks().unlogged);
        let (looks, syncs) = (Semaphore::new(LOOKS_MAX), Semaphore::new(SYNCS_MAX));
        Arc::new(Desk { statuses, orders, unlogged, silent: Silent::default(), looks, syncs })
    }
}

async fn accept(mut listener: UnixListener, name: Arc<Mutex<Name>>, desk: Arc<Desk>) {
    loop {
        let Ok(accepted) = tokio::time::timeout(NAME_CHECK, listener.accept()).await else {
            listener = again(&name).unwrap_or(listener);
            continue;
        };
        match accepted {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, &desk).await {
                        tracing::debug!(%error, "a peer of the control socket went away");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the control socket");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Listens again if the socket's name was removed. As long as that is not possible nobody can ask, and everything else
/// goes on.
fn again(name: &Mutex<Name>) -> Option<UnixListener> {
    let mut name = name.lock().unwrap_or_else(PoisonError::into_inner);
    if name.is_there() {
        return None;
    }
    match listen() {
        Ok((remade, listener)) => {
            tracing::info!(socket = %remade.path.display(), "the socket was removed; listening again");
            *name = remade;
            Some(listener)
        }
        Err(error) => {
            tracing::debug!(%error, "the socket was removed, and cannot be made again yet");
            None
        }
    }
}

/// One request, one answer.
async fn serve(mut stream: UnixStream, desk: &Desk) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != Uid::effective().as_raw() && peer != 0 {
        tracing::warn!(
            user = peer,
            "another user's process was turned away from the control socket"
        );
        return Ok(());
    }
    let (read, mut write) = stream.split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(REQUEST_BYTES_MAX));
    let mut seat = desk.silent.sit();
    tokio::select! {
        read = tokio::time::timeout(PATIENCE, reader.read_line(&mut line)) => read??,
        () = seat.needed() => return Ok(()),
    };
    drop(seat);
    let answer = match serde_json::from_str(&line) {
        Ok(Request::Release { database }) => {
            return release(&database, &desk.statuses.now(), &mut reader, &mut write).await;
        }
        // Whoever hangs up does not wait any more.
        Ok(request) => tokio::select! {
            answer = answer(request, desk) => answer,
            () = hung_up(&mut reader) => return Ok(()),
        },
        Err(error) => Answer::Refused(format!("not a request: {error}")),
    };
    say(&mut write, &answer).await
}

async fn say(to: &mut (impl tokio::io::AsyncWrite + Unpin), answer: &Answer) -> io::Result<()> {
    let mut text = serde_json::to_vec(answer)?;
    text.push(b'\n');
    tokio::time::timeout(PATIENCE, to.write_all(&text)).await?
}

/// Has a database let go, says so, and has it followed again once the peer hangs up.
async fn release(
    database: &str,
    statuses: &[Status],
    reader: &mut (impl tokio::io::AsyncRead + Unpin),
    write: &mut (impl tokio::io::AsyncWrite + Unpin),
) -> io::Result<()> {
    let is_meant =
        |status: &&Status| status.noted(|noted| noted.database.to_string_lossy() == database);
    let Some(status) = statuses.iter().find(is_meant) else {
        return say(write, &Answer::Refused(NOT_FOLLOWED.to_owned())).await;
    };
    let wanted = Wanted::new(status);
    tokio::select! {
        () = wanted.released() => {}
        () = hung_up(reader) => return Ok(()),
    }
    say(write, &Answer::Released).await?;
    hung_up(reader).await;
    Ok(())
}

/// Waits until the peer closes its end; what it says besides its request is of no interest.
async fn hung_up(reader: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut rest = [0; 64];
    while matches!(reader.read(&mut rest).await, Ok(1..)) {}
}

async fn answer(request: Request, desk: &Desk) -> Answer {
    let statuses = desk.statuses.now();
    match request {
        Request::Status => {
            let _turn = desk.looks.acquire().await;
            // Looking means a few system calls for each database.
            let unlogged = || desk.unlogged.and_then(|unlogged| unlogged());
            let look = || {
                let report = |status| Report::of(status, clock::now(), unlogged());
                statuses.iter().map(report).collect()
            };
            Answer::Status(tokio::task::block_in_place(look))
        }
        Request::Add { .. } | Request::Remove { .. } | Request::List | Request::Reload => {
            order(request, desk).await.unwrap_or_else(Answer::Refused)
        }
        // It is a conversation of its own.
        Request::Release { .. } => Answer::Refused(NOT_FOLLOWED.to_owned()),
        Request::Sync { database, wait_millis } => {
            let Ok(_place) = desk.syncs.try_acquire() else {
                return Answer::Refused(format!("{SYNCS_MAX} others wait for a sync"));
            };
            let chosen: Vec<(String, &Status)> = statuses
                .iter()
                .map(|status| {
                    (status.noted(|noted| noted.database.to_string_lossy().into_owned()), status)
                })
                .filter(|(name, _)| database.as_ref().is_none_or(|wanted| wanted == name))
                .collect();
            if chosen.is_empty() {
                return Answer::Refused(NOT_FOLLOWED.to_owned());
            }
            // Of those that have ended everything is durable; only who asks for one by its name is told that it has.
            let is_meant =
                |(_, status): &(String, &Status)| database.is_some() || !status.has_ended();
            let chosen = chosen.into_iter().filter(is_meant).collect();
            let wait = wait_millis.map(|millis| Duration::from_millis(millis).min(WAIT_MAX));
            Answer::Sync(sync(chosen, wait).await)
        }
    }
}

/// Has an order carried out; what became of it.
async fn order(request: Request, desk: &Desk) -> Result<Answer, String> {
    let orders = &desk.orders;
    let wait = |millis| Duration::from_millis(millis).min(WAIT_MAX);
    match request {
        Request::Add { database, replica, wait_millis } => {
            let location = replica.parse().map_err(|error| format!("{replica}: {error}"))?;
            let wanted = Box::new(Database::new(PathBuf::from(&database), location));
            let status = ask(orders, |reply| SetOrder::Add(wanted, reply)).await??;
            Ok(Answer::Sync(vec![followed(database, &status, wait(wait_millis)).await]))
        }
        Request::Remove { database, wait_millis } => {
            let is_meant = |status: &&Status| {
                status.noted(|noted| noted.database.to_string_lossy() == database)
            };
            let statuses = desk.statuses.now();
            let found = statuses.iter().find(is_meant).ok_or(NOT_FOLLOWED)?;
            let path = found.noted(|noted| noted.database.clone());
            let status = ask(orders, |reply| SetOrder::Remove(path, reply)).await??;
            Ok(Answer::Sync(vec![ended(database, &status, wait(wait_millis)).await]))
        }
        Request::List => ask(orders, SetOrder::List).await.map(Answer::List),
        _ => ask(orders, SetOrder::Reload).await?.map(Answer::Reloaded),
    }
}

async fn sync(chosen: Vec<(String, &Status)>, wait: Option<Duration>) -> Vec<Synced> {
    // All are asked before any is waited for.
    let asked: Vec<_> =
        chosen.into_iter().map(|(name, status)| (name, status, status.ask())).collect();
    let deadline = wait.map(|wait| (wait, tokio::time::Instant::now() + wait));
    let mut answers = Vec::with_capacity(asked.len());
    for (database, status, number) in asked {
        let (mut txid, mut error) = (None, None);
        if let Some((wait, deadline)) = deadline {
            match tokio::time::timeout_at(deadline, status.until_met(number)).await {
                Ok(Ok(met)) => txid = met.map(|txid| txid.to_string()),
                Ok(Err(why)) => error = Some(why),
                Err(_) => error = Some(late(status, wait)),
            }
        }
        answers.push(Synced { database, txid, error });
    }
    answers
}

/// Why a sync took too long, as far as is known.
fn late(status: &Status, wait: Duration) -> String {
    let why = status.newest_error();
    let late = format!("not durable within {wait:?}");
    why.map_or(late.clone(), |why| format!("{late}: {why}"))
}
