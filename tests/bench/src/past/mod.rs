//! Reading the past: a row by its key, a whole table, a comparison and a search, of replicas in a store 20 ms away and in a
//! directory. Every answer is compared with what it must be before its time counts.

mod ask;
mod database;
mod history;
mod peer;

use std::time::Duration;

use crate::Result;
use crate::results::Results;
use crate::rig::{Case, Rig, remove_database, settle_disk};
use crate::tool::{Kind, Place, Tool, address};
use crate::year::replica::Application as _;
use ask::{Asked, ask};
use database::Items;

const WORK: &str = "past";

const LATENCY: Duration = Duration::from_millis(20);

/// The commits that change the watched row, as shares of the day in hundredths.
const CHANGED_AT: [i64; 5] = [9, 30, 31, 66, 95];

/// How much there is.
struct Size {
    bytes: u64,
    commits: i64,
    scan_bytes: u64,
}

const FULL: Size = Size { bytes: 10_000_000_000, commits: 864_000, scan_bytes: 1_000_000_000 };
const QUICK: Size = Size { bytes: 100_000_000, commits: 20_000, scan_bytes: 100_000_000 };

/// A replica in a directory and in the bucket.
struct Laid {
    items: Items,
    folder: Case,
    bucket: Case,
}

pub(crate) fn run(rig: &Rig, tools: &[Tool], results: &mut Results) -> Result<()> {
    let Some(tool) = tools.iter().find(|tool| tool.kind == Kind::Ebbtide) else { return Ok(()) };
    let size = if rig.quick { QUICK } else { FULL };
    scan(rig, tool, &size, results)?;
    peer::measure(rig, tools, size.scan_bytes, results)?;
    let changed_at = CHANGED_AT.map(|share| size.commits * share / 100);
    let items = Items::new(size.bytes, 24, changed_at.to_vec());
    let laid = lay(rig, tool, items, size.commits)?;
    let table = Measured { rig, tool, laid: &laid, results };
    table.measure(&size, &changed_at)
}

fn lay(rig: &Rig, tool: &Tool, items: Items, commits: i64) -> Result<Laid> {
    let (folder, bucket) = (rig.directory_case()?, rig.case()?);
    let Place::Directory(directory) = &folder.pair.place else { return Err("a folder".into()) };
    let runtime = tokio::runtime::Runtime::new()?;
    let items = runtime.block_on(history::make(items, commits, directory))?;
    let to = rig.direct(&bucket.pair.place);
    ask(tool, "copy", &[&address(&folder.pair.place), &address(&to)], &folder, None)?;
    settle_disk();
    Ok(Laid { items, folder, bucket })
}

/// A whole table, beside a restore of the same database.
fn scan(rig: &Rig, tool: &Tool, size: &Size, results: &mut Results) -> Result<()> {
    let laid = lay(rig, tool, Items::new(size.scan_bytes, BODY_HALF, Vec::new()), 0)?;
    let source = address(&laid.bucket.pair.place);
    rig.proxy.set_latency(LATENCY);
    let out = laid.folder.directory.join("restored.db");
    let sql = "SELECT count(*), sum(version), sum(length(body)) FROM item";
    let rows = laid.items.rows();
    let expected = format!("{rows},{},{}", laid.items.versions(), rows * Items::BODY);
    for _ in 0..rig.repeat {
        remove_database(&out);
        settle_disk();
        let target = out.display().to_string();
        let restored = ask(tool, "restore", &["-o", &target, &source], &laid.bucket, None)?;
        remove_database(&out);
        settle_disk();
        let before = rig.proxy.count();
        let asked = ask(
            tool,
            "sql",
            &["--csv", "--at", "now", &source, sql],
            &laid.bucket,
            Some(&expected),
        )?;
        let requests = rig.proxy.count() - before;
        let bytes = f64::from(laid.items.pages()) * 4096.0;
        let name = tool.name();
        let mut add = |metric: &str, value| results.add(WORK, metric, name, value);
        add("restore (MB/s)", bytes / 1e6 / restored.seconds);
        add("scan of a table (MB/s)", bytes / 1e6 / asked.seconds);
        add("scan, share of the restore's speed", restored.seconds / asked.seconds);
        add("scan: requests", requests as f64);
        add("scan: memory (MB)", asked.memory);
        add("scan: CPU time (s)", asked.cpu_seconds);
    }
    rig.proxy.set_latency(Duration::ZERO);
    Ok(())
}

/// Of a body of the scanned table, so many bytes do not compress.
const BODY_HALF: usize = 110;

