//! Litestream's VFS, which the `sqlite3` shell loads: a row by its key in a database of full size, and all rows of a small
//! one, because it asks for each page by itself.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;

use super::LATENCY;
use super::ask::{Asked, done};
use super::database::Items;
use crate::Result;
use crate::minio::{BUCKET, PASSWORD, USER};
use crate::results::Results;
use crate::rig::Rig;
use crate::tool::{Kind, Place, Tool};
use crate::year::replica::Application as _;

const NAME: &str = "litestream-0.5.18, VFS";

/// A scan of more would take minutes.
const SCANNED_BYTES: u64 = 10_000_000;

/// Measures it, if it is there.
pub(super) fn measure(rig: &Rig, tools: &[Tool], bytes: u64, results: &mut Results) -> Result<()> {
    let Some(tool) = tools.iter().find(|tool| tool.kind == Kind::Litestream5) else {
        return Ok(());
    };
    let extension = tool.beside("litestream-vfs-0.5.18.so");
    if !extension.exists() {
        eprintln!("!! {} is not there: Litestream's VFS is left out", extension.display());
        return Ok(());
    }
    let (rows, requests) = (bytes / 250, "SELECT id, version, length(body) FROM item WHERE id = ");
    let lookup = (bytes, format!("{requests}{}", rows / 8 * 3));
    let scan = (SCANNED_BYTES, "SELECT count(*), sum(length(body)) FROM item".to_owned());
    for (what, (bytes, sql)) in [("lookup, 1 GB or less, cold", lookup), ("scan of 10 MB", scan)] {
        let items = Items::new(bytes, super::BODY_HALF, Vec::new());
        let case = rig.case()?;
        write(&items, &case.pair.database)?;
        let sidecar = tool.replicate(std::slice::from_ref(&case.pair), &case.directory)?;
        rig.quiet_since(&case.prefix, 0)?;
        sidecar.stop()?;
        let Place::Bucket(server, prefix) = &case.pair.place else { return Err("a bucket".into()) };
        let url = format!(
            "s3://{BUCKET}/{prefix}?endpoint=http://{server}&region=us-east-1&forcePathStyle=true"
        );
        rig.proxy.set_latency(LATENCY);
        for _ in 0..rig.repeat {
            let mut command = Command::new("sqlite3");
            command
                .args(["-csv", ":memory:", "-cmd"])
                .arg(format!(".load {}", extension.display()));
            command.args(["-cmd", ".open file:past.db?vfs=litestream", &sql]);
            command.env("LITESTREAM_REPLICA_URL", &url).env_remove("AWS_CA_BUNDLE");
            command.env("AWS_ACCESS_KEY_ID", USER).env("AWS_SECRET_ACCESS_KEY", PASSWORD);
            let before = rig.proxy.count();
            let Asked { seconds, memory, .. } = done(&mut command, &case, Some(""))?;
            let asked = rig.proxy.count() - before;
            results.add(super::WORK, &format!("{what} (s)"), NAME, seconds);
            results.add(super::WORK, &format!("{what}: requests"), NAME, asked as f64);
            results.add(super::WORK, &format!("{what}: memory (MB)"), NAME, memory);
        }
        rig.proxy.set_latency(std::time::Duration::ZERO);
    }
    Ok(())
}

/// The database as a file.
fn write(items: &Items, path: &Path) -> Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for page in 1..=items.pages() {
        file.write_all(&items.page(page))?;
    }
    Ok(file.flush()?)
}
