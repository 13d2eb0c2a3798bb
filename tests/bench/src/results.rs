//! What was measured: a table for people, JSON for everything else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::Result;
use crate::stats::{median, percentile};
use crate::tool::Tool;

/// All samples of a run, by work, metric and tool.
#[derive(Debug)]
pub(crate) struct Results {
    machine: Value,
    tools: Vec<String>,
    works: BTreeMap<String, Vec<Metric>>,
}

#[derive(Debug)]
struct Metric {
    name: String,
    /// By tool or whatever else is compared, in the order in which they were first measured.
    samples: Vec<(String, Vec<f64>)>,
}

impl Metric {
    fn of(&self, column: &str) -> Option<&Vec<f64>> {
        self.samples.iter().find(|(name, _)| name == column).map(|(_, samples)| samples)
    }

    fn add(&mut self, column: &str, value: f64) {
        match self.samples.iter_mut().find(|(name, _)| name == column) {
            Some((_, samples)) => samples.push(value),
            None => self.samples.push((column.to_owned(), vec![value])),
        }
    }
}

impl Results {
    pub(crate) fn new(tools: &[Tool]) -> Result<Results> {
        Ok(Results {
            machine: machine(tools)?,
            tools: tools.iter().map(|tool| tool.name().to_owned()).collect(),
            works: BTreeMap::new(),
        })
    }

    /// Adds a measured value, and says it at once: a long work that is broken off has told what it knows. The name of the
    /// metric ends with its unit.
    pub(crate) fn add(&mut self, work: &str, metric: &str, tool: &str, value: f64) {
        if !work.ends_with(" samples") {
            eprintln!("{work}: {metric}, {tool}: {}", number(value));
        }
        let metrics = self.works.entry(work.to_owned()).or_default();
        let at = metrics.iter().position(|known| known.name == metric).unwrap_or_else(|| {
            metrics.push(Metric { name: metric.to_owned(), samples: Vec::new() });
            metrics.len() - 1
        });
        metrics[at].add(tool, value);
    }

    /// Prints the table of a work: medians, and the least and the greatest of several runs.
    pub(crate) fn print(&self, work: &str) {
        let Some(metrics) = self.works.get(work) else { return };
        let others =
            metrics.iter().flat_map(|metric| metric.samples.iter().map(|(column, _)| column));
        let mut columns = self.tools.clone();
        for other in others {
            if !columns.contains(other) {
                columns.push(other.clone());
            }
        }
        columns.retain(|column| metrics.iter().any(|metric| metric.of(column).is_some()));
        println!("\n| {work} | {} |", columns.join(" | "));
        println!("|---|{}", "---|".repeat(columns.len()));
        for metric in metrics {
            let cells = columns.iter().map(|column| cell(metric.of(column)));
            println!("| {} | {} |", metric.name, cells.collect::<Vec<_>>().join(" | "));
        }
    }

    /// Writes everything as JSON.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let mut works = serde_json::Map::new();
        for (work, metrics) in &self.works {
            let metrics = metrics.iter().map(|metric| {
                let tools = metric.samples.iter().map(|(column, samples)| {
                    let summary = json!({
                        "median": median(samples),
                        "least": percentile(samples, 0.0),
                        "greatest": percentile(samples, 1.0),
                        "samples": samples,
                    });
                    (column.clone(), summary)
                });
                (metric.name.clone(), Value::Object(tools.collect()))
            });
            works.insert(work.clone(), Value::Object(metrics.collect()));
        }
        let document = json!({ "machine": self.machine, "works": works });
        Ok(fs::write(path, serde_json::to_vec_pretty(&document)?)?)
    }
}

fn cell(samples: Option<&Vec<f64>>) -> String {
    let Some(samples) = samples else { return "–".to_owned() };
    let middle = number(median(samples));
    match samples.len() {
        1 => middle,
        _ => {
            let (low, high) = (percentile(samples, 0.0), percentile(samples, 1.0));
            format!("{middle} ({}–{})", number(low), number(high))
        }
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1.0 => format!("{value:.3}"),
        size if size < 10.0 => format!("{value:.2}"),
        size if size < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// What it was measured on, and what was measured.
fn machine(tools: &[Tool]) -> Result<Value> {
    let output = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output();
        output.map_or(String::new(), |output| {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        })
    };
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let memory = meminfo.lines().next().unwrap_or_default().trim_start_matches("MemTotal:").trim();
    let versions: serde_json::Map<String, Value> =
        tools.iter().map(|tool| (tool.name().to_owned(), Value::from(tool.version()))).collect();
    Ok(json!({
        "date": output("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
        "cpu": model.map_or("", |model| model.trim_start_matches([' ', '\t', ':'])),
        "cpus": std::thread::available_parallelism()?.get(),
        "memory": memory,
        "kernel": output("uname", &["-sr"]),
        "load": fs::read_to_string("/proc/loadavg")?.trim(),
        "application_sqlite": rusqlite::version(),
        "tools": versions,
    }))
}
