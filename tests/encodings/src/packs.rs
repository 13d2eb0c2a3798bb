//! The same works with a running `ebbtide replicate` into a directory: what a commit takes in segments and in packs, and
//! what the process takes.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::random::Random;
use crate::works::{WORKS, Work};

/// Commits a second of each application.
const RATE: u64 = 48;

/// An application and its sidecar.
struct Case {
    work: &'static Work,
    connection: Connection,
    random: Random,
    sidecar: Child,
}

/// Runs all works side by side for so many seconds, in `directory`.
pub fn measure(ebbtide: &Path, seconds: u64, directory: &Path) {
    let works = WORKS.iter().enumerate();
    let begin = |(at, work): (usize, _)| begin(work, ebbtide, &directory.join(at.to_string()));
    let mut cases: Vec<Case> = works.map(begin).collect();
    let begun = Instant::now();
    for number in 0..seconds * RATE {
        sleep((Duration::from_secs(number) / RATE as u32).saturating_sub(begun.elapsed()));
        for Case { work, connection, random, .. } in &mut cases {
            work.commit(connection, random, number.cast_signed()).expect("a commit");
        }
    }
    sleep(Duration::from_secs(5));
    for (at, case) in cases.into_iter().enumerate() {
        let directory = directory.join(at.to_string());
        println!("\n{}", case.work.name);
        println!("  peak memory {} kB, processor {:.1} s", memory(&case.sidecar), processor(&case.sidecar));
        end(case.sidecar);
        show(&directory.join("replica"));
        restore(ebbtide, &directory);
    }
}

fn begin(work: &'static Work, ebbtide: &Path, directory: &Path) -> Case {
    fs::create_dir(directory).expect("a directory");
    let database = directory.join("app.db");
    let connection = Connection::open(&database).expect("a database");
    connection.busy_timeout(Duration::from_secs(60)).expect("a time-out");
    connection.execute_batch("PRAGMA journal_mode=wal; PRAGMA synchronous=normal").expect("a log");
    let mut random = Random(42);
    work.prepare(&connection, &mut random).expect("its tables");
    let log = fs::File::create(directory.join("log")).expect("a log");
    let mut command = Command::new(ebbtide);
    command.arg("replicate").arg(&database).arg(directory.join("replica"));
    let sidecar = command.stdin(Stdio::null()).stderr(log).spawn().expect("ebbtide");
    Case { work, connection, random, sidecar }
}

fn end(mut sidecar: Child) {
    let terminated = Command::new("kill").arg(sidecar.id().to_string()).status();
    assert!(terminated.is_ok_and(|status| status.success()), "kill");
    assert!(sidecar.wait().is_ok_and(|status| status.success()), "the sidecar failed");
}

/// A line of `/proc/PID/status` in kB.
fn memory(sidecar: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", sidecar.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux has it");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// User and system time, in ticks of a hundredth of a second (proc(5), fields 14 and 15).
fn processor(sidecar: &Child) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", sidecar.id())).expect("it runs");
    let fields = stat.rsplit(')').next().expect("a name").split_whitespace().skip(11).take(2);
    fields.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

/// What lies in the replica.
fn show(replica: &Path) {
    let objects = |under: &str| -> Vec<(String, u64)> {
        let directory = fs::read_dir(replica.join(under)).into_iter().flatten();
        let object = |file: std::io::Result<fs::DirEntry>| {
            let file = file.expect("a file");
            let size = file.metadata().expect("a file").len();
            (file.file_name().into_string().expect("ASCII"), size)
        };
        directory.map(object).collect()
    };
    let txid = |hex: &str| u64::from_str_radix(hex, 16).expect("a txid");
    let (mut entries, mut packed, mut last) = (0, 0, 0);
    let packs = objects("pack");
    for (name, size) in &packs {
        let range = (txid(&name[..16]), txid(&name[17..33]));
        entries += range.1 + 1 - range.0;
        packed += size;
        last = last.max(range.1);
    }
    let segments = objects("log");
    let merged: Vec<u64> = segments.iter().filter(|(name, _)| txid(&name[..16]) <= last).map(|(_, size)| *size).collect();
    println!(
        "  {entries} entries: {} B each in {} packs, {} B each in {} segments",
        packed.checked_div(entries).unwrap_or(0),
        packs.len(),
        merged.iter().sum::<u64>().checked_div(entries).unwrap_or(0),
        merged.len()
    );
}

/// Proves that all of it can be read, from packs alone where there are any, and says how long that takes.
fn restore(ebbtide: &Path, directory: &Path) {
    let run = |arguments: &[&str]| {
        let begun = Instant::now();
        let mut command = Command::new(ebbtide);
        command.args(arguments).current_dir(directory).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(command.status().is_ok_and(|status| status.success()), "{arguments:?}");
        begun.elapsed()
    };
    let restored = run(&["restore", "-o", "restored.db", "replica"]);
    let verified = run(&["verify", "replica"]);
    println!("  restored in {restored:.2?}, verified in {verified:.2?}");
}
