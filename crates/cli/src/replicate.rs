//! `ebbtide replicate`: a task for each database, until told to end.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::Replicate;
use crate::control::Control;
use crate::exit::{Code, Failure, Outcome};
use crate::follow::{FollowError, Job, Order, Shared, Status, Statuses, follow};
use crate::{child, escape, owner, source};
use ebbtide_config::{Config, Database, defaults};

/// Why everything ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Asked to by a signal.
    Signal(Signal),
    /// The child ended with this code.
    Child(u8),
    /// All tasks have ended by themselves.
    Tasks,
}

/// Runs the command.
///
/// # Errors
/// When a database cannot be followed, or not everything is durable at the end.
pub async fn run(args: Replicate) -> Result<Outcome, Failure> {
    let config = configuration(&args)?;
    // Before anything is followed, so that no signal finds a session that it would cut off.
    let mut signals = Signals::new()?;
    let (order, orders) = watch::channel(if args.once { Order::Finish } else { Order::Run });
    let statuses: Statuses = config.databases.iter().map(status_of).collect();
    let mut tasks = start(&config, &statuses, &orders, args.exec.is_some());
    // Until everything else has ended.
    let _control = Control::start(statuses);
    let mut child = args.exec.as_deref().map(child::spawn).transpose()?;
    let mut failures = Failures::default();
    let end = until_end(&mut tasks, &mut signals, &mut child, &mut failures).await?;
    if let (End::Signal(signal), Some(child)) = (end, &mut child) {
        child::signal(child, signal);
        // The application's last commits are part of the last sync.
        let ended = tokio::time::timeout(config.shutdown_timeout, child.wait()).await;
        if ended.is_err() {
            tracing::warn!("the application has not ended yet; the last sync goes on without it");
        }
    }
    order.send_replace(Order::Finish);
    finish(&mut tasks, &mut signals, config.shutdown_timeout, &mut failures).await;
    let child_code = match (end, child) {
        (End::Child(code), _) => Some(code),
        (End::Signal(_), Some(mut child)) => child.try_wait().ok().flatten().map(child::code),
        _ => None,
    };
    match (failures.first, child_code) {
        (None, None) => Ok(Outcome::Done),
        (None, Some(code)) => Ok(Outcome::Child(code)),
        // The child's own failure is what its supervisor wants to know; ours is printed besides.
        (Some(failure), Some(code)) if code != 0 => {
            eprintln!("ebbtide: {}", escape::message(&failure.to_string()));
            Ok(Outcome::Child(code))
        }
        (Some(failure), _) => Err(failure),
    }
}

fn configuration(args: &Replicate) -> Result<Config, Failure> {
    let (Some(path), Some(replica)) = (&args.database, &args.replica) else {
        if !args.config.exists() {
            return Err(Failure::new(
                Code::Usage,
                format!(
                    "no database given and no {} here: name DB and REPLICA, or a file with --config",
                    args.config.display()
                ),
            ));
        }
        return Ok(Config::read(&args.config)?);
    };
    let mut database = Database::new(path.clone(), source::address(replica)?);
    database.enable_wal = args.enable_wal;
    let shutdown_timeout = defaults::SHUTDOWN_TIMEOUT;
    Ok(Config { databases: vec![database], shutdown_timeout })
}

fn status_of(database: &Database) -> Status {
    Status::new(database.path.clone(), database.location.to_string())
}

fn start(
    config: &Config,
    statuses: &[Status],
    order: &watch::Receiver<Order>,
    is_successor: bool,
) -> JoinSet<(String, Result<(), FollowError>)> {
    let shared = Shared::new(owner::this_process());
    let mut tasks = JoinSet::new();
    for (database, status) in config.databases.iter().zip(statuses) {
        let name = database.path.display().to_string();
        let (database, shared, order) = (database.clone(), shared.clone(), order.clone());
        let over = status.until_over();
        let job = Job { database, shared, order, status: status.clone(), is_successor };
        tasks.spawn(async move {
            let ended = follow(job).await;
            drop(over);
            (name, ended)
        });
    }
    tasks
}

/// The first failure decides the exit code, a fencing one before all others; each is logged.
#[derive(Debug, Default)]
struct Failures {
    first: Option<Failure>,
}

impl Failures {
    fn add(&mut self, name: &str, error: FollowError) {
        let code = error.code();
        tracing::error!(database = name, error = crate::follow::chain(&error), "stopped");
        let graver = self.first.as_ref().is_none_or(|first| first.code() < code);
        if graver {
            self.first =
                Some(Failure::new(code, format!("{name}: {}", crate::follow::chain(&error))));
        }
    }

    fn take(&mut self, ended: Result<(String, Result<(), FollowError>), tokio::task::JoinError>) {
        match ended {
            Ok((_, Ok(()))) => {}
            Ok((name, Err(error))) => self.add(&name, error),
            Err(error) => {
                tracing::error!(%error, "the task of a database ended unexpectedly");
                self.first.get_or_insert(Failure::new(Code::Failed, error));
            }
        }
    }
}

async fn until_end(
    tasks: &mut JoinSet<(String, Result<(), FollowError>)>,
    signals: &mut Signals,
    child: &mut Option<Child>,
    failures: &mut Failures,
) -> Result<End, Failure> {
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(ended) => failures.take(ended),
                // With a child there is something to wait for besides; nobody follows it any more, though.
                None if child.is_none() => return Ok(End::Tasks),
                None => {
                    let status = wait(child).await?;
                    return Ok(End::Child(status));
                }
            },
            signal = signals.next() => return Ok(End::Signal(signal)),
            status = wait(child) => return Ok(End::Child(status?)),
        }
    }
}

async fn wait(child: &mut Option<Child>) -> Result<u8, Failure> {
    let Some(child) = child else { return std::future::pending().await };
    let status = child.wait().await.map_err(|error| Failure::new(Code::Failed, error))?;
    Ok(child::code(status))
}

/// Waits for the last sync, but not longer than `timeout`, and not beyond a second signal.
async fn finish(
    tasks: &mut JoinSet<(String, Result<(), FollowError>)>,
    signals: &mut Signals,
    timeout: Duration,
    failures: &mut Failures,
) {
    let why = tokio::select! {
        () = async { while let Some(ended) = tasks.join_next().await { failures.take(ended); } } => return,
        () = tokio::time::sleep(timeout) => format!("the last sync was not confirmed within {timeout:?}"),
        signal = signals.next() => format!("a second signal ({signal}) ended the last sync"),
    };
    failures.add("at the end", FollowError::Undurable(why));
    tasks.shutdown().await;
}

/// The signals that end us.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let fail = |error| Failure::new(Code::Failed, error);
        let terminate = signal(SignalKind::terminate()).map_err(fail)?;
        let interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
        Ok(Signals { terminate, interrupt })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::SIGTERM,
            _ = self.interrupt.recv() => Signal::SIGINT,
        }
    }
}
