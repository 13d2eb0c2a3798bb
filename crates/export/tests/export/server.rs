//! A PostgreSQL of its own: in a temporary directory, with a Unix socket alone, for as long as a test needs it.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Set where a test must not pass without it.
const REQUIRED: &str = "EBBTIDE_TEST_POSTGRES";
/// PostgreSQL does not run as root; this is nobody.
const UNPRIVILEGED: u32 = 65534;
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server.
pub(crate) struct Server {
    directory: TempDir,
    programs: PathBuf,
    process: Child,
    databases: AtomicU32,
}

/// One for all tests that run at a time.
static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// The server, if there is a PostgreSQL. Says so if not.
pub(crate) fn server(test: &str) -> Option<Arc<Server>> {
    let mut known = SERVER.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(server) = known.upgrade() {
        return Some(server);
    }
    let Some(programs) = programs() else {
        assert!(
            std::env::var_os(REQUIRED).is_none(),
            "{REQUIRED} is set and there is no PostgreSQL"
        );
        eprintln!("NOT RUN: {test}: there is no PostgreSQL here");
        return None;
    };
    let server = Arc::new(Server::start(programs));
    *known = Arc::downgrade(&server);
    Some(server)
}

/// Where `initdb` is: Debian keeps it out of the path.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    places.extend(versions.map(|version| version.path().join("bin")));
    places
        .into_iter()
        .find(|place| ["initdb", "postgres", "psql"].iter().all(|name| place.join(name).exists()))
}

impl Server {
    fn start(programs: PathBuf) -> Server {
        let directory = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["data", "socket"] {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            if is_root() {
                chown(&path, Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
            }
        }
        let (data, socket) = (directory.path().join("data"), directory.path().join("socket"));
        let made = as_nobody(&programs.join("initdb"))
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let process = as_nobody(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(&socket)
            .args([
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-c",
                "full_page_writes=off",
                "-c",
                "max_wal_size=2GB",
            ])
            .stdout(Stdio::null())
            .stderr(fs::File::create(directory.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let server = Server { directory, programs, process, databases: AtomicU32::new(0) };
        let begun = Instant::now();
        while !server.psql("postgres", &["-c", "SELECT 1"], b"").status.success() {
            let log =
                || fs::read_to_string(server.directory.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not start: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    /// A database without anything in it.
    pub(crate) fn database(self: &Arc<Server>) -> Database {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let made = self.psql("postgres", &["-c", &format!("CREATE DATABASE {name}")], b"");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Database { server: Arc::clone(self), name }
    }

    fn psql(&self, database: &str, arguments: &[&str], input: &[u8]) -> Output {
        let mut psql = as_nobody(&self.programs.join("psql"));
        psql.arg("-X").arg("-q").arg("-h").arg(self.directory.path().join("socket"));
        psql.args(["-U", "postgres", "-d", database]).args(arguments);
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut psql = psql.spawn().unwrap();
        let mut stdin = psql.stdin.take().unwrap();
        let input = input.to_vec();
        // It may end before it has read everything.
        let writing = std::thread::spawn(move || stdin.write_all(&input).is_ok());
        let ended = psql.wait_with_output().unwrap();
        writing.join().unwrap();
        ended
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let process = self.process.id().to_string();
        // Ends sessions and stops.
        let told = Command::new("kill").args(["-INT", &process]).status();
        if !told.is_ok_and(|status| status.success()) {
            self.process.kill().ok();
        }
        self.process.wait().ok();
    }
}

/// One database of the server.
pub(crate) struct Database {
    server: Arc<Server>,
    name: String,
}

impl Database {
    /// Loads a script as the documents say.
    pub(crate) fn load(&self, script: &[u8]) -> Output {
        self.server.psql(&self.name, &["-1", "-v", "ON_ERROR_STOP=1"], script)
    }

    /// Loads a script with these arguments.
    pub(crate) fn load_with(&self, arguments: &[&str], script: &[u8]) -> Output {
        self.server.psql(&self.name, arguments, script)
    }

    /// By which programs of PostgreSQL find it.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let socket = self.server.directory.path().join("socket");
        vec![
            ("PGHOST", socket.display().to_string()),
            ("PGUSER", "postgres".to_owned()),
            ("PGDATABASE", self.name.clone()),
        ]
    }

    /// What a statement answers, without names and frames.
    #[track_caller]
    pub(crate) fn ask(&self, sql: &str) -> String {
        let input = format!("SET timezone = 'UTC';\n{sql};\n");
        let ended =
            self.server.psql(&self.name, &["-t", "-A", "-v", "ON_ERROR_STOP=1"], input.as_bytes());
        assert!(ended.status.success(), "{sql}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap().trim_end_matches('\n').to_owned()
    }

    /// The rows of a table in COPY's text format, taken apart: `None` is NULL.
    #[track_caller]
    pub(crate) fn rows(&self, table: &str) -> Vec<Vec<Option<Vec<u8>>>> {
        let text = self.ask(&format!("COPY \"{}\" TO STDOUT", table.replace('"', "\"\"")));
        let lines = text.split('\n').filter(|line| !line.is_empty());
        lines.map(|line| line.split('\t').map(field).collect()).collect()
    }
}

/// A field of COPY's, without its escapes.
fn field(text: &str) -> Option<Vec<u8>> {
    if text == "\\N" {
        return None;
    }
    let mut bytes = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        plain.push(match bytes.next().unwrap() {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            byte => byte,
        });
    }
    Some(plain)
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new(program);
    if is_root() {
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }
    // Nothing of the developer's own, and a directory that it may enter.
    let home = OsString::from("/tmp");
    command.current_dir("/tmp").env("HOME", home).env("LC_ALL", "C");
    for name in ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGOPTIONS", "PGSERVICE", "PGPASSFILE"]
    {
        command.env_remove(name);
    }
    command
}
