//! `ebbtide demo`: an accident and the way back, with nothing to set up.

mod accident;
mod application;
mod stage;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Duration, sleep};

use self::stage::Stage;
use crate::args::Demo;
use crate::exit::{Code, Failure, Outcome};
use crate::output;

/// For so long the application writes before and after the accident.
const WHILE: Duration = Duration::from_millis(2500);

/// Those of customer 7, whose orders are deleted.
const COUNT: &str = "SELECT count(*), sum(total) FROM orders WHERE customer = 7";

/// Runs the command.
///
/// # Errors
/// When a step fails, or not every row came back.
pub(crate) async fn run(args: Demo) -> Result<Outcome, Failure> {
    if let Some(database) = args.application {
        let writing = tokio::task::spawn_blocking(move || application::write(&database));
        let written = writing.await.map_err(|error| Failure::new(Code::Failed, error))?;
        return written.map(|()| Outcome::Done).map_err(|error| Failure::new(Code::Failed, error));
    }
    let mut stage = Stage::set(args.keep)?;
    let told = tokio::select! {
        told = tell(&mut stage) => told,
        name = ended() => Err(Failure::new(Code::Failed, format!("ended by {name}"))),
    };
    stage.clear().await?;
    told.map(|()| Outcome::Done)
}

/// Waits for a signal that ends; its name.
async fn ended() -> &'static str {
    let wait = async |kind: SignalKind| match signal(kind) {
        Ok(mut signals) => drop(signals.recv().await),
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => "SIGINT",
        () = wait(SignalKind::terminate()) => "SIGTERM",
        () = wait(SignalKind::hangup()) => "SIGHUP",
    }
}

async fn tell(stage: &mut Stage) -> Result<(), Failure> {
    say(
        "An application writes app.db, and ebbtide follows it into ./backup. This is left running:",
    );
    stage.begin().await?;
    sleep(WHILE).await;
    stage.run(&["status"]).await?;

    say("Somebody deletes too much:");
    let before = stage.answer(&["sync", "--wait", "app.db"], COUNT).await?;
    stage.accident().await?;
    sleep(WHILE).await;

    say("Everything that was committed is in the replica, and so is every state before it:");
    stage.run(&["sync", "--wait", "app.db"]).await?;
    stage.run(&["sql", "./backup", COUNT]).await?;

    say("What happened to the table? Each transaction that changed it, and by how many rows:");
    stage.run(&["log", "--tables", "--changed", "orders", "./backup"]).await?;
    let txid = stage.deletion().await?;

    say("That one. Which rows were they, and what did the table say before?");
    stage.run(&["diff", "--txid", &txid, "--format", "rows", "./backup"]).await?;
    stage.run(&["sql", "--at", &format!("before:{txid}"), "./backup", COUNT]).await?;

    say("They come back, while the application goes on; what it wrote since stays:");
    stage.run(&["undo", "--txid", &txid, "--apply", "app.db", "./backup"]).await?;
    stage.run(&["sync", "--wait", "app.db"]).await?;
    let after = stage.run(&["sql", "./backup", COUNT]).await?;
    if row(&after) != row(&before) {
        let why = format!("not every row came back: {after} after {before}");
        return Err(Failure::new(Code::Failed, why));
    }
    say("Every row is back, and nothing was stopped.");
    Ok(())
}

/// The last line of an answer, which has the row.
fn row(answer: &str) -> Option<&str> {
    answer.trim_end().lines().last()
}

fn say(sentence: &str) {
    output::line("");
    output::line(format_args!("# {sentence}"));
    output::flush();
}
