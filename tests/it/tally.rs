//! What a test of faults has counted, as a line of JSON: printed, and appended to the file that `EBBTIDE_TALLY` names.
//!
//! A release publishes these lines. *Injected* are faults, *survived* those after which everything acknowledged was
//! still there, nothing was there that never was, and the end was the database's, byte for byte.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use crate::scene::Compared;

/// Counts of one run.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) class: &'static str,
    pub(crate) seeds: u64,
    pub(crate) injected: u64,
    pub(crate) survived: u64,
    pub(crate) states: usize,
    pub(crate) gaps: usize,
    pub(crate) forks: usize,
    pub(crate) acknowledged_lost: usize,
    pub(crate) phantoms: usize,
    pub(crate) missing: usize,
    /// Of what was committed and not durable at a kill, how old the oldest was.
    pub(crate) tails: Vec<Duration>,
    pub(crate) step_max: Duration,
    pub(crate) log_bytes_max: u64,
}

impl Tally {
    pub(crate) fn new(class: &'static str) -> Tally {
        Tally { class, ..Tally::default() }
    }

    /// A history was compared after so many faults.
    pub(crate) fn add(&mut self, injected: u64, compared: &Compared) {
        self.injected += injected;
        self.survived += if compared.wrong.is_empty() { injected } else { 0 };
        self.acknowledged_lost += compared.acknowledged_lost;
        self.phantoms += compared.phantoms;
        self.missing += compared.missing;
        self.states += compared.states;
        self.gaps += compared.gaps;
        self.forks += compared.forks;
    }

    /// Adds what another run of the same has counted.
    pub(crate) fn merge(&mut self, other: Tally) {
        self.seeds += other.seeds;
        self.injected += other.injected;
        self.survived += other.survived;
        self.states += other.states;
        self.gaps += other.gaps;
        self.forks += other.forks;
        self.acknowledged_lost += other.acknowledged_lost;
        self.phantoms += other.phantoms;
        self.missing += other.missing;
        self.tails.extend(other.tails);
        self.step_max = self.step_max.max(other.step_max);
        self.log_bytes_max = self.log_bytes_max.max(other.log_bytes_max);
    }

    /// Prints the line.
    pub(crate) fn print(mut self) {
        self.tails.sort();
        let tail = |share: usize| {
            let at = (self.tails.len() * share / 100).min(self.tails.len().saturating_sub(1));
            self.tails.get(at).map(|tail| tail.as_secs_f64() * 1000.0)
        };
        let line = serde_json::json!({
            "class": self.class,
            "seeds": self.seeds,
            "injected": self.injected,
            "survived": self.survived,
            "states_compared": self.states,
            "gaps": self.gaps,
            "forks": self.forks,
            "tail_ms_p50": tail(50),
            "tail_ms_p99": tail(99),
            "tail_ms_max": tail(100),
            "step_ms_max": self.step_max.as_secs_f64() * 1000.0,
            "log_bytes_max": self.log_bytes_max,
            "acknowledged_lost": self.acknowledged_lost,
            "phantoms": self.phantoms,
            "missing": self.missing,
        });
        println!("{line}");
        if let Some(path) = std::env::var_os("EBBTIDE_TALLY") {
            let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
            writeln!(file, "{line}").unwrap();
        }
    }
}
