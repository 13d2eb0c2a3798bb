//! One MinIO of our own, on loopback, with its buckets on the scratch disk.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::Result;
use crate::process::Running;

/// The one bucket.
pub(crate) const BUCKET: &str = "bench";
/// What opens it.
pub(crate) const USER: &str = "bench-user";
/// The same.
pub(crate) const PASSWORD: &str = "bench-password";

/// A server that is stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct MinIO {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _process: Running,
}

impl MinIO {
    /// Starts it, and waits until it answers.
    pub(crate) fn start(bin: &Path, scratch: &Path) -> Result<MinIO> {
        let data = scratch.join("minio");
        // A directory in the data is a bucket.
        fs::create_dir_all(data.join(BUCKET))?;
        let address = free_port()?;
        let mut command = Command::new(bin.join("minio"));
        command.args(["server", "--quiet", "--address", &address.to_string()]).arg(&data);
        command.env("MINIO_ROOT_USER", USER).env("MINIO_ROOT_PASSWORD", PASSWORD);
        command.env("MINIO_BROWSER", "off").env("MINIO_UPDATE", "off").env("HOME", scratch);
        let mut process = Running::start_unheard(&mut command, &scratch.join("minio.log"))?;
        while TcpStream::connect(address).is_err() {
            if !process.is_alive()? {
                return Err("minio does not start: see minio.log in the scratch directory".into());
            }
            sleep(Duration::from_millis(50));
        }
        // It answers a little before it serves.
        sleep(Duration::from_secs(3));
        Ok(MinIO { address, _process: process })
    }
}

/// A port that nobody has at the moment.
pub(crate) fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
