//! `ebbtide replicate`: a task for each database, until told to end.

mod empty_disk;
mod failures;
mod hangup;
mod heard;
mod lost_database;
mod missing;
mod outlets;
mod reload;
mod signals;
mod summary;
mod supervisor;

use std::path::Path;
use std::time::Duration;

use ebbtide_sidecar::control::{Control, SetOrders};
use ebbtide_sidecar::{Consent, DatabaseSet, FollowError, How, View};
use nix::sys::signal::Signal;

use crate::application::{Application, Environment, reap_orphans};
use crate::args::Replicate;
use crate::exit::{Code, Failure, Outcome};
use crate::{cores, descriptors, exit, sidecar_hooks, source, terminal};
use ebbtide_config::{Config, Database, Listen, Pattern, Prices, defaults};
use failures::Failures;
use heard::Heard;
use missing::restore_missing;
use outlets::Outlets;
use reload::Reloading;
use signals::Signals;
use summary::Summary;
use supervisor::Supervisor;

/// Why everything ends.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Asked to by a signal.
    Signal(Signal),
    /// The application is gone.
    Application,
    /// All tasks have ended by themselves.
    Tasks,
}

/// Runs the command.
///
/// # Errors
/// When a database cannot be followed, or not everything is durable at the end.
pub async fn run(args: Replicate) -> Result<Outcome, Failure> {
    let listen = listen(&args)?;
    let config = configuration(&args, listen.clone())?;
    // Before anything is followed, so that no signal finds a session that it would cut off.
    let mut signals = Signals::new(args.exec.is_some())?;
    let how = how(&args)?;
    let is_wrapped = how.wrap.is_some();
    let mut set = DatabaseSet::new(sidecar_hooks::hooks(config.bandwidth_bytes_max), how);
    // Before anything is followed: an address that is taken is a mistake.
    let outlets = Outlets::open(&config, View::of(set.sidecar())).await?;
    tokio::select! {
        restored = restore_missing(&config) => restored?,
        signal = until_told_to_end(&mut signals) => {
            let why = format!("ended by {signal} before a database was restored");
            return Err(Failure::new(Code::Failed, why));
        }
    }
    set.begin(&config).await.map_err(|error| Failure::new(Code::Usage, error))?;
    let start = |text| Summary::start(text, View::of(set.sidecar()));
    let summary = (!args.once).then(|| start(summary::of_start(&config, is_wrapped)));
    // Until everything else has ended.
    let (_control, mut orders) = Control::start(set.sidecar());
    let mut application = launch(&args)?;
    let mut failures = Failures::default();
    let mut supervisor = Supervisor::of_this_process(View::of(set.sidecar()));
    supervisor.ready();
    let file = args.database.is_none().then_some(args.config);
    let restores_each = args.restore_if_missing;
    let mut reload = Reloading::new(file, (listen, restores_each), &config, outlets);
    let end = until_end(
        &mut set,
        &mut orders,
        &mut reload,
        &mut signals,
        &mut application,
        &mut failures,
        &mut supervisor,
    )
    .await;
    supervisor.stopping();
    // Nobody is to wait for what will not be done.
    drop(orders);
    let timeout = reload.shutdown_timeout;
    if let End::Signal(signal) = end {
        tracing::info!(%signal, "ending with a last sync");
        if let Some(application) = &mut application {
            // Its last commits are part of the last sync.
            let ended = end_application(application, &mut signals, signal, timeout);
            failures.keep_if_any(ended.await);
        }
    }
    if let End::Application = end {
        tracing::info!("the application has ended; ending with a last sync");
    }
    let followed = summary.and_then(Summary::ending);
    tokio::select! {
        () = set.look_once_more() => {}
        () = tokio::time::sleep(timeout) => {}
    }
    set.finish();
    finish(&mut set, &mut signals, timeout, &mut failures).await;
    if let Some(followed) = followed {
        summary::ended(&followed);
    }
    failures.keep_if_any(if args.once { refused(&set) } else { None });
    outcome(failures.gravest(), application.and_then(|application| application.code()))
}

