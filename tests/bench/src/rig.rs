//! What every work needs: the store, the proxy before it, directories, and a way to know when all is quiet.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::minio::MinIO;
use crate::process::Running;
use crate::proxy::Proxy;
use crate::tool::{Pair, Place, Tool};
use crate::writer::micros;
use crate::{Result, check};

/// No request for so long, and whatever was to be sent has been sent: longer than any tool's interval.
const QUIET: Duration = Duration::from_millis(2500);

/// Nothing takes longer.
const PATIENCE: Duration = Duration::from_secs(600);

/// The rig.
pub(crate) struct Rig {
    pub(crate) quick: bool,
    pub(crate) repeat: usize,
    pub(crate) proxy: Proxy,
    scratch: PathBuf,
    count: Cell<u32>,
    minio: MinIO,
}

/// One tool with one database, or several, in a directory that is removed afterwards.
pub(crate) struct Case {
    pub(crate) directory: PathBuf,
    pub(crate) pair: Pair,
    /// Where its objects are in the bucket.
    pub(crate) prefix: String,
}

impl Drop for Case {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.directory).ok();
    }
}

impl Rig {
    pub(crate) fn new(scratch: &Path, bin: &Path, quick: bool, repeat: usize) -> Result<Rig> {
        fs::create_dir_all(scratch)?;
        let scratch = fs::canonicalize(scratch)?;
        let minio = MinIO::start(&fs::canonicalize(bin)?, &scratch)?;
        let proxy = Proxy::start(minio.address)?;
        Ok(Rig { quick, repeat, proxy, scratch, count: Cell::new(0), minio })
    }

    /// A place for a tool, with a replica in the bucket behind the proxy.
    pub(crate) fn case(&self) -> Result<Case> {
        let number = self.count.get() + 1;
        self.count.set(number);
        let prefix = format!("{}-{number}", std::process::id());
        let directory = self.scratch.join(&prefix);
        fs::create_dir_all(&directory)?;
        let place = Place::Bucket(self.proxy.address, prefix.clone());
        Ok(Case { pair: Pair { database: directory.join("app.db"), place }, directory, prefix })
    }

    /// The disk that everything is on.
    pub(crate) fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Where MinIO keeps the bucket.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.scratch.join("minio").join(crate::minio::BUCKET)
    }

    /// The same place without the proxy, which would take a CPU from whoever moves gigabytes.
    pub(crate) fn direct(&self, place: &Place) -> Place {
        match place {
            Place::Bucket(_, prefix) => Place::Bucket(self.minio.address, prefix.clone()),
            Place::Directory(_) => place.clone(),
        }
    }

    /// The same in a directory on the same disk.
    pub(crate) fn directory_case(&self) -> Result<Case> {
        let mut case = self.case()?;
        case.pair.place = Place::Directory(case.directory.join("replica"));
        Ok(case)
    }

    /// Waits until something was put under `prefix` since `since`, and then nothing for a while; when the last put was
    /// answered.
    pub(crate) fn quiet_since(&self, prefix: &str, since: u64) -> Result<u64> {
        let begun = Instant::now();
        let quiet = u64::try_from(QUIET.as_micros())?;
        loop {
            let requests = self.proxy.requests(prefix);
            let writes = requests.iter().filter(|request| request.is_write());
            let last = writes.map(|request| request.answered).max().filter(|&last| last >= since);
            match last {
                Some(last) if micros() > last + quiet => return Ok(last),
                _ if begun.elapsed() > PATIENCE => {
                    return Err("nothing was put, or too much".into());
                }
                _ => sleep(Duration::from_millis(20)),
            }
        }
    }
}

/// The application, at work.
pub(crate) fn application(path: &Path, task: &[&str], directory: &Path) -> Result<Running> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("write").arg(path).args(task);
    Running::start(&mut command, &directory.join("application.log"))
}

/// Makes a database of about so many bytes; nobody has it open afterwards.
pub(crate) fn fill(path: &Path, bytes: u64, directory: &Path) -> Result<()> {
    let status = application(path, &["fill", &bytes.to_string()], directory)?.wait()?;
    if status.success() { Ok(()) } else { Err("the application failed".into()) }
}

/// Restores and compares; how long it took, and what it used.
pub(crate) fn restore_equal(
    tool: &Tool,
    case: &Case,
    database: &Path,
) -> Result<crate::process::Done> {
    let out = case.directory.join("restored.db");
    remove_database(&out);
    settle_disk();
    let done = tool.restore(&case.pair, &case.directory, &out, None)?;
    if !done.status.success() {
        return Err(format!("{} restores with {}", tool.name(), done.status).into());
    }
    check::equal(database, &out).map_err(|error| format!("{}: {error}", tool.name()))?;
    remove_database(&out);
    Ok(done)
}

/// Removes a database and what may lie beside it.
pub(crate) fn remove_database(path: &Path) {
    for suffix in ["", "-wal", "-shm", ".tmp", ".tmp-wal", ".tmp-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        fs::remove_file(name).ok();
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    for own in ["ebbtide", "litestream"] {
        fs::remove_dir_all(path.with_file_name(format!(".{name}-{own}"))).ok();
    }
}

/// Has everything written back, so that one measurement does not pay for the one before.
pub(crate) fn settle_disk() {
    Command::new("sync").status().ok();
}

/// The log's size.
pub(crate) fn log_bytes(database: &Path) -> u64 {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    fs::metadata(name).map_or(0, |metadata| metadata.len())
}
