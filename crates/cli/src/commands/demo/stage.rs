//! Where the demonstration takes place: a directory, the processes in it, and commands that are shown as one would type
//! them.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::{Builder, TempDir};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Duration, timeout};

use super::accident::deletion;
use super::application::ACCIDENT;
use crate::exit::{Code, Failure};
use crate::output;

/// More than each step takes.
const PATIENCE: Duration = Duration::from_secs(50);

/// More lines of an output are not shown.
const LINES_SHOWN: usize = 24;

/// A directory with an application and a sidecar.
pub(super) struct Stage {
    directory: Option<TempDir>,
    path: PathBuf,
    sockets: PathBuf,
    program: PathBuf,
    /// The sidecar, and what the application, which is its child, listens to.
    running: Option<(Child, ChildStdin)>,
}

impl Stage {
    /// Makes the directory, and says which.
    pub(super) fn set(keep: bool) -> Result<Stage, Failure> {
        let failed = |error| Failure::new(Code::Failed, format!("make a directory: {error}"));
        // Only their owner may enter them, as it has to be with sockets.
        let private = Permissions::from_mode(0o700);
        let mut builder = Builder::new();
        builder.permissions(private).prefix("ebbtide-demo-");
        let made = builder.tempdir().map_err(failed)?;
        let path = made.path().to_owned();
        let sockets = builder.prefix("run-").tempdir_in(&path).map_err(failed)?.keep();
        let directory = if keep {
            drop(made.keep());
            None
        } else {
            Some(made)
        };
        let then = if keep { "which stays" } else { "which is removed at the end" };
        output::line(format_args!("# In {}, {then}.", path.display()));
        let program = std::env::current_exe().map_err(failed)?;
        Ok(Stage { directory, path, sockets, program, running: None })
    }

    /// `ebbtide` in the directory, with sockets and caches of its own.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(&self.path).kill_on_drop(true);
        command.env("EBBTIDE_RUNTIME_DIR", &self.sockets);
        command.env("XDG_CACHE_HOME", self.path.join("cache"));
        command.env_remove("EBBTIDE_LOG");
        command
    }

    /// Begins the application and what follows it, and waits until it does.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        // It makes its database, finds that nobody wants anything of it, and ends.
        self.ask(&["demo", "--application", "app.db"]).await?;
        let application = format!("{} demo --application app.db", quoted(&self.program));
        show(&["replicate", "--exec", "./application", "app.db", "./backup"]);
        let args =
            ["replicate", "--log-format", "json", "--exec", &application, "app.db", "./backup"];
        let mut command = self.command(&args);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = piped.spawn().map_err(|error| failed(&error))?;
        let (Some(input), Some(log)) = (child.stdin.take(), child.stderr.take()) else {
            return Err(failed(&"it has no pipes"));
        };
        self.running = Some((child, input));
        let mut lines = BufReader::new(log).lines();
        let follows = async {
            let mut last = String::new();
            while let Some(line) = lines.next_line().await.map_err(|error| failed(&error))? {
                if line.contains("\"following\"") {
                    return Ok(());
                }
                last = line;
            }
            Err(failed(&last))
        };
        let followed = timeout(PATIENCE, follows).await;
        followed.unwrap_or_else(|_| Err(failed(&"the database is not followed")))?;
        // What it logs later goes nowhere, and it has to get rid of it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(())
    }

    /// Runs a command to its end, and shows it with what it says; its standard output.
    pub(super) async fn run(&self, args: &[&str]) -> Result<String, Failure> {
        show(args);
        let answer = self.ask(args).await?;
        let lines: Vec<&str> = answer.lines().collect();
        for line in lines.iter().take(LINES_SHOWN) {
            output::line(line);
        }
        if lines.len() > LINES_SHOWN {
            output::line(format_args!("… and {} more lines", lines.len() - LINES_SHOWN));
        }
        Ok(answer)
    }

    /// Runs a command, and then a query of the replica, and shows neither; the answer.
    pub(super) async fn answer(&self, first: &[&str], query: &str) -> Result<String, Failure> {
        self.ask(first).await?;
        self.ask(&["sql", "./backup", query]).await
    }

    /// The transaction that deleted orders.
    pub(super) async fn deletion(&self) -> Result<String, Failure> {
        let log =
            self.ask(&["log", "--json", "--tables", "--changed", "orders", "./backup"]).await?;
        deletion(&log).ok_or_else(|| failed(&"no transaction has deleted orders"))
    }

    async fn ask(&self, args: &[&str]) -> Result<String, Failure> {
        let mut command = self.command(args);
        let output = timeout(PATIENCE, command.stdin(Stdio::null()).output()).await;
        let output =
            output.map_err(|_| failed(&"it does not end"))?.map_err(|error| failed(&error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed(&format!("ebbtide {}: {said}", args.join(" "))));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Has the application do what nobody wanted.
    pub(super) async fn accident(&mut self) -> Result<(), Failure> {
        output::line(format_args!("$ sqlite3 app.db '{ACCIDENT}'"));
        output::flush();
        let Some((_, input)) = &mut self.running else { return Ok(()) };
        let told = async {
            input.write_all(b"\n").await?;
            input.flush().await
        };
        told.await.map_err(|error: io::Error| failed(&error))
    }

    /// Ends the application, and with it what follows it, and removes the directory.
    pub(super) async fn clear(mut self) -> Result<(), Failure> {
        if let Some((mut child, input)) = self.running.take() {
            drop(input);
            if timeout(PATIENCE, child.wait()).await.is_err() {
                child.kill().await.map_err(|error| failed(&error))?;
            }
        }
        let removed = self.directory.take().map(TempDir::close).transpose();
        removed.map(drop).map_err(|error| failed(&error))
    }
}

/// A command as one would type it.
fn show(args: &[&str]) {
    let words = args.iter().map(|word| {
        if word.contains([' ', '*', '(']) { format!("'{word}'") } else { (*word).to_owned() }
    });
    output::line(format_args!("$ ebbtide {}", words.collect::<Vec<_>>().join(" ")));
    output::flush();
}

/// A path for a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

fn failed(why: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Failed, format!("the demonstration failed: {why}"))
}