/// What is to be said of databases that patterns name and that are not followed.
fn refused(set: &DatabaseSet) -> Option<Failure> {
    let refused = terminal::number_of(set.refused() as u64, "database");
    let why = || format!("{refused} that patterns name cannot be followed");
    (set.refused() > 0).then(|| Failure::new(Code::Failed, why()))
}

/// The application's own failure is what its supervisor wants to know; ours is said besides.
fn outcome(failure: Option<Failure>, code: Option<u8>) -> Result<Outcome, Failure> {
    match (failure, code) {
        (None, None) => Ok(Outcome::Done),
        (None, Some(code)) => Ok(Outcome::Child(code)),
        (Some(failure), Some(code)) if code != 0 => {
            exit::say(&failure);
            Ok(Outcome::Child(code))
        }
        (Some(failure), _) => Err(failure),
    }
}

/// Starts the application, if there is one to start.
fn launch(args: &Replicate) -> Result<Option<Application>, Failure> {
    let environment = if args.exec_without_credentials {
        Environment::WithoutCredentials
    } else {
        Environment::Whole
    };
    let Some(command) = &args.exec else {
        if std::process::id() == 1 {
            reap_orphans()?;
        }
        return Ok(None);
    };
    let application = Application::start(command, environment)?;
    cores::limit();
    descriptors::raise();
    Ok(Some(application))
}

/// Where the arguments say that it listens.
fn listen(args: &Replicate) -> Result<Option<Listen>, Failure> {
    let Some(address) = &args.listen else { return Ok(None) };
    let listen = Listen::new(address, args.listen_token_file.clone());
    let fail = |why| Failure::new(Code::Usage, format!("--listen: {why}"));
    listen.map(Some).map_err(fail)
}

/// What is configured, and what the arguments say instead.
fn configuration(args: &Replicate, listen: Option<Listen>) -> Result<Config, Failure> {
    let mut config = databases(args)?;
    if args.restore_if_missing {
        missing::each(&mut config);
    }
    config.listen = listen.or(config.listen);
    if args.once {
        // It ends before anybody could ask, and is no sign of anything.
        (config.listen, config.heartbeat, config.webhook) = (None, None, None);
    }
    Ok(config)
}

fn databases(args: &Replicate) -> Result<Config, Failure> {
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
    check_no_pattern(path, args.wait)?;
    let mut database = Database::new(path.clone(), source::address(replica)?);
    database.enable_wal = args.enable_wal;
    Ok(configuration_of(database))
}

/// Many databases are named in a file; a shell that found none has left the pattern as it stands.
fn check_no_pattern(path: &Path, may_come: bool) -> Result<(), Failure> {
    if !Pattern::is_one(&path.to_string_lossy()) || may_come || path.exists() {
        return Ok(());
    }
    let why = format!(
        "{}: there is no file of this name; a pattern is followed from a file, with `path = \"{}\"` and \
         `replica = \"…/{{relative}}\"` in a [[database]] of ebbtide.toml",
        path.display(),
        path.display()
    );
    Err(Failure::new(Code::Usage, why))
}

/// The configuration of one database, with the defaults for all else.
pub(crate) fn configuration_of(database: Database) -> Config {
    Config {
        databases: vec![database],
        patterns: Vec::new(),
        prices: Prices::default(),
        bandwidth_bytes_max: None,
        shutdown_timeout: defaults::SHUTDOWN_TIMEOUT,
        listen: None,
        heartbeat: None,
        webhook: None,
    }
}

/// How databases are followed.
fn how(args: &Replicate) -> Result<How, Failure> {
    Ok(How {
        consent: Consent {
            adopt: args.adopt,
            take_back: args.take_back,
            begin_anew: args.begin_anew,
        },
        is_once: args.once,
        is_successor: args.exec.is_some(),
        // Without any of these a name that leads nowhere is a mistake.
        may_come: args.wait || args.exec.is_some() || args.database.is_none(),
        wrap: args.encrypt_to.wrap()?,
    })
}

