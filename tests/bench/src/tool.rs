//! The tools that are measured, and how each is told what to do.
//!
//! The peers run with their documented defaults: a sync interval of one second. Where that decides the result, they are
//! measured a second time with the shortest interval that does them good, ten milliseconds.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::minio::{BUCKET, PASSWORD, USER};
use crate::process::{Done, Running, run};

/// Which tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ebbtide,
    Litestream3,
    Litestream5,
}

/// A tool and its binary.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    pub(crate) kind: Kind,
    program: PathBuf,
    /// Whether its sync interval is as short as it does good.
    is_eager: bool,
    /// How much faster than usual time passes for it.
    faster: u64,
    /// Where the identity lies that its replicas are encrypted for, and its recipient.
    encryption: Option<(PathBuf, String)>,
}

/// Where a replica lies.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// Under this prefix of the bucket, behind this address.
    Bucket(SocketAddr, String),
    /// In this directory.
    Directory(PathBuf),
}

/// A database and its replica.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) database: PathBuf,
    pub(crate) place: Place,
}

impl Tool {
    /// The tools with these names, or all.
    pub(crate) fn find(
        names: &[String],
        bin: &Path,
        ebbtide: Option<PathBuf>,
    ) -> Result<Vec<Tool>> {
        let beside = env::current_exe()?.with_file_name("ebbtide");
        let all = [
            (Kind::Ebbtide, ebbtide.unwrap_or(beside)),
            (Kind::Litestream3, bin.join("litestream-0.3.13")),
            (Kind::Litestream5, bin.join("litestream-0.5.18")),
        ];
        let tools = all.map(|(kind, program)| Tool {
            kind,
            program,
            is_eager: false,
            faster: 1,
            encryption: None,
        });
        if let Some(wrong) = names.iter().find(|&name| tools.iter().all(|tool| tool.name() != name))
        {
            return Err(format!("no tool is named {wrong}").into());
        }
        let asked = |tool: &Tool| names.is_empty() || names.iter().any(|name| name == tool.name());
        let mut found = Vec::new();
        for tool in tools.into_iter().filter(asked) {
            if tool.program.exists() {
                found.push(Tool { program: fs::canonicalize(&tool.program)?, ..tool });
            } else {
                eprintln!("!! {} is not at {}: left out", tool.name(), tool.program.display());
            }
        }
        if found.is_empty() { Err("there is no tool to measure".into()) } else { Ok(found) }
    }