/// One replica that is asked.
struct Measured<'a> {
    rig: &'a Rig,
    tool: &'a Tool,
    laid: &'a Laid,
    results: &'a mut Results,
}

impl Measured<'_> {
    fn measure(mut self, size: &Size, changed_at: &[i64]) -> Result<()> {
        self.rig.proxy.set_latency(LATENCY);
        // The newest state, whose last segments are in no pack yet; one in the middle of an hour, and one that a delta ends
        // with, but for some seconds.
        let newest = format!("txid:{:x}", Self::txid(size.commits));
        let [middle, hour] = [145, 140]
            .map(|tenths| format!("txid:{:x}", Self::txid(size.commits * tenths / 240) + 50));
        for _ in 0..self.rig.repeat {
            self.lookups("lookup in the newest state", &newest)?;
            self.lookups("lookup in mid hour", &middle)?;
            self.lookups("lookup at the end of an hour", &hour)?;
            self.folder(&hour)?;
            self.search(changed_at)?;
            self.diff(size)?;
        }
        self.rig.proxy.set_latency(Duration::ZERO);
        Ok(())
    }

    /// The entry of a commit, if no snapshot and no delta was vouched before it; with those it comes a little later, which
    /// changes no answer that is asked for.
    fn txid(commit: i64) -> i64 {
        commit + 2
    }

    fn add(&mut self, what: &str, asked: &Asked, requests: Option<usize>) {
        let name = self.tool.name();
        self.results.add(WORK, &format!("{what} (s)"), name, asked.seconds);
        if let Some(requests) = requests {
            self.results.add(WORK, &format!("{what}: requests"), name, requests as f64);
        }
        self.results.add(WORK, &format!("{what}: memory (MB)"), name, asked.memory);
    }

    /// A row by its key, for the first time and then another one.
    fn lookups(&mut self, what: &str, at: &str) -> Result<()> {
        let source = address(&self.laid.bucket.pair.place);
        ask::forget(&self.laid.bucket)?;
        for (time, row) in [("cold", 3), ("again", 7)] {
            // In the last third, which only the watched row's commits change.
            let row = self.laid.items.rows() / 8 * row + 3;
            let sql = format!("SELECT id, version, length(body) FROM item WHERE id = {row}");
            let expected = format!("{row},");
            let before = self.rig.proxy.count();
            let args = ["--csv", "--at", at, &source, &sql];
            let asked = ask(self.tool, "sql", &args, &self.laid.bucket, Some(&expected))?;
            let requests = self.rig.proxy.count() - before;
            self.add(&format!("{what}, {time}"), &asked, Some(requests));
        }
        Ok(())
    }

    fn folder(&mut self, at: &str) -> Result<()> {
        let source = address(&self.laid.folder.pair.place);
        ask::forget(&self.laid.folder)?;
        for time in ["cold", "again"] {
            let sql = "SELECT id, version, length(body) FROM item WHERE id = 77";
            let args = ["--csv", "--at", at, &source, sql];
            let asked = ask(self.tool, "sql", &args, &self.laid.folder, Some("77,"))?;
            self.add(&format!("lookup in a directory, {time}"), &asked, None);
        }
        Ok(())
    }

    fn search(&mut self, changed_at: &[i64]) -> Result<()> {
        let source = address(&self.laid.bucket.pair.place);
        let sql = format!("SELECT version FROM item WHERE id = {}", self.laid.items.watched());
        ask::forget(&self.laid.bucket)?;
        for time in ["cold", "again"] {
            let before = self.rig.proxy.count();
            let asked =
                ask(self.tool, "when", &["--json", &source, &sql], &self.laid.bucket, None)?;
            let requests = self.rig.proxy.count() - before;
            let found = asked.output.matches("\"txid\"").count();
            if found < changed_at.len() {
                return Err(format!("{found} changes of {}", changed_at.len()).into());
            }
            self.add(&format!("when, {time}"), &asked, Some(requests));
        }
        Ok(())
    }

    /// Two states with some hundred pages between them.
    fn diff(&mut self, size: &Size) -> Result<()> {
        let source = address(&self.laid.bucket.pair.place);
        ask::forget(&self.laid.bucket)?;
        let [from, to] = [0, 49].map(|after| Self::txid(size.commits * 3 / 5 + after));
        let args = ["--from", &format!("txid:{from:x}"), "--to", &format!("txid:{to:x}"), &source];
        let before = self.rig.proxy.count();
        let asked = ask(self.tool, "diff", &args, &self.laid.bucket, Some("item"))?;
        let requests = self.rig.proxy.count() - before;
        self.add("diff of two states", &asked, Some(requests));
        Ok(())
    }
}