async fn until_end(
    set: &mut DatabaseSet,
    orders: &mut SetOrders,
    reload: &mut Reloading,
    signals: &mut Signals,
    application: &mut Option<Application>,
    failures: &mut Failures,
    supervisor: &mut Supervisor,
) -> End {
    loop {
        // With an application there is something to wait for besides; nobody follows it any more, though.
        if set.is_over() && application.is_none() {
            return End::Tasks;
        }
        tokio::select! {
            Some(ended) = set.next_ended(), if !set.is_over() => {
                failures.take(ended, !set.is_over() || application.is_some());
            }
            Some(order) = orders.recv() => {
                if let Some(reply) = set.obey(order).await {
                    supervisor.reloading();
                    reload.answer(set, reply).await;
                    supervisor.ready();
                }
            }
            heard = signals.next() => match heard {
                Heard::End(signal) => return End::Signal(signal),
                Heard::Message(Signal::SIGHUP) if reload.has_file() => {
                    if let Some(application) = application.as_mut() {
                        application.tell(Signal::SIGHUP);
                    }
                    tracing::info!(signal = %Signal::SIGHUP, "reading the configuration again");
                    supervisor.reloading();
                    // It is logged what came of it.
                    reload.hear(set).await.ok();
                    supervisor.ready();
                }
                heard => pass_on(heard, application.as_mut()),
            },
            () = gone(application) => return End::Application,
            () = supervisor.told() => {}
        }
    }
}

async fn gone(application: &mut Option<Application>) {
    match application {
        Some(application) => application.gone().await,
        None => std::future::pending().await,
    }
}

/// A signal that asks nothing of us.
fn pass_on(heard: Heard, application: Option<&mut Application>) {
    match (heard, application) {
        (Heard::Message(signal), Some(application)) => application.tell(signal),
        (Heard::Message(signal), None) => tracing::info!(%signal, "means nothing here; going on"),
        (Heard::Stop, Some(application)) => application.stop(),
        (Heard::GoOn, Some(application)) => application.go_on(),
        _ => {}
    }
}

/// Has the application end, by force if it does not within `timeout`; what is to be said of that.
async fn end_application(
    application: &mut Application,
    signals: &mut Signals,
    signal: Signal,
    timeout: Duration,
) -> Option<Failure> {
    // The group that has a terminal hears by itself that it was closed.
    if signal != Signal::SIGHUP || !application.has_terminal() {
        application.signal(signal);
    }
    let deadline = tokio::time::sleep(timeout);
    tokio::pin!(deadline);
    loop {
        tokio::select! {
            () = application.gone() => return None,
            () = &mut deadline => break,
            heard = signals.next() => match heard {
                Heard::End(signal) => application.signal(signal),
                heard => pass_on(heard, Some(application)),
            },
        }
    }
    let processes = application.processes();
    tracing::error!(
        processes,
        "the application has not ended within {timeout:?} after {signal}; killing it"
    );
    let gone = application.kill().await;
    let how = if gone { "it was killed" } else { "it could not be killed, and goes on" };
    let why = format!("the application did not end within {timeout:?} after {signal}: {how}");
    Some(Failure::new(Code::Failed, why))
}

/// Waits for the last sync, but not longer than `timeout`, and not beyond a second signal.
async fn finish(
    set: &mut DatabaseSet,
    signals: &mut Signals,
    timeout: Duration,
    failures: &mut Failures,
) {
    let all = async {
        while let Some(ended) = set.next_ended().await {
            failures.take(ended, !set.is_over());
        }
    };
    let why = tokio::select! {
        () = all => return,
        () = tokio::time::sleep(timeout) => format!("the last sync was not confirmed within {timeout:?}"),
        signal = until_told_to_end(signals) => format!("a second signal ({signal}) ended the last sync"),
    };
    failures.keep(Failure::new(Code::Failed, FollowError::Undurable(why)));
    set.abort().await;
}

async fn until_told_to_end(signals: &mut Signals) -> Signal {
    loop {
        match signals.next().await {
            // The end of the terminal asks for this very sync.
            Heard::End(Signal::SIGHUP) => {}
            Heard::End(signal) => return signal,
            heard => pass_on(heard, None),
        }
    }
}
