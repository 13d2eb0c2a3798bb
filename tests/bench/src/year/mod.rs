//! A year of history, and a little more, in minutes: the shipper, the packer, deltas, snapshots and retention, all as they
//! ship, under clocks that this program sets, into a store that counts. What remains is compared with what the study of
//! history expected.

mod after;
mod database;
pub(crate) mod metered;
pub(crate) mod replica;
mod works;

use std::path::PathBuf;
use std::time::Instant;

use ebbtide_replica::Key;
use serde_json::{Value, json};

use crate::Result;
use after::{After, Taken};
use database::Worked;
use metered::Counts;
use replica::{BEGIN, DAY, Replica};
use works::{SCENARIOS, Scenario};

/// The policy of the study.
const KEEP: &str = "every-commit=7d,hourly=30d,daily=1y,last=3";

const MONTH: i64 = 30;

/// How much is simulated.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this work, A, B, C or random; may be given several times.
    #[arg(long = "work", value_name = "NAME")]
    works: Vec<String>,
    /// How many days; the figures are those of the last thirty.
    #[arg(long, default_value_t = 456)]
    days: i64,
    /// Also write everything to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What there is, and what was asked for, at the end of a month.
#[derive(Debug, Clone, Copy, Default)]
struct Month {
    day: i64,
    counts: Counts,
    stored: Stored,
    /// What a restore of the newest state, and a start without local state, asked for.
    restore: Counts,
    start: Counts,
}

/// Bytes by kind.
#[derive(Debug, Clone, Copy, Default)]
struct Stored {
    objects: u64,
    log_objects: u64,
    segments: u64,
    packs: u64,
    deltas: u64,
    snapshots: u64,
    rest: u64,
}

impl Stored {
    fn add(&mut self, key: Key, bytes: u64) {
        self.objects += 1;
        *match key {
            Key::Log(_) => {
                self.log_objects += 1;
                &mut self.segments
            }
            Key::Pack { .. } => &mut self.packs,
            Key::Delta { .. } => &mut self.deltas,
            Key::Snapshot(_) => &mut self.snapshots,
            _ => &mut self.rest,
        } += bytes;
    }

    fn bytes(self) -> u64 {
        self.segments + self.packs + self.deltas + self.snapshots + self.rest
    }
}

/// Simulates and prints.
pub(crate) fn run(args: &Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut document = serde_json::Map::new();
    for scenario in SCENARIOS {
        if !args.works.is_empty() && !args.works.iter().any(|name| name == scenario.name) {
            continue;
        }
        let value = runtime.block_on(simulate(scenario, args.days))?;
        document.insert(scenario.name.to_owned(), value);
        if let Some(path) = &args.json {
            std::fs::write(path, serde_json::to_vec_pretty(&document)?)?;
        }
    }
    Ok(())
}

