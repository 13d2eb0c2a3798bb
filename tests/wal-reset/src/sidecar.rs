//! `ebbtide replicate` beside the application.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Result;

/// A sidecar that runs. It is killed when this is dropped.
pub(crate) struct Sidecar(Child);

impl Sidecar {
    /// Starts it, and waits until it follows.
    pub(crate) fn start(ebbtide: &Path, directory: &Path) -> Result<Sidecar> {
        let mut child = Command::new(ebbtide)
            .args(["replicate", "--log-format", "json"])
            .args([directory.join("app.db"), directory.join("backup")])
            .env("EBBTIDE_RUNTIME_DIR", directory.join("run"))
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no standard error")?).lines();
        let sidecar = Sidecar(child);
        loop {
            let line = lines.next().ok_or("ebbtide ended before it followed the database")??;
            if line.contains("\"message\":\"following\"") {
                break;
            }
        }
        // Somebody has to go on listening, or it would wait for room in the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(sidecar)
    }

    /// Has it end with everything durable.
    pub(crate) fn stop(mut self) -> Result<()> {
        let pid = self.0.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let status = self.0.wait()?;
        if status.success() { Ok(()) } else { Err(format!("ebbtide replicate: {status}").into()) }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It has ended already if all went well.
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

/// Restores the newest state into `restored.db`.
pub(crate) fn restore(ebbtide: &Path, directory: &Path) -> Result<()> {
    let output = directory.join("restored.db");
    let status = Command::new(ebbtide)
        .arg("restore")
        .arg("-o")
        .args([output, directory.join("backup")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("ebbtide restore: {status}").into()) }
}