    pub(crate) fn name(&self) -> &'static str {
        match (self.kind, self.is_eager) {
            (Kind::Ebbtide, _) if self.encryption.is_some() => "ebbtide, encrypted",
            (Kind::Ebbtide, _) => "ebbtide",
            (Kind::Litestream3, false) => "litestream-0.3.13",
            (Kind::Litestream3, true) => "litestream-0.3.13 (10 ms)",
            (Kind::Litestream5, false) => "litestream-0.5.18",
            (Kind::Litestream5, true) => "litestream-0.5.18 (10 ms)",
        }
    }

    /// A file that lies beside its program.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.program.with_file_name(name)
    }

    /// The same tool with a short sync interval, if it has one.
    pub(crate) fn eager(&self) -> Option<Tool> {
        (self.kind != Kind::Ebbtide).then(|| Tool { is_eager: true, ..self.clone() })
    }

    /// The same tool with all its intervals so much shorter, and as many more puts a second.
    pub(crate) fn in_a_hurry(&self, faster: u64) -> Tool {
        Tool { faster, ..self.clone() }
    }

    /// The same tool, for an identity of its own that is made in `directory`.
    pub(crate) fn encrypted(&self, directory: &Path) -> Result<Tool> {
        let identity = directory.join("identity.key");
        let made = self.command("keygen").arg("-o").arg(&identity).output()?;
        let text = fs::read_to_string(&identity)?;
        let recipient = text.lines().find_map(|line| line.split("public key: ").nth(1));
        let recipient = recipient.ok_or_else(|| format!("keygen ends with {}", made.status))?;
        Ok(Tool { encryption: Some((identity, recipient.to_owned())), ..self.clone() })
    }

    /// What it says of itself.
    pub(crate) fn version(&self) -> String {
        let arg = if self.kind == Kind::Ebbtide { "--version" } else { "version" };
        let output = Command::new(&self.program).arg(arg).output();
        output.map_or(String::new(), |output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        })
    }

    /// Whether a request has to do with the log, not with snapshots and the like.
    pub(crate) fn is_log(&self, target: &str) -> bool {
        match self.kind {
            Kind::Ebbtide => target.contains("/log/"),
            Kind::Litestream3 => target.contains("/wal/"),
            Kind::Litestream5 => target.contains("/0000/"),
        }
    }

    /// Starts to replicate. The configuration and the log go into `directory`.
    pub(crate) fn replicate(&self, pairs: &[Pair], directory: &Path) -> Result<Running> {
        let config = self.configure(pairs, directory)?;
        let mut command = self.command("replicate");
        command.arg(if self.kind == Kind::Ebbtide { "--config" } else { "-config" }).arg(config);
        Running::start_unheard(&mut command, &directory.join("replicate.log"))
    }

    /// Restores the newest state, or the one at this time in µs, to `out`.
    pub(crate) fn restore(
        &self,
        pair: &Pair,
        directory: &Path,
        out: &Path,
        at: Option<u64>,
    ) -> Result<Done> {
        let at = at.map(timestamp).transpose()?;
        let mut command = self.command("restore");
        if self.kind == Kind::Ebbtide {
            command.arg("-o").arg(out);
            if let Some(at) = at {
                command.args(["--timestamp", &at]);
            }
            if let Some((identity, _)) = &self.encryption {
                command.arg("--identity").arg(identity);
            }
            command.arg(address(&pair.place));
        } else {
            let config = self.configure(std::slice::from_ref(pair), directory)?;
            command.arg("-config").arg(config).arg("-o").arg(out);
            if let Some(at) = at {
                command.args(["-timestamp", &at]);
            }
            command.arg(&pair.database);
        }
        run(&mut command, &directory.join("restore.log"))
    }

    /// One of its commands, with what opens the bucket.
    pub(crate) fn command(&self, what: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(what);
        command.env("AWS_ACCESS_KEY_ID", USER).env("AWS_SECRET_ACCESS_KEY", PASSWORD);
        command.env("AWS_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true");
        // With a bundle of its own, 0.5.18 does not start.
        command.env_remove("AWS_CA_BUNDLE");
        command
    }

    /// So many seconds, as long as they are in a hurry.
    fn span(&self, seconds: u64) -> String {
        format!("{}us", (seconds * 1_000_000 / self.faster).max(500))
    }

    /// The defaults of Litestream 0.5, in a hurry.
    fn hurried(&self) -> String {
        let [l1, l2, l3] = [30, 300, 3600].map(|seconds| self.span(seconds));
        let (day, check) = (self.span(86_400), self.span(15));
        format!(
            "snapshot:\n  interval: {day}\n  retention: {day}\nl0-retention: {l2}\nl0-retention-check-interval: {check}\n\
             levels:\n  - interval: {l1}\n  - interval: {l2}\n  - interval: {l3}\n"
        )
    }

    fn configure(&self, pairs: &[Pair], directory: &Path) -> Result<PathBuf> {
        let mut text = String::new();
        if self.kind == Kind::Ebbtide {
            for Pair { database, place } in pairs {
                let (database, replica) = (database.display(), address(place));
                writeln!(text, "[[database]]\npath = \"{database}\"\nreplica = \"{replica}\"\n")?;
                if let Some((_, recipient)) = &self.encryption {
                    writeln!(text, "encrypt-to = [\"{recipient}\"]\n")?;
                }
                if self.faster > 1 {
                    let rate = self.faster as f64;
                    writeln!(text, "puts-per-second = {rate:.1}\nputs-burst = {rate:.1}\n")?;
                }
            }
            let path = directory.join("ebbtide.toml");
            fs::write(&path, text)?;
            return Ok(path);
        }
        if self.faster > 1 {
            text.push_str(&self.hurried());
        }
        text.push_str("dbs:\n");
        for Pair { database, place } in pairs {
            writeln!(text, "  - path: {}", database.display())?;
            if self.is_eager {
                text.push_str("    monitor-interval: 10ms\n");
            }
            if self.faster > 1 {
                let [second, minute] = [1, 60].map(|seconds| self.span(seconds));
                writeln!(
                    text,
                    "    monitor-interval: {second}\n    checkpoint-interval: {minute}"
                )?;
            }
            text.push_str("    replicas:\n");
            match place {
                Place::Directory(path) => {
                    writeln!(text, "      - type: file\n        path: {}", path.display())?;
                }
                Place::Bucket(server, prefix) => writeln!(
                    text,
                    "      - type: s3\n        bucket: {BUCKET}\n        path: {prefix}\n        endpoint: \
                     http://{server}\n        region: us-east-1\n        force-path-style: true"
                )?,
            }
            if self.is_eager {
                text.push_str("        sync-interval: 10ms\n");
            }
            if self.faster > 1 {
                writeln!(text, "        sync-interval: {}", self.span(1))?;
            }
        }
        let path = directory.join("litestream.yml");
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// As ebbtide wants it.
pub(crate) fn address(place: &Place) -> String {
    match place {
        Place::Bucket(server, prefix) => format!(
            "s3://{BUCKET}/{prefix}?endpoint=http://{server}&region=us-east-1&path-style=true"
        ),
        Place::Directory(path) => path.display().to_string(),
    }
}

/// RFC 3339, of µs since the epoch.
fn timestamp(micros: u64) -> Result<String> {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let output = Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%S"])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(format!("{}.{fraction:06}Z", text.trim()))
}