async fn simulate(scenario: Scenario, days: i64) -> Result<Value> {
    println!("\n== {}: {}", scenario.name, scenario.about);
    let begun = Instant::now();
    let mut replicas = Vec::new();
    for number in 0..scenario.databases {
        replicas.push(Replica::begin(scenario.database(number), KEEP.parse()?, number + 1).await?);
    }
    let mut months = vec![Month::default()];
    for number in 1..=days * scenario.commits_a_day {
        for (database, replica) in (0..).zip(&mut replicas) {
            replica.commit(scenario.time(number, database)).await?;
        }
        let (day, rest) = (number / scenario.commits_a_day, number % scenario.commits_a_day);
        if rest == 0 && (day % MONTH == 0 || day == days) {
            months.push(month(&replicas, day).await?);
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let after = after::measure(&mut replicas[0], BEGIN + days * DAY + DAY / 2).await?;
    print(&scenario, &months, &replicas, &after);
    println!("\nsimulated in {seconds:.0} s");
    Ok(json!({
        "months": months.iter().map(value).collect::<Vec<_>>(),
        "seconds": seconds,
        "study_stored": scenario.study.stored_bytes / scenario.bytes_by,
    }))
}

async fn month(replicas: &[Replica<Worked>], day: i64) -> Result<Month> {
    let mut month = Month { day, ..Month::default() };
    for replica in replicas {
        month.counts = month.counts.plus(replica.store.counts());
    }
    let all = replicas.iter().flat_map(Replica::objects);
    all.for_each(|(key, bytes)| month.stored.add(key, bytes));
    let [restore, start] = after::glance(&replicas[0], BEGIN + (day + 1) * DAY).await?;
    (month.restore, month.start) = (restore.counts, start.counts);
    Ok(month)
}

fn value(month: &Month) -> Value {
    let Month { day, counts, stored, restore, start } = month;
    json!({
        "day": day, "puts": counts.puts, "lists": counts.lists, "gets": counts.gets,
        "put_bytes": counts.put_bytes, "segment_bytes": counts.segment_bytes,
        "stored": stored.bytes(), "objects": stored.objects, "packs": stored.packs,
        "deltas": stored.deltas, "snapshots": stored.snapshots,
        "restore_requests": restore.requests(), "start_requests": start.requests(),
    })
}

/// What the bill is for, in dollars a month.
fn money(written: f64, read: f64, stored: f64) -> f64 {
    written * 5e-6 + read * 0.4e-6 + stored * 0.023e-9
}

fn print(scenario: &Scenario, months: &[Month], replicas: &[Replica<Worked>], after: &After) {
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "\n| day | stored (MB) | segments | packs | deltas | snapshots | objects | in log/ | restore: requests | lists | start: requests | lists |\n|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    for Month { day, stored, restore, start, .. } in months.iter().skip(1) {
        println!(
            "| {day} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {} | {} | {} | {} | {} |",
            mb(stored.bytes()),
            mb(stored.segments),
            mb(stored.packs),
            mb(stored.deltas),
            mb(stored.snapshots),
            stored.objects,
            stored.log_objects,
            restore.requests(),
            restore.lists,
            start.requests(),
            start.lists
        );
    }
    let made =
        |of: fn(&replica::Made) -> u64| replicas.iter().map(|one| of(&one.made)).sum::<u64>();
    println!(
        "\n{} commits; {} hour deltas, {} day deltas, {} snapshots, {} horizons",
        made(|made| made.commits),
        made(|made| made.hours),
        made(|made| made.days),
        made(|made| made.snapshots),
        made(|made| made.horizons)
    );
    compare(scenario, months);
    println!("\n| 20 ms away | seconds | requests | lists | MB |\n|---|---|---|---|---|");
    let row = |what: &str, taken: Taken| {
        let Taken { seconds, counts } = taken;
        let (requests, lists) = (counts.requests(), counts.lists);
        println!("| {what} | {seconds:.2} | {requests} | {lists} | {:.1} |", mb(counts.got_bytes));
    };
    row("restore after a fresh snapshot", after.fresh);
    row("restore of the newest state", after.head);
    if let Some((days, taken)) = after.daily {
        row(&format!("restore of the state {days} days ago"), taken);
    }
    row("start without local state", after.start);
}

/// Beside what the study expects.
fn compare(scenario: &Scenario, months: &[Month]) {
    let [.., before, last] = months else { return };
    let share = MONTH as f64 / (last.day - before.day).max(1) as f64;
    // Without the restore and the start that were tried at the end of the month before.
    let counts = last.counts.since(before.counts).since(before.restore).since(before.start);
    let study = scenario.study;
    let (puts, gets) =
        (study.puts_a_month / scenario.requests_by, study.gets_a_month / scenario.requests_by);
    let stored = study.stored_bytes / scenario.bytes_by;
    let (written, read) = ((counts.puts + counts.lists) as f64 * share, counts.gets as f64 * share);
    println!("\n| | study, scaled | measured | ratio |\n|---|---|---|---|");
    let row = |what: &str, study: f64, measured: f64, digits: usize| {
        let ratio = if study > 0.0 { format!("{:.2}", measured / study) } else { "–".to_owned() };
        println!("| {what} | {study:.digits$} | {measured:.digits$} | {ratio} |");
    };
    row("puts and lists a month", puts, written, 0);
    row("gets a month", gets, read, 0);
    row(
        "bytes put for each byte of a segment",
        study.put_ratio,
        last.counts.put_bytes as f64 / last.counts.segment_bytes as f64,
        2,
    );
    let bytes = last.stored.bytes() as f64;
    row("stored (MB)", stored / 1e6, bytes / 1e6, 0);
    row("dollars a month", money(puts, gets, stored), money(written, read, bytes), 4);
    row("without reads", money(puts, 0.0, stored), money(written, 0.0, bytes), 4);
}
